//! What this crate's tests share: a store in a temporary folder, recordings made of counted
//! samples, and crashes.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use reeld_codec::wav;
use reeld_model::{
    AccountSid, CallSid, Channels, EndedBy, RecordingSid, SAMPLE_RATE, Summary, TrackSelection,
    TrackStats, Trim,
};
use tempfile::TempDir;

use crate::{
    Begun, Encryption, End, KeyPlace, MediaKind, NewRecording, Origin, PageAt, Query, Record,
    Store, StoreConfig, VerifyReport, Which,
};

pub(crate) const T0: i64 = 1_790_000_000_000;

/// How long records of deleted recordings are kept.
pub(crate) const KEPT: Duration = Duration::from_secs(40 * 86_400);

pub(crate) fn config(dir: &Path, media: MediaKind) -> StoreConfig {
    StoreConfig {
        data_dir: dir.to_owned(),
        media,
        min_free_bytes: 0,
        catalog_cache_bytes: 16 << 20,
        deleted_metadata: KEPT,
        check_reads_ppm: 0,
        encryption: encryption(dir),
        disk: Default::default(),
    }
}

/// A file in the data folder: where it is, the store encrypts under the key in it.
const KEY: &str = "test-key";

/// Gives the folder a key of `n` over and over, the one before being an old one.
pub(crate) fn give_key(dir: &Path, n: u8) {
    let path = dir.join(KEY);
    let old = fs::read_to_string(&path).unwrap_or_default();
    let mut key = [n; 32];
    key[0] = !n;
    fs::write(&path, format!("{}\n{old}", hex::encode(key))).unwrap();
}

/// Takes all keys away, or all but the newest.
pub(crate) fn take_keys(dir: &Path, but: usize) {
    let path = dir.join(KEY);
    let keys = fs::read_to_string(&path).unwrap();
    let kept: String = keys
        .lines()
        .take(but)
        .map(|key| format!("{key}\n"))
        .collect();
    fs::write(&path, kept).unwrap();
}

fn encryption(dir: &Path) -> Encryption {
    let keys = fs::read_to_string(dir.join(KEY)).unwrap_or_default();
    let mut places = keys.lines().enumerate().map(|(n, key)| {
        let path = dir.join(format!("{KEY}-{n}"));
        fs::write(&path, key).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        KeyPlace::File(path)
    });
    Encryption {
        key: places.next(),
        old: places.collect(),
    }
}

pub(crate) fn open(dir: &Path, media: MediaKind) -> Store {
    Store::open(config(dir, media)).unwrap()
}

/// Runs a test body with either kind of media, in clear and encrypted.
pub(crate) fn with_all(body: impl Fn(&TempDir, MediaKind)) {
    with_both(&body);
    with_both(|dir, media| {
        give_key(dir.path(), 7);
        body(dir, media);
    });
}

/// Runs a test body with either kind of media.
pub(crate) fn with_both(body: impl Fn(&TempDir, MediaKind)) {
    for media in [MediaKind::Local, MediaKind::Sled] {
        body(&tempfile::tempdir().unwrap(), media);
    }
}

pub(crate) fn sid(n: u64) -> RecordingSid {
    // The first byte varies, so that recordings lie in several folders.
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    RecordingSid::from_bytes(bytes)
}

pub(crate) fn account(n: u8) -> AccountSid {
    AccountSid::from_bytes([n; 16])
}

pub(crate) fn call(n: u8) -> CallSid {
    CallSid::from_bytes([n; 16])
}

pub(crate) fn new(n: u64) -> NewRecording {
    NewRecording {
        sid: sid(n),
        account: account(1),
        call: call(1),
        parties: Default::default(),
        channels: Channels::Dual,
        track: TrackSelection::Both,
        trim: Trim::DoNotTrim,
        origin: Origin::ControlApi,
        created_ms: T0 + i64::try_from(n).unwrap(),
        tags: serde_json::Map::new(),
        signalling_json: String::new(),
        idempotency_token: None,
        subscription: None,
        action: None,
    }
}

/// Samples that are loud, and none the same for long.
pub(crate) fn sound(samples: usize) -> Vec<i16> {
    (0..samples)
        .map(|i| i16::try_from(i * 7_919 % 20_011).unwrap() - 10_000)
        .collect()
}

pub(crate) fn end(frames: u64) -> End {
    let stats = TrackStats {
        packets: 5,
        ..TrackStats::default()
    };
    let summary = Summary {
        ended_by: EndedBy::Stopped,
        frames,
        digits: "1#".to_owned(),
        tracks: [stats; 2],
        quality: Default::default(),
        rate_hz: 8_000,
    };
    End {
        summary,
        started_ms: Some(T0 + 7),
        ended_ms: T0 + 99,
    }
}

pub(crate) fn begin(store: &Store, new: NewRecording) -> Record {
    match store.begin(new).unwrap() {
        Begun::New(record) => record,
        Begun::Repeated(record) => panic!("{} was begun before", record.sid),
    }
}

/// A recording from begin to finish.
pub(crate) fn record(store: &Store, new: NewRecording, samples: &[i16]) -> Record {
    let width = u64::from(new.channels.count());
    let begun = begin(store, new);
    let mut take = store.take(begun.sid).unwrap();
    let frames = samples.len() as u64 / width;
    take.append(samples, frames).unwrap();
    store.finish(take, end(frames)).unwrap()
}

pub(crate) fn bytes_of(samples: &[i16]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wav::samples_to_bytes(samples, &mut bytes);
    bytes
}

/// The file that a recording of these samples must be.
pub(crate) fn file_of(channels: Channels, samples: &[i16]) -> Vec<u8> {
    let data = bytes_of(samples);
    let length = u32::try_from(data.len()).unwrap();
    [
        wav::header(channels.count(), SAMPLE_RATE, length).as_slice(),
        &data,
    ]
    .concat()
}

pub(crate) fn served(store: &Store, record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = store.media(record).unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(reader.len(), bytes.len() as u64);
    bytes
}

pub(crate) fn verify(store: &Store) -> VerifyReport {
    store.verify(&mut |_| {}).unwrap()
}

/// All is well, by the function that `reeld verify` runs.
pub(crate) fn assert_clean(store: &Store) {
    assert_eq!(verify(store).findings, []);
}

/// All that account 1 has, live and absent too.
pub(crate) fn everything() -> Query {
    Query {
        account: account(1),
        call: None,
        named: None,
        from_ms: None,
        until_ms: None,
        which: Which::Undeleted,
        at: PageAt::Number(0),
        page_size: 1_000,
    }
}

/// Closes the store as a crash does: what is on disk stays, and nobody says that it was closed.
pub(crate) fn crash(store: Store, dir: &Path) {
    drop(store);
    fs::write(dir.join("lock"), "pid 1: reeld serve\n").unwrap();
}

/// Names in the spool.
pub(crate) fn spool(dir: &Path) -> Vec<String> {
    let mut names = crate::folder::names(&dir.join("spool")).unwrap();
    names.sort();
    names
}
