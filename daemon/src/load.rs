//! The load: what there is to do is measured a few times a second and judged.
//!
//! Called by `run`, which starts it once the recorder and the media threads run. Nothing is decided
//! here: the recorder says what waits for the disk, `memory` what is in use, and `ingest` judges that
//! with what it measures itself (`ingest::admission`).
//!
//! A thread of its own, since what makes others late is what it has to see.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use reeld_ingest::{Outside, Switchboard};

use crate::aside::Aside;
use crate::memory::Memory;

/// How often. A stall is found out a fifth of a second after it counts.
const EVERY: Duration = Duration::from_millis(200);

/// Starts it; `waits` says what waits for the disk.
///
/// # Errors
/// Where the system gives no thread.
pub(crate) fn watch(
    switchboard: Switchboard,
    memory: Memory,
    waits: impl Fn() -> Outside + Send + 'static,
) -> anyhow::Result<Aside> {
    Aside::start("reeld-load", move |stopped| {
        loop {
            switchboard.weigh(Outside {
                memory_used: memory.used(),
                memory_most: memory.most(),
                ..waits()
            });
            match stopped.recv_timeout(EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    })
}
