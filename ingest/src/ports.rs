//! The port pairs of `media.ports`: which are free, which rest, which somebody else holds.
//!
//! `leg` takes a pair here when a call is opened; a [`Lease`] gives it back by itself. Control path
//! only. Sockets are bound in `inlet`.
//!
//! Invariant: a pair is in exactly one of the free list, the resting list and one lease.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reeld_model::Mono;

use crate::clock::monotonic;

/// How long a pair rests before another call gets it. A sender that has not heard of the hang-up
/// yet goes on for seconds (SIP gives up on a BYE after 32 s, most senders stop at once), and its
/// RTCP BYE may follow; a new call should not meet them. 10 s covers what is usual; the source lock
/// of `capture` covers the rest. A pair that somebody else holds is tried again after the same time.
pub(crate) const REST: Duration = Duration::from_secs(10);

/// The pairs of a range, oldest first.
#[derive(Debug)]
pub(crate) struct Ports {
    range: RangeInclusive<u16>,
    /// RTP ports of free pairs; the one that was freed first is taken first.
    free: VecDeque<u16>,
    /// RTP ports of resting pairs and when they began to rest, in that order.
    resting: VecDeque<(Mono, u16)>,
    /// Ports that somebody else was found to hold.
    elsewhere: BTreeSet<u16>,
}

/// The pairs as threads share them.
pub(crate) type SharedPorts = Arc<Mutex<Ports>>;

impl Ports {
    /// All pairs of an even port and the next in `range`.
    pub(crate) fn new(range: RangeInclusive<u16>) -> Self {
        let free = range
            .clone()
            .filter(|rtp| rtp % 2 == 0 && range.contains(&rtp.saturating_add(1)))
            .collect();
        Self {
            range,
            free,
            resting: VecDeque::new(),
            elsewhere: BTreeSet::new(),
        }
    }

    /// Pairs that can be taken at `now`.
    pub(crate) fn free(&mut self, now: Mono) -> usize {
        while let Some((_, rtp)) = self
            .resting
            .pop_front_if(|(since, _)| now.since(*since) >= REST)
        {
            self.free.push_back(rtp);
        }
        self.free.len()
    }

    /// Ports that somebody else held when they were tried, each counted once.
    pub(crate) fn elsewhere(&self) -> usize {
        self.elsewhere.len()
    }

    /// The range, as the configuration writes it.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.range.start(), self.range.end())
    }

    /// Whether a pair is of the range.
    fn has(&self, rtp: u16) -> bool {
        rtp.is_multiple_of(2)
            && self.range.contains(&rtp)
            && self.range.contains(&rtp.saturating_add(1))
    }

    fn take(&mut self, now: Mono) -> Option<u16> {
        self.free(now);
        self.free.pop_front()
    }

    fn rest(&mut self, rtp: u16, now: Mono) {
        self.resting.push_back((now, rtp));
    }
}

/// Locks the pairs. A panic elsewhere leaves them whole: no step here can fail half-way.
pub(crate) fn lock(ports: &SharedPorts) -> MutexGuard<'_, Ports> {
    ports.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pair that a call holds. Dropped, it goes back.
#[derive(Debug)]
pub(crate) struct Lease {
    rtp: u16,
    rests: bool,
    ports: SharedPorts,
}

impl Lease {
    /// Takes the pair that has been free for longest; none if no pair is free.
    pub(crate) fn take(ports: &SharedPorts, now: Mono) -> Option<Self> {
        let rtp = lock(ports).take(now)?;
        Some(Self {
            rtp,
            rests: false,
            ports: Arc::clone(ports),
        })
    }

    /// Holds the pair of `rtp`, whose sockets came from another process: it was told, and it need not be of
    /// the range, which may be another one by now.
    pub(crate) fn hold(ports: &SharedPorts, rtp: u16) -> Self {
        lock(ports).free.retain(|free| *free != rtp);
        Self {
            rtp,
            rests: true,
            ports: Arc::clone(ports),
        }
    }

    /// The even port; RTCP is on the next one.
    pub(crate) const fn rtp(&self) -> u16 {
        self.rtp
    }

