//! Crashes on purpose: callers who live through them, what they were told, and an inquest after each.
//!
//! Called by `tests/tests/torture.rs` (kill -9), `tests/tests/power_loss.rs` (torn states) and, in
//! part, by `tests/tests/soak.rs`. [`caller`] starts, plays, stops, encodes and deletes, and writes
//! what it was told into the [`ledger`]; [`inquest`] holds the daemon that comes up again to it;
//! [`disk_log`] and [`torn`] make the states of a data folder that a power loss can leave; [`tally`]
//! counts all of it in a file, so that a long run can be taken up where it was left.
//!
//! Time within a run is a [`Mark`]: how far the log of the disk had come. What was told before a
//! mark is told of a disk that had at least that much of it. Where no disk is logged, every mark
//! is 0 and the crash comes at the end of all time.

pub mod caller;
pub mod disk_log;
pub mod inquest;
pub mod ledger;
pub mod tally;
pub mod torn;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many bytes of the disk's log there were.
pub type Mark = u64;

/// Where marks come from: the log's length, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<PathBuf>);

impl Clock {
    /// By the length of this log.
    #[must_use]
    pub fn of_log(path: &Path) -> Self {
        Self(Some(path.to_owned()))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Mark {
        let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |meta| meta.len());
        self.0.as_ref().map_or(0, length)
    }
}

/// Whether packets of 20 ms went out so unevenly that some came later than the reorder window of 200 ms
/// allows: a machine that is too busy for its senders is not the daemon's fault.
#[must_use]
pub fn was_late(sent: &[Instant]) -> bool {
    let lateness = (0_u32..).zip(sent).map(|(number, at)| {
        let due = sent[0] + Duration::from_millis(20) * number;
        at.saturating_duration_since(due)
    });
    lateness.max().unwrap_or_default() > Duration::from_millis(100)
}

/// A crash: what the disk had, and when it was.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    /// The disk's log up to here may be on the disk.
    pub mark: Mark,
    /// When. Packets that were sent well before were heard.
    pub at: Instant,
}

impl Crash {
    /// A kill -9, now: the page cache keeps all that was written.
    #[must_use]
    pub fn kill() -> Self {
        Self {
            mark: Mark::MAX,
            at: Instant::now(),
        }
    }
}
