//! What media threads and the switchboard share: routes, ports, room for recordings, and the
//! numbers that gauges are made of.
//!
//! Nothing here is touched for a packet; progress is written once a tick.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reeld_model::{Gauges, Mono, TrackStats};

use crate::clock::monotonic;
use crate::leg::Binding;
use crate::ports::lock;
use crate::quota::Quota;
use crate::routes::SharedRoutes;

/// Shared by all threads of one switchboard.
pub(crate) struct Shared {
    /// Which thread has which call.
    pub(crate) routes: SharedRoutes,
    /// Where sockets are bound.
    pub(crate) binding: Binding,
    /// Room for recordings.
    pub(crate) quota: Arc<Quota>,
    /// What each call is opened with.
    pub(crate) call_settings: Arc<reeld_capture::Settings>,
    /// Whether the daemon is stopping.
    pub(crate) stopping: Arc<AtomicBool>,
    /// One for each media thread.
    pub(crate) threads: Vec<Progress>,
    overrun_frames: AtomicU64,
}

impl Shared {
    /// Nothing open yet, for `threads` threads.
    pub(crate) fn new(
        binding: Binding,
        quota: Quota,
        call_settings: reeld_capture::Settings,
        threads: usize,
    ) -> Self {
        Self {
            routes: SharedRoutes::new(threads),
            binding,
            quota: Arc::new(quota),
            call_settings: Arc::new(call_settings),
            stopping: Arc::default(),
            threads: (0..threads).map(|_| Progress::new()).collect(),
            overrun_frames: AtomicU64::new(0),
        }
    }

    /// Whether the daemon is stopping.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Frames became silence for want of room.
    pub(crate) fn count_overrun(&self, frames: u64) {
        self.overrun_frames.fetch_add(frames, Ordering::Relaxed);
    }

    /// The capture side as it was on the threads' last ticks.
    pub(crate) fn gauges(&self) -> Gauges {
        let mut totals = TrackStats::default();
        for thread in &self.threads {
            totals.add(&thread.totals.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let (free_port_pairs, elsewhere) = {
            let mut ports = lock(&self.binding.ports);
            (ports.free(monotonic()), ports.elsewhere())
        };
        Gauges {
            calls: self
                .threads
                .iter()
                .map(|thread| thread.calls.load(Ordering::Relaxed))
                .sum(),
            recordings: self.quota.taken(),
            max_recordings: self.quota.most(),
            free_port_pairs,
            ports_in_use_elsewhere: elsewhere as u64,
            shutting_down: self.is_stopping(),
            totals,
            overrun_frames: self.overrun_frames.load(Ordering::Relaxed),
        }
    }
}

/// How a media thread is getting on.
pub(crate) struct Progress {
    /// Its last tick, as [`Mono`]'s nanoseconds.
    ticked: AtomicU64,
    /// Whether it has panicked.
    dead: AtomicBool,
    calls: AtomicUsize,
    /// Sums over its calls, ended ones too, at the last [`Progress::publish`].
    totals: Mutex<TrackStats>,
}

impl Progress {
    fn new() -> Self {
        Self {
            ticked: AtomicU64::new(monotonic().0),
            dead: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            totals: Mutex::default(),
        }
    }

    /// A tick is done.
    pub(crate) fn tick(&self, now: Mono) {
        self.ticked.store(now.0, Ordering::Relaxed);
    }

    /// The thread has so many calls.
    pub(crate) fn set_calls(&self, calls: usize) {
        self.calls.store(calls, Ordering::Relaxed);
    }

    /// All that the thread has counted.
    pub(crate) fn publish(&self, totals: TrackStats) {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner) = totals;
    }

    /// The thread has panicked; its calls are gone.
    pub(crate) fn died(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.set_calls(0);
    }

    /// Whether it has ticked within `within` of `now`.
    pub(crate) fn alive(&self, now: Mono, within: Duration) -> bool {
        !self.dead.load(Ordering::Relaxed)
            && now.since(Mono(self.ticked.load(Ordering::Relaxed))) <= within
    }
}
