//! Real recordings into a full catalog: begun, given a little sound, finished, each step durable.
//!
//! Called by `catalog`. First records alone, by the commit that each begin makes: what the catalog
//! takes. Then whole recordings: the store is called as the API and the recorder do, and what they cost
//! the file system is in the figures too: a take and a start file made, sealed, renamed, synced.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use reeld_model::{Channels, RecordingSid};
use reeld_store::Store;
use serde::Serialize;

use super::per_second;
use super::records::{END_MS, Records};
use crate::bench::interrupt;
use crate::bench::recording::Recording;

/// Sound of each recording, frames: a packet.
const FRAMES: usize = 160;

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Inserts {
    pub(super) recordings: u32,
    pub(super) threads: u32,
    /// Records alone put into the catalog, each durable when its insert returned.
    pub(super) inserted_a_second: f64,
    /// Recordings begun, each durable when its begin returned.
    pub(super) begun_a_second: f64,
    /// Recordings finished, file and record durable when its finish returned.
    pub(super) finished_a_second: f64,
}

/// The recording that insert `number` makes: its name is none of the filled ones'.
pub(super) fn sid(records: &Records, number: u32) -> RecordingSid {
    records.sid(records.count + number)
}

pub(super) fn measure(
    store: &Store,
    records: &Records,
    count: u32,
    threads: u32,
) -> anyhow::Result<Inserts> {
    let recording = |number| Recording {
        account: records.account,
        sid: sid(records, number),
        channels: Channels::Dual,
        created_ms: END_MS + i64::from(number),
    };
    let samples = [1_000; FRAMES * 2];
    let begin = |number| recording(number).begin(store);
    let finish = |number| recording(number).finish(store, &samples);
    // Behind those that are begun, so that their names are none of these.
    let insert = |number| {
        let record = records.record(records.count + count + number);
        Ok(store.insert(record)?)
    };
    let begun = Instant::now();
    each(count, threads, insert)?;
    let inserts = begun.elapsed();
    let begun = Instant::now();
    each(count, threads, begin)?;
    let begins = begun.elapsed();
    let begun = Instant::now();
    each(count, threads, finish)?;
    Ok(Inserts {
        recordings: count,
        threads,
        inserted_a_second: per_second(count, inserts),
        begun_a_second: per_second(count, begins),
        finished_a_second: per_second(count, begun.elapsed()),
    })
}

/// Does `work` for each number below `count`, from `threads` threads.
fn each(
    count: u32,
    threads: u32,
    work: impl Fn(u32) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let next = AtomicU32::new(0);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    if let Err(error) = interrupt::check().and_then(|()| work(number)) {
                        next.store(count, Ordering::Relaxed);
                        let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        failure.get_or_insert(error);
                        return;
                    }
                }
            });
        }
    });
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(()), Err)
}
