//! A disk that is really full: recordings end with what they have, and the store goes on.
//!
//! The test starts itself again in a mount namespace of its own, with a small tmpfs in it, so that
//! nothing of it is left outside. Where the system allows no such namespace it says 'skipped'.

#![expect(
    clippy::unwrap_used,
    reason = "a test of its own crate: a failed step is a failed test"
)]

use std::env;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use reeld_model::{
    AccountSid, CallSid, Channels, EndedBy, RecordingSid, Summary, TrackSelection, Trim,
};
use reeld_store::{
    Begun, Deletion, End, MediaKind, NewRecording, Origin, Store, StoreConfig, StoreError,
};

const DIR: &str = "REELD_TEST_FULL_DISK_DIR";
const ENGINE_DIR: &str = "REELD_TEST_FULL_ENGINE_DIR";

/// What a shell says when it could not set the stage.
const NO_STAGE: i32 = 77;

const FRAMES: usize = 8_000;

fn account() -> AccountSid {
    AccountSid::from_bytes([1; 16])
}

fn sid(n: u8) -> RecordingSid {
    RecordingSid::from_bytes([n; 16])
}

fn open(dir: &Path) -> Store {
    Store::open(StoreConfig {
        data_dir: dir.to_owned(),
        media: MediaKind::Local,
        min_free_bytes: 0,
        catalog_cache_bytes: 16 << 20,
        deleted_metadata: std::time::Duration::ZERO,
        check_reads_ppm: 0,
        encryption: Default::default(),
        disk: Default::default(),
    })
    .unwrap()
}

fn begin(store: &Store, n: u8) {
    let begun = store.begin(NewRecording {
        sid: sid(n),
        account: account(),
        call: CallSid::from_bytes([1; 16]),
        parties: Default::default(),
        channels: Channels::Dual,
        track: TrackSelection::Both,
        trim: Trim::DoNotTrim,
        origin: Origin::ControlApi,
        created_ms: i64::from(n),
        tags: serde_json::Map::new(),
        signalling_json: String::new(),
        idempotency_token: None,
        subscription: None,
        action: None,
    });
    assert!(matches!(begun, Ok(Begun::New(_))), "{begun:?}");
}

fn block(n: u8) -> Vec<i16> {
    (0..2 * FRAMES)
        .map(|i| i16::try_from(i).unwrap() + i16::from(n))
        .collect()
}

fn end() -> End {
    let summary = Summary {
        ended_by: EndedBy::Stopped,
        frames: 0,
        digits: String::new(),
        tracks: Default::default(),
        quality: Default::default(),
        rate_hz: 8_000,
    };
    End {
        summary,
        started_ms: None,
        ended_ms: 9,
    }
}

/// The child's body, on a disk of its own; does nothing where it was not started by the test.
#[test]
fn child() {
    let Some(dir) = env::var_os(DIR) else { return };
    let store = open(Path::new(&dir));
    store.recover(0).unwrap();
    let mut takes: Vec<_> = (1..=4)
        .map(|n| {
            begin(&store, n);
            (n, store.take(sid(n)).unwrap())
        })
        .collect();
    let mut running = takes.len();
    while running > 0 {
        running = 0;
        for (n, take) in &mut takes {
            let all = take.frames() + FRAMES as u64;
            match take.append(&block(*n), all) {
                Ok(()) => running += 1,
                Err(StoreError::DiskFull { sid: full }) => assert_eq!(full, sid(*n)),
                Err(error) => panic!("{error}"),
            }
        }
    }
    for (n, take) in takes {
        let frames = take.frames();
        let record = store.finish(take, end()).unwrap();
        assert_eq!(
            (record.frames, record.ended_by),
            (frames, Some(EndedBy::DiskFull))
        );
        let mut bytes = Vec::new();
        store
            .media(&record)
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        let expected = block(n).into_iter().cycle().flat_map(i16::to_le_bytes);
        assert!(
            bytes[44..]
                .iter()
                .copied()
                .eq(expected.take(bytes.len() - 44))
        );
        assert!(frames > FRAMES as u64, "{n} has {frames} frames");
    }
    assert_eq!(store.verify(&mut |_| {}).unwrap().findings, []);
    // There is room again, and so the next one is whole.
    assert_eq!(
        store.delete(account(), sid(1), 1).unwrap(),
        Deletion::Deleted
    );
    begin(&store, 5);
    let mut take = store.take(sid(5)).unwrap();
    take.append(&block(5), FRAMES as u64).unwrap();
    assert_eq!(
        store.finish(take, end()).unwrap().ended_by,
        Some(EndedBy::Stopped)
    );
    assert_eq!(store.verify(&mut |_| {}).unwrap().findings, []);
}

