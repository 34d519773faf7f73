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
use crate::face::Face;

type Xml = Writer<Vec<u8>>;

/// One resource.
pub(crate) fn document(document: &Document, face: Face, zone: &TimeZone) -> io::Result<Vec<u8>> {
    response(|xml| write_document(xml, document, face, zone))
}

/// A list, its paging in attributes.
pub(crate) fn listing(listing: &Listing, face: Face, zone: &TimeZone) -> io::Result<Vec<u8>> {
    let attributes = listing
        .paging
        .attributes()
        .map(|(name, value)| (name, legal(&value)));
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
            text(xml, field.name, &field.value.scalar(zone))?;
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
            let value = legal(&field.value.scalar(zone));
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
pub(crate) fn legal(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => c,
            _ => char::REPLACEMENT_CHARACTER,
        })
        .collect()
}
