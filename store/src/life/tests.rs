//! The life of a recording, without a crash.

use proptest::prelude::*;
use reeld_model::{Channels, EndedBy, Trim};

use crate::harness::*;
use crate::{Begun, MediaKind, Stage, StoreConfig, StoreError};
use crate::{NewRecording, Store};

#[test]
fn what_is_appended_is_served_and_the_record_says_so() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        let samples = sound(2 * 50_000);
        let begun = begin(&store, new(1));
        assert_eq!((begun.stage, begun.frames), (Stage::Live, 0));
        assert_eq!(
            spool(dir.path()),
            [format!("{}.start", sid(1)), format!("{}.wav", sid(1))]
        );
        let mut take = store.take(sid(1)).unwrap();
        for (block, appended) in samples.chunks(2 * 800).zip(1..) {
            take.append(block, appended * 800).unwrap();
        }
        assert_eq!(take.frames(), 50_000 / 800 * 800 + 50_000 % 800);
        let record = store.finish(take, end(50_000)).unwrap();
        let expected = file_of(Channels::Dual, &samples);
        assert_eq!(served(&store, &record), expected);
        assert_eq!(record.blake3, Some(blake3::hash(&expected[44..]).into()));
        assert_eq!((record.stage, record.frames), (Stage::Completed, 50_000));
        assert_eq!(record.ended_by, Some(EndedBy::Stopped));
        assert_eq!(
            (record.started_ms, record.updated_ms),
            (Some(T0 + 7), T0 + 99)
        );
        assert_eq!(
            (record.digits.as_str(), record.tracks[1].packets),
            ("1#", 5)
        );
        assert!(!record.recovered);
        assert_eq!(store.find(sid(1)).unwrap(), Some(record.clone()));
        assert_eq!(store.get(account(2), sid(1)).unwrap(), None);
        assert!(spool(dir.path()).is_empty());
        assert_clean(&store);
        drop(store);
        let store = open(dir.path(), media);
        assert_eq!(store.get(account(1), sid(1)).unwrap(), Some(record.clone()));
        assert_eq!(served(&store, &record), expected);
    });
}

#[test]
fn a_local_file_is_in_a_folder_of_its_first_digits_and_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    record(&store, new(0xab), &sound(320));
    let path = dir.path().join(format!("media/ab/{}.wav", sid(0xab)));
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for folder in ["spool", "media", "media/ab", "catalog"] {
        let mode = std::fs::metadata(dir.path().join(folder))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700, "{folder}");
    }
    // A reader that is not ours stops where the RIFF does.
    let mut wav = reeld_codec::wav::Reader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let mut samples = vec![0; 1_000];
    assert_eq!(wav.read(&mut samples).unwrap(), 320);
    assert_eq!(samples[..320], sound(320));
}

#[test]
fn an_empty_recording_is_absent() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        begin(&store, new(1));
        let take = store.take(sid(1)).unwrap();
        let mut nothing = end(0);
        nothing.summary.ended_by = EndedBy::NoPackets;
        let record = store.finish(take, nothing).unwrap();
        assert_eq!((record.stage, record.blake3), (Stage::Absent, None));
        assert_eq!(record.ended_by, Some(EndedBy::NoPackets));
        assert!(matches!(
            store.media(&record),
            Err(StoreError::MediaMissing { .. })
        ));
        // All of it was silence to be trimmed: packets came, and the file would be empty.
        begin(
            &store,
            NewRecording {
                trim: Trim::TrimSilence,
                ..new(2)
            },
        );
        let mut take = store.take(sid(2)).unwrap();
        take.append(&[0; 1_600], 0).unwrap();
        assert_eq!(store.finish(take, end(0)).unwrap().stage, Stage::Absent);
        assert!(spool(dir.path()).is_empty());
        assert_clean(&store);
        assert_eq!(store.list(&everything()).unwrap().total, 2);
        let mut listed = everything();
        listed.which = crate::Which::Completed;
        assert_eq!(store.list(&listed).unwrap().total, 0);
    });
}

#[test]
fn an_abort_leaves_nothing_and_the_token_is_free_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    let with_token = |n| NewRecording {
        idempotency_token: Some("t".to_owned()),
        ..new(n)
    };
    begin(&store, with_token(1));
    store.abort(sid(1)).unwrap();
    assert!(spool(dir.path()).is_empty());
    assert_eq!(store.find(sid(1)).unwrap(), None);
    assert_eq!(store.list(&everything()).unwrap().total, 0);
    assert!(matches!(
        store.take(sid(1)),
        Err(StoreError::NotLive { .. })
    ));
    assert!(matches!(
        store.abort(sid(1)),
        Err(StoreError::NotLive { .. })
    ));
    begin(&store, with_token(2));
    assert_clean(&store);
}

#[test]
fn a_token_begins_one_recording_for_each_account() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    let with_token = |n| NewRecording {
        idempotency_token: Some("t".to_owned()),
        ..new(n)
    };
    let first = record(&store, with_token(1), &sound(320));
    assert_eq!(store.begin(with_token(2)).unwrap(), Begun::Repeated(first));
    assert!(spool(dir.path()).is_empty());
    begin(
        &store,
        NewRecording {
            account: account(2),
            ..with_token(3)
        },
    );
    store.delete(account(1), sid(1), T0).unwrap();
    begin(&store, with_token(4));
}