/// Fills the disk to the last byte.
fn fill(dir: &Path, name: &str) {
    let mut file = File::create(dir.join(name)).unwrap();
    for size in [1 << 20, 4_096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

/// The child's body where somebody else takes the last byte, the reserve's too: the engine itself
/// finds no room.
#[test]
fn engine_child() {
    let Some(dir) = env::var_os(ENGINE_DIR) else {
        return;
    };
    let dir = Path::new(&dir);
    let store = open(dir);
    store.recover(0).unwrap();
    begin(&store, 1);
    let mut take = store.take(sid(1)).unwrap();
    take.append(&block(1), FRAMES as u64).unwrap();
    store.finish(take, end()).unwrap();
    begin(&store, 2);
    let mut take = store.take(sid(2)).unwrap();
    take.append(&block(2), FRAMES as u64).unwrap();

    // The first fill makes the store give its reserve back; the second takes that as well.
    let mut refused = 0;
    for name in ["ballast-1", "ballast-2", "ballast-3"] {
        fill(dir, name);
        for _ in 0..32 {
            // Of the engine alone, and enough for its log to want another segment.
            refused += u32::from(store.add_account(None, &"n".repeat(1 << 15)).is_err());
        }
    }
    assert!(store.finish(take, end()).is_err());
    assert!(refused > 0, "the engine never met the full disk");
    assert!(!store.health().writable);
    // What there is can be read.
    let old = store.find(sid(1)).unwrap().unwrap();
    let mut bytes = Vec::new();
    store.media(&old).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 44 + 4 * FRAMES);
    assert!(store.mend(1).is_err(), "there is no room yet");

    for name in ["ballast-1", "ballast-2", "ballast-3"] {
        fs::remove_file(dir.join(name)).unwrap();
    }
    let mended = store.mend(2).unwrap();
    assert!(mended.reopened, "{mended:?}");
    let second = store.find(sid(2)).unwrap().unwrap();
    assert_eq!(second.frames, FRAMES as u64, "{mended:?}");
    assert_eq!(second.ended_by, Some(EndedBy::Stopped));
    begin(&store, 3);
    let mut take = store.take(sid(3)).unwrap();
    take.append(&block(3), FRAMES as u64).unwrap();
    store.finish(take, end()).unwrap();
    store.add_account(None, "last").unwrap();
    assert_eq!(store.verify(&mut |_| {}).unwrap().findings, []);
    drop(store);
    let store = open(dir);
    assert_eq!(store.recover(3).unwrap(), Default::default());
    assert_eq!(store.verify(&mut |_| {}).unwrap().findings, []);
}

#[test]
fn recordings_end_in_order_on_a_full_disk() {
    on_a_small_disk("child", DIR);
}

#[test]
fn an_engine_that_met_a_full_disk_works_again_without_a_restart() {
    on_a_small_disk("engine_child", ENGINE_DIR);
}

/// Runs a test of this file in a mount namespace, its data folder on a tmpfs.
fn on_a_small_disk(test: &str, variable: &str) {
    let dir = tempfile::tempdir().unwrap();
    let stage = format!(
        "mount -t tmpfs -o size=32m tmpfs '{}' || exit {NO_STAGE}; \
         exec \"$0\" --exact {test} --test-threads=1 --nocapture",
        dir.path().display()
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &stage])
        .arg(env::current_exe().unwrap())
        .env(variable, dir.path())
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let no_stage = output.status.code() == Some(NO_STAGE) || said.starts_with("unshare: ");
            assert!(
                no_stage,
                "{}{said}",
                String::from_utf8_lossy(&output.stdout)
            );
            println!(
                "skipped: no mount namespace of our own here: {}",
                said.trim()
            );
        }
        Err(error) => println!("skipped: {error}"),
    }
}
