//! A finisher: makes ended recordings durable and known.

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

use reeld_model::EndedBy;
use reeld_store::{End, Take};

use super::Shared;

/// Runs until every writer is gone and nothing is left to finish.
pub(super) fn run(shared: &Shared, thread: usize, ended: &Mutex<Receiver<(Take, End)>>) {
    loop {
        // The lock is held while waiting: one waits for the queue, the others for the lock.
        let next = ended.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((take, end)) = next else {
            return;
        };
        shared.step(thread, || finish(shared, take, end));
        shared.ends.fetch_sub(1, Ordering::Relaxed);
    }
}

fn finish(shared: &Shared, take: Take, end: End) {
    let recording = take.sid();
    let ended_by = end.summary.ended_by;
    if ended_by == EndedBy::Shutdown && shared.parking.load(Ordering::Acquire) {
        if let Err(error) = shared.store.park(take, &end) {
            tracing::error!(%recording, %error, "the recording is not parked; it may lack its last second");
        }
        return;
    }
    match shared.store.finish(take, end) {
        Ok(record) => {
            tracing::info!(
                %recording,
                call = %record.call,
                duration_ms = record.duration_ms(),
                ended_by = ended_by.as_str(),
                stage = ?record.stage,
                "the recording is finished"
            );
            if let Some(hear) = shared.ended.get() {
                hear(&record);
            }
        }
        Err(error) => tracing::error!(
            %recording,
            %error,
            "the recording cannot be finished now; it is once the disk works"
        ),
    }
}
