//! The disk as the store sees it: whatever makes or changes a file passes here first.
//!
//! Called by spool, takes, `seal`, media and the engine's commits. In a daemon nothing is in the way.
//! A measurement gives [`StoreConfig`](crate::StoreConfig) a disk that it can make stand still, and so
//! shows what a disk that does costs: no file system has to be mounted for it.

use std::sync::{Arc, Condvar, Mutex};

use crate::locks::lock;

/// What the store's files lie on.
#[derive(Debug, Clone, Default)]
pub struct Disk(Option<Stall>);

/// Makes a [`Disk`] stand still. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Stall(Arc<(Mutex<bool>, Condvar)>);

impl Disk {
    /// A disk that stands still when the [`Stall`] says so.
    #[must_use]
    pub fn stallable() -> (Self, Stall) {
        let stall = Stall::default();
        (Self(Some(stall.clone())), stall)
    }

    /// Returns once the disk does not stand still.
    pub(crate) fn pass(&self) {
        let Some(Stall(stall)) = &self.0 else { return };
        let (stalled, changed) = &**stall;
        let mut stalled = lock(stalled);
        while *stalled {
            stalled = changed
                .wait(stalled)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}

impl Stall {
    /// From now on no write, sync, rename or removal begins.
    pub fn begin(&self) {
        self.set(true);
    }

    /// All that wait go on.
    pub fn end(&self) {
        self.set(false);
    }

    fn set(&self, stands_still: bool) {
        let (stalled, changed) = &*self.0;
        *lock(stalled) = stands_still;
        changed.notify_all();
    }
}
