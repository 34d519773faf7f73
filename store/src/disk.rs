//! The disk as the store sees it: whatever makes or changes a file passes here first.
//!
//! Called by spool, takes, `seal`, media, the engine's commits and the probe of `mend`. In a daemon
//! nothing is in the way. A test or a measurement gives [`StoreConfig`](crate::StoreConfig) a disk that
//! it can make stand still or fail, and so shows what a disk that does costs: no file system has to be
//! mounted for it. What the engine writes by itself does not pass here; that its commits fail is what
//! the store sees of it.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use nix::errno::Errno;

use crate::locks::lock;

/// What the store's files lie on.
#[derive(Debug, Clone, Default)]
pub struct Disk(Option<Stall>);

/// Makes a [`Disk`] stand still or fail. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Stall(Arc<(Mutex<State>, Condvar)>);

/// How a disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// The device gives errors (EIO).
    Io,
    /// It has no room (ENOSPC).
    Full,
    /// It takes no writes (EROFS), as a file system that has turned itself read-only.
    ReadOnly,
}

#[derive(Debug, Default)]
struct State {
    stands_still: bool,
    fault: Option<DiskFault>,
}

impl Disk {
    /// A disk that stands still or fails when the [`Stall`] says so.
    #[must_use]
    pub fn stallable() -> (Self, Stall) {
        let stall = Stall::default();
        (Self(Some(stall.clone())), stall)
    }

    /// Returns once the disk does not stand still.
    pub(crate) fn pass(&self) -> io::Result<()> {
        let Some(Stall(shared)) = &self.0 else {
            return Ok(());
        };
        let (state, changed) = &**shared;
        let mut state = lock(state);
        while state.stands_still {
            state = changed
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        let errno = match state.fault {
            None => return Ok(()),
            Some(DiskFault::Io) => Errno::EIO,
            Some(DiskFault::Full) => Errno::ENOSPC,
            Some(DiskFault::ReadOnly) => Errno::EROFS,
        };
        Err(errno.into())
    }
}

impl Stall {
    /// From now on no write, sync, rename or removal begins.
    pub fn begin(&self) {
        self.set(|state| state.stands_still = true);
    }

    /// All that wait go on.
    pub fn end(&self) {
        self.set(|state| state.stands_still = false);
    }

    /// From now on every write, sync, rename and removal fails so; with `None` it works again.
    pub fn fail(&self, fault: Option<DiskFault>) {
        self.set(|state| state.fault = fault);
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        let (state, changed) = &*self.0;
        change(&mut lock(state));
        changed.notify_all();
    }
}
