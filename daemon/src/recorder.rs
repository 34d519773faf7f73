//! The recorder: the one bridge from capture's outputs to the store's takes.
//!
//! Called by `run`, which gives its sinks to `ingest`, and by `load`, which asks how long the disk
//! takes; calls `store`. Media threads put outputs into bounded queues and never wait; writer threads append them to takes; finishers make media and
//! record durable, since that waits for the disk; a syncer bounds what a power loss costs.
//!
//! ```text
//! media thread ─ sink ─▶ writer (by recording, so in order) ─▶ take
//!                          └─ Ended ─▶ finisher ─▶ media, catalog; then who hears of it
//! ```
//!
//! Where the disk stands still, so do these threads, and sound waits in memory as far as
//! `capture.backlog_bytes` lets it (`ingest::backlog`); when the disk goes on, it is written in order.
//! The pools are for one disk, the data folder's
//! (docs/design/decisions/0020-blocks-go-through-the-page-cache.md).
//!
//! A recording whose take cannot be written any more is stopped with what it has, and says so in
//! its record. One that cannot be finished stays in the spool until the disk
//! works (`crate::mend`), or until the next start.

mod finisher;
mod open;
mod sink;
mod syncer;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use reeld_ingest::{Outside, Queued};
use reeld_model::Control;
use reeld_store::{End, Record, Store, Take};

use crate::clock;

pub(crate) use open::OpenTake;

/// Threads that append to takes. Appending is copying into the page cache and a checksum, so one a
/// core of a small machine is plenty.
const WRITERS: usize = 2;

/// Threads that finish recordings: they wait for the disk, and several at once share its flushes.
const FINISHERS: usize = 8;

/// Outputs that wait for one writer. What they hold is bounded in bytes, by `capture.backlog_bytes`;
/// this bounds what has no sound, and what is beyond it waits with its media thread.
const QUEUE: usize = 4_096;

/// Recordings that wait to be finished, beyond those that the finishers hold: as many as end when a
/// trunk of thousands of calls goes down. An open file and 5 KB each. Full, a writer waits for it.
const ENDED_QUEUE: usize = 4_096;

/// Recordings that wait to be finished without anybody's waiting for it: half of what there is room
/// for.
const MOST_ENDS: u64 = ENDED_QUEUE as u64 / 2;

/// How long one step of a thread may take before the watchdog is not fed any more. Longer than disks and
/// the paths to them take until they give up (a SCSI command 30 s and its retries, iSCSI 120 s): a
/// restart mends no disk, and it would cost what waits in memory and every call.
const STUCK: Duration = Duration::from_secs(180);

/// The recorder's threads.
pub struct Recorder {
    shared: Arc<Shared>,
    queues: Vec<SyncSender<Queued>>,
    threads: Vec<JoinHandle<()>>,
    syncer: JoinHandle<()>,
}

/// Hears of a recording that has ended.
type Hear = Box<dyn Fn(&Record) + Send + Sync>;

/// What the recorder's threads share.
struct Shared {
    store: Store,
    /// Set once the capture side runs: how a recording is stopped whose take fails.
    control: OnceLock<Arc<dyn Control>>,
    /// Who hears of recordings that have ended.
    ended: OnceLock<Hear>,
    /// Whether anything was appended since the last sync.
    dirty: AtomicBool,
    stopping: AtomicBool,
    /// Whether recordings that the daemon's stop ends go on in the next one.
    parking: AtomicBool,
    /// When each thread began the step that it is in; 0 while it waits for work.
    busy_since: Vec<AtomicU64>,
    /// Since when what each writer is at has waited; 0 while it waits for work.
    oldest: Vec<AtomicU64>,
    /// Since when takes are being synced; 0 while they are not.
    syncing_since: AtomicU64,
    /// Recordings that have ended and are not finished.
    ends: AtomicU64,
}

