//! Parameters of a query or a form: read once, then taken by name.
//!
//! Names are case-sensitive (the seed). What is not known is refused with the nearest name that
//! is, since a filter that is ignored hands out the wrong recordings (twilio.md §5); so are a key
//! without `=` and a name that is given twice with two values.

use std::fmt::Display;
use std::str::FromStr;

use crate::fault::{Fault, code};

/// Below this likeness (0 to 1) a name is no suggestion.
const LIKENESS: f64 = 0.7;

/// The pairs of one query or form.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

/// What a resource does with a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is read.
    Read,
    /// Twilio documents it and nothing here depends on it.
    Accepted,
    /// Documented, and not built: what would be needed.
    Unbuilt(&'static str),
}

/// A parameter that a resource knows.
pub(crate) type Known = (&'static str, Use);

impl Params {
    /// Reads `text`, pairs as browsers write them.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        if let Some(bare) = text
            .split('&')
            .find(|pair| !pair.is_empty() && !pair.contains('='))
        {
            let name = form_urlencoded::parse(bare.as_bytes())
                .next()
                .map(|(name, _)| name.into_owned())
                .unwrap_or_default();
            return Err(Fault::parameter(
                &excerpt(&name),
                "a parameter needs '=' and a value, as in DateCreated>=2009-07-06",
                code::UNKNOWN_PARAMETER,
            ));
        }
        Ok(Self(
            form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        ))
    }

    /// These pairs, then `others`.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Takes the value of `name` out.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<String>, Fault> {
        let mut value: Option<String> = None;
        let mut twice = false;
        self.0.retain_mut(|(key, given)| {
            if key != name {
                return true;
            }
            twice |= value.as_ref().is_some_and(|value| value != given);
            value.get_or_insert_with(|| std::mem::take(given));
            false
        });
        if twice {
            return Err(Fault::invalid(
                name,
                "given more than once, with different values",
            ));
        }
        Ok(value)
    }

    /// Takes every value of `name` out, in order.
    pub(crate) fn take_all(&mut self, name: &str) -> Vec<String> {
        let (taken, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(key, _)| key == name);
        self.0 = rest;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// Whether `name` is given.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Adds a pair.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// The pairs as they came.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Refuses the first parameter that is not in `known`, or that is and is not built.
    pub(crate) fn check(&self, known: &[Known]) -> Result<(), Fault> {
        for (name, _) in &self.0 {
            match known.iter().find(|(other, _)| other == name) {
                Some((_, Use::Read | Use::Accepted)) => {}
                Some((_, Use::Unbuilt(what))) => return Err(Fault::not_built(name, what)),
                None => return Err(unknown(name, known)),
            }
        }
        Ok(())
    }

    /// The value of `name` through `read`, whose error says what it must be.
    pub(crate) fn read<T, E: Display>(
        &mut self,
        name: &str,
        code: u32,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Fault> {
        self.take(name)?
            .map(|value| {
                read(&value).map_err(|why| {
                    Fault::parameter(name, format_args!("{:?}: {why}", excerpt(&value)), code)
                })
            })
            .transpose()
    }

    /// The value of `name` as one of `choices`.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &str,
        code: u32,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, Fault> {
        self.read(name, code, |value| {
            choices
                .iter()
                .find(|(text, _)| *text == value)
                .map(|(_, choice)| *choice)
                .ok_or_else(|| {
                    let texts: Vec<&str> = choices.iter().map(|(text, _)| *text).collect();
                    format!("it must be one of {}", texts.join(", "))
                })
        })
    }

    /// The value of `name` as a whole number within `range`.
    pub(crate) fn number(
        &mut self,
        name: &str,
        code: u32,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Fault> {
        self.read(name, code, |value| {
            whole(value)
                .filter(|number| range.contains(number))
                .ok_or_else(|| {
                    format!(
                        "it must be a whole number from {} to {}",
                        range.start(),
                        range.end()
                    )
                })
        })
    }

    /// The value of `name`, at most `max` bytes and without control characters.
    pub(crate) fn line(&mut self, name: &str, max: usize) -> Result<Option<String>, Fault> {
        self.read(name, code::INVALID, |value| {
            if value.is_empty() || value.len() > max || value.chars().any(char::is_control) {
                Err(format!(
                    "it must be 1 to {max} bytes without control characters"
                ))
            } else {
                Ok(value.to_owned())
            }
        })
    }

    /// The value of `name` as whatever its text is parsed to.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, Fault> {
        self.read(name, code::INVALID, T::from_str)
    }
}

/// A number of plain digits; no sign, no space. One above `u64` is as good as its last: nothing
/// here has so many bytes, pages or seconds.
pub(crate) fn whole(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// 400/20001 that names the parameter and the nearest known one.
fn unknown(name: &str, known: &[Known]) -> Fault {
    let nearest = nearest(name, known.iter().map(|(other, _)| *other));
    let hint = nearest.map_or_else(String::new, |other| format!("; did you mean {other}?"));
    Fault::parameter(
        &excerpt(name),
        format_args!("unknown parameter{hint}"),
        code::UNKNOWN_PARAMETER,
    )
}

/// The name that `name` was meant to be, if it is like one.
pub(crate) fn nearest(
    name: &str,
    names: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    let name = name.to_lowercase();
    let likeness = |other: &str| strsim::jaro_winkler(&name, &other.to_lowercase());
    names
        .map(|other| (likeness(other), other))
        .filter(|(likeness, _)| *likeness > LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, other)| other)
}

/// As much of a client's text as an error repeats.
fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Known; 2] = [
        ("DateCreated>", Use::Read),
        ("Action", Use::Unbuilt("a callback")),
    ];

    #[test]
    fn pairs_are_taken_by_their_exact_name() {
        let mut params =
            Params::parse("?DateCreated%3E=2009-07-06&&a=b%20c+d".trim_start_matches('?')).unwrap();
        assert_eq!(params.take("datecreated>").unwrap(), None);
        assert_eq!(
            params.take("DateCreated>").unwrap().as_deref(),
            Some("2009-07-06")
        );
        assert_eq!(params.take("DateCreated>").unwrap(), None);
        assert_eq!(params.take("a").unwrap().as_deref(), Some("b c d"));
    }

    #[test]
    fn what_is_refused_is_named() {
        for (text, words) in [
            (
                "DateCreated%3E2009-07-06",
                "DateCreated>2009-07-06: a parameter needs '='",
            ),
            (
                "datecreated>=1",
                "datecreated>: unknown parameter; did you mean DateCreated>?",
            ),
            ("zzz=1", "zzz: unknown parameter"),
            ("Action=http://x", "Action: a callback is not built yet"),
        ] {
            let fault = Params::parse(text)
                .and_then(|params| params.check(&KNOWN))
                .unwrap_err();
            assert!(fault.message.starts_with(words), "{}", fault.message);
        }
        let mut twice = Params::parse("a=1&a=1&b=1&b=2").unwrap();
        assert_eq!(twice.take("a").unwrap().as_deref(), Some("1"));
        assert!(twice.take("b").is_err());
    }

    #[test]
    fn numbers_are_digits() {
        for (text, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("", None),
            ("+1", None),
            ("1 ", None),
            ("٣", None),
        ] {
            assert_eq!(whole(text), number, "{text:?}");
        }
    }
}
