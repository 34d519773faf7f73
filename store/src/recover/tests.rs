//! Recovery from each crash point of `life` and `read`: the folder is brought to the state that
//! the crash leaves, opened anew and recovered, twice.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use proptest::prelude::*;
use reeld_model::{Channels, EndedBy, Trim};
use tempfile::TempDir;

use crate::catalog::{Insert, Told};
use crate::harness::*;
use crate::stored::Stored;
use crate::{Deletion, MediaKind, NewRecording, Record, Recovery, Stage, Store, seal};

const NOW: i64 = T0 + 1_000_000;

/// Where the crash comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    B2,
    B3,
    B4,
    /// The header is final, nothing is cut.
    F0Header,
    /// The header is final and the rest is cut.
    F0Cut,
    /// The trailer is half written.
    F0Torn,
    /// The trailer's pages came to the disk before the header's.
    F0Reordered,
    F1,
    F2,
    F3,
    A3,
    D1,
    D2,
    /// As D1 and D2, where nothing is kept of what is deleted.
    D1Bare,
    D2Bare,
}

const POINTS: [Point; 15] = [
    Point::B2,
    Point::B3,
    Point::B4,
    Point::F0Header,
    Point::F0Cut,
    Point::F0Torn,
    Point::F0Reordered,
    Point::F1,
    Point::F2,
    Point::F3,
    Point::A3,
    Point::D1,
    Point::D2,
    Point::D1Bare,
    Point::D2Bare,
];

/// What must be there after recovery.
#[derive(Debug, PartialEq)]
enum Then {
    Nothing,
    /// Its record alone, among the deleted ones.
    Deleted,
    Absent,
    /// As `finish` would have returned it.
    Finished(Box<Record>),
    /// With this much of the sound, recovered.
    Recovered(usize),
}

fn take_path(store: &Store, n: u64) -> PathBuf {
    store.inner.spool.take_path(sid(n))
}

