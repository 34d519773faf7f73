//! What a media thread has put out and its sink has not taken yet.
//!
//! `live` pushes; `thread` flushes at the end of each tick and after each request: so a writer is woken
//! once a tick, and not for each block. The sink is the daemon's.
//!
//! Invariants:
//! - outputs of one recording leave in the order in which they came;
//! - `Started` and `Ended` are never dropped;
//! - sound on its way to the disk, here and behind the sink, takes `capture.backlog_bytes` at most
//!   (`backlog`). What does not fit becomes silence of the same length, so that the file keeps its
//!   timeline; it is counted and logged as an overrun. Silence behind silence is one entry, so a sink
//!   that stands still for an hour costs nothing more.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use reeld_capture::Output;
use reeld_model::{Channels, Mono, RecordingSid};

use crate::Sink;
use crate::backlog::Queued;
use crate::clock::monotonic;
use crate::shared::Shared;

/// How often an overrun is logged while it lasts.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// How long the sink is asked again at the end while it gets nowhere, and how often.
const LAST_WAIT: Duration = Duration::from_secs(10);
const LAST_RETRY: Duration = Duration::from_millis(2);

/// A sink and what waits for it.
pub(crate) struct Outbox {
    sink: Box<dyn Sink>,
    /// What came since the last flush, where nothing waits.
    fresh: Vec<Queued>,
    /// What waits, by recording; no queue is empty.
    waiting: HashMap<RecordingSid, VecDeque<Queued>>,
    /// The recordings of `waiting`, the next one first.
    turns: VecDeque<RecordingSid>,
    shared: Arc<Shared>,
    overrun: Overrun,
}

/// Frames that became silence since the log last said so.
#[derive(Debug, Default)]
struct Overrun {
    frames: u64,
    told: Option<Mono>,
}

impl Outbox {
    /// An empty outbox in front of `sink`; overruns are counted in `shared`.
    pub(crate) fn new(sink: Box<dyn Sink>, shared: Arc<Shared>) -> Self {
        Self {
            sink,
            fresh: Vec::new(),
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            shared,
            overrun: Overrun::default(),
        }
    }

    /// Keeps `output` for the next flush. `channels` are its recording's.
    pub(crate) fn push(&mut self, output: Output, channels: Channels) {
        let queued = self.fit(output, channels);
        if self.turns.is_empty() {
            self.fresh.push(queued);
        } else {
            self.hold(queued);
        }
    }

    /// Gives the sink what it has room for: what came since the last flush in its order, what has waited
    /// longer a turn a recording.
    pub(crate) fn flush(&mut self) {
        let mut fresh = std::mem::take(&mut self.fresh);
        for queued in fresh.drain(..) {
            if !self.turns.is_empty() {
                self.hold(queued);
            } else if let Err(queued) = self.sink.push(queued) {
                self.hold(queued);
            }
        }
        self.fresh = fresh;
        while let Some(recording) = self.turns.pop_front() {
            let Some(queue) = self.waiting.get_mut(&recording) else {
                continue;
            };
            if let Some(queued) = queue.pop_front()
                && let Err(queued) = self.sink.push(queued)
            {
                queue.push_front(queued);
                self.turns.push_front(recording);
                return;
            }
            if queue.is_empty() {
                self.waiting.remove(&recording);
            } else {
                self.turns.push_back(recording);
            }
        }
        self.complain();
    }

    /// Gives the sink all that waits; asks again while it has no room, for [`LAST_WAIT`] after the last
    /// of what waits in front of the disk was written: after a stall that may be much.
    pub(crate) fn finish(&mut self) {
        let mut deadline = monotonic() + LAST_WAIT;
        let mut bytes = self.shared.backlog.bytes();
        self.flush();
        while !self.turns.is_empty() && monotonic() < deadline {
            // The sink cannot wake this thread, which has nothing else to do any more.
            std::thread::sleep(LAST_RETRY);
            self.flush();
            let left = self.shared.backlog.bytes();
            if left < bytes {
                deadline = monotonic() + LAST_WAIT;
            }
            bytes = left;
        }
        if !self.turns.is_empty() {
            let outputs: usize = self.waiting.values().map(VecDeque::len).sum();
            let recordings = self.turns.len();
            tracing::error!(
                recordings,
                outputs,
                "the recorder took no more at the stop; recovery will finish these recordings"
            );
        }
    }

    fn hold(&mut self, queued: Queued) {
        let recording = queued.output().recording();
        let queue = self.waiting.entry(recording).or_insert_with(|| {
            self.turns.push_back(recording);
            VecDeque::new()
        });
        let is_longer = queue
            .back_mut()
            .is_some_and(|last| last.lengthen(queued.output()));
        if !is_longer {
            queue.push_back(queued);
        }
    }

    /// Sound that has no room becomes silence.
    fn fit(&mut self, output: Output, channels: Channels) -> Queued {
        let (queued, silenced) = self.shared.backlog.admit(output, channels);
        if silenced > 0 {
            self.overrun.frames += silenced;
            self.shared.count_overrun(silenced);
            self.complain();
        }
        queued
    }

    fn complain(&mut self) {
        if self.overrun.frames == 0 {
            return;
        }
        let now = monotonic();
        if self
            .overrun
            .told
            .is_none_or(|told| now.since(told) >= COMPLAIN_EVERY)
        {
            tracing::error!(
                frames = self.overrun.frames,
                "the recorder is behind: silence stands where sound was"
            );
            self.overrun = Overrun {
                frames: 0,
                told: Some(now),
            };
        }
    }
}

#[cfg(test)]
mod tests;
