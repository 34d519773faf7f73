//! Validators of a representation, and what a request's conditions make of them (RFC 9110 §13).

use http::{HeaderMap, HeaderValue, header};
use jiff::fmt::rfc2822::DateTimeParser;
use reeld_store::Record;

use super::{only, text_header};
use crate::face::http_date;

/// What tells whether a client's copy is this representation.
#[derive(Debug)]
pub(crate) struct Validators {
    /// Strong: the BLAKE3 of the audio with what was made of it, or of the document.
    etag: Option<String>,
    /// None of documents, which also change with what is asked of them.
    modified_ms: Option<i64>,
}

impl Validators {
    /// Of what was made of a recording's audio: `what`, in so many channels.
    pub(super) fn of(record: &Record, what: &str, channels: u16) -> Self {
        Self {
            etag: record.blake3.map(|hash| {
                let hash = hex::encode(&hash[..16]);
                format!("\"{hash}-{what}-{channels}\"")
            }),
            modified_ms: Some(record.updated_ms),
        }
    }

    /// Of a document's bytes.
    pub(crate) fn of_document(bytes: &[u8]) -> Self {
        let hash = hex::encode(&blake3::hash(bytes).as_bytes()[..16]);
        Self {
            etag: Some(format!("\"{hash}\"")),
            modified_ms: None,
        }
    }

    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        if let Some(etag) = &self.etag {
            headers.insert(header::ETAG, text_header(etag.clone()));
        }
        if let Some(ms) = self.modified_ms {
            headers.insert(header::LAST_MODIFIED, text_header(http_date(ms)));
        }
    }

    /// Whether the client has this already: 304 (§13.2.2; `If-None-Match` goes first).
    pub(crate) fn is_unchanged(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(header::IF_NONE_MATCH) {
            let texts = headers
                .get_all(header::IF_NONE_MATCH)
                .iter()
                .filter_map(|value| value.to_str().ok());
            return texts.flat_map(|text| text.split(',')).any(|tag| {
                let tag = tag.trim();
                // §13.1.2: compared weakly.
                tag == "*" || self.etag.as_deref() == Some(tag.strip_prefix("W/").unwrap_or(tag))
            });
        }
        only(headers, &header::IF_MODIFIED_SINCE)
            .and_then(parse_date)
            .zip(self.modified_s())
            .is_some_and(|(since_s, modified_s)| modified_s <= since_s)
    }

    /// Whether a range may be answered with a part: no `If-Range`, or one that names exactly this
    /// (§13.1.5).
    pub(super) fn allow_range(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(header::IF_RANGE).map(HeaderValue::to_str) else {
            return true;
        };
        let Ok(value) = value else {
            return false;
        };
        self.etag.as_deref() == Some(value)
            || parse_date(value).is_some_and(|date_s| self.modified_s() == Some(date_s))
    }

    fn modified_s(&self) -> Option<i64> {
        self.modified_ms.map(|ms| ms.div_euclid(1_000))
    }
}

/// An HTTP date in seconds since the Unix epoch. Its two forms that no client writes any more
/// (§5.6.7) are not read: a condition that cannot be read is none.
fn parse_date(text: &str) -> Option<i64> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    let date = text.strip_suffix("GMT")?;
    let instant = PARSER.parse_timestamp(format!("{date}+0000")).ok()?;
    Some(instant.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validators() -> Validators {
        Validators {
            etag: Some("\"ab-wav-1\"".into()),
            modified_ms: Some(1_207_026_435_999),
        }
    }

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn a_copy_is_known_by_tag_before_date() {
        for (value, unchanged) in [
            ("\"ab-wav-1\"", true),
            ("W/\"ab-wav-1\"", true),
            ("\"x\", \"ab-wav-1\"", true),
            ("*", true),
            ("\"ab-mp3-1\"", false),
        ] {
            let mut headers = headers(header::IF_NONE_MATCH, value);
            let since = "Tue, 01 Apr 2008 05:07:15 GMT".parse().unwrap();
            headers.insert(header::IF_MODIFIED_SINCE, since);
            assert_eq!(validators().is_unchanged(&headers), unchanged, "{value}");
        }
        for (value, unchanged) in [
            ("Tue, 01 Apr 2008 05:07:15 GMT", true),
            ("Tue, 01 Apr 2008 05:07:14 GMT", false),
            ("yesterday", false),
        ] {
            let headers = headers(header::IF_MODIFIED_SINCE, value);
            assert_eq!(validators().is_unchanged(&headers), unchanged, "{value}");
        }
    }

    #[test]
    fn a_range_needs_the_very_same() {
        for (value, allowed) in [
            ("\"ab-wav-1\"", true),
            ("W/\"ab-wav-1\"", false),
            ("\"other\"", false),
            ("Tue, 01 Apr 2008 05:07:15 GMT", true),
            ("Tue, 01 Apr 2008 05:07:16 GMT", false),
        ] {
            let headers = headers(header::IF_RANGE, value);
            assert_eq!(validators().allow_range(&headers), allowed, "{value}");
        }
    }
}
