//! What threads share, in every order that their steps can come in (`make loom`).
//!
//! It calls nothing of the workspace's crates but takes their very files: `quota` and `backlog` of ingest, `group` of
//! store, whose `crate::sync` is loom's here and std's there. So what is run through is what is shipped; a copy
//! could differ. A program and no test: those files' own tests want real threads.
//!
//! A model is small, since orders multiply: two threads and the one that made them, at most
//! [`PREEMPTIONS`] times stopped where it could go on.

#![forbid(unsafe_code)]
// A model uses some of what the files have.
#![allow(dead_code)]

#[path = "../../../ingest/src/backlog.rs"]
mod backlog;
#[path = "../../../store/src/group.rs"]
mod group;
#[path = "../../../ingest/src/quota.rs"]
mod quota;

/// What the files have of std, of loom.
mod sync {
    pub(crate) use loom::sync::{Condvar, Mutex, atomic};
}

/// As store's own.
mod locks {
    use loom::sync::{Mutex, MutexGuard};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What `backlog` has of ingest: no order depends on the time.
mod clock {
    pub(crate) fn monotonic() -> reeld_model::Mono {
        reeld_model::Mono(0)
    }
}

/// What `group` has of store.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// It says why.
    Catalog(String),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Catalog(reason) = self;
        f.write_str(reason)
    }
}

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use reeld_capture::Output;
use reeld_model::{Channels, RecordingSid};

/// Beyond three nearly all faults have shown (loom's own advice).
const PREEMPTIONS: usize = 3;

fn main() {
    for (name, model) in [
        (
            "quota: never more than there is room for, and all comes back",
            quota as fn(),
        ),
        (
            "backlog: never more bytes than the bound, and all come back",
            backlog,
        ),
        ("group: who is answered was synced after he asked", group),
        (
            "group: a failure reaches all whom the sync was for, and nobody waits for ever",
            failure,
        ),
    ] {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(PREEMPTIONS);
        let orders = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        builder.check({
            let orders = Arc::clone(&orders);
            move || {
                orders.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                model();
            }
        });
        println!(
            "{name}: {} orders",
            orders.load(std::sync::atomic::Ordering::Relaxed)
        );
    }
}

/// Runs `work` on two threads and waits for both.
fn both(work: impl Fn(usize) + Send + Sync + 'static) {
    let work = Arc::new(work);
    let threads = [0, 1].map(|number| {
        let work = Arc::clone(&work);
        thread::spawn(move || work(number))
    });
    for thread in threads {
        thread.join().expect("a model's thread ends");
    }
}

fn quota() {
    let quota = Arc::new(quota::Quota::new(1));
    let running = Arc::new(AtomicUsize::new(0));
    both({
        let quota = Arc::clone(&quota);
        move |_| {
            for _ in 0..2 {
                if let Some(seat) = quota.take() {
                    assert_eq!(
                        running.fetch_add(1, Ordering::SeqCst),
                        0,
                        "two have the one seat"
                    );
                    running.fetch_sub(1, Ordering::SeqCst);
                    drop(seat);
                }
            }
        }
    });
    assert_eq!(quota.taken(), 0);
    assert!(quota.take().is_some());
}

fn backlog() {
    let backlog = Arc::new(backlog::Backlog::new(100));
    let held = Arc::new(AtomicUsize::new(0));
    both({
        let backlog = Arc::clone(&backlog);
        move |_| {
            // 60 bytes: there is room for one.
            let audio = Output::Audio {
                recording: RecordingSid::from_bytes([0; 16]),
                samples: vec![0; 30],
                keep_frames: 0,
            };
            let (queued, silenced) = backlog.admit(audio, Channels::Mono);
            if silenced == 0 {
                assert_eq!(held.fetch_add(1, Ordering::SeqCst), 0, "both had room");
                held.fetch_sub(1, Ordering::SeqCst);
            } else {
                assert_eq!(silenced, 30);
            }
            drop(queued);
        }
    });
    assert_eq!(backlog.bytes(), 0);
}

/// What a sync finds written; it takes a step to look at each.
#[derive(Default)]
struct Disk {
    written: [AtomicBool; 2],
    synced: [AtomicBool; 2],
}

impl Disk {
    fn sync(&self) {
        for (written, synced) in self.written.iter().zip(&self.synced) {
            if written.load(Ordering::SeqCst) {
                synced.store(true, Ordering::SeqCst);
            }
        }
    }
}

fn group() {
    let (group, disk) = (group::Group::default(), Disk::default());
    both(move |number| {
        disk.written[number].store(true, Ordering::SeqCst);
        let synced = group.wait(|| {
            disk.sync();
            Ok(())
        });
        assert!(synced.is_ok());
        assert!(
            disk.synced[number].load(Ordering::SeqCst),
            "answered before it was synced"
        );
    });
}

fn failure() {
    let group = group::Group::default();
    let (syncs, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (syncs, failed) = (Arc::new(syncs), Arc::new(failed));
    both({
        let (syncs, failed) = (Arc::clone(&syncs), Arc::clone(&failed));
        move |_| {
            // The first sync fails.
            let result = group.wait(|| match syncs.fetch_add(1, Ordering::SeqCst) {
                0 => Err(StoreError::Catalog("the disk".to_owned())),
                _ => Ok(()),
            });
            if let Err(StoreError::Catalog(reason)) = result {
                assert!(reason.contains("the disk"), "{reason}");
                failed.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let (syncs, failed) = (syncs.load(Ordering::SeqCst), failed.load(Ordering::SeqCst));
    // One sync for both, and both fail; or one each, and the first fails.
    assert!(
        (syncs, failed) == (1, 2) || (syncs, failed) == (2, 1),
        "{syncs} syncs, {failed} failed"
    );
}
