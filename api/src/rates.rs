//! How many requests one address and one account may make: token buckets, bounded in memory.
//!
//! `serve` and `dispatch` call [`Rates::of_address`] before anything is looked at, `dispatch`
//! [`Rates::of_account`] once credentials are right; `auth` has a [`Bucket`] of failures for each
//! address. Time is given in.
//!
//! Buckets of our own and not governor's: its keyed limiters keep each key until somebody sweeps
//! them, and the sender of packets chooses how many source addresses there are. Here [`KEYS`] are
//! kept, and the least recently seen goes first.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use reeld_model::AccountSid;

use crate::fault::Fault;

/// Addresses, and accounts, that are remembered: some 100 bytes each.
const KEYS: NonZeroUsize = NonZeroUsize::new(16_384).expect("16384 is not 0");

/// Seconds' worth that may come at once.
const BURST_SECONDS: f64 = 10.0;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) burst: f64,
}

/// What is left of a rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    left: f64,
    seen_ms: i64,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(rate: Rate, now_ms: i64) -> Self {
        Self {
            left: rate.burst,
            seen_ms: now_ms,
        }
    }

    /// With what has come in by `now_ms`. A clock that was set back brings nothing.
    pub(crate) fn at(self, rate: Rate, now_ms: i64) -> Self {
        let elapsed_ms = now_ms.saturating_sub(self.seen_ms).max(0);
        #[expect(
            clippy::cast_precision_loss,
            reason = "only whether it is large matters"
        )]
        let earned = elapsed_ms as f64 / 1_000.0 * rate.per_second;
        Self {
            left: (self.left + earned).min(rate.burst),
            seen_ms: now_ms,
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.left < 1.0
    }

    /// Takes one out, or the last part of one.
    pub(crate) fn take(&mut self) {
        self.left = (self.left - 1.0).max(0.0);
    }

    /// Whole seconds until there is one again, at least 1.
    fn wait_seconds(self, rate: Rate) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and at most a second's division by the rate"
        )]
        let seconds = ((1.0 - self.left) / rate.per_second).ceil() as u64;
        seconds.max(1)
    }
}

/// Buckets by key.
#[derive(Debug)]
struct Buckets<K: Hash + Eq> {
    rate: Rate,
    buckets: Mutex<LruCache<K, Bucket>>,
    refused: AtomicU64,
}

impl<K: Hash + Eq> Buckets<K> {
    fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self {
            rate: Rate {
                per_second,
                burst: per_second * BURST_SECONDS,
            },
            buckets: Mutex::new(LruCache::new(KEYS)),
            refused: AtomicU64::new(0),
        }
    }

    /// One more of `key`, or the seconds after which there may be.
    fn take(&self, key: K, now_ms: i64) -> Result<(), u64> {
        // Nothing panics while it is held.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get_or_insert_mut(key, || Bucket::new(self.rate, now_ms));
        *bucket = bucket.at(self.rate, now_ms);
        if bucket.is_empty() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(bucket.wait_seconds(self.rate));
        }
        bucket.take();
        Ok(())
    }
}

/// The API's rates; where one is not bounded there is nothing to remember.
#[derive(Debug)]
pub(crate) struct Rates {
    addresses: Option<Buckets<IpAddr>>,
    accounts: Option<Buckets<AccountSid>>,
}

impl Rates {
    pub(crate) fn new(per_address: Option<u32>, per_account: Option<u32>) -> Self {
        Self {
            addresses: per_address.map(Buckets::new),
            accounts: per_account.map(Buckets::new),
        }
    }

    /// One more request of an address, or 429.
    pub(crate) fn of_address(&self, peer: IpAddr, now_ms: i64) -> Result<(), Fault> {
        let Some(addresses) = &self.addresses else {
            return Ok(());
        };
        addresses
            .take(network(peer), now_ms)
            .map_err(|seconds| Fault::too_many("this address", seconds))
    }

    /// One more request with an account's credentials, or 429.
    pub(crate) fn of_account(&self, account: AccountSid, now_ms: i64) -> Result<(), Fault> {
        let Some(accounts) = &self.accounts else {
            return Ok(());
        };
        accounts
            .take(account, now_ms)
            .map_err(|seconds| Fault::too_many("this account", seconds))
    }

    /// Requests refused so far, by what was at its bound.
    pub(crate) fn refused(&self) -> [(&'static str, u64); 2] {
        let of = |refused: Option<&AtomicU64>| refused.map_or(0, |n| n.load(Ordering::Relaxed));
        [
            ("address", of(self.addresses.as_ref().map(|b| &b.refused))),
            ("account", of(self.accounts.as_ref().map(|b| &b.refused))),
        ]
    }
}

/// Whom an address stands for: one IPv6 host has a whole /64 to draw from (RFC 4291 §2.5.1).
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn a_rate_is_kept_by_each_address_and_account_alone() {
        let rates = Rates::new(Some(2), Some(1));
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        for _ in 0..20 {
            rates.of_address(one, 0).unwrap();
        }
        let fault = rates.of_address(one, 0).unwrap_err();
        assert_eq!((fault.status.as_u16(), fault.code), (429, Some(20_429)));
        let after = fault
            .headers
            .iter()
            .find(|(name, _)| name == header::RETRY_AFTER);
        assert_eq!(after.unwrap().1, "1");
        rates.of_address(other, 0).unwrap();
        // A second brings two; a clock set back brings nothing.
        assert!(rates.of_address(one, -5_000).is_err());
        rates.of_address(one, -4_000).unwrap();
        rates.of_address(one, -4_000).unwrap();
        assert!(rates.of_address(one, -4_000).is_err());
        let account = AccountSid::from_bytes([1; 16]);
        for _ in 0..10 {
            rates.of_account(account, 0).unwrap();
        }
        assert!(rates.of_account(account, 500).is_err());
        rates.of_account(account, 1_000).unwrap();
        rates
            .of_account(AccountSid::from_bytes([2; 16]), 0)
            .unwrap();
        assert_eq!(rates.refused(), [("address", 3), ("account", 1)]);
        let unbounded = Rates::new(None, None);
        for _ in 0..100_000 {
            unbounded.of_address(one, 0).unwrap();
        }
    }

    #[test]
    fn a_host_with_a_whole_network_is_one_and_strangers_cost_no_memory() {
        let rates = Rates::new(Some(1), None);
        let of = |last: u16, subnet: u16| {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, subnet, 9, 9, 9, last))
        };
        for last in 0..10 {
            rates.of_address(of(last, 0), 0).unwrap();
        }
        assert!(rates.of_address(of(99, 0), 0).is_err());
        let mapped =
            |last: u8| IpAddr::V6(std::net::Ipv4Addr::new(192, 0, 2, last).to_ipv6_mapped());
        rates.of_address(mapped(1), 0).unwrap();
        for subnet in 1..=40_000 {
            rates.of_address(of(0, subnet), 0).unwrap();
        }
        let kept = rates
            .addresses
            .as_ref()
            .unwrap()
            .buckets
            .lock()
            .unwrap()
            .len();
        assert_eq!(kept, KEYS.get());
    }
}
