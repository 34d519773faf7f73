//! What the disk has failed at, from the first error until a probe of it succeeds.
//!
//! Called by takes and by the store's procedures, which note what failed; by `check_room`, which
//! refuses new recordings meanwhile, and by health and `mend`. A full disk is not noted here: that
//! is seen in its room. Memory only; each start finds out anew.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use crate::StoreError;
use crate::locks::lock;

#[derive(Default)]
pub(crate) struct Trouble {
    is_there: AtomicBool,
    what: Mutex<Option<String>>,
}

impl Trouble {
    /// Notes an error, if it is the disk's.
    pub(crate) fn note(&self, error: &StoreError) {
        let is_disk = match error {
            StoreError::Io { source, .. } => is_disk(source),
            StoreError::ReadOnly { .. } => true,
            StoreError::Held { .. }
            | StoreError::NoSpace { .. }
            | StoreError::Failing { .. }
            | StoreError::DiskFull { .. }
            | StoreError::Catalog(_)
            | StoreError::Corrupt { .. }
            | StoreError::MediaMissing { .. }
            | StoreError::Damaged { .. }
            | StoreError::KeyMissing { .. }
            | StoreError::NoKey { .. }
            | StoreError::NotEncrypting
            | StoreError::SidTaken { .. }
            | StoreError::OutboxFull { .. }
            | StoreError::NotLive { .. }
            | StoreError::TakeInUse { .. }
            | StoreError::AccountTaken { .. }
            | StoreError::AccountConfigured { .. }
            | StoreError::Key { .. } => false,
        };
        if !is_disk {
            return;
        }
        let mut what = lock(&self.what);
        if what.is_none() {
            tracing::error!(%error, "the disk fails: no new recording is taken until it works");
            *what = Some(error.to_string());
            self.is_there.store(true, Ordering::Release);
        }
    }

    /// What failed, until it is cleared.
    pub(crate) fn get(&self) -> Option<String> {
        if !self.is_there.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.what).clone()
    }

    pub(crate) fn clear(&self) {
        let mut what = lock(&self.what);
        if what.take().is_some() {
            tracing::warn!("the disk works again");
        }
        self.is_there.store(false, Ordering::Release);
    }
}

/// Whether an error is a device's or its file system's, or that of the path to them. What is ours (no
/// descriptor left) or of one file says nothing of the disk.
fn is_disk(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(
            Errno::EIO
                | Errno::EROFS
                | Errno::ENXIO
                | Errno::ENODEV
                | Errno::EREMOTEIO
                | Errno::ESTALE
                | Errno::ETIMEDOUT
                | Errno::EUCLEAN
                | Errno::EBADMSG
        )
    )
}

/// The same error once more, as an error cannot be cloned.
pub(crate) fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
