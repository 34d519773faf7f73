//! Group commit under threads: coverage, sharing, failure.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::*;

#[test]
fn each_caller_is_covered_by_a_sync_that_began_after_its_write() {
    let group = Arc::new(Group::default());
    let written = Arc::new(AtomicU64::new(0));
    let synced = Arc::new(AtomicU64::new(0));
    let syncs = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (group, written) = (Arc::clone(&group), Arc::clone(&written));
            let (synced, syncs) = (Arc::clone(&synced), Arc::clone(&syncs));
            thread::spawn(move || {
                for _ in 0..500 {
                    let mine = written.fetch_add(1, Ordering::SeqCst) + 1;
                    group
                        .wait(|| {
                            let seen = written.load(Ordering::SeqCst);
                            thread::yield_now();
                            syncs.fetch_add(1, Ordering::SeqCst);
                            synced.fetch_max(seen, Ordering::SeqCst);
                            Ok(())
                        })
                        .unwrap();
                    assert!(synced.load(Ordering::SeqCst) >= mine);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(syncs.load(Ordering::SeqCst) <= 4_000);
}

#[test]
fn a_failed_sync_fails_all_whom_it_was_for_and_nobody_later() {
    let group = Arc::new(Group::default());
    let (entered, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let leader = {
        let (group, entered, leave) =
            (Arc::clone(&group), Arc::clone(&entered), Arc::clone(&leave));
        thread::spawn(move || {
            group.wait(|| {
                entered.wait();
                leave.wait();
                Ok(())
            })
        })
    };
    entered.wait();
    // Three more ask while the first sync runs: they share the second, which fails.
    let followers: Vec<_> = (0..3)
        .map(|_| {
            let group = Arc::clone(&group);
            thread::spawn(move || group.wait(|| Err(StoreError::Catalog("no".to_owned()))))
        })
        .collect();
    while lock(&group.state).asked < 4 {
        thread::yield_now();
    }
    leave.wait();
    leader.join().unwrap().unwrap();
    for follower in followers {
        follower.join().unwrap().unwrap_err();
    }
    group.wait(|| Ok(())).unwrap();
}

#[test]
fn a_sync_that_panics_does_not_block_the_next() {
    let group = Arc::new(Group::default());
    let panicked = {
        let group = Arc::clone(&group);
        thread::spawn(move || group.wait(|| panic!("a test's panic"))).join()
    };
    assert!(panicked.is_err());
    group.wait(|| Ok(())).unwrap();
}
