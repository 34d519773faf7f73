//! What media threads and the switchboard share: routes, ports, room for recordings and their sound,
//! and the numbers that gauges and readings are made of.
//!
//! Nothing here is touched for a packet; progress is written once a tick.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reeld_model::{Gauges, Load, Mono, Readings, TrackStats};

use crate::TICK;
use crate::admission::{Judge, Outside};
use crate::backlog::Backlog;
use crate::clock::monotonic;
use crate::handover::HandedCall;
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
    /// Room for sound on its way to the disk.
    pub(crate) backlog: Arc<Backlog>,
    /// What is refused for what there is to do.
    pub(crate) load: Load,
    judge: Mutex<Judge>,
    /// What each call is opened with.
    pub(crate) call_settings: Arc<reeld_capture::Settings>,
    /// Whether the daemon is stopping.
    pub(crate) stopping: Arc<AtomicBool>,
    /// Whether open ports are to be closed, with their calls.
    pub(crate) closing_open_ports: AtomicBool,
    /// Whether calls that are open at the stop are kept for another process, and those that were.
    pub(crate) handing_over: AtomicBool,
    handed: Mutex<Vec<HandedCall>>,
    /// One for each media thread.
    pub(crate) threads: Vec<Progress>,
    overrun_frames: AtomicU64,
}

impl Shared {
    /// Nothing open yet, for `threads` threads.
    pub(crate) fn new(
        binding: Binding,
        quota: Quota,
        backlog: Backlog,
        call_settings: reeld_capture::Settings,
        threads: usize,
    ) -> Self {
        Self {
            routes: SharedRoutes::new(threads),
            binding,
            quota: Arc::new(quota),
            backlog: Arc::new(backlog),
            load: Load::default(),
            judge: Mutex::default(),
            call_settings: Arc::new(call_settings),
            stopping: Arc::default(),
            closing_open_ports: AtomicBool::new(false),
            handing_over: AtomicBool::new(false),
            handed: Mutex::default(),
            threads: (0..threads).map(|_| Progress::new()).collect(),
            overrun_frames: AtomicU64::new(0),
        }
    }

    /// Whether the daemon is stopping.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether calls that are open at the stop are kept for another process.
    pub(crate) fn hands_over(&self) -> bool {
        self.handing_over.load(Ordering::Relaxed)
    }

    /// The calls that were kept.
    pub(crate) fn handed(&self) -> MutexGuard<'_, Vec<HandedCall>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frames became silence for want of room.
    pub(crate) fn count_overrun(&self, frames: u64) {
        self.overrun_frames.fetch_add(frames, Ordering::Relaxed);
    }

    /// Sums over the threads' calls, as they were on their last ticks.
    fn totals(&self) -> TrackStats {
        let mut totals = TrackStats::default();
        for thread in &self.threads {
            totals.add(&thread.totals.lock().unwrap_or_else(PoisonError::into_inner));
        }
        totals
    }

    /// Judges what is measured here and outside, and makes it known.
    pub(crate) fn weigh(&self, outside: Outside) {
        let Outside {
            oldest_block,
            longest_sync,
            ends,
            most_ends,
            memory_used,
            memory_most,
        } = outside;
        let now = monotonic();
        let lags = self.threads.iter().map(|thread| thread.lag(now));
        let readings = Readings {
            tick_lag: lags.max().unwrap_or_default(),
            backlog_bytes: self.backlog.bytes(),
            backlog_most: self.backlog.most(),
            oldest_block,
            longest_sync,
            ends,
            most_ends,
            memory_used,
            memory_most,
            kernel_dropped: self.totals().kernel_dropped,
        };
        let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.load.verdict();
        let verdict = judge.handle_readings(now, readings);
        self.load.set(verdict);
        if verdict.step > before.step
            && let Some(cause) = verdict.cause
        {
            tracing::warn!(step = ?verdict.step, %cause, "there is more to do than is good");
        } else if verdict.step < before.step {
            tracing::info!(step = ?verdict.step, "there is less to do again");
        }
    }

