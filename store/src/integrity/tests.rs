//! Damage found by reads and by verify, marked, refused and cleared.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::harness::{T0, account, config, new, open, record, served, sid, sound, verify};
use crate::{Deletion, MediaKind, Store, StoreConfig, StoreError};

fn checking(dir: &Path, ppm: u32) -> Store {
    Store::open(StoreConfig {
        check_reads_ppm: ppm,
        ..config(dir, MediaKind::Local)
    })
    .unwrap()
}

fn file(dir: &Path, n: u64) -> PathBuf {
    let sid = sid(n);
    dir.join("media")
        .join(hex::encode(&sid.as_bytes()[..1]))
        .join(format!("{sid}.wav"))
}

/// Changes one byte; done twice, it is as it was.
fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}

fn read(store: &Store, n: u64) -> Result<(), StoreError> {
    let record = store.find(sid(n)).unwrap().unwrap();
    store.media(&record).map(drop)
}

#[test]
fn a_share_of_the_reads_is_checked_evenly() {
    let dir = tempfile::tempdir().unwrap();
    for (ppm, wanted) in [(0, 0), (10_000, 4), (250_000, 100), (1_000_000, 400)] {
        let store = checking(dir.path(), ppm);
        if store.find(sid(1)).unwrap().is_none() {
            record(&store, new(1), &sound(2_000));
        }
        for _ in 0..400 {
            read(&store, 1).unwrap();
        }
        assert_eq!(store.integrity_figures().reads_checked, wanted, "{ppm}");
    }
}

#[test]
fn a_damaged_file_is_refused_until_verify_finds_it_right() {
    for at in [20, 44, 2_000, 4_043] {
        let dir = tempfile::tempdir().unwrap();
        let store = checking(dir.path(), 1_000_000);
        record(&store, new(1), &sound(2_000));
        record(&store, new(2), &sound(2_000));
        flip(&file(dir.path(), 1), at);
        let refused = read(&store, 1);
        assert!(
            matches!(&refused, Err(StoreError::Damaged { sid: of, .. }) if *of == sid(1)),
            "{at}: {refused:?}"
        );
        assert_eq!(store.health().damaged, 1);
        drop(store);

        // It is known without reading it, and after a restart.
        let store = open(dir.path(), MediaKind::Local);
        assert!(matches!(read(&store, 1), Err(StoreError::Damaged { .. })));
        read(&store, 2).unwrap();
        let report = verify(&store);
        assert_eq!((report.findings.len(), report.repaired.len()), (1, 0));
        store.mark_findings(&report).unwrap();
        assert_eq!(store.health().damaged, 1);

        flip(&file(dir.path(), 1), at);
        assert!(read(&store, 1).is_err(), "nobody has looked yet");
        let report = verify(&store);
        assert_eq!(
            (&report.findings[..], &report.repaired[..]),
            (&[][..], &[sid(1)][..])
        );
        store.mark_findings(&report).unwrap();
        assert_eq!(store.health().damaged, 0);
        read(&store, 1).unwrap();
        assert_eq!(
            verify(&store),
            crate::VerifyReport {
                repaired: Vec::new(),
                ..report
            }
        );
    }
}

#[test]
fn what_verify_finds_is_marked_and_what_is_not_served_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    for n in 1..=4 {
        record(&store, new(n), &sound(2_000));
    }
    flip(&file(dir.path(), 1), 100);
    fs::remove_file(file(dir.path(), 2)).unwrap();
    let length = fs::metadata(file(dir.path(), 3)).unwrap().len();
    flip(&file(dir.path(), 3), length - 1);
    // Unchecked and unmarked, it is served; that is what the rate is for.
    read(&store, 1).unwrap();
    let report = verify(&store);
    assert_eq!(report.findings.len(), 3, "{report:?}");
    store.mark_findings(&report).unwrap();
    assert!(matches!(read(&store, 1), Err(StoreError::Damaged { .. })));
    assert!(matches!(read(&store, 2), Err(StoreError::Damaged { .. })));
    read(&store, 3).unwrap();
    read(&store, 4).unwrap();
    // What is damaged can be deleted, and is not counted then.
    for n in [1, 2] {
        assert_eq!(
            store.delete(account(1), sid(n), T0).unwrap(),
            Deletion::Deleted
        );
    }
    assert_eq!(store.health().damaged, 0);
}

#[test]
fn media_in_the_engine_are_checked_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreConfig {
        check_reads_ppm: 1_000_000,
        ..config(dir.path(), MediaKind::Sled)
    })
    .unwrap();
    let made = record(&store, new(1), &sound(2_000));
    assert_eq!(served(&store, &made).len(), 4_044);
    assert_eq!(store.integrity_figures().reads_checked, 1);
}
