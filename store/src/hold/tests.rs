//! Holds against deletions, restarts, a lost catalog and files that differ.

use std::fs;

use crate::harness::{
    T0, account, assert_clean, begin, config, crash, end, new, open, record, sid, sound, verify,
    with_all,
};
use crate::{Deletion, Finding, Hold, MediaKind, Store};

fn held(store: &Store, n: u64) -> Option<i64> {
    store.find(sid(n)).unwrap().unwrap().marks.held_ms
}

#[test]
fn what_is_on_hold_is_not_deleted_until_it_is_released() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        record(&store, new(1), &sound(2_000));
        record(&store, new(2), &sound(2_000));
        assert_eq!(store.hold(sid(9), T0).unwrap(), None);
        let hold = Hold {
            sid: sid(1),
            account: account(1),
            since_ms: T0,
        };
        assert_eq!(store.hold(sid(1), T0).unwrap(), Some(hold.clone()));
        assert_eq!(store.hold(sid(1), T0 + 5).unwrap(), Some(hold.clone()));
        let delete = |store: &Store, n| store.delete(account(1), sid(n), T0).unwrap();
        assert_eq!(delete(&store, 1), Deletion::OnHold);
        assert_eq!(store.discard(account(1), sid(1)).unwrap(), Deletion::OnHold);
        assert_eq!(delete(&store, 2), Deletion::Deleted);
        drop(store);

        let store = open(dir.path(), media);
        store.recover(T0).unwrap();
        assert_eq!(store.holds().unwrap(), [hold]);
        assert_eq!(delete(&store, 1), Deletion::OnHold);
        assert_clean(&store);
        assert!(store.release(sid(1)).unwrap());
        assert!(!store.release(sid(1)).unwrap());
        assert_eq!(store.holds().unwrap(), []);
        assert_eq!(delete(&store, 1), Deletion::Deleted);
        assert_eq!(store.hold(sid(1), T0).unwrap(), None);
        assert_clean(&store);
    });
}

#[test]
fn a_hold_on_a_live_recording_outlives_its_end() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        begin(&store, new(1));
        store.hold(sid(1), T0).unwrap();
        let mut take = store.take(sid(1)).unwrap();
        take.append(&sound(2_000), 1_000).unwrap();
        store.finish(take, end(1_000)).unwrap();
        assert_eq!(held(&store, 1), Some(T0));
        assert_eq!(
            store.delete(account(1), sid(1), T0).unwrap(),
            Deletion::OnHold
        );
        assert_clean(&store);
    });
}

#[test]
fn a_hold_outlives_the_loss_of_the_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    record(&store, new(1), &sound(2_000));
    record(&store, new(2), &sound(2_000));
    store.hold(sid(1), T0).unwrap();
    crash(store, dir.path());
    let kept = || Store::rebuild(config(dir.path(), MediaKind::Local), &mut |_| {}).unwrap();
    // A catalog that is there has the hold; one that was lost, its file alone.
    kept();
    let store = open(dir.path(), MediaKind::Local);
    assert_eq!(held(&store, 1), Some(T0));
    crash(store, dir.path());
    fs::remove_dir_all(dir.path().join("catalog")).unwrap();
    let store = open(dir.path(), MediaKind::Local);
    store.recover(T0).unwrap();
    assert_eq!((held(&store, 1), held(&store, 2)), (Some(T0), None));
    assert_clean(&store);
}

#[test]
fn a_hold_without_its_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    record(&store, new(1), &sound(2_000));
    store.hold(sid(1), T0).unwrap();
    let file = dir.path().join("holds").join(sid(1).to_string());
    fs::rename(&file, dir.path().join("holds").join(sid(2).to_string())).unwrap();
    let findings = verify(&store).findings;
    assert!(
        matches!(&findings[..], [Finding::Drift(a), Finding::Drift(b)]
            if a.contains(&sid(2).to_string()) && b.contains(&sid(1).to_string())),
        "{findings:?}"
    );
}
