//! One value as it is written → one value as it is checked, with the reason where it is none.
//!
//! `check` calls these, one a key. A reason says what was expected and what was found; a value that
//! may hold a secret (a URL with a password) is not repeated.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use reeld_model::AccountSid;

use crate::error::Kind;
use crate::layer::Value;
use crate::network;
use crate::settings::KeyPlace;

/// Why a value is refused.
pub(crate) type Reason = (Kind, String);

/// The reason of a value that no version would take.
pub(crate) fn bad(reason: impl Into<String>) -> Reason {
    (Kind::Value, reason.into())
}

/// The reason of a value that a later version takes.
pub(crate) fn not_built(what: &str) -> Reason {
    (Kind::NotBuilt, format!("{what} is not built yet"))
}

pub(crate) fn text<'a>(value: &'a Value, expected: &str) -> Result<&'a str, Reason> {
    let Value::Text(text) = value else {
        return Err(bad(format!("expected {expected}, found {}", value.kind())));
    };
    Ok(text)
}

pub(crate) fn path(value: &Value) -> Result<PathBuf, Reason> {
    match text(value, "a path")? {
        "" => Err(bad("expected a path, found an empty string")),
        path => Ok(PathBuf::from(path)),
    }
}

/// A path, or nothing for `""`.
pub(crate) fn optional_path(value: &Value) -> Result<Option<PathBuf>, Reason> {
    let text = text(value, "a path")?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

/// Begins the name of a systemd credential where a path could stand.
const CREDENTIAL: &str = "credential:";

fn key(text: &str) -> Result<KeyPlace, Reason> {
    let Some(name) = text.strip_prefix(CREDENTIAL) else {
        let is_digits = |of: &dyn Fn(char) -> bool| text.chars().all(of);
        let is_hex = text.len() == 64 && is_digits(&|c| c.is_ascii_hexdigit());
        let is_base64 = text.len() == 44
            && text.ends_with('=')
            && is_digits(&|c| c.is_ascii_alphanumeric() || "+/=".contains(c));
        if is_hex || is_base64 {
            // It is not repeated, since logs have this.
            return Err(bad("expected a path, found what looks like a key itself"));
        }
        return Ok(KeyPlace::File(PathBuf::from(text)));
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_name) {
        return Err(bad(format!(
            "expected the name of a systemd credential behind {CREDENTIAL:?}, found {name:?}"
        )));
    }
    Ok(KeyPlace::Credential(name.to_owned()))
}

/// Where a key is; none where it is empty.
pub(crate) fn optional_key(value: &Value) -> Result<Option<KeyPlace>, Reason> {
    let text = text(value, "a path or credential:NAME")?;
    (!text.is_empty()).then(|| key(text)).transpose()
}

/// Where some keys are.
pub(crate) fn keys(value: &Value) -> Result<Vec<KeyPlace>, Reason> {
    let Value::List(entries) = value else {
        return Err(bad("expected an array of paths or credential:NAME"));
    };
    let place = |entry: &String| match entry.as_str() {
        "" => Err(bad("expected a path or credential:NAME, found nothing")),
        entry => key(entry),
    };
    entries.iter().map(place).collect()
}

pub(crate) fn boolean(value: &Value) -> Result<bool, Reason> {
    let Value::Bool(bool) = value else {
        return Err(bad(format!(
            "expected true or false, found {}",
            value.kind()
        )));
    };
    Ok(*bool)
}

/// A whole number within bounds.
pub(crate) fn integer(value: &Value, bounds: RangeInclusive<u32>) -> Result<u32, Reason> {
    let found = if let Value::Integer(number) = value {
        match u32::try_from(*number) {
            Ok(number) if bounds.contains(&number) => return Ok(number),
            _ => number.to_string(),
        }
    } else {
        value.kind().to_owned()
    };
    Err(bad(format!(
        "expected a number, {} to {}, found {found}",
        bounds.start(),
        bounds.end()
    )))
}

/// A whole number of things, within bounds.
pub(crate) fn count(value: &Value, bounds: RangeInclusive<u32>) -> Result<usize, Reason> {
    let number = integer(value, bounds)?;
    usize::try_from(number).map_err(|_| bad("expected a number that this machine can count to"))
}

/// A duration such as `200ms`, within bounds.
pub(crate) fn duration(
    value: &Value,
    bounds: RangeInclusive<Duration>,
) -> Result<Duration, Reason> {
    let text = text(value, r#"a duration such as "200ms" or "12h""#)?;
    let duration = humantime::parse_duration(text).map_err(|error| {
        bad(format!(
            r#"{text:?} is no duration such as "200ms" or "12h": {error}"#
        ))
    })?;
    if bounds.contains(&duration) {
        return Ok(duration);
    }
    let (least, most) = (bounds.start(), bounds.end());
    Err(bad(format!(
        "expected a duration from {} to {}, found {text:?}",
        humantime::format_duration(*least),
        humantime::format_duration(*most)
    )))
}

/// A percentage such as `1%` or `0.5%`, from 0 to 100, in parts per million.
pub(crate) fn percentage_ppm(value: &Value) -> Result<u32, Reason> {
    const EXPECTED: &str = r#"a percentage from "0%" to "100%""#;
    let text = text(value, EXPECTED)?;
    let number = text.strip_suffix('%').map(str::trim);
    let share = number.and_then(|number| number.parse::<f64>().ok());
    match share {
        Some(share) if (0.0..=100.0).contains(&share) => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is from 0 to a million"
            )]
            let ppm = (share * 10_000.0).round() as u32;
            Ok(ppm)
        }
        _ => Err(bad(format!("expected {EXPECTED}, found {text:?}"))),
    }
}

