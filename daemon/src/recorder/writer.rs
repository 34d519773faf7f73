//! A writer: appends outputs to takes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};

use reeld_capture::Output;
use reeld_model::{
    ChangeRecording, Command, EndedBy, Mono, RecordingRef, RecordingSid, Request, Summary,
};
use reeld_store::{End, StoreError, Take};

use super::Shared;
use crate::clock;

/// Zeros that are appended at once for silence: a second of one channel.
static ZEROS: [i16; 8_000] = [0; 8_000];

/// A take that is being written.
struct Open {
    take: Take,
    channels: usize,
    started_ms: Option<i64>,
    /// Set once the take cannot be written any more; what follows is dropped.
    failed: bool,
}

/// Runs until every sink is gone.
pub(super) fn run(
    shared: &Shared,
    thread: usize,
    outputs: &Receiver<Output>,
    ended: &SyncSender<(Take, End)>,
) {
    let mut takes = HashMap::new();
    while let Ok(output) = outputs.recv() {
        shared.step(thread, || write(shared, &mut takes, output, ended));
    }
}

fn write(
    shared: &Shared,
    takes: &mut HashMap<RecordingSid, Open>,
    output: Output,
    ended: &SyncSender<(Take, End)>,
) {
    let recording = output.recording();
    let open = match takes.entry(recording) {
        Entry::Occupied(open) => open.into_mut(),
        Entry::Vacant(place) => match open(shared, recording) {
            Ok(open) => place.insert(open),
            Err(error) => {
                tracing::error!(%recording, %error, "the take cannot be opened");
                stop(shared, recording);
                return;
            }
        },
    };
    let result = match output {
        Output::Started { at, rate_hz, .. } => {
            open.started_ms = Some(wall_clock_ms(at));
            open.take.set_rate(rate_hz)
        }
        Output::Audio {
            samples,
            keep_frames,
            ..
        } => open.append(shared, &samples, keep_frames),
        Output::Silence {
            frames,
            keep_frames,
            ..
        } => open.append_silence(shared, frames, keep_frames),
        Output::Ended { at, summary, .. } => {
            if let Some(open) = takes.remove(&recording) {
                end(open, at, *summary, ended);
            }
            return;
        }
    };
    if let Err(error) = result {
        open.failed = true;
        tracing::error!(%recording, %error, "the take cannot be written; the recording is stopped");
        stop(shared, recording);
    }
}

fn open(shared: &Shared, recording: RecordingSid) -> Result<Open, StoreError> {
    let take = shared.store.take(recording)?;
    let channels = usize::from(take.channels().count());
    Ok(Open {
        take,
        channels,
        started_ms: None,
        failed: false,
    })
}

fn end(open: Open, at: Mono, mut summary: Summary, ended: &SyncSender<(Take, End)>) {
    if open.failed {
        summary.ended_by = EndedBy::DiskFull;
        summary.frames = summary.frames.min(open.take.frames());
    }
    let end = End {
        summary,
        started_ms: open.started_ms,
        ended_ms: wall_clock_ms(at),
    };
    if ended.send((open.take, end)).is_err() {
        tracing::error!("no finisher is left; the recording is finished at the next start");
    }
}

/// Stops a recording whose take has failed.
fn stop(shared: &Shared, recording: RecordingSid) {
    let found = shared.store.find(recording);
    let (Some(control), Ok(Some(record))) = (shared.control.get(), found) else {
        tracing::error!(%recording, "the recording cannot be stopped, since nothing is known of it");
        return;
    };
    control.submit(Request {
        command: Command::ChangeRecording {
            account: record.account,
            call: record.call,
            recording: RecordingRef::Sid(recording),
            change: ChangeRecording::Stop(EndedBy::DiskFull),
        },
        reply: Box::new(move |result| {
            if let Err(refusal) = result {
                tracing::warn!(%recording, %refusal, "the failed recording had ended");
            }
        }),
    });
}

fn wall_clock_ms(at: Mono) -> i64 {
    let ago = clock::monotonic_ns().saturating_sub(at.0) / 1_000_000;
    clock::unix_ms() - i64::try_from(ago).unwrap_or(0)
}

impl Open {
    fn append(&mut self, shared: &Shared, samples: &[i16], keep: u64) -> Result<(), StoreError> {
        if self.failed {
            return Ok(());
        }
        self.take.append(samples, keep)?;
        shared.dirty.store(true, Ordering::Release);
        Ok(())
    }

    fn append_silence(
        &mut self,
        shared: &Shared,
        mut frames: u64,
        keep: u64,
    ) -> Result<(), StoreError> {
        while frames > 0 && !self.failed {
            let part = frames.min((ZEROS.len() / self.channels) as u64);
            let samples = usize::try_from(part).unwrap_or(0) * self.channels;
            let kept = keep.min(self.take.frames() + part);
            self.append(shared, &ZEROS[..samples], kept)?;
            frames -= part;
        }
        Ok(())
    }
}
