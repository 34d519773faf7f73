//! A list's query: filters and page, from parameters to the store's [`Query`].
//!
//! Called by `recordings`. Semantics are contract.md's, "Recordings": `DateCreated=D` is that day,
//! `DateCreated>=D` begins at its start, `DateCreated<=D` ends there too; days are the face's. An
//! instant (RFC 3339, as SDKs send it) bounds at itself, and `=` means its day, since that is
//! what SDKs make of a bare date (twilio.md §2.2).

use http::StatusCode;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use reeld_model::{AccountSid, CallSid};
use reeld_store::{Named, PageAt, Query, Which};

use crate::face::{Face, Version};
use crate::fault::{Fault, code};
use crate::paging;
use crate::params::{Known, Params, Use, whole};

#[cfg(test)]
mod tests;

const DEFAULT_PAGE_SIZE: u32 = 50;
pub(crate) const MAX_PAGE_SIZE: u64 = 1_000;
/// Bytes of a participant's address or name, or of a session's id, in a filter.
const MAX_NAME: usize = 512;

/// What a list of an account's recordings knows.
pub(crate) const KNOWN: &[Known] = &[
    ("DateCreated", Use::Read),
    ("DateCreated>", Use::Read),
    ("DateCreated<", Use::Read),
    ("CallSid", Use::Read),
    ("ConferenceSid", Use::Read),
    ("Participant", Use::Read),
    ("SessionId", Use::Read),
    ("IncludeSoftDeleted", Use::Read),
    ("num", Use::Read),
    ("PageSize", Use::Read),
    ("page", Use::Read),
    ("Page", Use::Read),
    ("PageToken", Use::Read),
];

/// Names that say which page, and so are not carried over into links.
const PAGE_NAMES: [&str; 5] = ["num", "PageSize", "page", "Page", "PageToken"];

/// A list as it was asked for.
#[derive(Debug)]
pub(crate) struct ListQuery {
    pub(crate) query: Query,
    /// The page's number as the client counts.
    pub(crate) page: u64,
    /// A filter that nothing here can match was given.
    pub(crate) matches_nothing: bool,
    /// The filters as they came, for links to other pages.
    pub(crate) filters: Vec<(String, String)>,
}

impl ListQuery {
    /// Reads the parameters of a list of `account`, or of its call `call`.
    pub(crate) fn read(
        mut params: Params,
        account: AccountSid,
        call: Option<CallSid>,
        face: Face,
        zone: &TimeZone,
    ) -> Result<Self, Fault> {
        params.check(KNOWN)?;
        let filters = params
            .pairs()
            .iter()
            .filter(|(name, _)| !PAGE_NAMES.contains(&name.as_str()))
            .cloned()
            .collect();

        let filtered_call: Option<CallSid> = params.parsed("CallSid")?;
        let conference = params.take("ConferenceSid")?;
        let named = named(&mut params)?;
        if named.is_some() && (call.is_some() || filtered_call.is_some()) {
            return Err(Fault::invalid(
                "CallSid",
                "it cannot be combined with Participant or SessionId",
            ));
        }
        let which = match (face.version, include_deleted(&mut params)?) {
            (Version::V2008, _) => Which::Completed,
            (Version::V2010, true) => Which::WithDeleted,
            (Version::V2010, false) => Which::Undeleted,
        };
        let bounds = Bounds::read(&mut params, zone)?;
        let page_size = page_size(&mut params)?;
        let page = page(&mut params)?;
        // 2008 has no tokens; its page is its number.
        let token = match face.version {
            Version::V2008 => None,
            Version::V2010 => params.read("PageToken", code::INVALID, paging::place_of)?,
        };

        let other_call = matches!((call, filtered_call), (Some(a), Some(b)) if a != b);
        Ok(Self {
            query: Query {
                account,
                call: call.or(filtered_call),
                named,
                from_ms: bounds.from_ms,
                until_ms: bounds.until_ms,
                which,
                at: token.unwrap_or(PageAt::Number(page)),
                page_size,
            },
            page,
            matches_nothing: conference.is_some() || other_call,
            filters,
        })
    }
}

/// Created from here (inclusive) until there (exclusive).
#[derive(Debug, Default)]
struct Bounds {
    from_ms: Option<i64>,
    until_ms: Option<i64>,
}

