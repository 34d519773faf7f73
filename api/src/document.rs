//! What an answer says, before it is XML or JSON.
//!
//! `recording`, `call`, `account`, `fault` and lists make documents; `xml`, `json`, `csv` and `html`
//! write them.
//! A field has one name, Twilio's of 2008 (`DateCreated`); the JSON of 2010 spells it in snake
//! case ([`snake`]). No I/O, no request.

use jiff::tz::TimeZone;
use serde_json::Value as Json;

use crate::face::{Kind, rfc_2822};

/// A resource: its element's name and its fields in order.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) name: &'static str,
    pub(crate) fields: Vec<Field>,
}

/// One field of a resource.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    pub(crate) value: Value,
}

/// A field's value.
#[derive(Debug)]
pub(crate) enum Value {
    /// Not known: `null`, an empty element.
    Null,
    Text(String),
    /// A number in JSON, where 2008 has strings throughout.
    Number(u64),
    Flag(bool),
    /// An instant, milliseconds since the Unix epoch; the face decides its zone.
    Date(i64),
    /// The path of another resource: JSON puts `.json` after it (twilio.md §0.9).
    Uri(String),
    /// JSON that is there already, the user's own or a number with a fraction; its text in XML.
    Json(Json),
    /// Names in order: a list in JSON, with commas between in XML.
    Names(Vec<String>),
    /// Nested fields.
    Group(Vec<Field>),
    /// Rows of attributes: `<Media><Stream track="inbound" …/></Media>`.
    Rows {
        item: &'static str,
        rows: Vec<Vec<Field>>,
    },
}

impl Value {
    /// Text, or null without it.
    pub(crate) fn text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.into()))
    }

    /// A date, or null without it.
    pub(crate) fn date(ms: Option<i64>) -> Self {
        ms.map_or(Self::Null, Self::Date)
    }

    /// Its text where text is all there is: outside JSON. What is nested has none of its own.
    pub(crate) fn scalar(&self, zone: &TimeZone) -> String {
        match self {
            Self::Null | Self::Group(_) | Self::Rows { .. } => String::new(),
            Self::Text(text) | Self::Uri(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Date(ms) => rfc_2822(*ms, zone),
            Self::Json(json) => json.to_string(),
            Self::Names(names) => names.join(", "),
        }
    }
}

impl Field {
    /// One of every face.
    pub(crate) const fn seed(name: &'static str, value: Value) -> Self {
        Self::of(Kind::Seed, name, value)
    }

    /// Twilio's of 2008 alone.
    pub(crate) const fn old(name: &'static str, value: Value) -> Self {
        Self::of(Kind::Old, name, value)
    }

    /// Twilio's of 2010 alone.
    pub(crate) const fn new(name: &'static str, value: Value) -> Self {
        Self::of(Kind::New, name, value)
    }

    /// reeld's, outside 2008 XML.
    pub(crate) const fn own(name: &'static str, value: Value) -> Self {
        Self::of(Kind::Own, name, value)
    }

    /// reeld's, in JSON alone.
    pub(crate) const fn own_json(name: &'static str, value: Value) -> Self {
        Self::of(Kind::OwnJson, name, value)
    }

    /// reeld's, in every face.
    pub(crate) const fn control(name: &'static str, value: Value) -> Self {
        Self::of(Kind::Control, name, value)
    }

    const fn of(kind: Kind, name: &'static str, value: Value) -> Self {
        Self { kind, name, value }
    }
}

/// A list with its place in the whole.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The element that wraps it, and its key in JSON.
    pub(crate) name: &'static str,
    pub(crate) items: Vec<Document>,
    pub(crate) paging: Paging,
}

/// Where a list's page is, and the links to the others.
#[derive(Debug, Default)]
pub(crate) struct Paging {
    pub(crate) page: u64,
    pub(crate) pages: u64,
    pub(crate) page_size: u32,
    pub(crate) total: u64,
    /// Index of the page's first item in the whole.
    pub(crate) start: u64,
    /// Index of its last; equal to `start` where there is none.
    pub(crate) end: u64,
    pub(crate) uri: String,
    pub(crate) first: Option<String>,
    pub(crate) next: Option<String>,
    pub(crate) previous: Option<String>,
    pub(crate) last: Option<String>,
}

impl Paging {
    /// The page's numbers and links as XML has them; a link that leads nowhere is empty.
    pub(crate) fn attributes(&self) -> [(&'static str, String); 11] {
        let link = |link: &Option<String>| link.clone().unwrap_or_default();
        [
            ("page", self.page.to_string()),
            ("numpages", self.pages.to_string()),
            ("pagesize", self.page_size.to_string()),
            ("total", self.total.to_string()),
            ("start", self.start.to_string()),
            ("end", self.end.to_string()),
            ("uri", self.uri.clone()),
            ("firstpageuri", link(&self.first)),
            ("previouspageuri", link(&self.previous)),
            ("nextpageuri", link(&self.next)),
            ("lastpageuri", link(&self.last)),
        ]
    }
}

/// Bytes that a name in snake case may have: ours and Twilio's have fewer.
const SNAKE_BYTES: usize = 48;

/// A name in snake case, without an allocation: a page of recordings has thousands.
pub(crate) struct Snake {
    bytes: [u8; SNAKE_BYTES],
    len: usize,
}

/// `DateCreated` as `date_created`.
///
/// # Panics
/// Where a name is longer than any of ours.
pub(crate) fn snake(name: &str) -> Snake {
    let mut snake = Snake {
        bytes: [0; SNAKE_BYTES],
        len: 0,
    };
    for (i, letter) in name.bytes().enumerate() {
        if letter.is_ascii_uppercase() && i > 0 {
            snake.push(b'_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

impl Snake {
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).expect("only ASCII letters of a str were changed")
    }
}