#[test]
fn threads_with_one_token_begin_one_recording() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    let begun: Vec<Begun> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let token = Some("t".to_owned());
                let new = NewRecording {
                    idempotency_token: token,
                    ..new(n)
                };
                scope.spawn(|| store.begin(new).unwrap())
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let mut first = begun.iter().filter_map(|begun| match begun {
        Begun::New(record) => Some(record.clone()),
        Begun::Repeated(_) => None,
    });
    let first = first.next().filter(|_| first.next().is_none()).unwrap();
    let repeated = begun
        .iter()
        .filter(|begun| **begun == Begun::Repeated(first.clone()))
        .count();
    assert_eq!(repeated, 7);
    assert_eq!(spool(dir.path()).len(), 2);
    assert_clean(&store);
}

#[test]
fn a_sid_is_given_once_and_a_take_is_handed_out_once() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        begin(&store, new(1));
        assert!(matches!(
            store.begin(new(1)),
            Err(StoreError::SidTaken { .. })
        ));
        let take = store.take(sid(1)).unwrap();
        assert!(matches!(
            store.take(sid(1)),
            Err(StoreError::TakeInUse { .. })
        ));
        assert!(matches!(
            store.abort(sid(1)),
            Err(StoreError::TakeInUse { .. })
        ));
        assert!(matches!(
            store.begin(new(1)),
            Err(StoreError::SidTaken { .. })
        ));
        drop(take);
        // Nobody owns it now, and its take is still there.
        assert!(matches!(
            store.begin(new(1)),
            Err(StoreError::SidTaken { .. })
        ));
        record(&store, new(2), &sound(320));
        assert!(matches!(
            store.begin(new(2)),
            Err(StoreError::SidTaken { .. })
        ));
        assert_clean(&store);
    });
}

#[test]
fn no_room_refuses_a_new_recording_and_touches_no_live_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    let free = store.health().free_bytes;
    assert!(store.health().writable && free > 0);
    drop(store);
    let min_free_bytes = u64::MAX;
    let config = StoreConfig {
        min_free_bytes,
        ..config(dir.path(), MediaKind::Local)
    };
    let store = Store::open(config).unwrap();
    let Err(StoreError::NoSpace { free, min_free }) = store.begin(new(1)) else {
        panic!("there is no room");
    };
    assert!(free < min_free);
    assert_eq!(store.health().min_free_bytes, u64::MAX);
    assert!(spool(dir.path()).is_empty());
}

#[test]
fn a_full_disk_ends_a_recording_with_what_was_written() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        let samples = sound(2 * 1_000);
        begin(&store, new(1));
        let mut take = store.take(sid(1)).unwrap();
        take.append(&samples[..1_200], 600).unwrap();
        // Room for 300 more frames and a torn one; of an encrypted block a part is worth nothing.
        let kept: usize = if store.has_keys() { 600 } else { 900 };
        take.room = Some(take.file.metadata().unwrap().len() + 300 * 4 + 3);
        for _ in 0..2 {
            let full = take.append(&samples[1_200..], 1_000).unwrap_err();
            assert!(matches!(full, StoreError::DiskFull { sid: full } if full == sid(1)));
        }
        assert_eq!(take.frames(), kept as u64);
        // The reserve was given back for the end.
        assert_eq!(
            std::fs::metadata(dir.path().join("reserve")).unwrap().len(),
            0
        );
        let record = store.finish(take, end(1_000)).unwrap();
        assert_eq!(
            (record.frames, record.ended_by),
            (kept as u64, Some(EndedBy::DiskFull))
        );
        assert_eq!(
            served(&store, &record),
            file_of(Channels::Dual, &samples[..2 * kept])
        );
        assert_clean(&store);
        begin(&store, new(2));
        assert!(std::fs::metadata(dir.path().join("reserve")).unwrap().len() > 0);
    });
}

#[test]
fn samples_can_be_synced_while_they_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    begin(&store, new(1));
    let mut take = store.take(sid(1)).unwrap();
    take.append(&sound(320), 160).unwrap();
    store.sync_takes().unwrap();
    take.append(&sound(320), 320).unwrap();
    assert_eq!(store.finish(take, end(320)).unwrap().frames, 320);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Blocks of any size, and any way in which the place of the cut moves on.
    #[test]
    fn the_running_checksum_is_that_of_the_kept_samples(
        blocks in prop::collection::vec((0_usize..700, 0_u64..1_500), 1..12),
        dual: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), MediaKind::Local);
        let channels = if dual { Channels::Dual } else { Channels::Mono };
        let width = usize::from(channels.count());
        begin(&store, NewRecording { channels, ..new(1) });
        let mut take = store.take(sid(1)).unwrap();
        let (mut all, mut kept) = (Vec::new(), 0);
        for (frames, keep) in blocks {
            let block = &sound(40_000)[all.len()..all.len() + frames * width];
            all.extend_from_slice(block);
            take.append(block, keep).unwrap();
            let frames = all.len() / width;
            kept = usize::try_from(keep).unwrap().clamp(kept, frames);
            prop_assert_eq!(take.frames(), frames as u64);
            prop_assert_eq!(take.keep_frames(), kept as u64);
        }
        let record = store.finish(take, end(kept as u64)).unwrap();
        if kept == 0 {
            prop_assert_eq!(record.stage, Stage::Absent);
        } else {
            let expected = file_of(channels, &all[..kept * width]);
            prop_assert_eq!(record.blake3, Some(blake3::hash(&expected[44..]).into()));
            prop_assert_eq!(served(&store, &record), expected);
        }
        prop_assert!(verify(&store).findings.is_empty());
    }
}
