//! The faces of the API: which version, which representation, and what each spells its own way.
//!
//! One resource is described once ([`crate::document`]); a face says which of its fields are
//! shown and how a date and an error are written. `path` makes faces, `xml`, `json`, `csv` and `html` render.

use http::HeaderValue;
use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

/// The months as RFC 2822 §3.3 has them, from January.
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The version in the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// `2008-08-01`, the seed's.
    V2008,
    /// `2010-04-01`, today's SDKs'.
    V2010,
}

impl Version {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::V2008, Self::V2010]
            .into_iter()
            .find(|version| version.as_str() == text)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::V2008 => "2008-08-01",
            Self::V2010 => "2010-04-01",
        }
    }
}

/// How an answer that is not audio is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Xml,
    Json,
    Csv,
    Html,
}

impl Format {
    pub(crate) const fn content_type(self) -> HeaderValue {
        match self {
            Self::Xml => HeaderValue::from_static("application/xml"),
            Self::Json => HeaderValue::from_static("application/json"),
            Self::Csv => HeaderValue::from_static("text/csv; charset=utf-8"),
            Self::Html => HeaderValue::from_static("text/html; charset=utf-8"),
        }
    }
}

/// A version and a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Face {
    pub(crate) version: Version,
    pub(crate) format: Format,
}

/// What a field belongs to, which decides where it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In every face: the seed's fields.
    Seed,
    /// Twilio's, 2008-08-01 alone.
    Old,
    /// Twilio's, 2010-04-01 alone.
    New,
    /// reeld's addition, where an addition hurts nobody: everywhere but in 2008 XML, whose fields
    /// the seed fixes, and in its CSV and HTML, which have the same.
    Own,
    /// reeld's addition that would swell XML without need.
    OwnJson,
    /// reeld's addition that the face is useless without: where to send RTP, a live status.
    Control,
}

impl Face {
    pub(crate) fn shows(self, kind: Kind) -> bool {
        match kind {
            Kind::Seed | Kind::Control => true,
            Kind::Old => self.version == Version::V2008,
            Kind::New => self.version == Version::V2010,
            Kind::OwnJson => self.format == Format::Json,
            Kind::Own => self.version == Version::V2010 || self.format == Format::Json,
        }
    }

    /// The zone of this face's dates and days: 2010 is always UTC (twilio.md §0.4).
    pub(crate) fn zone(self, configured: &TimeZone) -> TimeZone {
        match self.version {
            Version::V2008 => configured.clone(),
            Version::V2010 => TimeZone::UTC,
        }
    }
}

/// An instant as RFC 2822 §3.3 has it, with a two-digit day and a numeric offset, as the seed API
/// writes it; empty for one that no calendar has. Written out by hand: a list has three dates for
/// each recording, and a format that is read anew each time costs ten times as much.
pub(crate) fn rfc_2822(ms: i64, zone: &TimeZone) -> String {
    let Ok(instant) = Timestamp::from_millisecond(ms) else {
        return String::new();
    };
    let offset = zone.to_offset(instant);
    let time = offset.to_datetime(instant);
    let weekday = match time.weekday() {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    };
    let month = usize::try_from(time.month() - 1).map_or("", |month| MONTHS[month]);
    let sign = if offset.is_negative() { '-' } else { '+' };
    let minutes = offset.seconds().unsigned_abs() / 60;
    format!(
        "{weekday}, {:02} {month} {:04} {:02}:{:02}:{:02} {sign}{:02}{:02}",
        time.day(),
        time.year(),
        time.hour(),
        time.minute(),
        time.second(),
        minutes / 60,
        minutes % 60,
    )
}

/// An instant as HTTP has it (RFC 9110 §5.6.7).
pub(crate) fn http_date(ms: i64) -> String {
    let date = rfc_2822(ms, &TimeZone::UTC);
    date.replace("+0000", "GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_seeds() {
        let zone = TimeZone::fixed(jiff::tz::offset(-4));
        let ms = 1_207_026_435_000;
        assert_eq!(rfc_2822(ms, &zone), "Tue, 01 Apr 2008 01:07:15 -0400");
        assert_eq!(
            rfc_2822(ms, &TimeZone::UTC),
            "Tue, 01 Apr 2008 05:07:15 +0000"
        );
        assert_eq!(http_date(ms), "Tue, 01 Apr 2008 05:07:15 GMT");
    }

    #[test]
    fn dates_are_what_their_format_gives() {
        const RFC_2822: &str = "%a, %d %b %Y %H:%M:%S %z";
        // Each weekday and month, hours to both sides of midnight, offsets with minutes.
        for seconds in [-39_600, -12_600, 0, 3_600, 20_700] {
            let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).unwrap());
            for ms in (-4_000_000_000_000_i64..4_000_000_000_000).step_by(9_973_123_457) {
                let instant = Timestamp::from_millisecond(ms).unwrap();
                let dated = instant.to_zoned_datetime(zone.clone());
                let wanted = jiff::fmt::strtime::format(RFC_2822, &dated).unwrap();
                assert_eq!(rfc_2822(ms, &zone), wanted);
            }
        }
        assert_eq!(rfc_2822(i64::MAX, &TimeZone::UTC), "");
    }
}
