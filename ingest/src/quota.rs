//! How many recordings may run, over all threads: `capture.max_recordings`.
//!
//! `live` takes a [`Seat`] before it starts a recording and keeps it while the recording runs.

use std::sync::Arc;

use crate::sync::atomic::{AtomicUsize, Ordering};

/// The bound and how much of it is used.
#[derive(Debug)]
pub(crate) struct Quota {
    most: usize,
    taken: AtomicUsize,
}

impl Quota {
    /// Room for `most` recordings.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: AtomicUsize::new(0),
        }
    }

    /// Recordings that may run.
    pub(crate) const fn most(&self) -> usize {
        self.most
    }

    /// Recordings that run or are about to.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Room for one that runs already, whether there is any or not.
    pub(crate) fn take_anyway(self: &Arc<Self>) -> Seat {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Seat {
            quota: Arc::clone(self),
        }
    }

    /// Room for one more, if there is any.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Seat> {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.most).then_some(taken + 1)
            })
            .ok()
            .map(|_| Seat {
                quota: Arc::clone(self),
            })
    }
}

/// Room for one recording; dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Seat {
    quota: Arc<Quota>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.quota.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn racing_threads_never_go_over_the_bound() {
        let quota = Arc::new(Quota::new(3));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let seat = quota.take();
                        assert!(quota.taken() <= 3);
                        drop(seat);
                    }
                });
            }
        });
        let seats: Vec<_> = std::iter::from_fn(|| quota.take()).collect();
        assert_eq!((seats.len(), quota.taken()), (3, 3));
        drop(seats);
        assert_eq!(quota.taken(), 0);
    }
}
