//! A callback's URL: what it must be, where it leads, and the retry rules in its fragment.
//!
//! Called by `api` when a recording is started, so that a URL that cannot be used is refused then,
//! and by `send` for each event. The address behind a name is checked when it is connected to
//! (`resolve`): a POST waits for no name server.
//!
//! The fragment is Twilio's connection override (twilio.md §3, "Retries"):
//! `#ct=5000&rt=15000&tt=15000&rc=1&rp=ct` are its defaults. One without `=` is a plain fragment
//! and says nothing.

use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use crate::Allow;

/// Names that lead to a machine's own secrets, whatever they resolve to.
const METADATA_NAMES: [&str; 2] = ["metadata.google.internal", "metadata.goog"];

/// A URL that an event can be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Without user, password and fragment: what is requested and signed.
    pub(crate) url: Url,
    /// User and password, for a receiver that asks for them.
    pub(crate) user: Option<(String, String)>,
    pub(crate) rules: Rules,
}

/// How one round of sending goes: Twilio's connection override.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `ct`: for the connection, TLS and all.
    pub(crate) connect: Duration,
    /// `rt`: for the answer.
    pub(crate) read: Duration,
    /// `tt`: for the round.
    pub(crate) total: Duration,
    /// `rc`: tries after the first.
    pub(crate) retries: u32,
    /// `rp`: which failures are tried again within the round.
    pub(crate) policy: Policy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Policy {
    pub(crate) connect: bool,
    pub(crate) read: bool,
    pub(crate) client: bool,
    pub(crate) server: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(5_000),
            read: Duration::from_millis(15_000),
            total: Duration::from_millis(15_000),
            retries: 1,
            policy: Policy {
                connect: true,
                ..Policy::default()
            },
        }
    }
}

impl Target {
    /// Bytes of a URL: what Twilio takes, and browsers too.
    pub const MOST_BYTES: usize = 2_048;

    /// Reads a URL and checks what of it can be checked without a name server.
    ///
    /// # Errors
    /// Why it cannot be used, to be read after its name and value.
    pub fn parse(text: &str, allow: &Allow) -> Result<Self, String> {
        if text.len() > Self::MOST_BYTES {
            return Err(format!("it must be at most {} bytes", Self::MOST_BYTES));
        }
        let mut url = Url::parse(text)
            .map_err(|error| format!("it must be an absolute http or https URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("it must be an http or https URL".to_owned());
        }
        let rules = Rules::parse(url.fragment().unwrap_or_default())?;
        let refused = |what: &str| {
            Err(format!(
                "callbacks.allow of this machine does not let callbacks go to {what}"
            ))
        };
        match url.host() {
            None => return Err("it must name a host".to_owned()),
            Some(Host::Ipv4(address)) if !allow.has(IpAddr::V4(address)) => {
                return refused(&address.to_string());
            }
            Some(Host::Ipv6(address)) if !allow.has(IpAddr::V6(address)) => {
                return refused(&address.to_string());
            }
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let is_local = name == "localhost" || name.ends_with(".localhost");
                let loopback = [[127, 0, 0, 1].into(), IpAddr::V6(1.into())];
                if is_local && !loopback.iter().any(|address| allow.has(*address)) {
                    return refused(&name);
                }
                if METADATA_NAMES.contains(&name.as_str()) {
                    return refused(&name);
                }
            }
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => {}
        }
        url.set_fragment(None);
        let decode = |part: &str| -> String {
            let pair = format!("x={}", part.replace('+', "%2B"));
            let mut pairs = form_urlencoded::parse(pair.as_bytes());
            pairs
                .next()
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default()
        };
        let user = (!url.username().is_empty() || url.password().is_some())
            .then(|| (decode(url.username()), decode(url.password().unwrap_or(""))));
        if user.is_some() && (url.set_username("").is_err() || url.set_password(None).is_err()) {
            return Err("it cannot have a user".to_owned());
        }
        Ok(Self { url, user, rules })
    }

