//! How much the daemon has to do, as it is measured, and what is put off or refused for it.
//!
//! `ingest` judges the readings and sets the [`Load`]; `api` looks at it before a recording is begun
//! or a file encoded, and shows it. Overload has an order ([`Step`]): what is being recorded is never
//! touched.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readings {
    /// By how much a media thread's ticks are late, smoothed over seconds; of the worst thread.
    pub tick_lag: Duration,
    /// Bytes of sound between media threads and disk.
    pub backlog_bytes: u64,
    /// Bytes of it that there may be: `capture.backlog_bytes`.
    pub backlog_most: u64,
    /// How long the oldest of it has waited.
    pub oldest_block: Duration,
    /// How long the disk has taken so far over what it is asked to make durable.
    pub longest_sync: Duration,
    /// Recordings that have ended and are not durable yet.
    pub ends: u64,
    /// Of these, as many as are waited for by nobody.
    pub most_ends: u64,
    /// Bytes of memory in use: the process's own where its control group has a limit, else the
    /// machine's.
    pub memory_used: u64,
    /// Bytes of that memory that there are; 0 where nobody says so.
    pub memory_most: u64,
    /// Packets that the kernel has dropped at media sockets since the start.
    pub kernel_dropped: u64,
}

/// What is put off and refused, each step with all of those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Nothing.
    #[default]
    Free,
    /// Encoders wait.
    EncodersWait,
    /// No encoding is begun.
    NoEncodes,
    /// No recording is begun.
    NoRecordings,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 4] = [
        Self::Free,
        Self::EncodersWait,
        Self::NoEncodes,
        Self::NoRecordings,
    ];
}

/// Which reading led to a step, with what was measured then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Media threads are behind.
    TickLag(Duration),
    /// Media threads are behind, and the kernel drops packets.
    Drops(u64),
    /// Much waits for the disk.
    Backlog {
        /// Bytes that wait.
        bytes: u64,
        /// Bytes that may.
        most: u64,
    },
    /// The disk takes nothing in.
    OldestBlock(Duration),
    /// The disk makes nothing durable.
    LongestSync(Duration),
    /// Ends wait for the disk.
    Ends(u64),
    /// Little memory is left.
    Memory {
        /// Bytes in use.
        used: u64,
        /// Bytes that there are.
        most: u64,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TickLag(lag) => {
                write!(f, "media threads are {} ms behind", lag.as_millis())
            }
            Self::Drops(packets) => write!(
                f,
                "media threads are behind and the kernel has dropped {packets} packets"
            ),
            Self::Backlog { bytes, most } => write!(
                f,
                "{bytes} of {most} bytes wait for the disk (capture.backlog_bytes)"
            ),
            Self::OldestBlock(age) => write!(
                f,
                "sound has waited {:.1} s for the disk",
                age.as_secs_f64()
            ),
            Self::LongestSync(age) => write!(
                f,
                "the disk has taken {:.1} s to make something durable",
                age.as_secs_f64()
            ),
            Self::Ends(recordings) => {
                write!(f, "{recordings} ended recordings wait for the disk")
            }
            Self::Memory { used, most } => {
                write!(f, "{used} of {most} bytes of memory are in use")
            }
        }
    }
}

/// What follows from the readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What is put off or refused.
    pub step: Step,
    /// Why; `None` for [`Step::Free`] alone.
    pub cause: Option<Cause>,
    /// The last readings.
    pub readings: Readings,
}

impl Verdict {
    /// Why there is no recording to begin, where that is so.
    #[must_use]
    pub fn refuses_recordings(&self) -> Option<Cause> {
        self.cause.filter(|_| self.step >= Step::NoRecordings)
    }

    /// Why there is no encoding to begin, where that is so.
    #[must_use]
    pub fn refuses_encodes(&self) -> Option<Cause> {
        self.cause.filter(|_| self.step >= Step::NoEncodes)
    }
}

/// The last verdict, shared: clones are the same. Nothing is asked for it but a lock that is held for
/// as long as it takes to copy it.
#[derive(Debug, Clone, Default)]
pub struct Load(Arc<Mutex<Verdict>>);

impl Load {
    /// The last verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets it.
    pub fn set(&self, verdict: Verdict) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = verdict;
    }
}
