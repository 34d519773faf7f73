//! The machine's two clocks, read together, so that the kernel's wall-clock receive stamps become
//! monotonic instants.
//!
//! `inlet` maps each packet's stamp here; `thread` and `ports` read the time here. No other file of
//! this crate reads a clock.
//!
//! SO_TIMESTAMPNS gives CLOCK_REALTIME, which an operator or NTP may step. Each packet came between
//! the last time its socket was found empty and now, so a stamp that maps outside of that is one
//! from before a step: it is mapped by the offset from before, else clamped. A stepped wall clock
//! therefore moves no sample by more than the time between two drains.

use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use reeld_model::Mono;

/// A pair of readings that took longer than this was interrupted between them and is taken again.
const TOGETHER: Duration = Duration::from_micros(100);

/// A packet is stamped before it is put into the socket's queue; between the two another may find
/// the queue empty. 10 ms is more than a busy soft interrupt needs.
const QUEUEING: Duration = Duration::from_millis(10);

/// CLOCK_MONOTONIC now.
#[must_use]
pub fn monotonic() -> Mono {
    Mono(u64::try_from(nanos(ClockId::CLOCK_MONOTONIC)).unwrap_or(0))
}

/// CLOCK_REALTIME now, in milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> i64 {
    nanos(ClockId::CLOCK_REALTIME) / 1_000_000
}

/// A time stamp of the kernel's in nanoseconds since its clock's start.
pub(crate) fn stamp_nanos(stamp: TimeSpec) -> i64 {
    stamp
        .tv_sec()
        .saturating_mul(1_000_000_000)
        .saturating_add(stamp.tv_nsec())
}

fn nanos(clock: ClockId) -> i64 {
    stamp_nanos(
        clock_gettime(clock).expect("Linux has had both clocks since 2.6 and refuses neither"),
    )
}

/// How far the wall clock is ahead of the monotonic one, now and before its last step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offset {
    now: i64,
    before: i64,
}

impl Offset {
    /// Reads both clocks.
    pub(crate) fn read() -> Self {
        let now = read_together();
        Self { now, before: now }
    }

    /// Reads both clocks again. A slew moves the offset by microseconds, which replaces it; a jump
    /// keeps the offset from before for the packets that were stamped then.
    pub(crate) fn refresh(&mut self) {
        self.follow(read_together());
    }

    fn follow(&mut self, now: i64) {
        if now.abs_diff(self.now) > 1_000_000 {
            self.before = self.now;
        }
        self.now = now;
    }

    /// When a packet with the wall-clock stamp `stamp` (nanoseconds) came: not before the socket
    /// was `emptied`, not after `now`. Without a stamp, `now`.
    pub(crate) fn arrival(&mut self, stamp: Option<i64>, emptied: Mono, now: Mono) -> Mono {
        self.arrival_by(stamp, emptied, now, read_together)
    }

    /// The same with the clocks read by `reread`, where they are read.
    fn arrival_by(
        &mut self,
        stamp: Option<i64>,
        emptied: Mono,
        now: Mono,
        reread: impl FnOnce() -> i64,
    ) -> Mono {
        let Some(stamp) = stamp else { return now };
        let earliest = emptied - QUEUEING;
        self.place(stamp, earliest, now).unwrap_or_else(|| {
            self.follow(reread());
            self.place(stamp, earliest, now)
                .unwrap_or_else(|| Mono(at(stamp, self.now).clamp(earliest.0, now.0)))
        })
    }

    fn place(&self, stamp: i64, earliest: Mono, now: Mono) -> Option<Mono> {
        [self.now, self.before]
            .into_iter()
            .map(|offset| Mono(at(stamp, offset)))
            .find(|place| (earliest..=now).contains(place))
    }
}

/// The monotonic instant of a wall-clock stamp.
fn at(stamp: i64, offset: i64) -> u64 {
    u64::try_from(stamp.saturating_sub(offset)).unwrap_or(0)
}

/// CLOCK_REALTIME less CLOCK_MONOTONIC, in nanoseconds.
fn read_together() -> i64 {
    let mut attempts = 0;
    loop {
        let before = nanos(ClockId::CLOCK_MONOTONIC);
        let real = nanos(ClockId::CLOCK_REALTIME);
        let after = nanos(ClockId::CLOCK_MONOTONIC);
        attempts += 1;
        if Duration::from_nanos(after.abs_diff(before)) <= TOGETHER || attempts == 3 {
            return real - before - (after - before) / 2;
        }
    }
}

#[cfg(test)]
mod tests;
