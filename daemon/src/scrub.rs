//! The scrub (`store.scrub`): media read back and compared, so many bytes a second, behind all else.
//!
//! Called by `run`; calls the store, which reads, judges and marks. A thread of its own at the lowest
//! priority, since that is a thread's for good. It stands still while the load is such that encoders
//! wait. How far it is is written down every minute and at the end.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use reeld_model::{Load, Step};
use reeld_store::{Scrub, Store, StoreError};

use crate::aside::Aside;
use crate::clock;

/// Steps a second: a step is a fraction of what a second may read, so that no reader waits long.
const STEPS: u32 = 10;

/// How often it is written down how far it is.
const SAVE: Duration = Duration::from_secs(60);

/// The lowest priority that there is.
const NICENESS: i32 = 19;

/// Starts it; with `bytes` of 0 there is none.
///
/// # Errors
/// Where the system gives no thread.
pub(crate) fn start(
    store: Store,
    bytes: u64,
    every: Duration,
    load: Load,
) -> anyhow::Result<Option<Aside>> {
    if bytes == 0 {
        return Ok(None);
    }
    let scrubber = Aside::start("reeld-scrub", move |stopped| {
        if let Err(error) = rustix::process::nice(NICENESS) {
            tracing::warn!(%error, "the scrub runs at full priority");
        }
        let mut saved = Instant::now();
        let mut scrub = None;
        let pause = Duration::from_secs(1) / STEPS;
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause) {
            if load.verdict().step > Step::Free {
                continue;
            }
            if let Err(error) = step(&store, &mut scrub, every, bytes, &mut saved) {
                tracing::error!(%error, "the scrub cannot go on now");
                // From where it was written down last, once it can.
                scrub = None;
                if let Ok(()) | Err(RecvTimeoutError::Disconnected) = stopped.recv_timeout(SAVE) {
                    break;
                }
            }
        }
        if let Some(Err(error)) = scrub.as_ref().map(Scrub::save) {
            tracing::warn!(%error, "the scrub's place is not kept");
        }
    })?;
    Ok(Some(scrubber))
}

/// One step; what it finds the store has logged and marked.
fn step(
    store: &Store,
    scrub: &mut Option<Scrub>,
    every: Duration,
    bytes: u64,
    saved: &mut Instant,
) -> Result<(), StoreError> {
    let scrub = match scrub {
        Some(scrub) => scrub,
        None => scrub.insert(Scrub::resume(store.clone(), every)?),
    };
    let done = scrub.step((bytes / u64::from(STEPS)).max(1), clock::unix_ms())?;
    if done.is_over {
        tracing::info!(
            damaged = store.health().damaged,
            "the scrub has been through everything"
        );
    }
    if done.is_over || saved.elapsed() >= SAVE {
        scrub.save()?;
        *saved = Instant::now();
    }
    Ok(())
}