/// A duration within bounds, or an empty text for none.
pub(crate) fn optional_duration(
    value: &Value,
    bounds: RangeInclusive<Duration>,
) -> Result<Option<Duration>, Reason> {
    if text(value, r#"a duration such as "24h", or "" for none"#)?.is_empty() {
        return Ok(None);
    }
    duration(value, bounds).map(Some)
}

/// A size such as `1GiB`, or a number of bytes, within bounds.
pub(crate) fn size(value: &Value, bounds: RangeInclusive<u64>) -> Result<u64, Reason> {
    let expected = r#"a size such as "64MiB" or "1GiB""#;
    let (bytes, found) = if let Value::Integer(number) = value {
        (u64::try_from(*number).ok(), number.to_string())
    } else {
        let text = text(value, expected)?;
        (
            text.parse().ok().map(|size: ByteSize| size.as_u64()),
            format!("{text:?}"),
        )
    };
    let Some(bytes) = bytes else {
        return Err(bad(format!("expected {expected}, found {found}")));
    };
    if bounds.contains(&bytes) {
        return Ok(bytes);
    }
    let (least, most) = (ByteSize(*bounds.start()), ByteSize(*bounds.end()));
    Err(bad(format!(
        "expected a size from {least} to {most}, found {found}"
    )))
}

/// An address and a port, or none.
pub(crate) fn optional_socket(value: &Value) -> Result<Option<SocketAddr>, Reason> {
    match text(value, "an address and a port, or empty")? {
        "" => Ok(None),
        _ => socket(value).map(Some),
    }
}

/// A size within bounds, or an empty text for none.
pub(crate) fn optional_size(
    value: &Value,
    bounds: RangeInclusive<u64>,
) -> Result<Option<u64>, Reason> {
    if matches!(value, Value::Text(text) if text.is_empty()) {
        return Ok(None);
    }
    size(value, bounds).map(Some)
}