impl Recorder {
    /// Starts the threads. `fsync` is how often takes are made power-loss durable.
    ///
    /// # Errors
    ///
    /// Where the system gives no thread.
    pub fn start(store: Store, fsync: Duration) -> anyhow::Result<Self> {
        let steps = WRITERS + FINISHERS;
        let shared = Arc::new(Shared {
            store,
            control: OnceLock::new(),
            ended: OnceLock::new(),
            dirty: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            parking: AtomicBool::new(false),
            busy_since: (0..steps).map(|_| AtomicU64::new(0)).collect(),
            oldest: (0..WRITERS).map(|_| AtomicU64::new(0)).collect(),
            syncing_since: AtomicU64::new(0),
            ends: AtomicU64::new(0),
        });
        let mut threads = Vec::new();
        let mut queues = Vec::new();
        let (ended, to_finish) = sync_channel::<(Take, End)>(ENDED_QUEUE);
        let to_finish = Arc::new(Mutex::new(to_finish));
        for number in 0..WRITERS {
            let (queue, outputs): (_, Receiver<Queued>) = sync_channel(QUEUE);
            queues.push(queue);
            let (shared, ended) = (Arc::clone(&shared), ended.clone());
            threads.push(spawn(&format!("reeld-write-{number}"), move || {
                writer::run(&shared, number, &outputs, &ended);
            })?);
        }
        for number in 0..FINISHERS {
            let (shared, to_finish) = (Arc::clone(&shared), Arc::clone(&to_finish));
            threads.push(spawn(&format!("reeld-finish-{number}"), move || {
                finisher::run(&shared, WRITERS + number, &to_finish);
            })?);
        }
        let shared_with_syncer = Arc::clone(&shared);
        let syncer = spawn("reeld-sync", move || {
            syncer::run(&shared_with_syncer, fsync)
        })?;
        Ok(Self {
            shared,
            queues,
            threads,
            syncer,
        })
    }

    /// A sink for a media thread.
    #[must_use]
    pub fn sink(&self) -> Box<dyn reeld_ingest::Sink> {
        Box::new(sink::Queues::new(self.queues.clone()))
    }

    /// Says where a recording is stopped whose take fails.
    pub fn connect(&self, control: Arc<dyn Control>) {
        // Only the first one counts; there is one capture side.
        let _ = self.shared.control.set(control);
    }

    /// Says who hears of each recording that has ended, once it is durable and known. It must not wait.
    pub fn on_ended(&self, hear: impl Fn(&Record) + Send + Sync + 'static) {
        // Only the first one counts; there is one API.
        let _ = self.shared.ended.set(Box::new(hear));
    }

    /// A probe for the watchdog: whether every thread gets on.
    pub fn liveness(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || {
            let now = clock::monotonic_ns();
            shared
                .busy_since
                .iter()
                .all(|since| age(since, now) < STUCK)
        }
    }

    /// A probe for what waits for the disk; what it says of memory is nothing.
    pub(crate) fn waits(&self) -> impl Fn() -> Outside + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || {
            let now = clock::monotonic_ns();
            let oldest = shared.oldest.iter().map(|since| age(since, now));
            let syncs = shared.busy_since[WRITERS..].iter();
            let syncs = syncs.chain([&shared.syncing_since]);
            Outside {
                oldest_block: oldest.max().unwrap_or_default(),
                longest_sync: syncs.map(|since| age(since, now)).max().unwrap_or_default(),
                ends: shared.ends.load(Ordering::Relaxed),
                most_ends: MOST_ENDS,
                ..Outside::default()
            }
        }
    }

    /// From now on recordings that the daemon's stop ends are parked for the next one.
    pub(crate) fn park(&self) {
        self.shared.parking.store(true, Ordering::Release);
    }

    /// Waits until all that was put into the sinks is written and finished. The media threads, which
    /// hold the sinks, have ended before.
    pub fn shutdown(self) {
        drop(self.queues);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the recorder panicked");
            }
        }
        self.shared.stopping.store(true, Ordering::Release);
        self.syncer.thread().unpark();
        if self.syncer.join().is_err() {
            tracing::error!("the recorder's syncer panicked");
        }
    }
}

impl Shared {
    /// Runs one step of a thread under the watchdog's eye.
    fn step<T>(&self, thread: usize, work: impl FnOnce() -> T) -> T {
        self.busy_since[thread].store(clock::monotonic_ns(), Ordering::Relaxed);
        let result = work();
        self.busy_since[thread].store(0, Ordering::Relaxed);
        result
    }
}

/// How long ago something began that is under way; no time where nothing is.
fn age(since: &AtomicU64, now: u64) -> Duration {
    match since.load(Ordering::Relaxed) {
        0 => Duration::ZERO,
        since => Duration::from_nanos(now.saturating_sub(since)),
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .with_context(|| format!("cannot start the thread {name}"))
}
