//! What verify finds, and what it does not take for a finding.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::*;
use crate::{Finding, MediaKind, VerifyProgress};

#[test]
fn all_is_read_and_progress_is_told() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        for n in 0..5 {
            record(&store, new(n), &sound(100_000));
        }
        begin(&store, new(9));
        let mut last = VerifyProgress::default();
        let mut calls = 0;
        let report = store
            .verify(&mut |progress| {
                assert!(progress.done >= last.done && progress.bytes >= last.bytes);
                last = progress;
                calls += 1;
            })
            .unwrap();
        assert_eq!(report.findings, []);
        assert_eq!((report.records, report.bytes), (6, 5 * 200_044));
        assert_eq!((last.done, last.total, last.bytes), (6, 6, 5 * 200_044));
        assert!(calls > 15);
    });
}

#[test]
fn each_kind_of_damage_to_a_file_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    let path = |n: u64| dir.path().join(format!("media/0{n}/{}.wav", sid(n)));
    for n in 0..8 {
        record(&store, new(n), &sound(1_000));
    }
    let flip = |n: u64, at: u64| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path(n))
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    };
    flip(0, 41); // a size in the header
    flip(1, 1_000); // a sample
    flip(2, 2_044 + 30); // the trailer
    OpenOptions::new()
        .write(true)
        .open(path(3))
        .unwrap()
        .set_len(900)
        .unwrap();
    fs::copy(path(5), path(4)).unwrap(); // the same sound, another's trailer
    fs::remove_file(path(6)).unwrap();
    let stranger = dir.path().join(format!("media/0f/{}.wav", sid(15)));
    fs::copy(path(5), stranger).unwrap();
    let findings = verify(&store).findings;
    let damaged = |n, what: &str| Finding::Damaged(sid(n), what.to_owned());
    assert_eq!(
        findings,
        [
            damaged(0, "its header is not that of the record"),
            damaged(1, "its samples have another checksum"),
            damaged(2, "its trailer cannot be read"),
            damaged(3, "its samples: the media end at 900 of 2044 bytes"),
            damaged(4, "its trailer cannot be read"),
            Finding::Missing(sid(6)),
            Finding::Orphaned(sid(15)),
        ]
    );
    assert!(findings[0].to_string().starts_with(&sid(0).to_string()));
}

#[test]
fn what_is_missing_orphaned_or_lost_is_found_with_either_media() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        for n in 1..4 {
            record(&store, new(n), &sound(1_000));
        }
        store
            .inner
            .media
            .remove(sid(1), Box::new(|| Ok(())))
            .unwrap();
        store.inner.catalog.remove(sid(2)).unwrap();
        begin(&store, new(4));
        drop(store.take(sid(4)).unwrap());
        store.inner.spool.clear(sid(4)).unwrap();
        let report = verify(&store);
        let missing = [1, 4].map(|n| Finding::Missing(sid(n)));
        assert_eq!(report.findings[..2], missing);
        assert_eq!(report.findings[2..], [Finding::Orphaned(sid(2))]);
        assert_eq!(report.records, 3);
    });
}

#[test]
fn recordings_that_come_and_go_meanwhile_are_no_finding() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writers = [0, 1].map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..40 {
                        let n = 2 * n + writer;
                        record(store, new(n), &sound(30_000));
                        if n % 3 != 0 {
                            store.delete(account(1), sid(n), T0).unwrap();
                        }
                    }
                })
            });
            let verifier = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert_clean(&store);
                }
            });
            for writer in writers {
                writer.join().unwrap();
            }
            done.store(true, Ordering::Relaxed);
            verifier.join().unwrap();
        });
        assert_eq!(verify(&store).records, 27);
        assert_clean(&store);
    });
}
