//! What a media thread has put out and its sink has not taken yet.
//!
//! `live` pushes; `thread` flushes on each tick and after each request. The sink is the daemon's.
//!
//! Invariants:
//! - outputs of one recording leave in the order in which they came;
//! - `Started` and `Ended` are never dropped;
//! - audio that waits takes [`ROOM`] bytes at most. What does not fit becomes silence of the same
//!   length, so that the file keeps its timeline; it is counted and logged as an overrun. Silence
//!   behind silence is one entry, so a sink that stands still for an hour costs nothing more.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use reeld_capture::Output;
use reeld_model::{Channels, Mono, RecordingSid};

use crate::Sink;
use crate::clock::monotonic;
use crate::shared::Shared;

/// Bytes of audio that wait at most, a thread: 4 s of 1,000 mono recordings, longer than a disk is
/// busy with a flush.
const ROOM: usize = 64 << 20;

/// How often an overrun is logged while it lasts.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// How long the sink is asked again at the end, and how often.
const LAST_WAIT: Duration = Duration::from_secs(10);
const LAST_RETRY: Duration = Duration::from_millis(2);

/// A sink and what waits for it.
pub(crate) struct Outbox {
    sink: Box<dyn Sink>,
    /// What waits, by recording; no queue is empty.
    waiting: HashMap<RecordingSid, VecDeque<Output>>,
    /// The recordings of `waiting`, the next one first.
    turns: VecDeque<RecordingSid>,
    /// Bytes of audio in `waiting`.
    bytes: usize,
    room: usize,
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
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            bytes: 0,
            room: ROOM,
            shared,
            overrun: Overrun::default(),
        }
    }

    /// Gives `output` to the sink, or keeps it. `channels` are its recording's.
    pub(crate) fn push(&mut self, output: Output, channels: Channels) {
        if !self.turns.is_empty() {
            self.hold(output, channels);
        } else if let Err(output) = self.sink.push(output) {
            self.hold(output, channels);
        }
    }

    /// Gives the sink what it has room for, a turn a recording.
    pub(crate) fn flush(&mut self) {
        while let Some(recording) = self.turns.pop_front() {
            let Some(queue) = self.waiting.get_mut(&recording) else {
                continue;
            };
            if let Some(output) = queue.pop_front() {
                let bytes = audio_bytes(&output);
                if let Err(output) = self.sink.push(output) {
                    queue.push_front(output);
                    self.turns.push_front(recording);
                    return;
                }
                self.bytes -= bytes;
            }
            if queue.is_empty() {
                self.waiting.remove(&recording);
            } else {
                self.turns.push_back(recording);
            }
        }
        self.complain();
    }

    /// Gives the sink all that waits; asks again while it has no room, for [`LAST_WAIT`].
    pub(crate) fn finish(&mut self) {
        let deadline = monotonic() + LAST_WAIT;
        self.flush();
        while !self.turns.is_empty() && monotonic() < deadline {
            // The sink cannot wake this thread, which has nothing else to do any more.
            std::thread::sleep(LAST_RETRY);
            self.flush();
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

    fn hold(&mut self, output: Output, channels: Channels) {
        let recording = output.recording();
        let output = self.fit(output, channels);
        self.bytes += audio_bytes(&output);
        let queue = self.waiting.entry(recording).or_insert_with(|| {
            self.turns.push_back(recording);
            VecDeque::new()
        });
        match (queue.back_mut(), output) {
            (
                Some(Output::Silence {
                    frames,
                    keep_frames,
                    ..
                }),
                Output::Silence {
                    frames: more,
                    keep_frames: keep,
                    ..
                },
            ) => {
                *frames = frames.saturating_add(more);
                *keep_frames = keep;
            }
            (_, output) => queue.push_back(output),
        }
    }

    /// Audio that has no room becomes silence.
    fn fit(&mut self, output: Output, channels: Channels) -> Output {
        let bytes = audio_bytes(&output);
        let Output::Audio {
            recording,
            keep_frames,
            ..
        } = output
        else {
            return output;
        };
        if self.bytes + bytes <= self.room {
            return output;
        }
        let frames = (bytes / size_of::<i16>() / usize::from(channels.count())) as u64;
        self.overrun.frames += frames;
        self.shared.count_overrun(frames);
        self.complain();
        Output::Silence {
            recording,
            frames,
            keep_frames,
        }
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

fn audio_bytes(output: &Output) -> usize {
    match output {
        Output::Audio { samples, .. } => samples.len() * size_of::<i16>(),
        Output::Started { .. } | Output::Silence { .. } | Output::Ended { .. } => 0,
    }
}

#[cfg(test)]
mod tests;
