//! The catalog made anew, from whole media and beside damage.

use std::fs;

use crate::harness::*;
use crate::{Deletion, MediaKind, Record, Stage, Store, StoreError, VerifyProgress};

fn rebuild(dir: &tempfile::TempDir, media: MediaKind) -> crate::Rebuilt {
    let mut last = VerifyProgress::default();
    let rebuilt = Store::rebuild(config(dir.path(), media), &mut |progress| last = progress);
    let rebuilt = rebuilt.unwrap();
    assert!(last.done >= rebuilt.from_media);
    rebuilt
}

#[test]
fn everything_is_there_again_with_accounts_and_what_has_no_media() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        let (account_sid, token) = store.add_account(None, "x").unwrap();
        for n in 0..20 {
            record(&store, new(n), &sound(1_000));
        }
        begin(&store, new(20));
        store.finish(store.take(sid(20)).unwrap(), end(0)).unwrap();
        begin(&store, new(21));
        store.delete(account(1), sid(3), T0).unwrap();
        let before = store.list(&everything()).unwrap();
        assert_eq!(before.total, 21);
        assert!(matches!(
            Store::rebuild(config(dir.path(), media), &mut |_| {}),
            Err(StoreError::Held { .. })
        ));
        // Media that vanished take their record along; what is being deleted stays deleted.
        store
            .inner
            .media
            .remove(sid(4), Box::new(|| Ok(())))
            .unwrap();
        assert_eq!(
            store.inner.catalog.bury(account(1), sid(5), None).unwrap(),
            Deletion::Deleted
        );
        crash(store, dir.path());
        let rebuilt = rebuild(dir, media);
        assert_eq!(
            (rebuilt.from_media, rebuilt.kept, rebuilt.deleted),
            (17, 2, 1)
        );
        assert_eq!(rebuilt.problems.len(), 1);
        assert!(rebuilt.problems[0].contains(&sid(4).to_string()));
        let store = open(dir.path(), media);
        assert_eq!(store.recover(T0).unwrap().absent, [sid(21)]);
        let page = store.list(&everything()).unwrap();
        let kept = |record: &&Record| record.sid != sid(4) && record.sid != sid(5);
        let mut expected: Vec<Record> = before.records.iter().filter(kept).cloned().collect();
        let last = expected
            .iter_mut()
            .find(|record| record.sid == sid(21))
            .unwrap();
        *last = store.find(sid(21)).unwrap().unwrap();
        assert_eq!(last.stage, Stage::Absent);
        assert_eq!((page.records, page.total), (expected, 19));
        let deleted = store.get_deleted(account(1), sid(3)).unwrap();
        assert_eq!(deleted.unwrap().stage, Stage::Deleted);
        assert!(store.authenticate(account_sid, secrecy::ExposeSecret::expose_secret(&token)));
        assert_clean(&store);
        // Once more, from the new generation.
        drop(store);
        assert_eq!(rebuild(dir, media).from_media, 17);
        assert_clean(&open(dir.path(), media));
    });
}

#[test]
fn drift_and_damaged_records_are_gone_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    let first = record(&store, new(1), &sound(1_000));
    drop(store);
    {
        let parts = crate::store::Parts::open(&config(dir.path(), MediaKind::Local)).unwrap();
        parts.catalog.wipe();
        parts.catalog.scribble(sid(1), b"damaged");
    }
    let store = open(dir.path(), MediaKind::Local);
    assert!(!verify(&store).findings.is_empty());
    drop(store);
    assert_eq!(rebuild(&dir, MediaKind::Local).from_media, 1);
    let store = open(dir.path(), MediaKind::Local);
    assert_eq!(store.find(sid(1)).unwrap(), Some(first));
    assert_clean(&store);
}

#[test]
fn a_catalog_that_does_not_open_is_moved_aside() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    let first = record(&store, new(1), &sound(1_000));
    drop(store);
    fs::write(dir.path().join("catalog/conf"), "damaged ".repeat(9)).unwrap();
    let error = Store::open(config(dir.path(), MediaKind::Local)).unwrap_err();
    assert!(matches!(error, StoreError::Catalog(_)), "{error:?}");
    let rebuilt = rebuild(&dir, MediaKind::Local);
    assert_eq!((rebuilt.from_media, rebuilt.problems.len()), (1, 1));
    assert!(dir.path().join("catalog.damaged-1").is_dir());
    let store = open(dir.path(), MediaKind::Local);
    assert_eq!(store.find(sid(1)).unwrap(), Some(first));
    assert_clean(&store);
}

#[test]
fn what_was_deleted_stays_so_whatever_media_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    record(&store, new(1), &sound(1_000));
    let hex = hex::encode([sid(1).as_bytes()[0]]);
    let path = dir.path().join(format!("media/{hex}/{}.wav", sid(1)));
    let bytes = fs::read(&path).unwrap();
    store.delete(account(1), sid(1), T0).unwrap();
    fs::write(&path, bytes).unwrap();
    drop(store);
    let rebuilt = rebuild(&dir, MediaKind::Local);
    assert_eq!((rebuilt.from_media, rebuilt.deleted), (0, 1));
    assert_eq!(rebuilt.problems.len(), 1, "{:?}", rebuilt.problems);
    let store = open(dir.path(), MediaKind::Local);
    assert_eq!(store.find(sid(1)).unwrap(), None);
    assert!(store.get_deleted(account(1), sid(1)).unwrap().is_some());
}
