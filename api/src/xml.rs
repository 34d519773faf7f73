//! Documents as Twilio's XML, `<TwilioResponse>…`.
//!
//! Field order is the document's. Text is escaped by quick-xml; characters that XML 1.0 has no
//! spelling for become U+FFFD here.

use std::io;

use jiff::tz::TimeZone;
use quick_xml::Writer;
use quick_xml::escape::escape;
use quick_xml::events::BytesText;

use crate::document::{Document, Field, Listing, Value, snake};
use crate::face::{Face, rfc_2822};
use crate::fault::Fault;

type Xml = Writer<Vec<u8>>;

/// One resource.
pub(crate) fn document(document: &Document, face: Face, zone: &TimeZone) -> io::Result<Vec<u8>> {
    response(|xml| write_document(xml, document, face, zone))
}

/// A list, its paging in attributes.
pub(crate) fn listing(listing: &Listing, face: Face, zone: &TimeZone) -> io::Result<Vec<u8>> {
    let paging = &listing.paging;
    let link = |link: &Option<String>| legal(link.as_deref().unwrap_or_default());
    let attributes = [
        ("page", paging.page.to_string()),
        ("numpages", paging.pages.to_string()),
        ("pagesize", paging.page_size.to_string()),
        ("total", paging.total.to_string()),
        ("start", paging.start.to_string()),
        ("end", paging.end.to_string()),
        ("uri", legal(&paging.uri)),
        ("firstpageuri", link(&paging.first)),
        ("previouspageuri", link(&paging.previous)),
        ("nextpageuri", link(&paging.next)),
        ("lastpageuri", link(&paging.last)),
    ];
    response(|xml| {
        let element = xml.create_element(listing.name).with_attributes(
            attributes
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        if listing.items.is_empty() {
            element.write_empty()?;
        } else {
            element.write_inner_content(|xml| {
                listing
                    .items
                    .iter()
                    .try_for_each(|item| write_document(xml, item, face, zone))
            })?;
        }
        Ok(())
    })
}

/// An error: `Status`, `Message`, and where it has one `Code` with `MoreInfo` (twilio.md §1).
pub(crate) fn fault(fault: &Fault) -> io::Result<Vec<u8>> {
    response(|xml| {
        xml.create_element("RestException")
            .write_inner_content(|xml| {
                text(xml, "Status", fault.status.as_str())?;
                text(xml, "Message", &fault.message)?;
                if let Some(code) = fault.code {
                    text(xml, "Code", &code.to_string())?;
                    text(xml, "MoreInfo", &Fault::more_info(code))?;
                }
                Ok(())
            })?;
        Ok(())
    })
}

fn response(content: impl FnOnce(&mut Xml) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut xml = Writer::new(Vec::new());
    xml.create_element("TwilioResponse")
        .write_inner_content(content)?;
    Ok(xml.into_inner())
}

fn write_document(
    xml: &mut Xml,
    document: &Document,
    face: Face,
    zone: &TimeZone,
) -> io::Result<()> {
    xml.create_element(document.name)
        .write_inner_content(|xml| write_fields(xml, &document.fields, face, zone))?;
    Ok(())
}

fn write_fields(xml: &mut Xml, fields: &[Field], face: Face, zone: &TimeZone) -> io::Result<()> {
    for field in fields.iter().filter(|field| face.shows(field.kind)) {
        if let Value::Group(fields) = &field.value {
            xml.create_element(field.name)
                .write_inner_content(|xml| write_fields(xml, fields, face, zone))?;
        } else if let Value::Rows { item, rows } = &field.value {
            xml.create_element(field.name).write_inner_content(|xml| {
                rows.iter()
                    .try_for_each(|row| write_row(xml, item, row, face, zone))
            })?;
        } else {
            text(xml, field.name, &scalar_text(&field.value, zone))?;
        }
    }
    Ok(())
}

/// A row's scalars are attributes, a group in it is a child.
fn write_row(
    xml: &mut Xml,
    item: &str,
    row: &[Field],
    face: Face,
    zone: &TimeZone,
) -> io::Result<()> {
    let mut element = xml.create_element(item);
    let mut nested = false;
    for field in row.iter().filter(|field| face.shows(field.kind)) {
        if let Value::Group(_) | Value::Rows { .. } = &field.value {
            nested = true;
        } else {
            let value = legal(&scalar_text(&field.value, zone));
            element = element.with_attribute((snake(field.name).as_str(), value.as_str()));
        }
    }
    if !nested {
        element.write_empty()?;
        return Ok(());
    }
    element.write_inner_content(|xml| {
        for field in row {
            if let Value::Group(fields) = &field.value {
                xml.create_element(field.name)
                    .write_inner_content(|xml| write_fields(xml, fields, face, zone))?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn scalar_text(value: &Value, zone: &TimeZone) -> String {
    match value {
        Value::Null | Value::Group(_) | Value::Rows { .. } => String::new(),
        Value::Text(text) | Value::Uri(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Date(ms) => rfc_2822(*ms, zone),
        Value::Json(json) => json.to_string(),
        Value::Names(names) => names.join(", "),
    }
}

fn text(xml: &mut Xml, name: &str, text: &str) -> io::Result<()> {
    let element = xml.create_element(name);
    if text.is_empty() {
        element.write_empty()?;
    } else {
        // A reader takes a bare CR for a line's end (XML 1.0 §2.11), and SDP's lines have them.
        let escaped = escape(legal(text)).replace('\r', "&#13;");
        element.write_text_content(BytesText::from_escaped(escaped))?;
    }
    Ok(())
}

/// `text` with each character that XML 1.0 §2.2 has no place for replaced.
fn legal(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => c,
            _ => char::REPLACEMENT_CHARACTER,
        })
        .collect()
}
