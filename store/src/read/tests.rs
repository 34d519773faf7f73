//! Deletion, also in the middle of a download.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use reeld_model::Channels;

use crate::harness::*;
use crate::{Deletion, Query, Stage, Store, StoreConfig, StoreError, Which};

#[test]
fn a_deletion_says_what_it_came_to() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        let kept = record(&store, new(1), &sound(80_000));
        record(&store, new(2), &sound(320));
        begin(&store, new(3));
        assert_eq!(
            store.delete(account(2), sid(2), T0).unwrap(),
            Deletion::Unknown
        );
        assert_eq!(
            store.delete(account(1), sid(9), T0).unwrap(),
            Deletion::Unknown
        );
        assert_eq!(
            store.delete(account(1), sid(3), T0).unwrap(),
            Deletion::StillLive
        );
        assert_eq!(
            store.delete(account(1), sid(2), T0).unwrap(),
            Deletion::Deleted
        );
        assert_eq!(
            store.delete(account(1), sid(2), T0).unwrap(),
            Deletion::Unknown
        );
        assert_eq!(store.find(sid(2)).unwrap(), None);
        assert!(store.inner.media.trailer(sid(2)).unwrap().is_none());
        assert!(store.inner.catalog.buried().unwrap().is_empty());
        assert_eq!(store.list(&everything()).unwrap().total, 2);
        assert_eq!(
            served(&store, &kept),
            file_of(Channels::Dual, &sound(80_000))
        );
        assert_clean(&store);
        record(&store, new(2), &sound(640));
        assert_clean(&store);
    });
}

#[test]
fn a_deletion_lets_downloads_finish() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        let samples = sound(300_000);
        let record = record(&store, new(1), &samples);
        let expected = file_of(Channels::Dual, &samples);
        let mut one = store.media(&record).unwrap();
        let mut other = store.media(&record).unwrap();
        let mut got = vec![0; 1_000];
        one.read_exact(&mut got).unwrap();
        assert_eq!(
            store.delete(account(1), sid(1), T0).unwrap(),
            Deletion::Deleted
        );
        assert!(matches!(
            store.media(&record),
            Err(StoreError::MediaMissing { .. })
        ));
        assert_clean(&store);
        one.read_to_end(&mut got).unwrap();
        assert!(got == expected);
        drop(one);
        other.seek(SeekFrom::Start(200_000)).unwrap();
        let mut rest = Vec::new();
        other.read_to_end(&mut rest).unwrap();
        assert!(rest == expected[200_000..]);
        drop(other);
        assert!(store.inner.media.trailer(sid(1)).unwrap().is_none());
        assert!(store.inner.catalog.buried().unwrap().is_empty());
        assert_clean(&store);
    });
}

#[test]
fn threads_that_delete_and_read_agree() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        let samples = sound(60_000);
        let expected = file_of(Channels::Dual, &samples);
        let records: Vec<_> = (0..24).map(|n| record(&store, new(n), &samples)).collect();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for record in &records {
                        match store.media(record) {
                            Ok(mut media) => {
                                let mut bytes = Vec::new();
                                media.read_to_end(&mut bytes).unwrap();
                                assert!(bytes == expected, "{}", record.sid);
                            }
                            Err(StoreError::MediaMissing { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            let deleted: u32 = [(); 2]
                .map(|()| {
                    scope.spawn(|| {
                        let delete = |record: &crate::Record| {
                            store.delete(account(1), record.sid, T0).unwrap() == Deletion::Deleted
                        };
                        records
                            .iter()
                            .map(|record| u32::from(delete(record)))
                            .sum::<u32>()
                    })
                })
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum();
            assert_eq!(deleted, 24);
        });
        assert!(store.inner.catalog.buried().unwrap().is_empty());
        assert_eq!(store.list(&everything()).unwrap().total, 0);
        assert_clean(&store);
    });
}

fn with_deleted() -> Query {
    Query {
        which: Which::WithDeleted,
        ..everything()
    }
}

#[test]
fn the_record_of_a_deleted_recording_is_kept_for_its_time() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        let kept_ms = i64::try_from(KEPT.as_millis()).unwrap();
        let records: Vec<_> = (0..6)
            .map(|n| record(&store, new(n), &sound(320)))
            .collect();
        for n in [1, 2, 4] {
            let now_ms = T0 + 100 * i64::try_from(n).unwrap();
            assert_eq!(
                store.delete(account(1), sid(n), now_ms).unwrap(),
                Deletion::Deleted
            );
            assert_eq!(
                store.delete(account(1), sid(n), now_ms).unwrap(),
                Deletion::Unknown
            );
        }
        let found = store.get_deleted(account(1), sid(2)).unwrap().unwrap();
        let mut expected = records[2].clone();
        expected.stage = Stage::Deleted;
        expected.updated_ms = T0 + 200;
        assert_eq!(found, expected);
        assert_eq!(store.get_deleted(account(2), sid(2)).unwrap(), None);
        assert_eq!(store.get(account(1), sid(2)).unwrap(), None);
        assert!(matches!(
            store.media(&found),
            Err(StoreError::MediaMissing { .. })
        ));
        assert_eq!(store.list(&everything()).unwrap().total, 3);
        let sids = |store: &Store| -> Vec<_> {
            let page = store.list(&with_deleted()).unwrap();
            assert_eq!(page.total, page.records.len() as u64);
            page.records.iter().map(|record| record.sid).collect()
        };
        assert_eq!(sids(&store), [5, 4, 3, 2, 1, 0].map(sid));
        // A recording of the same Sid takes its place.
        record(&store, new(4), &sound(640));
        assert_eq!(store.get_deleted(account(1), sid(4)).unwrap(), None);
        assert_eq!(sids(&store).len(), 6);
        // Its time is over in the order of deletions, by its own clock, and a few at a time.
        let over = |n: i64| T0 + 100 * n + kept_ms;
        assert_eq!(store.purge_deleted(over(1), 9).unwrap(), 0);
        assert_eq!(store.purge_deleted(over(1) + 1, 9).unwrap(), 1);
        assert_eq!(sids(&store), [5, 4, 3, 2, 0].map(sid));
        assert_eq!(store.purge_deleted(over(9), 1).unwrap(), 1);
        assert_eq!(store.purge_deleted(over(9), 1).unwrap(), 0);
        assert_eq!(sids(&store), [5, 4, 3, 0].map(sid));
        assert_clean(&store);
        store.delete(account(1), sid(3), T0).unwrap();
        crash(store, dir.path());
        // A setting that is lowered holds for what was deleted before.
        let none = StoreConfig {
            deleted_metadata: Duration::ZERO,
            ..config(dir.path(), media)
        };
        let store = Store::open(none).unwrap();
        store.recover(T0).unwrap();
        assert_eq!(sids(&store), [5, 4, 3, 0].map(sid));
        store.delete(account(1), sid(5), T0).unwrap();
        assert_eq!(store.purge_deleted(T0 + 1, 9).unwrap(), 1);
        assert_eq!(sids(&store), [4, 0].map(sid));
        assert_clean(&store);
    });
}
