//! What brings calls by itself: `[sip]`, `[audiosocket]`, `[[media.open]]`.
//!
//! Called by [`super`], of which it is a part.

use std::time::Duration;

use reeld_model::PauseBehavior;

use super::{HOUR, Reader, SECOND, WEEK, channels};
use crate::audiosocket::AudioSocket;
use crate::error::Kind;
use crate::file;
use crate::key;
use crate::layer::{GivenOpen, Value};
use crate::open::{self, OpenPort};
use crate::route;
use crate::settings::Config;
use crate::sip::Sip;
use crate::value::{self, Reason};

impl Reader<'_> {
    pub(super) fn sip(&self) -> Sip {
        Sip {
            listen: self.get("sip", "listen", value::optional_socket),
            tls_listen: self.sip_tls_listen(),
            tls: self.tls("sip"),
            advertise: self.get("sip", "advertise", value::optional_address),
            allow: self.get("sip", "allow", value::networks),
            routes: self.get("sip", "routes", route::routes),
            channels: self.get("sip", "channels", channels),
            pause: self.get("sip", "pause", |v| {
                value::choice(
                    v,
                    &[
                        ("skip", PauseBehavior::Skip),
                        ("silence", PauseBehavior::Silence),
                    ],
                )
            }),
        }
    }

    pub(super) fn audiosocket(&self) -> AudioSocket {
        let table = "audiosocket";
        AudioSocket {
            listen: self.get(table, "listen", value::optional_socket),
            allow: self.get(table, "allow", value::networks),
            account: self.get(table, "account", value::optional_account),
            max_connections: self.get(table, "max_connections", |v| value::count(v, 1..=100_000)),
            timeout: self.get(table, "timeout", |v| value::duration(v, SECOND..=WEEK)),
            answers: self.get(table, "answer", |v| {
                value::choice(v, &[("silence", true), ("nothing", false)])
            }),
        }
    }

    pub(super) fn open_ports(&self) -> Vec<OpenPort> {
        let mut all: Vec<OpenPort> = Vec::new();
        for given in self.layers.iter().flat_map(|layer| &layer.open) {
            let of = |name, why| {
                let key = format!("media.open.{name}");
                self.problem(given.place.clone(), key, Kind::Value, why);
            };
            let Some(listen) = self.of_open(given, "listen", value::socket) else {
                of("listen", "an open port needs it".to_owned());
                continue;
            };
            if all.iter().any(|open| open.listen == listen) {
                of("listen", format!("{listen} is there twice"));
                continue;
            }
            let pairs = |v: &Value| value::choice(v, &[("dual", true), ("mono", false)]);
            let follow = |v: &Value| value::duration(v, Duration::ZERO..=HOUR);
            let timeout = |v: &Value| value::duration(v, SECOND..=WEEK);
            let most = |v: &Value| value::count(v, 1..=100_000);
            all.extend((|| {
                Some(OpenPort {
                    listen,
                    allow: self.of_open(given, "allow", value::networks)?,
                    account: self.of_open(given, "account", value::optional_account)?,
                    pairs: self.of_open(given, "channels", pairs)?,
                    follow: self.of_open(given, "follow", follow)?,
                    timeout: self.of_open(given, "timeout", timeout)?,
                    max_calls: self.of_open(given, "max_calls", most)?,
                    payloads: self.of_open(given, "payloads", open::payloads)?,
                })
            })());
        }
        all
    }

    /// A key of an open port: what is said, or the default, also where what is said is wrong.
    fn of_open<T>(
        &self,
        given: &GivenOpen,
        name: &str,
        parse: impl Fn(&Value) -> Result<T, Reason>,
    ) -> Option<T> {
        let said = given.given.iter().find(|(key, ..)| key.name == name);
        if let Some((_, value, place)) = said {
            match parse(value) {
                Ok(value) => return Some(value),
                Err((kind, reason)) => {
                    self.problem(place.clone(), format!("media.open.{name}"), kind, reason);
                }
            }
        }
        let key = key::OPEN_KEYS.iter().find(|key| key.name == name)?;
        let default = file::literal(key.default?)?;
        parse(&default).ok()
    }
}

/// What is legal of them, but worth a warning.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let sip = &config.sip;
    let listens = sip.listen.into_iter().chain(sip.tls_listen);
    if let Some(listen) = listens
        .into_iter()
        .find(|listen| !listen.ip().is_loopback())
    {
        if sip.allow.iter().all(|net| net.addr().is_loopback()) {
            warnings.push(format!(
                "sip.allow is loopback alone while SIP is taken at {listen}: no other machine's call is taken"
            ));
        } else if sip.routes.is_empty() && config.calls.routes.is_empty() {
            warnings.push(format!(
                "sip.routes and calls.routes are empty while SIP is taken at {listen}: another machine's call has no account, and is refused"
            ));
        }
    }
    let audiosocket = &config.audiosocket;
    if let Some(listen) = audiosocket
        .listen
        .filter(|listen| !listen.ip().is_loopback())
    {
        if audiosocket.allow.iter().all(|net| net.addr().is_loopback()) {
            warnings.push(format!(
                "audiosocket.allow is loopback alone while audiosocket.listen is {listen}: no other machine's call is taken"
            ));
        } else if config.calls.routes.is_empty() && audiosocket.account.is_none() {
            warnings.push(format!(
                "calls.routes and audiosocket.account are empty while audiosocket.listen is {listen}: another machine's call has no account, and is refused"
            ));
        }
    }
    for open in &config.media.open {
        let listen = open.listen;
        if listen.ip().is_loopback() {
            continue;
        }
        if open.allow.iter().all(|net| net.addr().is_loopback()) {
            warnings.push(format!(
                "media.open.allow is loopback alone while its listen is {listen}: nothing of another machine is recorded"
            ));
        } else if config.calls.routes.is_empty() && open.account.is_none() {
            warnings.push(format!(
                "calls.routes and media.open.account are empty while its listen is {listen}: another machine's stream has no account, and is not recorded"
            ));
        }
    }
    warnings
}
