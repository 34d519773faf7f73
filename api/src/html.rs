//! Documents as HTML, for a browser: the 2008 API's `<body class="twilio-response">`, an element a
//! field with the field's name in lower case and dashes for its class (twilio.md §1).
//!
//! Called by `answer`. Fields are those of XML, in its order. A list begins with its paging, whose
//! links can be followed.

use jiff::tz::TimeZone;
use quick_xml::escape::escape;

use crate::document::{Document, Field, Listing, Value, snake};
use crate::face::Face;
use crate::xml::legal;

/// One resource; `status` is the page's title.
pub(crate) fn document(status: u16, document: &Document, face: Face, zone: &TimeZone) -> String {
    page(status, |html| resource(html, document, face, zone))
}

/// A list.
pub(crate) fn listing(listing: &Listing, face: Face, zone: &TimeZone) -> String {
    page(200, |html| {
        element(html, listing.name, |html| {
            element(html, "Paging", |html| {
                for (name, value) in listing.paging.attributes() {
                    let value = text_of(&value);
                    *html += &if name.ends_with("uri") && !value.is_empty() {
                        format!("<a class=\"{name}\" href=\"{value}\">{value}</a>")
                    } else {
                        format!("<div class=\"{name}\">{value}</div>")
                    };
                }
            });
            for item in &listing.items {
                resource(html, item, face, zone);
            }
        });
    })
}

fn page(status: u16, content: impl FnOnce(&mut String)) -> String {
    let mut html =
        format!("<html><head><title>{status}</title></head><body class=\"twilio-response\">");
    content(&mut html);
    html += "</body></html>";
    html
}

fn resource(html: &mut String, document: &Document, face: Face, zone: &TimeZone) {
    element(html, document.name, |html| {
        fields(html, &document.fields, face, zone);
    });
}

fn fields(html: &mut String, all: &[Field], face: Face, zone: &TimeZone) {
    for field in all.iter().filter(|field| face.shows(field.kind)) {
        element(html, field.name, |html| match &field.value {
            Value::Group(inner) => fields(html, inner, face, zone),
            Value::Rows { item, rows } => {
                for row in rows {
                    element(html, item, |html| fields(html, row, face, zone));
                }
            }
            scalar @ (Value::Null
            | Value::Text(_)
            | Value::Number(_)
            | Value::Flag(_)
            | Value::Date(_)
            | Value::Uri(_)
            | Value::Json(_)
            | Value::Names(_)) => *html += &text_of(&scalar.scalar(zone)),
        });
    }
}

fn element(html: &mut String, name: &str, content: impl FnOnce(&mut String)) {
    let class = snake(name).as_str().replace('_', "-");
    *html += &format!("<div class=\"{class}\">");
    content(html);
    *html += "</div>";
}

/// Text that is neither markup nor the end of an attribute.
fn text_of(text: &str) -> String {
    escape(legal(text)).into_owned()
}
