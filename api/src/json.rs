//! Documents as JSON: today's flat snake case, and the 2008 shape
//! `{"TwilioResponse":{"Recording":{…}}}` whose own values are all strings (twilio.md §1).
//!
//! reeld's additions have the names and types of contract.md in both.

use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json, json};

use crate::document::{Document, Field, Listing, Value, snake};
use crate::face::{Face, Kind, Version, rfc_2822};
use crate::fault::Fault;

/// One resource.
pub(crate) fn document(document: &Document, face: Face, zone: &TimeZone) -> Json {
    let fields = Json::Object(object(&document.fields, face, zone));
    match face.version {
        Version::V2008 => json!({ "TwilioResponse": { document.name: fields } }),
        Version::V2010 => fields,
    }
}

/// A list. In 2010 exactly one key is not about paging, or SDKs refuse the page (twilio.md §0.2).
pub(crate) fn listing(listing: &Listing, face: Face, zone: &TimeZone) -> Json {
    let paging = &listing.paging;
    match face.version {
        Version::V2008 => {
            let items: Vec<Json> = listing
                .items
                .iter()
                .map(|item| json!({ item.name: object(&item.fields, face, zone) }))
                .collect();
            json!({ "TwilioResponse": {
                listing.name: items,
                "page": paging.page.to_string(),
                "numpages": paging.pages.to_string(),
                "pagesize": paging.page_size.to_string(),
                "total": paging.total.to_string(),
                "start": paging.start.to_string(),
                "end": paging.end.to_string(),
                "uri": paging.uri,
                "firstpageuri": paging.first.as_deref().unwrap_or_default(),
                "nextpageuri": paging.next.as_deref().unwrap_or_default(),
                "previouspageuri": paging.previous.as_deref().unwrap_or_default(),
                "lastpageuri": paging.last.as_deref().unwrap_or_default(),
            } })
        }
        Version::V2010 => {
            let items: Vec<Json> = listing
                .items
                .iter()
                .map(|item| Json::Object(object(&item.fields, face, zone)))
                .collect();
            json!({
                "first_page_uri": paging.first,
                "end": paging.end,
                "previous_page_uri": paging.previous,
                snake(listing.name): items,
                "uri": paging.uri,
                "page_size": paging.page_size,
                "start": paging.start,
                "next_page_uri": paging.next,
                "last_page_uri": paging.last,
                "page": paging.page,
                "num_pages": paging.pages,
                "total": paging.total,
            })
        }
    }
}

/// An error as twilio.md §2.4 has it, whatever the version.
pub(crate) fn fault(fault: &Fault) -> Json {
    json!({
        "code": fault.code,
        "message": fault.message,
        "more_info": fault.code.map(Fault::more_info),
        "status": fault.status.as_u16(),
    })
}

fn object(fields: &[Field], face: Face, zone: &TimeZone) -> Map<String, Json> {
    fields
        .iter()
        .filter(|field| face.shows(field.kind))
        .map(|field| {
            let old = face.version == Version::V2008;
            match field.kind {
                Kind::Seed | Kind::Old | Kind::New if old => (
                    field.name.to_owned(),
                    old_value(value(&field.value, face, zone)),
                ),
                Kind::Seed | Kind::Old | Kind::New | Kind::Own | Kind::OwnJson | Kind::Control => {
                    (snake(field.name), value(&field.value, face, zone))
                }
            }
        })
        .collect()
}

fn value(value: &Value, face: Face, zone: &TimeZone) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Text(text) => json!(text),
        Value::Uri(path) => json!(format!("{path}.json")),
        Value::Number(number) => json!(number),
        Value::Flag(flag) => json!(flag),
        Value::Date(ms) => json!(rfc_2822(*ms, zone)),
        Value::Json(json) => json.clone(),
        Value::Names(names) => json!(names),
        Value::Group(fields) => Json::Object(object(fields, face, zone)),
        Value::Rows { rows, .. } => rows
            .iter()
            .map(|row| Json::Object(object(row, face, zone)))
            .collect(),
    }
}

/// 2008 has strings where today has numbers.
fn old_value(value: Json) -> Json {
    match value {
        Json::Number(number) => json!(number.to_string()),
        Json::Bool(flag) => json!(flag.to_string()),
        Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_) => value,
    }
}