pub(crate) fn socket(value: &Value) -> Result<SocketAddr, Reason> {
    let text = text(value, r#"an address with a port such as "127.0.0.1:8080""#)?;
    text.parse().map_err(|_| {
        bad(format!(
            r#"{text:?} is no address with a port such as "127.0.0.1:8080" or "[::1]:8080""#
        ))
    })
}

pub(crate) fn address(value: &Value) -> Result<IpAddr, Reason> {
    let text = text(value, r#"an IP address such as "192.0.2.1""#)?;
    text.parse()
        .map_err(|_| bad(format!(r#"{text:?} is no IP address such as "192.0.2.1""#)))
}

pub(crate) fn optional_address(value: &Value) -> Result<Option<IpAddr>, Reason> {
    if matches!(value, Value::Text(text) if text.is_empty()) {
        return Ok(None);
    }
    address(value).map(Some)
}

/// Networks, words spelt out.
pub(crate) fn networks(value: &Value) -> Result<Vec<IpNet>, Reason> {
    let expected = r#""loopback", "private", "public" or networks such as "192.0.2.0/24""#;
    let Value::List(words) = value else {
        return Err(bad(format!(
            "expected a list of {expected}, found {}",
            value.kind()
        )));
    };
    let mut all = Vec::new();
    for word in words {
        all.extend(
            network::named(word).ok_or_else(|| bad(format!("{word:?} is none of {expected}")))?,
        );
    }
    Ok(all)
}

/// Ports, cut to whole pairs: an even one first, an odd one last.
pub(crate) fn ports(value: &Value) -> Result<RangeInclusive<u16>, Reason> {
    let text = text(value, r#"ports such as "20000-32767""#)?;
    let range = text.split_once('-').and_then(|(first, last)| {
        Some((
            first.trim().parse::<u16>().ok()?,
            last.trim().parse::<u16>().ok()?,
        ))
    });
    let Some((first, last)) = range else {
        return Err(bad(format!(
            r#"{text:?} is no range of ports such as "20000-32767""#
        )));
    };
    if first < 1024 {
        return Err(bad(format!(
            "ports below 1024 are the system's, found {text:?}"
        )));
    }
    if first > last {
        return Err(bad(format!("{first} lies after {last} in {text:?}")));
    }
    // An odd first port is at most 65535, and then the range holds no pair.
    let even = u32::from(first).next_multiple_of(2);
    match u16::try_from(even) {
        Ok(first) if first < last => Ok(first..=if last % 2 == 0 { last - 1 } else { last }),
        _ => Err(bad(format!(
            "{text:?} holds no pair of an even and the next odd port"
        ))),
    }
}

/// A URL that paths can be put behind; without its trailing slash.
pub(crate) fn base_url(value: &Value) -> Result<Option<String>, Reason> {
    let text = text(value, "an http or https URL")?;
    if text.is_empty() {
        return Ok(None);
    }
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest)
            if !rest.is_empty()
                && !rest.starts_with('/')
                && rest
                    .chars()
                    .all(|c| c.is_ascii_graphic() && !"?#@\"<>\\".contains(c)) =>
        {
            Ok(Some(text.trim_end_matches('/').to_owned()))
        }
        // It may hold a password, so it is not repeated.
        _ => Err(bad(
            "expected an http:// or https:// URL with a host, without user, query or fragment",
        )),
    }
}

pub(crate) fn time_zone(value: &Value) -> Result<TimeZone, Reason> {
    let name = text(value, r#"a time zone such as "UTC" or "America/New_York""#)?;
    if name == "UTC" {
        // There without a time-zone database too.
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        bad(format!("{name:?} is no time zone that this machine knows (IANA names such as America/New_York, from the package tzdata)"))
    })
}

/// One of some words.
pub(crate) fn choice<T: Copy>(value: &Value, choices: &[(&str, T)]) -> Result<T, Reason> {
    let expected = choices
        .iter()
        .map(|(word, _)| format!("{word:?}"))
        .collect::<Vec<_>>()
        .join(" or ");
    let text = text(value, &expected)?;
    choices
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, choice)| *choice)
        .ok_or_else(|| bad(format!("expected {expected}, found {text:?}")))
}

/// Some of some words, each at most once.
pub(crate) fn choices<T: Copy>(value: &Value, choices: &[(&str, T)]) -> Result<Vec<T>, Reason> {
    let known = choices
        .iter()
        .map(|(word, _)| format!("{word:?}"))
        .collect::<Vec<_>>()
        .join(", ");
    let Value::List(words) = value else {
        return Err(bad(format!(
            "expected a list of {known}, found {}",
            value.kind()
        )));
    };
    let mut chosen = Vec::new();
    for (number, word) in words.iter().enumerate() {
        if words[..number].contains(word) {
            return Err(bad(format!("{word:?} is there twice")));
        }
        let choice = choices.iter().find(|(known, _)| known == word);
        let (_, choice) = choice.ok_or_else(|| bad(format!("{word:?} is none of {known}")))?;
        chosen.push(*choice);
    }
    Ok(chosen)
}

/// Keys of a telephone, each at most once.
pub(crate) fn keypad(value: &Value) -> Result<String, Reason> {
    let keys = text(value, "keys of 0 to 9, * and #")?;
    let good = |c: char| c.is_ascii_digit() || c == '*' || c == '#';
    match keys.chars().find(|c| !good(*c)) {
        Some(c) => Err(bad(format!("{c:?} is no key of 0 to 9, * and #"))),
        None if keys.len() > 12 => Err(bad("a keypad has 12 keys; here are more")),
        None => Ok(keys.to_owned()),
    }
}

/// A level, or `target=level`, comma-separated.
pub(crate) fn log_level(value: &Value) -> Result<String, Reason> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let levels = text(value, "a level such as \"info\"")?;
    for part in levels.split(',') {
        let (target, level) = part.split_once('=').unwrap_or(("any", part));
        let is_target = !target.is_empty()
            && target
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        if !is_target || !LEVELS.contains(&level) {
            return Err(bad(format!(
                "{part:?} is no level or target=level; levels are {}",
                LEVELS.join(", ")
            )));
        }
    }
    Ok(levels.to_owned())
}

pub(crate) fn account(value: &Value) -> Result<AccountSid, Reason> {
    text(value, "an account's Sid")?
        .parse()
        .map_err(|error: reeld_model::SidError| bad(error.to_string()))
}

/// An account, or none where it is empty.
pub(crate) fn optional_account(value: &Value) -> Result<Option<AccountSid>, Reason> {
    match text(value, "an account's Sid, or empty")? {
        "" => Ok(None),
        _ => account(value).map(Some),
    }
}
