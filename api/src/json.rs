//! Documents as JSON: today's flat snake case, and the 2008 shape
//! `{"TwilioResponse":{"Recording":{…}}}` whose own values are all strings (twilio.md §1).
//!
//! Called by `answer`, and by `openapi` for examples. reeld's additions have the names and types of
//! contract.md in both. A document is serialised as it lies there: a tree of JSON values between it
//! and the bytes would be most of what a list of recordings costs, of which one has 70 values.

use jiff::tz::TimeZone;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value as Json, json};

use crate::document::{Document, Field, Listing, Paging, Value, snake};
use crate::face::{Face, Kind, Version, rfc_2822};
use crate::fault::Fault;

/// A part of an answer as a face shows it.
pub(crate) struct Shown<'a, T: ?Sized> {
    what: &'a T,
    face: Face,
    zone: &'a TimeZone,
}

/// One resource.
pub(crate) const fn document<'a>(
    document: &'a Document,
    face: Face,
    zone: &'a TimeZone,
) -> Shown<'a, Document> {
    Shown {
        what: document,
        face,
        zone,
    }
}

/// A list. In 2010 exactly one key is not about paging, or SDKs refuse the page (twilio.md §0.2).
pub(crate) const fn listing<'a>(
    listing: &'a Listing,
    face: Face,
    zone: &'a TimeZone,
) -> Shown<'a, Listing> {
    Shown {
        what: listing,
        face,
        zone,
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

impl<'a, T: ?Sized> Shown<'a, T> {
    /// Another part, in the same face.
    const fn of<U: ?Sized>(&self, what: &'a U) -> Shown<'a, U> {
        Shown {
            what,
            face: self.face,
            zone: self.zone,
        }
    }
}

/// An object with one key.
struct Under<'a, T>(&'a str, T);

impl<T: Serialize> Serialize for Under<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.0, &self.1)])
    }
}

impl Serialize for Shown<'_, Document> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.of(self.what.fields.as_slice());
        match self.face.version {
            Version::V2008 => {
                Under("TwilioResponse", Under(self.what.name, fields)).serialize(serializer)
            }
            Version::V2010 => fields.serialize(serializer),
        }
    }
}

impl Serialize for Shown<'_, Listing> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.face.version {
            Version::V2008 => Under("TwilioResponse", OldListing(self)).serialize(serializer),
            Version::V2010 => {
                let Listing { name, paging, .. } = self.what;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("first_page_uri", &paging.first)?;
                map.serialize_entry("end", &paging.end)?;
                map.serialize_entry("previous_page_uri", &paging.previous)?;
                map.serialize_entry(snake(name).as_str(), &Items(self))?;
                map.serialize_entry("uri", &paging.uri)?;
                map.serialize_entry("page_size", &paging.page_size)?;
                map.serialize_entry("start", &paging.start)?;
                map.serialize_entry("next_page_uri", &paging.next)?;
                map.serialize_entry("last_page_uri", &paging.last)?;
                map.serialize_entry("page", &paging.page)?;
                map.serialize_entry("num_pages", &paging.pages)?;
                map.serialize_entry("total", &paging.total)?;
                map.end()
            }
        }
    }
}

/// A list's items; in 2008 each is under its name.
struct Items<'a>(&'a Shown<'a, Listing>);

impl<'a> Serialize for Items<'a> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let items = self.0.what.items.iter();
        let fields = |item: &'a Document| self.0.of(item.fields.as_slice());
        match self.0.face.version {
            Version::V2008 => {
                serializer.collect_seq(items.map(|item| Under(item.name, fields(item))))
            }
            Version::V2010 => serializer.collect_seq(items.map(fields)),
        }
    }
}

/// A list in 2008.
struct OldListing<'a>(&'a Shown<'a, Listing>);

impl Serialize for OldListing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Listing { name, paging, .. } = self.0.what;
        let Paging {
            page,
            pages,
            page_size,
            total,
            start,
            end,
            uri,
            first,
            next,
            previous,
            last,
        } = paging;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(name, &Items(self.0))?;
        for (name, number) in [
            ("page", *page),
            ("numpages", *pages),
            ("pagesize", u64::from(*page_size)),
            ("total", *total),
            ("start", *start),
            ("end", *end),
        ] {
            map.serialize_entry(name, &number.to_string())?;
        }
        map.serialize_entry("uri", uri)?;
        for (name, link) in [
            ("firstpageuri", first),
            ("nextpageuri", next),
            ("previouspageuri", previous),
            ("lastpageuri", last),
        ] {
            map.serialize_entry(name, link.as_deref().unwrap_or_default())?;
        }
        map.end()
    }
}

impl Serialize for Shown<'_, [Field]> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let old = self.face.version == Version::V2008;
        let mut map = serializer.serialize_map(None)?;
        for field in self.what.iter().filter(|field| self.face.shows(field.kind)) {
            let value = self.of(&field.value);
            match field.kind {
                Kind::Seed | Kind::Old | Kind::New if old => {
                    map.serialize_entry(field.name, &OldValue(value))?;
                }
                Kind::Seed | Kind::Old | Kind::New | Kind::Own | Kind::OwnJson | Kind::Control => {
                    map.serialize_entry(snake(field.name).as_str(), &value)?;
                }
            }
        }
        map.end()
    }
}

impl Serialize for Shown<'_, Value> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.what {
            Value::Null => serializer.serialize_unit(),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Uri(path) => serializer.collect_str(&format_args!("{path}.json")),
            Value::Number(number) => serializer.serialize_u64(*number),
            Value::Flag(flag) => serializer.serialize_bool(*flag),
            Value::Date(ms) => serializer.serialize_str(&rfc_2822(*ms, self.zone)),
            Value::Json(json) => json.serialize(serializer),
            Value::Names(names) => names.serialize(serializer),
            Value::Group(fields) => self.of(fields.as_slice()).serialize(serializer),
            Value::Rows { rows, .. } => {
                serializer.collect_seq(rows.iter().map(|row| self.of(row.as_slice())))
            }
        }
    }
}

/// A value in 2008, which has strings where today has numbers.
struct OldValue<'a>(Shown<'a, Value>);

impl Serialize for OldValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.what {
            Value::Number(number) => serializer.collect_str(number),
            Value::Flag(flag) => serializer.collect_str(flag),
            Value::Json(Json::Number(number)) => serializer.collect_str(number),
            Value::Json(Json::Bool(flag)) => serializer.collect_str(flag),
            Value::Null
            | Value::Text(_)
            | Value::Uri(_)
            | Value::Date(_)
            | Value::Json(Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_))
            | Value::Names(_)
            | Value::Group(_)
            | Value::Rows { .. } => self.0.serialize(serializer),
        }
    }
}
