//! Room kept back for the end of recordings on a full disk.
//!
//! Called by the store when it opens, when a recording is begun and when the disk takes no more.
//! A file of [`RESERVE_BYTES`] is allocated beside the data; when a write finds no room, the file
//! is cut to nothing, so that trailers and catalog records of the recordings that end there can
//! still be written. It is allocated again once `store.min_free` is free.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FallocateFlags, fallocate};

use crate::StoreError;

/// Two segments of the catalog's log and the trailers of thousands of recordings.
const RESERVE_BYTES: i64 = 4 << 20;

pub(crate) struct Reserve {
    file: File,
    path: PathBuf,
    full: AtomicBool,
}

impl Reserve {
    pub(crate) fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join("reserve");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| StoreError::io("open", &path, e))?;
        Ok(Self {
            file,
            path,
            full: AtomicBool::new(false),
        })
    }

    /// Allocates the room unless it is there. Best effort: where it cannot be had, that is logged
    /// and the next call tries again.
    pub(crate) fn fill(&self) {
        if self.full.load(Ordering::Relaxed) {
            return;
        }
        match fallocate(&self.file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
            Ok(()) => self.full.store(true, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "no reserve for a full disk");
            }
        }
    }

    /// Gives the room back to the disk; whether there was any.
    pub(crate) fn release(&self) -> bool {
        if !self.full.swap(false, Ordering::Relaxed) {
            return false;
        }
        match self.file.set_len(0) {
            Ok(()) => {
                tracing::error!(path = %self.path.display(), "the disk is full: reserve released");
                true
            }
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "reserve not released");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_given_back_once_and_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::open(dir.path()).unwrap();
        let length = || std::fs::metadata(dir.path().join("reserve")).unwrap().len();
        reserve.fill();
        assert_eq!(length(), RESERVE_BYTES.unsigned_abs());
        assert!(reserve.release());
        assert_eq!(length(), 0);
        assert!(!reserve.release());
        reserve.fill();
        assert_eq!(length(), RESERVE_BYTES.unsigned_abs());
    }
}
