//! The load: what there is to do is measured a few times a second and judged.
//!
//! Called by `run`, which starts it once the recorder and the media threads run. Nothing is decided
//! here: the recorder says what waits for the disk, `memory` what is in use, and `ingest` judges that
//! with what it measures itself (`ingest::admission`).
//!
//! A thread of its own, since what makes others late is what it has to see.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use reeld_ingest::{Outside, Switchboard};

use crate::memory::Memory;

/// How often. A stall is found out a fifth of a second after it counts.
const EVERY: Duration = Duration::from_millis(200);

/// The thread. Dropped, it ends.
pub(crate) struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts it; `waits` says what waits for the disk.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn start(
        switchboard: Switchboard,
        memory: Memory,
        waits: impl Fn() -> Outside + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let work = move || {
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
        };
        let thread = std::thread::Builder::new()
            .name("reeld-load".to_owned())
            .spawn(work)
            .context("cannot start the thread reeld-load")?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the thread that measures the load panicked");
        }
    }
}