/// Brings recording `n` to the state of a crash at `point`.
fn bring_to(store: &Store, n: u64, point: Point, samples: &[i16]) -> Then {
    let inner = &store.inner;
    let frames = samples.len() as u64 / 2;
    if let Point::D1 | Point::D2 | Point::D1Bare | Point::D2Bare = point {
        let keep_ms = matches!(point, Point::D1 | Point::D2).then_some(T0 + 5);
        record(store, new(n), samples);
        assert_eq!(
            inner.catalog.bury(account(1), sid(n), keep_ms).unwrap(),
            Deletion::Deleted
        );
        if let Point::D2 | Point::D2Bare = point {
            inner.media.remove(sid(n), Box::new(|| Ok(()))).unwrap();
        }
        return keep_ms.map_or(Then::Nothing, |_| Then::Deleted);
    }
    let (begun, finished) = begun_and_finished(n, samples);
    let (take, crypt) = inner.spool.create(&begun, &inner.keys).unwrap();
    let path = take_path(store, n);
    if point == Point::B2 {
        fs::remove_file(path.with_extension("start")).unwrap();
    }
    if let Point::B2 | Point::B3 = point {
        return Then::Nothing;
    }
    assert_eq!(
        inner.catalog.insert(&begun, Told::default()).unwrap(),
        Insert::New
    );
    let mut crypt = crypt;
    // The second is held-back silence that the finished file is without.
    for bytes in [bytes_of(samples), vec![0; 400]] {
        let at = take.metadata().unwrap().len();
        match &mut crypt {
            None => take.write_all_at(&bytes, at).unwrap(),
            Some(growing) => {
                let block = growing.block(&bytes).unwrap();
                take.write_all_at(&block.bytes, at).unwrap();
                growing.has_block(&block, block.bytes.len());
            }
        }
    }
    if point == Point::B4 {
        return Then::Recovered(samples.len() / 2 + 100);
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let end = 44 + frames * 4;
    if let (Some(growing), Point::F0Header | Point::F0Cut | Point::F0Torn | Point::F0Reordered) =
        (&crypt, point)
    {
        let (at, bytes) = growing.finish(&finished).unwrap();
        if point == Point::F0Header {
            // There is no header to be final: nothing has happened yet.
            return Then::Recovered(samples.len() / 2 + 100);
        }
        file.set_len(at).unwrap();
        let written = if point == Point::F0Cut {
            0
        } else if point == Point::F0Torn {
            bytes.len() / 2
        } else {
            // All but what says where the end is.
            bytes.len() - 9
        };
        file.write_all_at(&bytes[..written], at).unwrap();
        return Then::Recovered(samples.len() / 2);
    }
    if let Point::F0Header | Point::F0Cut | Point::F0Torn | Point::F0Reordered = point {
        if point != Point::F0Reordered {
            file.write_all_at(&file_of(Channels::Dual, samples)[..44], 0)
                .unwrap();
        }
        if point != Point::F0Header {
            file.set_len(end).unwrap();
        }
        if let Point::F0Torn | Point::F0Reordered = point {
            let frame = finished.frame();
            file.write_all_at(&frame[..frame.len() - 9], end).unwrap();
        }
        return Then::Recovered(samples.len() / 2);
    }
    seal::seal(&mut file, &path, &finished, crypt.as_ref()).unwrap();
    if point == Point::A3 {
        let mut absent = begun;
        absent.record.stage = Stage::Absent;
        inner.catalog.put(&absent).unwrap();
        return Then::Absent;
    }
    if let Point::F2 | Point::F3 = point {
        inner.media.adopt(&finished, &path).unwrap();
    }
    if point == Point::F3 {
        inner.catalog.put(&finished).unwrap();
    }
    Then::Finished(Box::new(finished.record))
}

fn begun_and_finished(n: u64, samples: &[i16]) -> (Stored, Stored) {
    let begun = Stored::begun(new(n));
    let mut finished = begun.clone();
    finished.record.stage = Stage::Completed;
    finished.record.frames = samples.len() as u64 / 2;
    finished.record.ended_by = Some(EndedBy::Key);
    finished.record.blake3 = Some(blake3::hash(&bytes_of(samples)).into());
    finished.record.digits = "5".to_owned();
    (begun, finished)
}

fn assert_then(store: &Store, n: u64, then: &Then, samples: &[i16], recovery: &Recovery) {
    let told = recovery
        .recovered
        .iter()
        .find(|record| record.sid == sid(n));
    let found = store.find(sid(n)).unwrap();
    let deleted = store.get_deleted(account(1), sid(n)).unwrap();
    assert_eq!(deleted.is_some(), *then == Then::Deleted);
    match then {
        Then::Nothing => assert_eq!((found, told), (None, None)),
        Then::Deleted => {
            assert_eq!((found, told), (None, None));
            let deleted = deleted.unwrap();
            assert_eq!(deleted.stage, Stage::Deleted);
            assert!(store.inner.media.trailer(sid(n)).unwrap().is_none());
        }
        Then::Absent => assert_eq!(found.unwrap().stage, Stage::Absent),
        Then::Finished(record) => {
            assert_eq!(found.as_ref(), Some(&**record));
            assert!(served(store, record) == file_of(Channels::Dual, samples));
        }
        Then::Recovered(frames) => {
            let record = found.unwrap();
            assert_eq!(told, Some(&record));
            assert_eq!((record.stage, record.recovered), (Stage::Completed, true));
            assert_eq!(record.ended_by, Some(EndedBy::Recovered));
            assert_eq!((record.frames, record.updated_ms), (*frames as u64, NOW));
            let mut expected = samples.to_vec();
            expected.resize(frames * 2, 0);
            assert!(served(store, &record) == file_of(Channels::Dual, &expected));
        }
    }
}

/// Recovers after a crash, checks, and sees that a second recovery finds nothing to do.
fn recover_after_crash(
    store: Store,
    dir: &TempDir,
    media: MediaKind,
    check: impl Fn(&Store, &Recovery),
) {
    crash(store, dir.path());
    let store = open(dir.path(), media);
    let recovery = store.recover(NOW).unwrap();
    assert_eq!(recovery.problems, [""; 0]);
    check(&store, &recovery);
    assert!(spool(dir.path()).is_empty());
    assert!(store.inner.catalog.buried().unwrap().is_empty());
    assert_clean(&store);
    assert_eq!(store.recover(NOW + 1).unwrap(), Recovery::default());
    crash(store, dir.path());
    let store = open(dir.path(), media);
    assert_eq!(store.recover(NOW + 2).unwrap(), Recovery::default());
    assert_clean(&store);
}

#[test]
fn every_crash_point_is_taken_to_its_end() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        let samples = sound(2 * 20_000);
        let thens: Vec<Then> = (0..)
            .zip(POINTS)
            .map(|(n, point)| bring_to(&store, n, point, &samples))
            .collect();
        recover_after_crash(store, dir, media, |store, recovery| {
            for ((n, point), then) in (0..).zip(POINTS).zip(&thens) {
                println!("{media:?} {point:?}");
                assert_then(store, n, then, &samples, recovery);
            }
        });
    });
}

