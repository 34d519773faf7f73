//! MP3 and Opus on demand: a bounded pool of threads that encode, a bounded folder that keeps the results.
//!
//! `media` calls [`Encoder::fetch`] for a recording in a [`Format`] and gets a [`Source`] at once: a finished
//! file, or one that grows while it is encoded, whose length `codec` knows beforehand. All who want
//! the same one at the same time share one encoding. `recordings` calls [`Encoder::forget`]. What has
//! just ended may be made before it is asked for ([`eager`]), with [`Encoder::ended`].
//!
//! Threads run at the lowest priority (`priority`), so that capture keeps its packets while every
//! encoder is busy (design.md, "Bounded everywhere"); a full queue is [`FetchError::Full`]. Where
//! capture or disk have too much to do, encoders wait, and then nothing is begun: [`FetchError::Overloaded`]. One
//! lock guards queue, running encodings and the folder's index; no thread reads or writes sound
//! while it holds it.

pub(crate) mod eager;
mod folder;
mod format;
mod growing;
mod kept;
mod priority;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use reeld_model::{Cause, Load, RecordingSid};
use reeld_store::StoreError;

use eager::{Backlog, Eager, Ended, Figures};
use folder::Folder;
pub use format::Format;
use growing::Growing;
pub(crate) use growing::Source;

