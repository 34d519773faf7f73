//! Retention by age and size in virtual time, and what it passes over.

use std::time::Duration;

use super::*;
use crate::harness::{T0, account, assert_clean, begin, new, open, record, sid, sound, with_all};
use crate::{MediaKind, NewRecording};

const DAY_MS: i64 = 86_400_000;
const DAY: Duration = Duration::from_secs(86_400);
/// Bytes of each recording here.
const FILE: u64 = 4_044;

/// The n-th recording of an account, begun on day `n`.
fn on_day(n: u64, account_n: u8) -> NewRecording {
    NewRecording {
        account: account(account_n),
        created_ms: T0 + i64::try_from(n).unwrap() * DAY_MS,
        ..new(n)
    }
}

fn age(days: u32) -> Limits {
    Limits {
        age: Some(DAY * days),
        bytes: None,
    }
}

fn size(bytes: u64) -> Limits {
    Limits {
        age: None,
        bytes: Some(bytes),
    }
}

fn each(limits: Limits) -> Retention {
    Retention {
        each: limits,
        accounts: HashMap::new(),
    }
}

fn gone(retained: &Retained) -> Vec<reeld_model::RecordingSid> {
    retained
        .deleted
        .iter()
        .map(|(record, _)| record.sid)
        .collect()
}

#[test]
fn what_is_too_old_goes_oldest_first_and_is_gone_without_a_trace_in_the_media() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        for n in 1..=5 {
            record(&store, on_day(n, 1), &sound(2_000));
        }
        // Live ones, held ones and those of accounts without limits stay, however old.
        begin(&store, on_day(0, 1));
        store.hold(sid(2), T0).unwrap();
        record(&store, on_day(6, 2), &sound(2_000));
        let retention = Retention {
            each: age(10),
            accounts: [(account(2), Limits::default())].into(),
        };
        assert_eq!(retention.shortest(), Some(DAY * 10));
        let mut retainer = Retainer::new(store.clone(), retention);
        let day = |n: i64| T0 + n * DAY_MS;
        assert_eq!(retainer.pass(day(11), 100).unwrap(), Retained::default());
        let first = retainer.pass(day(11) + 1, 100).unwrap();
        assert_eq!(gone(&first), [sid(1)]);
        assert_eq!(first.deleted[0].1, Reason::Age(DAY * 10));
        let rest = retainer.pass(day(100), 100).unwrap();
        assert_eq!(gone(&rest), [sid(3), sid(4), sid(5)]);
        assert_eq!(retainer.pass(day(101), 100).unwrap(), Retained::default());
        assert!(store.find(sid(6)).unwrap().is_some());
        assert!(store.get_deleted(account(1), sid(3)).unwrap().is_some());
        assert_clean(&store);
        assert!(store.release(sid(2)).unwrap());
        assert_eq!(gone(&retainer.pass(day(101), 100).unwrap()), [sid(2)]);
        assert_clean(&store);
    });
}

#[test]
fn an_account_that_has_too_much_loses_its_oldest() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        for n in 1..=6 {
            record(&store, on_day(n, 1), &sound(2_000));
            record(&store, on_day(n + 10, 2), &sound(2_000));
        }
        store.hold(sid(1), T0).unwrap();
        let retention = Retention {
            each: size(4 * FILE),
            accounts: [(account(2), size(6 * FILE))].into(),
        };
        let mut retainer = Retainer::new(store.clone(), retention);
        let first = retainer.pass(T0, 1).unwrap();
        assert_eq!((gone(&first), first.more), (vec![sid(2)], true));
        let reason = Reason::Bytes {
            had: 6 * FILE,
            most: 4 * FILE,
        };
        assert_eq!(first.deleted[0].1, reason);
        assert_eq!(gone(&retainer.pass(T0, 100).unwrap()), [sid(3)]);
        assert_eq!(retainer.pass(T0, 100).unwrap(), Retained::default());
        // One more, and one that is held counts though it cannot go.
        record(&store, on_day(7, 1), &sound(2_000));
        assert_eq!(gone(&retainer.pass(T0, 100).unwrap()), [sid(4)]);
        assert_clean(&store);
    });
}

#[test]
fn a_limit_that_only_held_recordings_exceed_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    for n in 1..=3 {
        record(&store, on_day(n, 1), &sound(2_000));
        store.hold(sid(n), T0).unwrap();
    }
    let mut retainer = Retainer::new(store.clone(), each(size(FILE)));
    assert_eq!(retainer.pass(T0, 100).unwrap(), Retained::default());
    let mut off = Retainer::new(store, each(Limits::default()));
    assert_eq!(off.pass(i64::MAX, 100).unwrap(), Retained::default());
    assert!(each(Limits::default()).is_off() && !each(age(1)).is_off());
}

#[test]
fn what_media_take_is_known_after_a_restart_and_for_an_older_catalog() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        for n in 1..=3 {
            record(&store, on_day(n, 1), &sound(2_000));
        }
        let usage = |store: &Store| store.inner.catalog.usage(account(1)).unwrap();
        assert_eq!(usage(&store), 3 * FILE);
        store.delete(account(1), sid(1), T0).unwrap();
        drop(store);
        let store = open(dir.path(), media);
        assert_eq!(usage(&store), 2 * FILE);
        assert_eq!(store.inner.catalog.owners().unwrap(), [account(1)]);
        assert_clean(&store);
    });
}
