//! Many recordings of long ago, put into a data folder while no daemon has it.
//!
//! Called by tests that walk along thousands. `reeld import` makes one after the other, each durable
//! before the next; here many threads wait for the same sync, through the store's own procedures, so
//! that 2,500 take a second or two.

use std::path::Path;
use std::thread;
use std::time::Duration;

use reeld_model::{Channels, EndedBy, Summary, TrackSelection, Trim};
use reeld_store::{
    Begun, End, MediaKind, NewRecording, Origin, Parties, Record, Store, StoreConfig,
};

/// Recordings that are made at once.
const THREADS: usize = 32;

/// Samples of each.
const SAMPLES: u16 = 80;

/// A recording to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Old {
    /// Its Sid.
    pub sid: String,
    /// Its call's.
    pub call: String,
    /// When it was made, seconds since the Unix epoch.
    pub second: i64,
}

impl Old {
    /// So many of `calls` calls, two of each instant, some ten minutes apart from 2016-10-01 on; in
    /// the order of Twilio's lists. Their Sids are in no order.
    #[must_use]
    pub fn many(count: usize, calls: u64) -> Vec<Self> {
        let mut all: Vec<Self> = (0_u32..)
            .take(count)
            .map(|n| {
                let scrambled = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                Self {
                    sid: format!("RE{scrambled:016x}{n:016x}"),
                    call: format!("CA{:032x}", 1 + u64::from(n) % calls),
                    second: 1_475_280_000 + i64::from(n / 2) * 613,
                }
            })
            .collect();
        all.sort_by(|a, b| b.second.cmp(&a.second).then_with(|| a.sid.cmp(&b.sid)));
        all
    }
}

/// Them as an application is told of them: `[sid, CallSid, second]` each.
#[must_use]
pub fn json(recordings: &[Old]) -> String {
    let rows = recordings.iter();
    let rows = rows.map(|old| serde_json::json!([old.sid, old.call, old.second]));
    serde_json::Value::from_iter(rows).to_string()
}

/// Makes them, an account's, in a data folder.
///
/// # Panics
/// When a daemon has the folder, or one cannot be made.
pub fn fill(data_dir: &Path, account: &str, recordings: &[Old]) {
    let store = Store::open(StoreConfig {
        data_dir: data_dir.to_owned(),
        media: MediaKind::Local,
        min_free_bytes: 0,
        catalog_cache_bytes: 64 << 20,
        deleted_metadata: Duration::ZERO,
        check_reads_ppm: 0,
        encryption: Default::default(),
        disk: Default::default(),
    })
    .expect("no daemon has the folder");
    thread::scope(|scope| {
        for part in recordings.chunks(recordings.len().div_ceil(THREADS).max(1)) {
            let store = &store;
            scope.spawn(move || part.iter().for_each(|old| drop(make(store, account, old))));
        }
    });
}

fn make(store: &Store, account: &str, old: &Old) -> Record {
    let created_ms = old.second * 1_000;
    let new = NewRecording {
        sid: old.sid.parse().expect("a Sid"),
        account: account.parse().expect("a Sid"),
        call: old.call.parse().expect("a Sid"),
        parties: Parties::default(),
        channels: Channels::Mono,
        track: TrackSelection::Both,
        trim: Trim::DoNotTrim,
        origin: Origin::Import,
        created_ms,
        tags: serde_json::Map::new(),
        signalling_json: String::new(),
        idempotency_token: None,
        subscription: None,
        action: None,
    };
    let sid = new.sid;
    let Ok(Begun::New(_)) = store.begin(new) else {
        panic!("{} was not begun", old.sid);
    };
    let mut take = store.take(sid).expect("it was begun just now");
    let samples: Vec<i16> = (1..=SAMPLES).map(u16::cast_signed).collect();
    take.append(&samples, samples.len() as u64)
        .expect("the disk has room");
    let summary = Summary {
        ended_by: EndedBy::Imported,
        frames: samples.len() as u64,
        digits: String::new(),
        tracks: Default::default(),
        quality: Default::default(),
        rate_hz: 8_000,
    };
    let end = End {
        summary,
        started_ms: Some(created_ms),
        ended_ms: created_ms,
    };
    store.finish(take, end).expect("the disk has room")
}
