//! `Range` with one span of bytes (RFC 9110 §14).

use http::{HeaderMap, header};

use super::only;
use crate::params::whole;

/// Bytes from `start` (inclusive) to `end` (exclusive); never empty but for an empty whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// What of a representation is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    Part(Span),
    /// 416.
    Unsatisfiable,
}

/// What the request wants of `length` bytes. What is not one byte range that can be read is
/// ignored, as RFC 9110 §14.2 lets a server do: several ranges, other units, bad syntax.
pub(super) fn parse(headers: &HeaderMap, length: u64) -> Wanted {
    only(headers, &header::RANGE)
        .and_then(|value| parse_value(value, length))
        .unwrap_or(Wanted::Whole)
}

fn parse_value(value: &str, length: u64) -> Option<Wanted> {
    let (unit, range) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    if first.is_empty() {
        let suffix = whole(last)?;
        if suffix == 0 || length == 0 {
            return Some(Wanted::Unsatisfiable);
        }
        return Some(Wanted::Part(Span {
            start: length.saturating_sub(suffix),
            end: length,
        }));
    }
    let start = whole(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        whole(last)?
    };
    if last < start {
        return None;
    }
    if start >= length {
        return Some(Wanted::Unsatisfiable);
    }
    Some(Wanted::Part(Span {
        start,
        end: length.min(last.saturating_add(1)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted(value: &str) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, value.parse().unwrap());
        parse(&headers, 100)
    }

    #[test]
    fn one_range_in_each_of_its_forms() {
        for (value, start, end) in [
            ("bytes=0-0", 0, 1),
            ("bytes=10-19", 10, 20),
            ("bytes=90-", 90, 100),
            ("bytes=90-1000", 90, 100),
            ("bytes=-1", 99, 100),
            ("bytes=-1000", 0, 100),
            ("Bytes=0-99999999999999999999999", 0, 100),
        ] {
            assert_eq!(wanted(value), Wanted::Part(Span { start, end }), "{value}");
        }
        for value in [
            "bytes=100-",
            "bytes=100-200",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(wanted(value), Wanted::Unsatisfiable, "{value}");
        }
        for value in [
            "bytes=0-1,5-6",
            "items=0-1",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=-",
            "bytes",
            "bytes=+1-2",
        ] {
            assert_eq!(wanted(value), Wanted::Whole, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_whole(value in "[\\x20-\\x7e]{0,30}", length in 0..200_u64, tail in "[0-9,-]{0,12}") {
            for value in [value, format!("bytes={tail}")] {
                let mut headers = HeaderMap::new();
                headers.insert(header::RANGE, value.parse().unwrap());
                if let Wanted::Part(span) = parse(&headers, length) {
                    prop_assert!(span.start < span.end && span.end <= length);
                }
            }
        }
    }
}