    /// The capture side as it was on the threads' last ticks.
    pub(crate) fn gauges(&self) -> Gauges {
        let totals = self.totals();
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

/// The time over which a thread's lag is smoothed: a machine that stands still for 300 ms is 33 ms
/// behind, and one that stays behind is found out within seconds.
const SMOOTHED_OVER: Duration = Duration::from_secs(2);

/// How a media thread is getting on.
pub(crate) struct Progress {
    /// Its last tick, as [`Mono`]'s nanoseconds.
    ticked: AtomicU64,
    /// By how many nanoseconds its ticks are late, smoothed. The thread alone writes it.
    lag: AtomicU64,
    /// Whether it has panicked.
    dead: AtomicBool,
    calls: AtomicUsize,
    /// Whether it has open ports.
    has_open_ports: AtomicBool,
    /// Sums over its calls, ended ones too, at the last [`Progress::publish`].
    totals: Mutex<TrackStats>,
}

impl Progress {
    fn new() -> Self {
        Self {
            ticked: AtomicU64::new(monotonic().0),
            lag: AtomicU64::new(0),
            dead: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            has_open_ports: AtomicBool::new(false),
            totals: Mutex::default(),
        }
    }

    /// A tick is done.
    pub(crate) fn tick(&self, now: Mono) {
        let lag = self.lag(now);
        let lag = u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX);
        self.lag.store(lag, Ordering::Relaxed);
        self.ticked.store(now.0, Ordering::Relaxed);
    }

    /// By how much its ticks are late, smoothed: what it would be, were a tick done now. A thread that
    /// stands still is later and later.
    pub(crate) fn lag(&self, now: Mono) -> Duration {
        if self.dead.load(Ordering::Relaxed) {
            // The watchdog's affair; the other threads take calls.
            return Duration::ZERO;
        }
        let before = Duration::from_nanos(self.lag.load(Ordering::Relaxed));
        let since = now.since(Mono(self.ticked.load(Ordering::Relaxed)));
        if since < TICK {
            // The next one is not due.
            return before;
        }
        let late = since - TICK;
        let weight = since.as_secs_f64() / (since + SMOOTHED_OVER).as_secs_f64();
        before.mul_f64(1.0 - weight) + late.mul_f64(weight)
    }

    /// The thread has so many calls.
    pub(crate) fn set_calls(&self, calls: usize) {
        self.calls.store(calls, Ordering::Relaxed);
    }

    /// Whether the thread has open ports.
    pub(crate) fn set_open_ports(&self, has: bool) {
        self.has_open_ports.store(has, Ordering::Release);
    }

    /// Whether it lives and has open ports.
    pub(crate) fn has_open_ports(&self) -> bool {
        !self.dead.load(Ordering::Relaxed) && self.has_open_ports.load(Ordering::Acquire)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Lag after ticks this long, for so long.
    fn lag(each: Duration, over: Duration) -> Duration {
        let progress = Progress::new();
        let mut now = Mono(1 << 50);
        progress.ticked.store(now.0, Ordering::Relaxed);
        let end = now + over;
        while now < end {
            now = now + each;
            progress.tick(now);
        }
        progress.lag(now)
    }

    #[test]
    fn lag_is_what_ticks_take_too_long_and_one_alone_is_little() {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        assert_eq!(lag(TICK, s(60)), Duration::ZERO);
        let behind = lag(TICK + ms(300), s(20));
        assert!((ms(295)..=ms(300)).contains(&behind), "{behind:?}");
        let once = lag(TICK + ms(250), TICK + ms(250));
        assert!((ms(30)..=ms(45)).contains(&once), "{once:?}");
    }

    #[test]
    fn a_thread_that_stands_still_is_later_and_later_and_recovers() {
        let progress = Progress::new();
        let start = Mono(1 << 50);
        progress.ticked.store(start.0, Ordering::Relaxed);
        let after = |s| progress.lag(start + Duration::from_secs(s));
        assert!(after(1) > Duration::from_millis(250) && after(5) > Duration::from_secs(3));
        let mut now = start + Duration::from_secs(5);
        progress.tick(now);
        for _ in 0..400 {
            now = now + TICK;
            progress.tick(now);
        }
        assert!(progress.lag(now) < Duration::from_millis(1));
    }
}
