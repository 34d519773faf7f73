//! Who asks: Basic credentials, and a bound on failures by address.
//!
//! `dispatch` calls [`Gate::admit`]. Tokens are compared by the store, in constant time. A client
//! that sends no credentials gets the challenge and is not counted: old SDKs always ask first.
//! An address with too many failures gets 429 before its token is looked at, unless it has
//! authenticated well within the last hour, so that one bad client behind a proxy does not shut
//! the others out.
//!
//! Bounded: [`ADDRESSES`] entries, the least recently failed goes first.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::{HeaderMap, header};
use lru::LruCache;
use reeld_model::AccountSid;
use secrecy::{ExposeSecret, SecretString};

use crate::fault::Fault;

/// Addresses remembered.
const ADDRESSES: NonZeroUsize = NonZeroUsize::new(4_096).expect("4096 is not 0");

/// Failures that an address may have at once.
const BURST: f64 = 60.0;

/// Failures a second that it gets back.
const REFILL_PER_SECOND: f64 = 1.0;

/// How long a success speaks for an address.
const TRUST_MS: i64 = 60 * 60 * 1_000;

/// Credentials as they came.
struct Credentials {
    account: AccountSid,
    token: SecretString,
}

/// What is remembered of an address.
#[derive(Debug, Clone, Copy)]
struct Record {
    failures_left: f64,
    seen_ms: i64,
    trusted_until_ms: i64,
}

/// Remembers addresses; one an API.
#[derive(Debug)]
pub(crate) struct Gate {
    addresses: Mutex<LruCache<IpAddr, Record>>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            addresses: Mutex::new(LruCache::new(ADDRESSES)),
        }
    }

    /// The account that the request's credentials prove, or 401, or 429. `check` compares a token
    /// with an account's.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        now_ms: i64,
        check: impl FnOnce(AccountSid, &str) -> bool,
    ) -> Result<AccountSid, Fault> {
        if !headers.contains_key(header::AUTHORIZATION) {
            return Err(Fault::unauthenticated());
        }
        let key = network(peer);
        if self.is_exhausted(key, now_ms) {
            return Err(Fault::throttled());
        }
        let proven = credentials(headers)
            .filter(|credentials| check(credentials.account, credentials.token.expose_secret()))
            .map(|credentials| credentials.account);
        self.note(key, now_ms, proven.is_some());
        proven.ok_or_else(Fault::unauthenticated)
    }

    fn is_exhausted(&self, key: IpAddr, now_ms: i64) -> bool {
        let addresses = self.lock();
        addresses.peek(&key).is_some_and(|record| {
            record.at(now_ms).failures_left < 1.0 && now_ms >= record.trusted_until_ms
        })
    }

    fn note(&self, key: IpAddr, now_ms: i64, proven: bool) {
        let mut addresses = self.lock();
        let record = addresses.get_or_insert_mut(key, || Record::new(now_ms));
        *record = record.at(now_ms);
        if proven {
            record.trusted_until_ms = now_ms.saturating_add(TRUST_MS);
        } else {
            record.failures_left = (record.failures_left - 1.0).max(0.0);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<IpAddr, Record>> {
        // Nothing panics while it is held, and a count that is off by one harms nobody.
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn new(now_ms: i64) -> Self {
        Self {
            failures_left: BURST,
            seen_ms: now_ms,
            trusted_until_ms: i64::MIN,
        }
    }

    /// The record with what has been earned back by `now_ms`.
    fn at(self, now_ms: i64) -> Self {
        let elapsed_ms = now_ms.saturating_sub(self.seen_ms).max(0);
        #[expect(
            clippy::cast_precision_loss,
            reason = "only whether it is large matters"
        )]
        let earned = elapsed_ms as f64 / 1_000.0 * REFILL_PER_SECOND;
        Self {
            failures_left: (self.failures_left + earned).min(BURST),
            seen_ms: now_ms,
            ..self
        }
    }
}

/// Whom an address stands for: one IPv6 host has a whole /64 to draw from (RFC 4291 §2.5.1).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
    }
}

/// RFC 7617 credentials, if the request has exactly one that can be an account's.
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, token) = text.split_once(':')?;
    Some(Credentials {
        account: user.parse().ok()?,
        token: token.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, StatusCode};

    const AC: &str = "AC309475e5fede1b49e100272a8640f438";

    fn headers(user: &str, token: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!(
            "basic {}",
            BASE64_STANDARD.encode(format!("{user}:{token}"))
        );
        headers.insert(header::AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        headers
    }

    fn ask(gate: &Gate, token: &str, peer: &str, now_ms: i64) -> Result<AccountSid, StatusCode> {
        gate.admit(
            &headers(AC, token),
            peer.parse().unwrap(),
            now_ms,
            |_, token| token == "a:b",
        )
        .map_err(|fault| fault.status)
    }

    #[test]
    fn a_token_may_have_a_colon_and_the_challenge_is_there() {
        let gate = Gate::new();
        assert_eq!(ask(&gate, "a:b", "192.0.2.1", 0), Ok(AC.parse().unwrap()));
        let fault = gate
            .admit(
                &HeaderMap::new(),
                "192.0.2.1".parse().unwrap(),
                0,
                |_, _| true,
            )
            .unwrap_err();
        assert!(
            fault
                .headers
                .iter()
                .any(|(name, _)| name == header::WWW_AUTHENTICATE)
        );
    }

    #[test]
    fn failures_run_out_and_come_back_by_address() {
        let gate = Gate::new();
        for _ in 0..60 {
            assert_eq!(
                ask(&gate, "x", "192.0.2.1", 0),
                Err(StatusCode::UNAUTHORIZED)
            );
        }
        assert_eq!(
            ask(&gate, "a:b", "192.0.2.1", 0),
            Err(StatusCode::TOO_MANY_REQUESTS)
        );
        assert!(ask(&gate, "a:b", "192.0.2.2", 0).is_ok());
        assert!(ask(&gate, "a:b", "192.0.2.1", 1_000).is_ok());
    }

    #[test]
    fn whoever_authenticated_is_not_shut_out_by_others_behind_the_address() {
        let gate = Gate::new();
        assert!(ask(&gate, "a:b", "2001:db8::1", 0).is_ok());
        for _ in 0..200 {
            assert!(ask(&gate, "x", "2001:db8::2", 0).is_err());
        }
        assert!(ask(&gate, "a:b", "2001:db8::3", 0).is_ok());
    }

    #[test]
    fn what_is_no_basic_header_proves_nothing() {
        for value in [
            "Basic",
            "Basic ?",
            "Bearer QTpi",
            "Basic QTpi",
            "Basic /w==",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert!(credentials(&headers).is_none(), "{value}");
        }
    }
}
