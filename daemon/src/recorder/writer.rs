//! A writer: appends outputs to takes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};

use reeld_capture::Output;
use reeld_ingest::Queued;
use reeld_model::{
    ChangeRecording, Command, EndedBy, Mono, RecordingRef, RecordingSid, Request, Summary,
};
use reeld_store::{End, Take};

use super::Shared;
use super::open::OpenTake;
use crate::clock;

/// Runs until every sink is gone.
pub(super) fn run(
    shared: &Shared,
    thread: usize,
    outputs: &Receiver<Queued>,
    ended: &SyncSender<(Take, End)>,
) {
    let mut takes = HashMap::new();
    while let Ok(queued) = outputs.recv() {
        // What is behind it in the queue came later.
        let oldest = &shared.oldest[thread];
        oldest.store(queued.since().0, Ordering::Relaxed);
        shared.step(thread, || write(shared, &mut takes, &queued, ended));
        // Its room is free once it is written, not before.
        if let Output::Audio { samples, .. } = queued.into_output() {
            reeld_capture::recycle(samples);
        }
        oldest.store(0, Ordering::Relaxed);
    }
}

fn write(
    shared: &Shared,
    takes: &mut HashMap<RecordingSid, OpenTake>,
    queued: &Queued,
    ended: &SyncSender<(Take, End)>,
) {
    let output = queued.output();
    let recording = output.recording();
    let open = match takes.entry(recording) {
        Entry::Occupied(open) => open.into_mut(),
        Entry::Vacant(place) => match OpenTake::of(&shared.store, recording) {
            Ok(open) => place.insert(open),
            Err(error) => {
                tracing::error!(%recording, %error, "the take cannot be opened");
                stop(shared, recording);
                return;
            }
        },
    };
    if let Output::Ended { at, summary, .. } = output {
        if let Some(open) = takes.remove(&recording) {
            end(shared, open, *at, summary.as_ref().clone(), ended);
        }
        return;
    }
    match open.write(output, &clock::unix_ms_of) {
        Ok(()) => shared.dirty.store(true, Ordering::Release),
        Err(error) => {
            tracing::error!(%recording, %error, "the take cannot be written; the recording is stopped");
            stop(shared, recording);
        }
    }
}

fn end(
    shared: &Shared,
    open: OpenTake,
    at: Mono,
    summary: Summary,
    ended: &SyncSender<(Take, End)>,
) {
    shared.ends.fetch_add(1, Ordering::Relaxed);
    if ended
        .send(open.end(summary, clock::unix_ms_of(at)))
        .is_err()
    {
        shared.ends.fetch_sub(1, Ordering::Relaxed);
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
