//! What is put off or refused for what there is to do: readings → [`Verdict`].
//!
//! `switchboard` gives it readings a few times a second and puts its verdict where `api` looks. It is
//! told the time and the readings and asks nobody. A reading is a pressure, in thousandths of what
//! new recordings are refused at, and the greatest of all pressures counts. A step is taken at once
//! and taken back after [`HOLD`] of clearly less, so that it does not flap.
//!
//! No threshold is a number of recordings: `capture.max_recordings` is the hard cap beside this
//! (`quota`).

use std::collections::VecDeque;
use std::time::Duration;

use reeld_model::{Cause, Mono, Readings, Step, Verdict};

use crate::TICK;

/// What is measured outside of this crate, as in [`Readings`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outside {
    /// [`Readings::oldest_block`].
    pub oldest_block: Duration,
    /// [`Readings::longest_sync`].
    pub longest_sync: Duration,
    /// [`Readings::ends`].
    pub ends: u64,
    /// [`Readings::most_ends`].
    pub most_ends: u64,
    /// [`Readings::memory_used`].
    pub memory_used: u64,
    /// [`Readings::memory_most`].
    pub memory_most: u64,
}

/// The pressure at which new recordings are refused.
const FULL: u64 = 1_000;

/// The pressure at which each step is taken. What encoders take from capture and disk comes first,
/// in time to be of use.
const TAKEN_AT: [(Step, u64); 3] = [
    (Step::NoRecordings, FULL),
    (Step::NoEncodes, 750),
    (Step::EncodersWait, 500),
];

/// A step is taken back below this share of the pressure that it is taken at, in thousandths.
const MARGIN: u64 = 800;

/// For how long the pressure must have been below that.
const HOLD: Duration = Duration::from_secs(2);

/// Ticks that are late by this much, on the average of seconds: each takes three and a half times as
/// long as it may. A socket's buffer holds 5 s of G.711, so nothing is lost yet, but a crash would cost more
/// than is promised.
const MOST_LAG: Duration = Duration::from_millis(250);

/// Of the backlog's bytes: the other half is for those who are being recorded.
const BACKLOG_SHARE: u64 = 2;

/// A block has a second of sound and is written within milliseconds of it. Where one waits for two
/// more, the disk does not take in what there is.
const OLDEST: Duration = Duration::from_secs(2);

/// A sync has a second's sound to make durable (`capture.fsync`). Nothing waits for it but answers
/// and ends, so it may take longer than a block.
const LONGEST_SYNC: Duration = Duration::from_secs(5);

/// Thousandths of the memory that are left where nothing weighs, and where no recording is begun.
/// Below a few hundredths the kernel reclaims what is in use, and ends processes soon.
const MEMORY_LEFT: (u64, u64) = (120, 50);

/// For how long the kernel's drops count.
const DROPS_COUNT: Duration = Duration::from_secs(10);

/// The judge.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    verdict: Verdict,
    /// Since when the pressure is clearly below what the step was taken at.
    calm_since: Option<Mono>,
    /// When the kernel had dropped how many packets, over [`DROPS_COUNT`].
    dropped: VecDeque<(Mono, u64)>,
}

impl Judge {
    /// What follows from the readings at `now`.
    pub(crate) fn handle_readings(&mut self, now: Mono, readings: Readings) -> Verdict {
        let drops = self.drops(now, readings.kernel_dropped);
        let (pressure, cause) = worst(&readings, drops);
        let Verdict { step, .. } = self.verdict;
        let reached = step_at(pressure);
        if reached >= step {
            self.calm_since = None;
            self.verdict.step = reached;
            self.verdict.cause = cause.filter(|_| reached > Step::Free);
        } else {
            let kept = step_at(pressure.saturating_mul(FULL) / MARGIN);
            if kept < step {
                let since = *self.calm_since.get_or_insert(now);
                if now.since(since) >= HOLD {
                    self.calm_since = None;
                    self.verdict.step = kept;
                    self.verdict.cause = cause.filter(|_| kept > Step::Free);
                }
            } else {
                self.calm_since = None;
            }
        }
        self.verdict.readings = readings;
        self.verdict
    }

    /// Packets that the kernel dropped in the last [`DROPS_COUNT`].
    fn drops(&mut self, now: Mono, total: u64) -> u64 {
        self.dropped.push_back((now, total));
        while self
            .dropped
            .get(1)
            .is_some_and(|(then, _)| now.since(*then) >= DROPS_COUNT)
        {
            self.dropped.pop_front();
        }
        let first = self.dropped.front().map_or(total, |(_, total)| *total);
        total.saturating_sub(first)
    }
}

/// The step that is taken at a pressure.
fn step_at(pressure: u64) -> Step {
    TAKEN_AT
        .into_iter()
        .find(|(_, at)| pressure >= *at)
        .map_or(Step::Free, |(step, _)| step)
}

/// The greatest pressure and what makes it.
fn worst(of: &Readings, drops: u64) -> (u64, Option<Cause>) {
    let left = of.memory_most.saturating_sub(of.memory_used);
    let left = share(left, of.memory_most).unwrap_or(FULL);
    let (free, full) = MEMORY_LEFT;
    // A sender can flood its own socket, and that is no reason to refuse others; but where media
    // threads are behind too, it is they who lose packets.
    let drops_weigh = drops > 0 && of.tick_lag >= TICK / 2;
    [
        (
            share(nanos(of.tick_lag), nanos(MOST_LAG)),
            Cause::TickLag(of.tick_lag),
        ),
        (drops_weigh.then_some(FULL), Cause::Drops(drops)),
        (
            share(of.backlog_bytes, of.backlog_most / BACKLOG_SHARE),
            Cause::Backlog {
                bytes: of.backlog_bytes,
                most: of.backlog_most,
            },
        ),
        (
            share(nanos(of.oldest_block), nanos(OLDEST)),
            Cause::OldestBlock(of.oldest_block),
        ),
        (
            share(nanos(of.longest_sync), nanos(LONGEST_SYNC)),
            Cause::LongestSync(of.longest_sync),
        ),
        (share(of.ends, of.most_ends), Cause::Ends(of.ends)),
        (
            share(free.saturating_sub(left), free - full),
            Cause::Memory {
                used: of.memory_used,
                most: of.memory_most,
            },
        ),
    ]
    .into_iter()
    .filter_map(|(pressure, cause)| Some((pressure?, Some(cause))))
    .max_by_key(|(pressure, _)| *pressure)
    .unwrap_or((0, None))
}

/// Thousandths that `part` is of `whole`; `None` where there is no whole.
fn share(part: u64, whole: u64) -> Option<u64> {
    let thousandths = u128::from(part) * u128::from(FULL) / u128::from(whole.max(1));
    (whole > 0).then(|| u64::try_from(thousandths).unwrap_or(u64::MAX))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
