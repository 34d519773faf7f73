//! What is encoded before anybody asks for it: recordings that have just ended, in idle time only.
//!
//! Where `encode.eager` names a format, [`super::Encoder::new`] starts one thread that calls [`run`].
//! The recorder tells of each end (`Api::ended`), which puts it into [`Backlog`]. Their files are what a request
//! would have made, so a request finds them in the folder.
//!
//! Nothing waits for this thread. It begins only while no request waits for an encoder or has one, and
//! stands still, a piece of sound at the most later, while one does. A request for the file that it is
//! making joins it, as it joins a request's, and from then on it does not stand still any more.
//!
//! Bounded: one thread, [`MOST`] recordings of 32 bytes, one file at a time. When it is full, those
//! that end are not taken, and counted: their files are still made on demand. It lives in memory alone,
//! so nothing is made of recordings that ended before a restart.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError};

use reeld_model::{AccountSid, RecordingSid};

use super::growing::Growing;
use super::worker::{self, Broken};
use super::{FetchError, Format, Inner, Job, Plan, Shared, priority};

#[cfg(test)]
mod tests;

/// Recordings that wait at the most: what one thread makes of them, three minutes of two channels
/// each, it makes in some minutes.
const MOST: usize = 1_024;

/// A recording that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) account: AccountSid,
    pub(crate) sid: RecordingSid,
}

/// Says what a file of a recording is made of; `None` where it is gone.
pub(crate) type Find = Box<dyn Fn(Ended, Format) -> Result<Option<Plan>, FetchError> + Send + Sync>;

/// What is to be made.
pub(crate) struct Eager {
    pub(crate) formats: Vec<Format>,
    pub(crate) find: Find,
}

/// What came of what was to be made.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    waiting: AtomicU64,
    made: AtomicU64,
    dropped: AtomicU64,
    skipped: AtomicU64,
    failed: AtomicU64,
}

impl Figures {
    /// Recordings that wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Since the start, by result: files that were made; recordings for which there was no room; files
    /// that need not or cannot be made (asked for meanwhile, deleted, no such rate, a full disk);
    /// files whose making failed.
    pub(crate) fn results(&self) -> [(&'static str, u64); 4] {
        [
            ("made", &self.made),
            ("dropped", &self.dropped),
            ("skipped", &self.skipped),
            ("failed", &self.failed),
        ]
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

/// Where recordings wait that have ended.
pub(super) struct Backlog(SyncSender<Ended>);

impl Backlog {
    pub(super) fn new() -> (Self, Receiver<Ended>) {
        let (sender, receiver) = sync_channel(MOST);
        (Self(sender), receiver)
    }

    /// Takes one more, if there is room. It waits for nobody, and the pool's lock, which a thread at nice
    /// 19 may hold for long, is not taken.
    pub(super) fn put(&self, ended: Ended, figures: &Figures) {
        figures.waiting.fetch_add(1, Ordering::Relaxed);
        match self.0.try_send(ended) {
            Ok(()) => {}
            // Disconnected: the thread has died, which is logged at the end.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                figures.waiting.fetch_sub(1, Ordering::Relaxed);
                figures.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Encodes what waits, until the pool ends.
pub(super) fn run(shared: &Shared, eager: &Eager, backlog: &Receiver<Ended>) {
    priority::lower();
    while let Ok(ended) = backlog.recv() {
        shared.eager.waiting.fetch_sub(1, Ordering::Relaxed);
        for &format in &eager.formats {
            let count = match make(shared, eager, ended, format) {
                Ok(Made::Whole) => &shared.eager.made,
                Ok(Made::NotNeeded) => &shared.eager.skipped,
                Ok(Made::Stopping) => return,
                Err(error) => {
                    let format = format.extension();
                    tracing::error!(sid = %ended.sid, format, %error, "a recording could not be encoded");
                    &shared.eager.failed
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What came of a file.
enum Made {
    Whole,
    NotNeeded,
    Stopping,
}

/// Why a file was not made.
#[derive(Debug, thiserror::Error)]
enum EagerError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the cache of encoded files: {0}")]
    Cache(#[from] io::Error),
    #[error(transparent)]
    Broken(#[from] Broken),
}

fn make(shared: &Shared, eager: &Eager, ended: Ended, format: Format) -> Result<Made, EagerError> {
    if wait(shared, None).is_err() {
        return Ok(Made::Stopping);
    }
    let Some(plan) = (eager.find)(ended, format)? else {
        return Ok(Made::NotNeeded);
    };
    let Some(job) = begin(shared, plan)? else {
        return Ok(Made::NotNeeded);
    };
    let growing = Arc::clone(&job.growing);
    match worker::carry_out(shared, job, || wait(shared, Some(&growing))) {
        Ok(()) => Ok(Made::Whole),
        Err(Broken::Stopping) => Ok(Made::Stopping),
        Err(Broken::Forgotten) => Ok(Made::NotNeeded),
        Err(error) => Err(error.into()),
    }
}

/// Makes a job of a plan, unless its file is there, is being made, or cannot be.
fn begin(shared: &Shared, plan: Plan) -> Result<Option<Job>, EagerError> {
    let Plan {
        key,
        rate_hz,
        frames,
        open,
    } = plan;
    let Ok(length) = key.format.encoded_len(key.channels, rate_hz, frames) else {
        return Ok(None);
    };
    let mut inner = shared.lock();
    if inner.running.contains_key(&key) || inner.folder.get(key, length)?.is_some() {
        return Ok(None);
    }
    // Under the lock, as a request's: a deletion comes before it, which it then notices, or after it,
    // when it is found among those that are being made.
    let wav = match open() {
        Ok(wav) => wav,
        Err(error) => {
            // Deleted, or no room on the disk; what else there is shows when it is asked for.
            tracing::debug!(%error, "a recording that has ended is not encoded");
            return Ok(None);
        }
    };
    let growing = Arc::new(Growing::new(inner.folder.temporary(key)?, length));
    inner.running.insert(key, Arc::clone(&growing));
    Ok(Some(Job {
        key,
        rate_hz,
        frames,
        wav,
        growing,
    }))
}

/// Waits until no request has or wants an encoder, or one wants `growing`, which is being made; and, as
/// every encoder does, until capture and disk have no more to do than is good.
fn wait(shared: &Shared, growing: Option<&Growing>) -> Result<(), Broken> {
    let mut inner = shared.lock();
    loop {
        if inner.stopping {
            return Err(Broken::Stopping);
        }
        if growing.is_some_and(Growing::is_forgotten) {
            return Err(Broken::Forgotten);
        }
        let may = growing.is_some_and(Growing::is_wanted) || is_quiet(&inner);
        if may && !worker::waits_for_capture(shared) {
            return Ok(());
        }
        // Nobody signals that capture has less to do.
        let waited = shared.quiet.wait_timeout(inner, worker::LOOK_AGAIN);
        (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
    }
}

/// Whether no request has or wants an encoder.
pub(super) fn is_quiet(inner: &Inner) -> bool {
    inner.queue.is_empty() && inner.idle == inner.workers
}