    /// Scheme and host, for logs: the rest may have secrets.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl Rules {
    fn parse(fragment: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        if !fragment.contains('=') {
            return Ok(rules);
        }
        for pair in fragment.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = |range: std::ops::RangeInclusive<u32>| {
                let number = value.parse::<u32>().ok();
                number
                    .filter(|number| range.contains(number))
                    .ok_or_else(|| {
                        format!(
                            "its fragment's {name} must be a whole number from {} to {}",
                            range.start(),
                            range.end()
                        )
                    })
            };
            let ms = |most| number(100..=most).map(|ms| Duration::from_millis(ms.into()));
            match name {
                "ct" => rules.connect = ms(10_000)?,
                "rt" => rules.read = ms(15_000)?,
                "tt" => rules.total = ms(15_000)?,
                "rc" => rules.retries = number(0..=5)?,
                "rp" => rules.policy = Policy::parse(value)?,
                // Twilio's choice of its own edges; there is one here.
                "e" => {}
                _ => {
                    return Err(format!(
                        "its fragment has {name:?}, which is none of ct, rt, tt, rc, rp and e"
                    ));
                }
            }
        }
        Ok(rules)
    }
}

impl Policy {
    fn parse(text: &str) -> Result<Self, String> {
        let mut policy = Self::default();
        // A comma may have come percent-encoded.
        let text = text.replace("%2C", ",").replace("%2c", ",");
        for word in text.split(',') {
            match word {
                "ct" => policy.connect = true,
                "rt" => policy.read = true,
                "4xx" => policy.client = true,
                "5xx" => policy.server = true,
                "all" => {
                    policy = Self {
                        connect: true,
                        read: true,
                        client: true,
                        server: true,
                    };
                }
                _ => {
                    return Err(format!(
                        "its fragment's rp has {word:?}, which is none of ct, rt, 4xx, 5xx and all"
                    ));
                }
            }
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public() -> Allow {
        Allow::new(vec!["8.0.0.0/8".parse().unwrap()])
    }

    fn rules(fragment: &str) -> Result<Rules, String> {
        Target::parse(&format!("https://a/{fragment}"), &public()).map(|target| target.rules)
    }

    #[test]
    fn what_is_signed_has_no_user_and_no_fragment() {
        let target = Target::parse("https://me:p%40ss@a.b/x?y=1#rc=2", &public()).unwrap();
        assert_eq!(target.url.as_str(), "https://a.b/x?y=1");
        assert_eq!(target.user, Some(("me".to_owned(), "p@ss".to_owned())));
        assert_eq!(target.rules.retries, 2);
    }

    #[test]
    fn what_may_not_be_reached_is_refused_however_it_is_written() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://localhost:80/",
            "http://LOCALHOST./",
            "http://x.localhost/",
            "http://169.254.169.254/latest/meta-data/",
            "http://metadata.google.internal/",
            "http://8.8.8.8@127.0.0.1/",
            "http://0/",
        ] {
            let refused = Target::parse(url, &public()).unwrap_err();
            assert!(refused.starts_with("callbacks.allow"), "{url}: {refused}");
        }
        for url in ["ftp://8.8.8.8/", "file:///etc/passwd", "/cb", "", "http://"] {
            assert!(Target::parse(url, &public()).is_err(), "{url}");
        }
        assert!(Target::parse("http://8.8.8.8/", &public()).is_ok());
    }

    #[test]
    fn twilios_fragment_is_read() {
        assert_eq!(rules("").unwrap(), Rules::default());
        assert_eq!(rules("#section").unwrap(), Rules::default());
        let all = rules("#rc=5&rp=all&ct=100&rt=200&tt=300").unwrap();
        assert_eq!(all.retries, 5);
        assert_eq!(all.connect, Duration::from_millis(100));
        assert_eq!(all.total, Duration::from_millis(300));
        assert!(all.policy.client && all.policy.server && all.policy.read && all.policy.connect);
        let some = rules("#rp=4xx,rt").unwrap().policy;
        assert!(some.client && some.read && !some.connect && !some.server);
        for wrong in ["#rc=6", "#rc=x", "#rp=6xx", "#ct=99", "#tt=15001", "#zz=1"] {
            assert!(rules(wrong).is_err(), "{wrong}");
        }
    }
}
