//! Room kept back for the end of recordings on a full disk.
//!
//! Called by the store when it opens, when a recording is begun, by takes, and by the catalog's engine ahead of each change. A file of
//! [`RESERVE_BYTES`] is allocated beside the data; when a write to a take finds no room, or
//! the engine finds little, the file is cut to nothing, so that trailers and catalog records of the recordings that end there can
//! still be written.
//!
//! Invariant: what was given back is for ends alone. Until there is clearly more room than that,
//! and the reserve is allocated again, no take grows.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FallocateFlags, fallocate};

use crate::folder::Room;
use crate::locks::lock;
use crate::{StoreError, folder};

/// Eight segments of the catalog's log, or the trailers of thousands of recordings.
const RESERVE_BYTES: u64 = 4 << 20;

/// Room that must be there before the reserve is taken out of it: after it was given back on a
/// disk that was full to the last byte, not that alone.
const ROOM_BYTES: u64 = 2 * RESERVE_BYTES;

pub(crate) struct Reserve {
    file: File,
    path: PathBuf,
    /// Whether the room is allocated; held while that changes.
    is_full: Mutex<bool>,
    /// Whether it was given back and not allocated again: what takes look at.
    is_released: AtomicBool,
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
            is_full: Mutex::default(),
            is_released: AtomicBool::default(),
        })
    }

    /// Allocates the reserve unless it is there or the disk has little room. Best effort: what
    /// fails is logged, and the next call tries again.
    pub(crate) fn fill(&self) {
        let mut is_full = lock(&self.is_full);
        if *is_full {
            return;
        }
        let allocate = || {
            if folder::room(&self.file)?.free_bytes < ROOM_BYTES {
                return Ok(false);
            }
            let length = RESERVE_BYTES.cast_signed();
            fallocate(&self.file, FallocateFlags::empty(), 0, length).map(|()| true)
        };
        match allocate() {
            Ok(true) => {
                *is_full = true;
                self.is_released.store(false, Ordering::Relaxed);
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "no reserve for a full disk");
            }
        }
    }

    /// Gives the room back to the disk; whether there was any.
    pub(crate) fn release(&self) -> bool {
        let mut is_full = lock(&self.is_full);
        if !*is_full {
            return false;
        }
        // Ahead of the room itself: no take may find it first.
        self.is_released.store(true, Ordering::Relaxed);
        if let Err(error) = self.file.set_len(0) {
            self.is_released.store(false, Ordering::Relaxed);
            tracing::error!(path = %self.path.display(), %error, "reserve not released");
            return false;
        }
        tracing::error!(path = %self.path.display(), "the disk is full: reserve released");
        *is_full = false;
        true
    }

    /// Gives the room back where less than `bytes` are free; for who writes what must not fail.
    pub(crate) fn release_below(&self, bytes: u64) {
        if folder::room(&self.file).is_ok_and(|room| room.free_bytes < bytes) {
            self.release();
        }
    }

    /// The room of a folder's disk without what is not for new recordings: the reserve's, where it was given back and
    /// cannot be allocated again yet. Both are looked at while neither changes, or what is just given back would count
    /// as free.
    pub(crate) fn room(&self, folder: &File) -> nix::Result<Room> {
        self.lets_takes_grow();
        let is_full = lock(&self.is_full);
        let mut room = folder::room(folder)?;
        if self.is_released.load(Ordering::Relaxed) {
            room.free_bytes = room.free_bytes.saturating_sub(RESERVE_BYTES);
        }
        drop(is_full);
        Ok(room)
    }

    /// Whether takes may grow.
    pub(crate) fn lets_takes_grow(&self) -> bool {
        if self.is_released.load(Ordering::Relaxed) {
            self.fill();
        }
        !self.is_released.load(Ordering::Relaxed)
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
        assert_eq!(length(), RESERVE_BYTES);
        assert!(reserve.release());
        assert_eq!(length(), 0);
        assert!(!reserve.release());
        // There is room here, so that takes go on at once.
        assert!(reserve.lets_takes_grow());
        assert_eq!(length(), RESERVE_BYTES);
        assert!(reserve.release());
        reserve.fill();
        assert_eq!(length(), RESERVE_BYTES);
    }
}
