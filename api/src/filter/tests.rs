//! Filters as clients write them, and as they get them wrong.

use jiff::tz::{TimeZone, offset};
use proptest::prelude::*;

use super::*;
use crate::face::Format;

fn read(text: &str, version: Version, zone: &TimeZone) -> Result<ListQuery, Fault> {
    let account = "AC309475e5fede1b49e100272a8640f438".parse().unwrap();
    let face = Face {
        version,
        format: Format::Xml,
    };
    ListQuery::read(Params::parse(text)?, account, None, face, &face.zone(zone))
}

fn ms(text: &str) -> Option<i64> {
    Some(text.parse::<Timestamp>().unwrap().as_millisecond())
}

fn bounds(text: &str, version: Version) -> (Option<i64>, Option<i64>) {
    let zone = TimeZone::fixed(offset(-4));
    let query = read(text, version, &zone).unwrap().query;
    (query.from_ms, query.until_ms)
}

#[test]
fn days_are_the_zones_in_2008_and_utc_in_2010() {
    let (start, end) = (ms("2009-07-06T04:00:00Z"), ms("2009-07-07T04:00:00Z"));
    assert_eq!(
        bounds("DateCreated=2009-07-06", Version::V2008),
        (start, end)
    );
    assert_eq!(
        bounds("DateCreated%3E=2009-07-06", Version::V2008),
        (start, None)
    );
    assert_eq!(
        bounds("DateCreated<=2009-07-06", Version::V2008),
        (None, start)
    );
    assert_eq!(
        bounds(
            "DateCreated>=2009-07-04&DateCreated<=2009-07-06",
            Version::V2008
        ),
        (ms("2009-07-04T04:00:00Z"), start)
    );
    assert_eq!(
        bounds("DateCreated=2009-07-06", Version::V2010),
        (ms("2009-07-06T00:00:00Z"), ms("2009-07-07T00:00:00Z"))
    );
}

#[test]
fn instants_bound_at_themselves_and_equal_their_day() {
    assert_eq!(
        bounds(
            "DateCreated%3E=2016-10-12T01%3A02%3A03Z&DateCreated%3C=2016-10-15T00%3A00%3A00%2B02:00",
            Version::V2010
        ),
        (ms("2016-10-12T01:02:03Z"), ms("2016-10-14T22:00:00Z"))
    );
    assert_eq!(
        bounds("DateCreated=2016-10-15T00:00:00Z", Version::V2010),
        (ms("2016-10-15T00:00:00Z"), ms("2016-10-16T00:00:00Z"))
    );
}

#[test]
fn bad_values_are_refused_with_their_code() {
    for (text, code) in [
        ("DateCreated=2009-02-30", 20422),
        ("DateCreated=", 20422),
        ("DateCreated=yesterday", 20422),
        ("DateCreated=20090706", 20422),
        ("DateCreated=2009-7-6", 20422),
        ("DateCreated=9999-12-31", 20422),
        ("DateCreated>=2009-07-06&DateCreated<=2009-07-05", 20422),
        ("DateCreated=2009-07-06&DateCreated<=2009-07-05", 20422),
        ("DateCreated>=2009-07-06&DateCreated>=2009-07-07", 20422),
        ("DateCreated>2009-07-06", 20001),
        ("DateCreatedAfter=2009-07-06", 20001),
        ("callsid=x", 20001),
        ("CallSid=x", 20422),
        ("num=0", 20422),
        ("num=ten", 20422),
        ("num=-1", 20422),
        ("num=", 20422),
        ("num=99999999999999999999", 20007),
        ("num=1001", 20007),
        ("PageSize=1001", 20007),
        ("page=x", 20422),
        ("Page=-1", 20422),
    ] {
        let fault = read(text, Version::V2008, &TimeZone::UTC).unwrap_err();
        assert_eq!(
            (fault.status.as_u16(), fault.code),
            (400, Some(code)),
            "{text}"
        );
    }
}

#[test]
fn pages_and_filters_that_match_nothing() {
    let query = read(
        "num=10&page=3&PageToken=x&CallSid=CAcd420fcb3c4b86e360ea0cc27ebc8698",
        Version::V2008,
        &TimeZone::UTC,
    )
    .unwrap();
    assert_eq!((query.page, query.query.page_size), (3, 10));
    assert_eq!(query.query.at, PageAt::Number(3));
    assert_eq!(query.filters.len(), 1);
    assert!(!query.matches_nothing);
    assert_eq!(query.query.which, Which::Completed);
    let query = read("ConferenceSid=CF1&Page=1", Version::V2010, &TimeZone::UTC).unwrap();
    assert!(query.matches_nothing);
    assert_eq!(query.query.which, Which::Undeleted);
    assert_eq!((query.page, query.query.page_size), (1, 50));
    let named = |text| read(text, Version::V2010, &TimeZone::UTC).map(|read| read.query.named);
    assert_eq!(
        named("Participant=sip:ann@a.example").unwrap(),
        Some(Named::Participant("sip:ann@a.example".to_owned()))
    );
    assert_eq!(
        named("SessionId=eA%3D%3D").unwrap(),
        Some(Named::Session("eA==".to_owned()))
    );
    let long = format!("Participant={}", "x".repeat(513));
    for wrong in [
        "Participant=",
        &long,
        "Participant=a&SessionId=b",
        "Participant=a&CallSid=CAcd420fcb3c4b86e360ea0cc27ebc8698",
    ] {
        assert_eq!(named(wrong).unwrap_err().status.as_u16(), 400, "{wrong}");
    }
    let fault = read("PageToken=x", Version::V2010, &TimeZone::UTC).unwrap_err();
    assert_eq!((fault.status.as_u16(), fault.code), (400, Some(20422)));
}

#[test]
fn deleted_ones_are_listed_where_2010_asks_for_them() {
    for (text, which) in [
        ("IncludeSoftDeleted=true", Which::WithDeleted),
        // As requests writes Python's True.
        ("IncludeSoftDeleted=True", Which::WithDeleted),
        ("IncludeSoftDeleted=false", Which::Undeleted),
        ("", Which::Undeleted),
    ] {
        let query = read(text, Version::V2010, &TimeZone::UTC).unwrap();
        assert_eq!(query.query.which, which, "{text}");
        assert_eq!(query.filters.is_empty(), text.is_empty());
        let query = read(text, Version::V2008, &TimeZone::UTC).unwrap();
        assert_eq!(query.query.which, Which::Completed);
    }
    for text in ["IncludeSoftDeleted=1", "IncludeSoftDeleted="] {
        let fault = read(text, Version::V2010, &TimeZone::UTC).unwrap_err();
        assert_eq!(fault.code, Some(20422), "{text}");
    }
}

proptest! {
    #[test]
    fn no_value_panics(value: String, name in "(DateCreated[<>]?|num|page|CallSid)") {
        let text: String = form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish();
        let _ = read(&text, Version::V2008, &TimeZone::fixed(offset(14)));
    }
}