#[test]
fn a_take_of_a_torn_frame_keeps_the_whole_ones() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        bring_to(&store, 1, Point::B4, &sound(640));
        let path = take_path(&store, 1);
        OpenOptions::new()
            .append(true)
            .open(path)
            .unwrap()
            .write_all(&[9; 3])
            .unwrap();
        recover_after_crash(store, dir, media, |store, _| {
            assert_eq!(store.find(sid(1)).unwrap().unwrap().frames, 320 + 100);
        });
    });
}

#[test]
fn a_trimmed_take_loses_the_silence_at_its_end() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        for (n, sounding) in [(1, 4_000), (2, 0)] {
            begin(
                &store,
                NewRecording {
                    trim: Trim::TrimSilence,
                    ..new(n)
                },
            );
            let mut take = store.take(sid(n)).unwrap();
            take.append(&sound(2 * sounding), sounding as u64).unwrap();
            // Idle noise, for more than one look at it.
            let idle: Vec<i16> = (0..2 * 9_000)
                .map(|i| if i % 3 == 0 { 8 } else { -8 })
                .collect();
            take.append(&idle, sounding as u64).unwrap();
        }
        recover_after_crash(store, dir, media, |store, recovery| {
            let record = store.find(sid(1)).unwrap().unwrap();
            assert!((4_000..4_160).contains(&record.frames), "{}", record.frames);
            assert_eq!(store.find(sid(2)).unwrap().unwrap().stage, Stage::Absent);
            assert_eq!(recovery.absent, [sid(2)]);
        });
    });
}

#[test]
fn a_begun_recording_without_sound_becomes_absent() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        begin(&store, new(1));
        recover_after_crash(store, dir, media, |store, recovery| {
            assert_eq!(recovery.absent, [sid(1)]);
            let record = store.find(sid(1)).unwrap().unwrap();
            assert_eq!((record.stage, record.recovered), (Stage::Absent, true));
        });
    });
}

#[test]
fn a_take_that_the_catalog_has_lost_is_finished_by_its_start_file() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        bring_to(&store, 1, Point::B4, &sound(640));
        store.inner.catalog.remove(sid(1)).unwrap();
        recover_after_crash(store, dir, media, |store, recovery| {
            assert_eq!(recovery.recovered.len(), 1);
            assert_eq!(store.find(sid(1)).unwrap().unwrap().frames, 420);
        });
    });
}

#[test]
fn media_without_a_record_is_restored_after_a_crash() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        // In three folders, the first and the last among them.
        let lost = [256, 1, 511].map(|n| {
            record(&store, new(n + 512), &sound(64));
            record(&store, new(n), &sound(640))
        });
        for record in &lost {
            store.inner.catalog.remove(record.sid).unwrap();
        }
        recover_after_crash(store, dir, media, |store, recovery| {
            assert_eq!(recovery.restored, [256, 1, 511].map(sid));
            for record in &lost {
                assert_eq!(store.find(record.sid).unwrap().as_ref(), Some(record));
            }
        });
    });
}

