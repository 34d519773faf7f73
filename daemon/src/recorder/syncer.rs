//! The syncer: makes what was appended durable, once an interval for all takes.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Shared;
use crate::clock;

/// Runs until the recorder stops.
pub(super) fn run(shared: &Shared, interval: Duration) {
    let mut next = Instant::now() + interval;
    while !shared.stopping.load(Ordering::Acquire) {
        std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + interval;
        if !shared.dirty.swap(false, Ordering::AcqRel) {
            continue;
        }
        let since = clock::monotonic_ns();
        shared.syncing_since.store(since, Ordering::Relaxed);
        let synced = shared.store.sync_takes();
        shared.syncing_since.store(0, Ordering::Relaxed);
        if let Err(error) = synced {
            // The next round tries again.
            shared.dirty.store(true, Ordering::Release);
            tracing::error!(%error, "takes cannot be synced: a power loss would cost more");
        }
    }
}