    /// The ports are told to a caller: from now on packets can come, so the pair will rest. One
    /// that nobody heard of is free again at once, so that refused requests use nothing up.
    pub(crate) const fn told(&mut self) {
        self.rests = true;
    }

    /// Somebody else holds `port` of this pair: it is counted and rests before it is tried again.
    pub(crate) fn held_elsewhere(mut self, port: u16) {
        self.rests = true;
        lock(&self.ports).elsewhere.insert(port);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut ports = lock(&self.ports);
        if !ports.has(self.rtp) {
            return;
        }
        if self.rests {
            ports.rest(self.rtp, monotonic());
        } else {
            ports.free.push_back(self.rtp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shared(range: RangeInclusive<u16>) -> SharedPorts {
        Arc::new(Mutex::new(Ports::new(range)))
    }

    #[test]
    fn pairs_are_even_and_odd_and_whole() {
        assert_eq!(Ports::new(20_001..=20_006).free, [20_002, 20_004]);
        assert_eq!(Ports::new(65_534..=65_535).free, [65_534]);
        assert_eq!(Ports::new(20_001..=20_002).free, [0; 0]);
        assert_eq!(Ports::new(20_000..=32_767).free(Mono(0)), 6_384);
    }

    #[test]
    fn a_told_pair_rests_and_is_not_taken_before() {
        let ports = shared(20_000..=20_003);
        let now = monotonic();
        let mut lease = Lease::take(&ports, now).unwrap();
        assert_eq!(lease.rtp(), 20_000);
        lease.told();
        drop(lease);
        let freed = monotonic();
        assert_eq!(
            Lease::take(&ports, freed).map(|lease| lease.rtp()),
            Some(20_002)
        );
        // 20002 was not told: it is free again; 20000 rests.
        assert_eq!(lock(&ports).free(freed), 1);
        assert_eq!(lock(&ports).free(now + REST - Duration::from_millis(1)), 1);
        assert_eq!(lock(&ports).free(freed + REST), 2);
        assert_eq!(
            Lease::take(&ports, freed + REST).map(|lease| lease.rtp()),
            Some(20_002)
        );
    }

    #[test]
    fn a_pair_that_somebody_holds_is_counted_once_and_tried_again() {
        let ports = shared(20_000..=20_001);
        for round in 0..3 {
            // Resting begins by the real clock, so only the try afterwards is set ahead.
            let tried = monotonic() + REST * round;
            Lease::take(&ports, tried).unwrap().held_elsewhere(20_001);
            assert!(Lease::take(&ports, monotonic()).is_none());
            assert_eq!(lock(&ports).elsewhere(), 1);
        }
    }

    #[test]
    fn a_pair_that_came_from_another_process_is_given_to_nobody_else_and_comes_back_where_it_is_of_the_range()
     {
        let ports = shared(20_000..=20_003);
        let held = Lease::hold(&ports, 20_000);
        let foreign = Lease::hold(&ports, 30_000);
        assert_eq!(lock(&ports).free, [20_002]);
        drop((held, foreign));
        assert_eq!(lock(&ports).free(monotonic() + REST), 2);
        assert_eq!(lock(&ports).free, [20_002, 20_000]);
    }

    proptest! {
        #[test]
        fn no_pair_is_lost_or_given_twice(steps in prop::collection::vec((0..4u8, 0..8usize), 0..200)) {
            let ports = shared(30_000..=30_015);
            let mut held: Vec<Lease> = Vec::new();
            let mut now = monotonic();
            for (step, which) in steps {
                match step {
                    0 => held.extend(Lease::take(&ports, now)),
                    1 if which < held.len() => drop(held.swap_remove(which)),
                    2 if which < held.len() => held[which].told(),
                    _ => now = now + REST / 3,
                }
                let pool = lock(&ports);
                let all: BTreeSet<u16> = held.iter().map(Lease::rtp)
                    .chain(pool.free.iter().copied())
                    .chain(pool.resting.iter().map(|(_, rtp)| *rtp))
                    .collect();
                prop_assert_eq!(all.len(), 8);
                prop_assert_eq!(held.len() + pool.free.len() + pool.resting.len(), 8);
            }
        }
    }
}