#[test]
fn what_is_recorded_now_is_left_alone() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        begin(&store, new(1));
        begin(&store, new(2));
        let mut take = store.take(sid(2)).unwrap();
        take.append(&sound(640), 320).unwrap();
        assert_eq!(store.recover(NOW).unwrap(), Recovery::default());
        take.append(&sound(640), 640).unwrap();
        assert_eq!(store.finish(take, end(640)).unwrap().frames, 640);
        assert_eq!(store.take(sid(1)).unwrap().frames(), 0);
        // That writer gave up: nobody owns the take now, and it is recovered in this very process.
        assert_eq!(store.recover(NOW).unwrap().absent, [sid(1)]);
        assert_clean(&store);
    });
}

#[test]
fn what_cannot_be_made_good_is_told_and_nothing_is_thrown_away() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        // A live record whose take is gone.
        begin(&store, new(1));
        store.inner.spool.clear(sid(1)).unwrap();
        // Sound that nothing says anything of.
        bring_to(&store, 2, Point::B4, &sound(640));
        store.inner.catalog.remove(sid(2)).unwrap();
        let orphan = take_path(&store, 2);
        fs::write(orphan.with_extension("start"), "damaged").unwrap();
        // A stranger, and a file that was being written.
        fs::write(dir.path().join("spool/notes.txt"), "x").unwrap();
        fs::write(dir.path().join("spool/RE1.start.partial"), "x").unwrap();
        crash(store, dir.path());
        let store = open(dir.path(), media);
        let recovery = store.recover(NOW).unwrap();
        assert_eq!(recovery.problems.len(), 3, "{:?}", recovery.problems);
        assert_eq!(recovery.absent, [sid(1)]);
        let left = spool(dir.path());
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(orphan.exists());
        assert_clean(&store);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Any recordings, each stopped at any point.
    #[test]
    fn any_mix_of_crash_points_recovers(
        points in prop::collection::vec((prop::sample::select(&POINTS[..]), 1_usize..40_000), 1..10),
    ) {
        with_all(|dir, media| {
            let store = open(dir.path(), media);
            let samples: Vec<Vec<i16>> = points.iter().map(|(_, frames)| sound(2 * frames)).collect();
            let thens: Vec<Then> = (0..)
                .zip(&points)
                .zip(&samples)
                .map(|((n, (point, _)), samples)| bring_to(&store, n, *point, samples))
                .collect();
            recover_after_crash(store, dir, media, |store, recovery| {
                for ((n, then), samples) in (0..).zip(&thens).zip(&samples) {
                    assert_then(store, n, then, samples, recovery);
                }
            });
        });
    }
}

#[test]
fn what_is_left_of_a_deleted_recording_does_not_bring_it_back() {
    with_both(|dir, media| {
        let store = open(dir.path(), media);
        let samples = sound(640);
        let (_, finished) = begun_and_finished(1, &samples);
        record(&store, new(1), &samples);
        store.delete(account(1), sid(1), T0).unwrap();
        // Its take, which the disk did not let go of when it ended.
        let inner = &store.inner;
        drop(inner.spool.create(&finished, &inner.keys).unwrap());
        let path = take_path(&store, 1);
        fs::write(&path, file_of(Channels::Dual, &samples)).unwrap();
        recover_after_crash(store, dir, media, |store, recovery| {
            assert_then(store, 1, &Then::Deleted, &samples, recovery);
        });
        // Media that somebody put back are told of and left alone.
        let store = open(dir.path(), media);
        fs::write(&path, file_of(Channels::Dual, &samples)).unwrap();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        seal::seal(&mut file, &path, &finished, None).unwrap();
        store.inner.media.adopt(&finished, &path).unwrap();
        crash(store, dir.path());
        let store = open(dir.path(), media);
        let problems = store.recover(NOW).unwrap().problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("deleted"));
        assert_eq!(store.find(sid(1)).unwrap(), None);
        assert_eq!(verify(&store).findings, [crate::Finding::Orphaned(sid(1))]);
    });
}
