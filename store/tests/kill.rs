//! kill -9 in the middle of recordings: whatever was acknowledged is there after a restart.
//!
//! The test starts itself again as a child that records, says what it was promised, and is killed.

#![expect(
    clippy::unwrap_used,
    reason = "a test of its own crate: a failed step is a failed test"
)]

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use reeld_model::{
    AccountSid, CallSid, Channels, EndedBy, RecordingSid, Summary, TrackSelection, Trim,
};
use reeld_store::{
    Begun, Encryption, End, EventMethod, EventStatus, KeyPlace, MediaKind, NewRecording, Origin,
    PageAt, Query, Stage, Store, StoreConfig, Subscription, Which,
};

const DIR: &str = "REELD_TEST_KILL_DIR";
const SLED: &str = "REELD_TEST_KILL_SLED";

/// Frames of a block, and blocks of a recording.
const BLOCK: usize = 800;
const BLOCKS: u64 = 12;

/// Recordings that the child is in the middle of at any time.
const AT_ONCE: u64 = 10;

fn open(dir: &Path, media: MediaKind) -> Store {
    let key = dir.join("test-key");
    Store::open(StoreConfig {
        data_dir: dir.to_owned(),
        media,
        min_free_bytes: 0,
        catalog_cache_bytes: 16 << 20,
        deleted_metadata: Duration::from_secs(60),
        check_reads_ppm: 0,
        encryption: Encryption {
            key: key.exists().then_some(KeyPlace::File(key)),
            old: Vec::new(),
        },
        disk: Default::default(),
    })
    .unwrap()
}

fn sid(n: u64) -> RecordingSid {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    RecordingSid::from_bytes(bytes)
}

/// The samples of block `block` of recording `n`: no two blocks are alike.
fn block_of(n: u64, block: u64) -> Vec<i16> {
    let seed = usize::try_from(n * 31 + block * 7).unwrap();
    (0..BLOCK)
        .map(|i| i16::try_from((seed + i) * 7_919 % 20_011).unwrap() - 10_000)
        .collect()
}

/// The child: it never returns from here of its own accord.
fn record_until_killed(dir: &Path, media: MediaKind) {
    let store = open(dir, media);
    store.recover(0).unwrap();
    let mut out = std::io::stdout();
    let mut say = |what: &str, n: u64, blocks: u64| {
        writeln!(out, "\n@ {what} {n} {blocks}").unwrap();
        out.flush().unwrap();
    };
    for first in (0..).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let mut takes = Vec::new();
        for n in first..first + AT_ONCE {
            let begun = store
                .begin(NewRecording {
                    sid: sid(n),
                    account: AccountSid::from_bytes([1; 16]),
                    call: CallSid::from_bytes([1; 16]),
                    parties: Default::default(),
                    channels: Channels::Mono,
                    track: TrackSelection::Both,
                    trim: Trim::DoNotTrim,
                    origin: Origin::ControlApi,
                    created_ms: i64::try_from(n).unwrap(),
                    tags: serde_json::Map::new(),
                    signalling_json: String::new(),
                    idempotency_token: None,
                    action: None,
                    subscription: Some(Subscription {
                        url: "http://localhost/".to_owned(),
                        method: EventMethod::Post,
                        events: vec![EventStatus::InProgress, EventStatus::Completed],
                        recording_url: String::new(),
                    }),
                })
                .unwrap();
            assert!(matches!(begun, Begun::New(_)));
            say("begun", n, 0);
            takes.push((n, store.take(sid(n)).unwrap()));
        }
        for block in 0..BLOCKS {
            for (n, take) in &mut takes {
                take.append(&block_of(*n, block), (block + 1) * BLOCK as u64)
                    .unwrap();
                say("appended", *n, block + 1);
            }
        }
        for (n, take) in takes {
            let summary = Summary {
                ended_by: EndedBy::Stopped,
                frames: BLOCKS * BLOCK as u64,
                digits: String::new(),
                tracks: Default::default(),
                quality: Default::default(),
                rate_hz: 8_000,
            };
            store
                .finish(
                    take,
                    End {
                        summary,
                        started_ms: None,
                        ended_ms: 1,
                    },
                )
                .unwrap();
            say("finished", n, BLOCKS);
            if n % 4 == 3 {
                store
                    .delete(AccountSid::from_bytes([1; 16]), sid(n), 7)
                    .unwrap();
                say("deleted", n, 0);
            }
        }
    }
}