/// Which file: a recording's audio, known by its hash, in so many channels, encoded so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) sid: RecordingSid,
    /// The first bytes of the audio's BLAKE3, so that a file never outlives what it was made of.
    pub(crate) hash: [u8; 8],
    pub(crate) channels: u16,
    pub(crate) format: Format,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// As many wait for an encoder as may.
    #[error("{0} recordings wait for an encoder (encode.queue)")]
    Full(usize),
    /// Capture or disk have too much to do.
    #[error("{0}")]
    Overloaded(Cause),
    /// The recording's audio cannot be opened, or the disk lacks room.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The format has not the recording's rate.
    #[error(transparent)]
    Codec(#[from] reeld_codec::Error),
    /// The cache folder refused.
    #[error("the cache of encoded files: {0}")]
    Cache(#[from] io::Error),
}

/// The WAV that a file is made of, from its first byte.
pub(crate) type Wav = Box<dyn Read + Send>;

/// What a file is made of.
pub(crate) struct Plan {
    pub(crate) key: Key,
    pub(crate) rate_hz: u32,
    pub(crate) frames: u64,
    /// Opens the WAV in the key's channels.
    pub(crate) open: Box<dyn FnOnce() -> Result<Wav, StoreError> + Send>,
}

/// A recording that waits for a thread.
struct Job {
    key: Key,
    rate_hz: u32,
    frames: u64,
    wav: Wav,
    growing: Arc<Growing>,
}

/// What the lock guards.
struct Inner {
    folder: Folder,
    queue: VecDeque<Job>,
    /// Waiting or being encoded.
    running: HashMap<Key, Arc<Growing>>,
    /// Threads of the pool, and those of them that encode nothing now.
    workers: usize,
    idle: usize,
    stopping: bool,
}

struct Shared {
    inner: Mutex<Inner>,
    /// Signalled when a job is queued, and at the end.
    work: Condvar,
    load: Load,
    /// Signalled where what `eager` waits for may be so.
    quiet: Condvar,
    eager: Figures,
}

/// The pool and its cache. Dropping it ends the threads, in the middle of a recording too.
pub(crate) struct Encoder {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    queue: usize,
    /// `None` where nothing is made before it is asked for, and at the end.
    backlog: Option<Backlog>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change under the lock is whole before anything that could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Encoder {
    /// Starts `workers` threads over the folder `dir`, which keeps up to `cache_bytes`, and one more
    /// for what is `eager`; what an earlier run left in it half made is removed. Encoding waits and is
    /// refused as `load` says. Where it `is_secret`, files are unreadable to all but this process.
    pub(crate) fn new(
        workers: NonZeroUsize,
        queue: usize,
        cache_bytes: u64,
        dir: PathBuf,
        load: Load,
        eager: Option<Eager>,
        is_secret: bool,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                folder: Folder::open(dir, cache_bytes, is_secret)?,
                queue: VecDeque::new(),
                running: HashMap::new(),
                workers: workers.get(),
                idle: workers.get(),
                stopping: false,
            }),
            work: Condvar::new(),
            load,
            quiet: Condvar::new(),
            eager: Figures::default(),
        });
        let mut threads = (0..workers.get())
            .map(|i| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("encode-{i}"))
                    .spawn(move || worker::run(&shared))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let mut backlog = None;
        if let Some(eager) = eager {
            let (put, ended) = Backlog::new();
            let shared = Arc::clone(&shared);
            let work = move || eager::run(&shared, &eager, &ended);
            let name = "encode-eager".to_owned();
            threads.push(std::thread::Builder::new().name(name).spawn(work)?);
            backlog = Some(put);
        }
        Ok(Self {
            shared,
            threads,
            queue,
            backlog,
        })
    }

    /// The file of `key`, of `frames` frames at `rate_hz`; `open` opens the WAV in the key's channels, and is
    /// called only where an encoding must begin. Blocks on the disk, not on encoding.
    pub(crate) fn fetch(
        &self,
        key: Key,
        rate_hz: u32,
        frames: u64,
        open: impl FnOnce() -> Result<Wav, StoreError>,
    ) -> Result<Source, FetchError> {
        let length = key.format.encoded_len(key.channels, rate_hz, frames)?;
        let mut inner = self.shared.lock();
        if let Some(growing) = inner.running.get(&key) {
            growing.want();
            self.shared.quiet.notify_all();
            return Ok(Source::growing(growing));
        }
        if let Some(file) = inner.folder.get(key, length)? {
            return Ok(Source::finished(file, length));
        }
        if let Some(cause) = self.shared.load.verdict().refuses_encodes() {
            return Err(FetchError::Overloaded(cause));
        }
        // A job that an idle thread is about to take does not wait.
        if inner.queue.len() >= self.queue.saturating_add(inner.idle) {
            return Err(FetchError::Full(self.queue));
        }
        let wav = open()?;
        let growing = Arc::new(Growing::new(inner.folder.temporary(key)?, length));
        let source = Source::growing(&growing);
        inner.running.insert(key, Arc::clone(&growing));
        inner.queue.push_back(Job {
            key,
            rate_hz,
            frames,
            wav,
            growing,
        });
        drop(inner);
        self.shared.work.notify_one();
        Ok(source)
    }

    /// Removes what is kept of a recording, and what is being made of it once it is made. Who is
    /// fetching it keeps what was begun.
    pub(crate) fn forget(&self, sid: RecordingSid) {
        let mut inner = self.shared.lock();
        inner.folder.forget(sid);
        for (_, growing) in inner.running.iter().filter(|(key, _)| key.sid == sid) {
            growing.forget();
        }
        self.shared.quiet.notify_all();
    }

    /// Removes what is kept of recordings of which `is_there` is false.
    pub(crate) fn keep(&self, is_there: impl Fn(RecordingSid) -> bool) {
        let sids = self.shared.lock().folder.sids();
        for sid in sids {
            if !is_there(sid) {
                self.forget(sid);
            }
        }
    }

    /// Takes note of a recording that has ended and can be fetched. It does not wait.
    pub(crate) fn ended(&self, ended: Ended) {
        if let Some(backlog) = &self.backlog {
            backlog.put(ended, &self.shared.eager);
        }
    }

    /// What came of what was made before it was asked for.
    pub(crate) fn eager(&self) -> &Figures {
        &self.shared.eager
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.work.notify_all();
        self.shared.quiet.notify_all();
        self.backlog = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("an encoder thread had died");
            }
        }
    }
}
