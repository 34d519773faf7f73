//! What the sender has done since the start, counted, for `/metrics`.
//!
//! `run` counts rounds and `round` tries; `api` reads. Counters alone: what waits and what was given
//! up on is counted by the store.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::failure::{Failure, Kind};

/// The results of a try, as `/metrics` names them.
const TRIES: [&str; 11] = [
    "2xx", "3xx", "4xx", "5xx", "other", "refused", "name", "connect", "tls", "timeout", "garbled",
];

/// Counted since the start.
#[derive(Debug, Default)]
pub struct Figures {
    /// In the order of `TRIES`.
    tries: [AtomicU64; TRIES.len()],
    delivered: AtomicU64,
    delayed: AtomicU64,
    dead: AtomicU64,
    under_way: AtomicUsize,
}

/// What came of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    Delivered,
    /// It is tried again later.
    Delayed,
    /// It was given up on.
    Dead,
}

impl Figures {
    /// Requests, and connections for them that failed, by their result.
    pub fn tries(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self.tries.iter().map(|count| count.load(Ordering::Relaxed));
        TRIES.into_iter().zip(counts)
    }

    /// Rounds of tries by what came of the event.
    #[must_use]
    pub fn rounds(&self) -> [(&'static str, u64); 3] {
        [
            ("delivered", self.delivered.load(Ordering::Relaxed)),
            ("delayed", self.delayed.load(Ordering::Relaxed)),
            ("dead", self.dead.load(Ordering::Relaxed)),
        ]
    }

    /// Rounds that are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    pub(crate) fn tried(&self, outcome: &Result<(), Failure>) {
        let name = match outcome {
            Ok(()) => "2xx",
            Err(failure) => match failure.kind {
                Kind::Refused => "refused",
                Kind::Name => "name",
                Kind::Connect => "connect",
                Kind::Tls => "tls",
                Kind::Timeout => "timeout",
                Kind::Garbled => "garbled",
                Kind::Answer(status) => match status.as_u16() {
                    300..=399 => "3xx",
                    400..=499 => "4xx",
                    500..=599 => "5xx",
                    _ => "other",
                },
            },
        };
        for (result, count) in TRIES.iter().zip(&self.tries) {
            if *result == name {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn ended(&self, round: Round) {
        let count = match round {
            Round::Delivered => &self.delivered,
            Round::Delayed => &self.delayed,
            Round::Dead => &self.dead,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_under_way(&self, rounds: usize) {
        self.under_way.store(rounds, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn each_result_is_counted_under_its_name() {
        let figures = Figures::default();
        figures.tried(&Ok(()));
        for kind in [
            Kind::Answer(StatusCode::FOUND),
            Kind::Answer(StatusCode::NOT_FOUND),
            Kind::Answer(StatusCode::BAD_GATEWAY),
            Kind::Answer(StatusCode::SWITCHING_PROTOCOLS),
            Kind::Refused,
            Kind::Name,
            Kind::Connect,
            Kind::Tls,
            Kind::Timeout,
            Kind::Garbled,
        ] {
            figures.tried(&Err(Failure::new(kind, "")));
        }
        for (result, count) in figures.tries() {
            assert_eq!(count, 1, "{result}");
        }
        figures.ended(Round::Dead);
        assert_eq!(
            figures.rounds(),
            [("delivered", 0), ("delayed", 0), ("dead", 1)]
        );
    }
}