/// Starts the child, kills it after `lines` promises, and holds it to them.
fn kill_after(lines: usize, media: MediaKind, is_encrypted: bool) {
    let dir = tempfile::tempdir().unwrap();
    if is_encrypted {
        let key = dir.path().join("test-key");
        fs::write(&key, "0123456789abcdef".repeat(4)).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(DIR, dir.path());
    if media == MediaKind::Sled {
        child.env(SLED, "1");
    }
    let mut child = child
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut promises = Vec::new();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    while promises.len() < lines {
        let line = output.next().expect("the child ended by itself").unwrap();
        promises.extend(promise(&line));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said before it died.
    promises.extend(
        output
            .map_while(Result::ok)
            .filter_map(|line| promise(&line)),
    );

    let store = open(dir.path(), media);
    let recovery = store.recover(99).unwrap();
    assert_eq!(recovery.problems, [""; 0]);
    // Nothing was delivered, so all that was promised is still to be told, in order.
    let pending = store.pending_events(usize::MAX).unwrap();
    let waiting = |n: u64| -> Vec<EventStatus> {
        let of_it = pending.iter().filter(|event| event.sid == sid(n));
        of_it.map(|event| event.status).collect()
    };
    let (mut begun, mut deleted_ones) = (0, 0);
    for n in 0.. {
        let of = |what: &str| {
            promises
                .iter()
                .filter(|(said, m, _)| said == what && *m == n)
                .map(|(.., b)| *b)
                .max()
        };
        if of("begun").is_none() {
            break;
        }
        begun += 1;
        let record = store.find(sid(n)).unwrap();
        if of("finished").is_some() || record.as_ref().is_some_and(|record| record.frames > 0) {
            assert_eq!(
                waiting(n),
                [EventStatus::InProgress, EventStatus::Completed],
                "{n}"
            );
        } else {
            assert_eq!(waiting(n), [EventStatus::InProgress], "{n}");
        }
        if of("deleted").is_some() {
            assert_eq!(record, None, "{n} was deleted");
        }
        let Some(record) = record else {
            // Its deletion was promised, or done before it could be.
            assert!(of("finished").is_some() && n % 4 == 3, "{n} is lost");
            let account = AccountSid::from_bytes([1; 16]);
            let deleted = store.get_deleted(account, sid(n)).unwrap().unwrap();
            assert_eq!((deleted.stage, deleted.updated_ms), (Stage::Deleted, 7));
            assert!(store.media(&deleted).is_err());
            deleted_ones += 1;
            continue;
        };
        let appended = of("appended").unwrap_or(0);
        assert!(record.frames >= appended * BLOCK as u64, "{n}: {record:?}");
        if of("finished").is_some() {
            assert_eq!(
                (record.ended_by, record.recovered),
                (Some(EndedBy::Stopped), false)
            );
        }
        assert_ne!(record.stage, Stage::Live);
        if record.frames == 0 {
            assert_eq!(record.stage, Stage::Absent);
            continue;
        }
        let mut bytes = Vec::new();
        store
            .media(&record)
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        let expected: Vec<u8> = (0..BLOCKS)
            .flat_map(|block| block_of(n, block))
            .flat_map(i16::to_le_bytes)
            .take(usize::try_from(record.data_bytes()).unwrap())
            .collect();
        assert!(bytes[44..] == expected, "{n} has other samples");
    }
    assert!(begun > 0);
    assert_eq!(store.verify(&mut |_| {}).unwrap().findings, []);
    let all = Query {
        account: AccountSid::from_bytes([1; 16]),
        call: None,
        named: None,
        from_ms: None,
        until_ms: None,
        which: Which::Undeleted,
        at: PageAt::Number(0),
        page_size: 1_000,
    };
    let page = store.list(&all).unwrap();
    assert_eq!(page.records.len() as u64, page.total);
    let with_deleted = Query {
        which: Which::WithDeleted,
        ..all
    };
    let whole = store.list(&with_deleted).unwrap();
    assert_eq!(whole.total, page.total + deleted_ones);
    assert_eq!(whole.records.len() as u64, whole.total);
}

fn promise(line: &str) -> Option<(String, u64, u64)> {
    let mut words = line.strip_prefix("@ ")?.split(' ');
    let what = words.next()?.to_owned();
    Some((
        what,
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
    ))
}

/// The child's body; does nothing where it was not started by this file's other tests.
#[test]
fn child() {
    if let Some(dir) = env::var_os(DIR) {
        let media = if env::var_os(SLED).is_some() {
            MediaKind::Sled
        } else {
            MediaKind::Local
        };
        record_until_killed(Path::new(&dir), media);
    }
}

#[test]
fn nothing_that_was_promised_is_lost_with_files() {
    for lines in [3, 60, 131, 137, 300] {
        kill_after(lines, MediaKind::Local, false);
    }
}

#[test]
fn nothing_that_was_promised_is_lost_with_sled() {
    for lines in [3, 60, 131, 137, 300] {
        kill_after(lines, MediaKind::Sled, false);
    }
}

#[test]
fn nothing_that_was_promised_is_lost_where_it_is_encrypted() {
    for (lines, media) in [
        (3, MediaKind::Local),
        (60, MediaKind::Local),
        (131, MediaKind::Local),
        (137, MediaKind::Sled),
        (300, MediaKind::Local),
    ] {
        kill_after(lines, media, true);
    }
}