impl Bounds {
    fn read(params: &mut Params, zone: &TimeZone) -> Result<Self, Fault> {
        let mut bounds = Self::default();
        if let Some(on) =
            params.read("DateCreated", code::INVALID, |text| When::parse(text, zone))?
        {
            bounds.narrow(Some(on.day_start_ms), Some(on.day_end_ms));
        }
        if let Some(from) = params.read("DateCreated>", code::INVALID, |text| {
            When::parse(text, zone)
        })? {
            bounds.narrow(Some(from.instant_ms), None);
        }
        if let Some(until) = params.read("DateCreated<", code::INVALID, |text| {
            When::parse(text, zone)
        })? {
            bounds.narrow(None, Some(until.instant_ms));
        }
        match (bounds.from_ms, bounds.until_ms) {
            (Some(from), Some(until)) if from > until => Err(Fault::invalid(
                "DateCreated",
                "the bounds contradict each other: the range ends before it begins",
            )),
            _ => Ok(bounds),
        }
    }

    fn narrow(&mut self, from_ms: Option<i64>, until_ms: Option<i64>) {
        self.from_ms = self.from_ms.max(from_ms);
        self.until_ms = match (self.until_ms, until_ms) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// A date or an instant in a filter, and the day that it is in.
#[derive(Debug)]
struct When {
    instant_ms: i64,
    day_start_ms: i64,
    day_end_ms: i64,
}

const WHEN: &str =
    "it must be a date that exists, as 2009-07-06, or an instant, as 2009-07-06T12:00:00Z";

impl When {
    fn parse(text: &str, zone: &TimeZone) -> Result<Self, &'static str> {
        let (date, instant_ms) = if text.len() == 10 {
            (parse_date(text).ok_or(WHEN)?, None)
        } else {
            let instant: Timestamp = text.parse().map_err(|_| WHEN)?;
            let date = instant.to_zoned_datetime(zone.clone()).date();
            (date, Some(instant.as_millisecond()))
        };
        let day_start_ms = start_of(date, zone)?;
        let day_end_ms = start_of(date.checked_add(1.day()).map_err(|_| WHEN)?, zone)?;
        Ok(Self {
            instant_ms: instant_ms.unwrap_or(day_start_ms),
            day_start_ms,
            day_end_ms,
        })
    }
}

/// `YYYY-MM-DD` and nothing else.
fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let mut part = |digits: usize| {
        let part = parts.next()?;
        (part.len() == digits).then(|| whole(part)).flatten()
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    Date::new(
        year.try_into().ok()?,
        month.try_into().ok()?,
        day.try_into().ok()?,
    )
    .ok()
}

/// The first instant of a day; where a zone skips midnight, the first that it has.
fn start_of(date: Date, zone: &TimeZone) -> Result<i64, &'static str> {
    date.to_zoned_datetime(zone.clone())
        .map(|start| start.timestamp().as_millisecond())
        .map_err(|_| WHEN)
}

/// `IncludeSoftDeleted`, in either case: SDKs write a language's own `True` too.
pub(crate) fn include_deleted(params: &mut Params) -> Result<bool, Fault> {
    let value = params.read("IncludeSoftDeleted", code::INVALID, |text| {
        text.to_ascii_lowercase()
            .parse::<bool>()
            .map_err(|_| "it must be true or false")
    })?;
    Ok(value.unwrap_or(false))
}

/// `Participant` or `SessionId`: what a recording's signalling is found by.
fn named(params: &mut Params) -> Result<Option<Named>, Fault> {
    let mut read = |name: &str| {
        params.read(name, code::INVALID, |text| match text.len() {
            1..=MAX_NAME => Ok(text.to_owned()),
            _ => Err(format!("it must be of 1 to {MAX_NAME} bytes")),
        })
    };
    match (read("Participant")?, read("SessionId")?) {
        (Some(_), Some(_)) => Err(Fault::invalid(
            "SessionId",
            "it cannot be combined with Participant",
        )),
        (Some(participant), None) => Ok(Some(Named::Participant(participant))),
        (None, session) => Ok(session.map(Named::Session)),
    }
}

/// `num` in 2008, `PageSize` today; either is taken.
fn page_size(params: &mut Params) -> Result<u32, Fault> {
    let mut size = None;
    for name in ["num", "PageSize"] {
        let given = params.number(name, code::INVALID, 1..=u64::MAX)?;
        if given.is_some_and(|given| given > MAX_PAGE_SIZE) {
            return Err(Fault::new(
                StatusCode::BAD_REQUEST,
                Some(code::PAGE_SIZE),
                format!("{name}: Page size must be at most {MAX_PAGE_SIZE}"),
            ));
        }
        size = size.or(given);
    }
    Ok(size
        .and_then(|size| u32::try_from(size).ok())
        .unwrap_or(DEFAULT_PAGE_SIZE))
}

/// `page` or the older `Page`.
fn page(params: &mut Params) -> Result<u64, Fault> {
    let lower = params.number("page", code::INVALID, 0..=u64::MAX)?;
    let upper = params.number("Page", code::INVALID, 0..=u64::MAX)?;
    Ok(lower.or(upper).unwrap_or(0))
}
