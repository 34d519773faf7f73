//! Who asks: Basic credentials or a signed link, and a bound on failures by address.
//!
//! `dispatch` calls [`Gate::admit`], `link` [`Gate::admit_link`]. Tokens and signatures are compared by the store, in constant time. A client
//! that sends no credentials gets the challenge and is not counted: old SDKs always ask first.
//! An address with too many failures gets 429 before its token is looked at, unless it has
//! authenticated well within the last hour, so that one bad client behind a proxy does not shut
//! the others out. Who has a link has proven nothing else: it earns no such trust.
//!
//! Bounded: [`ADDRESSES`] entries, the least recently failed goes first.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::{HeaderMap, header};
use lru::LruCache;
use reeld_model::{AccountSid, KeySid};
use secrecy::{ExposeSecret, SecretString};

use crate::fault::Fault;
use crate::rates::{Bucket, Rate, network};

/// Addresses remembered.
const ADDRESSES: NonZeroUsize = NonZeroUsize::new(4_096).expect("4096 is not 0");

/// Failures that an address may have: at once, and a second.
const FAILURES: Rate = Rate {
    per_second: 1.0,
    burst: 60.0,
};

/// How long a success speaks for an address.
const TRUST_MS: i64 = 60 * 60 * 1_000;

/// A user of HTTP Basic: an account by its own name, or one of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Account(AccountSid),
    Key(KeySid),
}

/// Credentials as they came.
struct Credentials {
    user: User,
    secret: SecretString,
}

/// What is remembered of an address.
#[derive(Debug, Clone, Copy)]
struct Record {
    failures: Bucket,
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

    /// The account that the request's credentials prove, or 401, or 429. `check` says whose they
    /// are, if the secret is the user's.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        now_ms: i64,
        check: impl FnOnce(User, &str) -> Option<AccountSid>,
    ) -> Result<AccountSid, Fault> {
        if !headers.contains_key(header::AUTHORIZATION) {
            return Err(Fault::unauthenticated());
        }
        let key = network(peer);
        if self.is_exhausted(key, now_ms) {
            return Err(Fault::throttled());
        }
        let proven =
            credentials(headers).and_then(|given| check(given.user, given.secret.expose_secret()));
        if proven.is_some() {
            self.trust(key, now_ms);
        } else {
            self.count_failure(key, now_ms);
        }
        proven.ok_or_else(Fault::unauthenticated)
    }

    /// Lets a signed link in, or 403, or 429. `is_right` checks its signature.
    pub(crate) fn admit_link(
        &self,
        peer: IpAddr,
        now_ms: i64,
        is_right: impl FnOnce() -> bool,
    ) -> Result<(), Fault> {
        let key = network(peer);
        if self.is_exhausted(key, now_ms) {
            return Err(Fault::throttled());
        }
        if is_right() {
            return Ok(());
        }
        self.count_failure(key, now_ms);
        Err(Fault::forbidden("The link is not right"))
    }

    fn is_exhausted(&self, key: IpAddr, now_ms: i64) -> bool {
        let addresses = self.lock();
        addresses.peek(&key).is_some_and(|record| {
            record.failures.at(FAILURES, now_ms).is_empty() && now_ms >= record.trusted_until_ms
        })
    }

    fn trust(&self, key: IpAddr, now_ms: i64) {
        let mut addresses = self.lock();
        let record = addresses.get_or_insert_mut(key, || Record::new(now_ms));
        record.trusted_until_ms = now_ms.saturating_add(TRUST_MS);
    }

    fn count_failure(&self, key: IpAddr, now_ms: i64) {
        let mut addresses = self.lock();
        let record = addresses.get_or_insert_mut(key, || Record::new(now_ms));
        record.failures = record.failures.at(FAILURES, now_ms);
        record.failures.take();
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
            failures: Bucket::new(FAILURES, now_ms),
            trusted_until_ms: i64::MIN,
        }
    }
}

/// RFC 7617 credentials, if the request has exactly one that can be an account's or a key's.
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
    let (user, secret) = text.split_once(':')?;
    let account = user.parse().map(User::Account);
    Some(Credentials {
        user: account.or_else(|_| user.parse().map(User::Key)).ok()?,
        secret: secret.into(),
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
            |user, token| {
                (user == User::Account(AC.parse().unwrap()) && token == "a:b")
                    .then(|| AC.parse().unwrap())
            },
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
                |_, _| unreachable!("there are no credentials"),
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
    fn wrong_links_count_as_failures_and_right_ones_earn_no_trust() {
        let gate = Gate::new();
        let peer = "192.0.2.1".parse().unwrap();
        let follow = |is_right| gate.admit_link(peer, 0, || is_right);
        assert!(follow(true).is_ok());
        for _ in 0..60 {
            assert_eq!(follow(false).unwrap_err().status, StatusCode::FORBIDDEN);
        }
        for is_right in [true, false] {
            let refused = follow(is_right).unwrap_err().status;
            assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
        }
        assert!(ask(&gate, "a:b", "192.0.2.1", 0).is_err());
    }

    #[test]
    fn a_key_is_a_user_too() {
        let sk = "SK0123456789abcdef0123456789abcdef";
        let credentials = credentials(&headers(sk, "secret")).unwrap();
        assert_eq!(credentials.user, User::Key(sk.parse().unwrap()));
        assert_eq!(credentials.secret.expose_secret(), "secret");
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
