//! Deletion, also in the middle of a download.

use std::io::{Read as _, Seek as _, SeekFrom};

use reeld_model::Channels;

use crate::harness::*;
use crate::{Deletion, StoreError};

#[test]
fn a_deletion_says_what_it_came_to() {
    with_both(|dir, media| {
        let store = open(dir.path(), media);
        let kept = record(&store, new(1), &sound(80_000));
        record(&store, new(2), &sound(320));
        begin(&store, new(3));
        assert_eq!(store.delete(account(2), sid(2)).unwrap(), Deletion::Unknown);
        assert_eq!(store.delete(account(1), sid(9)).unwrap(), Deletion::Unknown);
        assert_eq!(
            store.delete(account(1), sid(3)).unwrap(),
            Deletion::StillLive
        );
        assert_eq!(store.delete(account(1), sid(2)).unwrap(), Deletion::Deleted);
        assert_eq!(store.delete(account(1), sid(2)).unwrap(), Deletion::Unknown);
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
    with_both(|dir, media| {
        let store = open(dir.path(), media);
        let samples = sound(300_000);
        let record = record(&store, new(1), &samples);
        let expected = file_of(Channels::Dual, &samples);
        let mut one = store.media(&record).unwrap();
        let mut other = store.media(&record).unwrap();
        let mut got = vec![0; 1_000];
        one.read_exact(&mut got).unwrap();
        assert_eq!(store.delete(account(1), sid(1)).unwrap(), Deletion::Deleted);
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
    with_both(|dir, media| {
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
                            store.delete(account(1), record.sid).unwrap() == Deletion::Deleted
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
