//! Session timers: how long a session lives without a refresh, and whose that is (RFC 4028).
//!
//! Called by `dialog`. No clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::{Headers, Request};

/// A session timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionTimer {
    seconds: u32,
    pub(crate) we_refresh: bool,
    /// Whether the client says that it knows them.
    #[serde(default)]
    is_known: bool,
}

impl SessionTimer {
    /// What a request asks for (RFC 4028 §4, §9). Who does not know timers, and has one from a proxy, does not
    /// refresh: then it is on us.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let mut said = ["session-expires", "x"]
            .into_iter()
            .filter_map(|name| request.header(name));
        let mut parts = said.next()?.split(';').map(str::trim);
        let seconds = parts.next()?.parse().ok().filter(|seconds| *seconds > 0)?;
        let knows_timers = knows_timers(request);
        let refresher = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let is_it = name.trim().eq_ignore_ascii_case("refresher");
            is_it.then_some(value.trim())
        });
        let we_refresh = match refresher {
            Some(refresher) => refresher.eq_ignore_ascii_case("uas"),
            None => !knows_timers,
        };
        Some(Self {
            seconds,
            we_refresh,
            is_known: knows_timers,
        })
    }

    /// RFC 4028 §9: who refreshes is said, and required of a client that knows timers.
    pub(crate) fn headers(self, headers: Headers) -> Headers {
        let who = if self.we_refresh { "uas" } else { "uac" };
        let headers = headers.with(
            "Session-Expires",
            format!("{};refresher={who}", self.seconds),
        );
        if !self.we_refresh && self.is_known {
            headers.with("Require", "timer")
        } else {
            headers
        }
    }

    /// The value of a refresh of ours.
    pub(crate) fn of_ours(self) -> String {
        format!("{};refresher=uac", self.seconds)
    }

    /// From one refresh to what is due of it: half of the time where we refresh, else nearly all of it, after
    /// which the client is taken for gone (RFC 4028 §10).
    pub(crate) fn until_due(self) -> Duration {
        let whole = Duration::from_secs(self.seconds.into());
        if self.we_refresh {
            whole / 2
        } else {
            whole - (whole / 3).min(Duration::from_secs(32))
        }
    }
}

/// Whether a client says that it knows session timers.
fn knows_timers(request: &Request) -> bool {
    let said = ["supported", "k", "require"].map(|name| request.tokens(name));
    let mut said = said.into_iter().flatten();
    said.any(|token| token.eq_ignore_ascii_case("timer"))
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::*;

    #[test]
    fn who_refreshes_is_who_says_so_or_can() {
        for (said, answered) in [
            (
                "Session-Expires: 1800\r\nSupported: timer",
                Some("1800;refresher=uac timer"),
            ),
            (
                "x: 90 ; Refresher = UAS\r\nk: 100rel, Timer",
                Some("90;refresher=uas "),
            ),
            (
                "Session-Expires: 90;refresher=uac",
                Some("90;refresher=uac "),
            ),
            (
                "Session-Expires: 90\r\nSupported: 100rel",
                Some("90;refresher=uas "),
            ),
            (
                "Session-Expires: 90\r\nRequire: timer",
                Some("90;refresher=uac timer"),
            ),
            ("Session-Expires: soon", None),
            ("Session-Expires: 0", None),
        ] {
            let text = format!(
                "INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nCSeq: 1 INVITE\r\n{said}\r\n\r\n"
            );
            let Some(Message::Request(request)) = Message::read(text.as_bytes()) else {
                panic!("{text}")
            };
            let headers = SessionTimer::of(&request).map(|timer| {
                let text = timer.headers(Headers::default()).end(String::new());
                let text = String::from_utf8(text).unwrap();
                let value = |name: &str| {
                    let found = text.lines().find_map(|line| line.strip_prefix(name));
                    found.unwrap_or_default().to_owned()
                };
                format!("{} {}", value("Session-Expires: "), value("Require: "))
            });
            assert_eq!(headers.as_deref(), answered, "{said}");
        }
    }
}
