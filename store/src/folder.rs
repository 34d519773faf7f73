//! The data folder: its parts, who holds it, and the few things done to files durably.
//!
//! Called by everything in this crate that touches a file; it calls the operating system. What
//! the files hold does not belong here.
//!
//! `<data_dir>/` is `lock`, `key`, `reserve`, `catalog/`, `spool/` and `media/`. Folders are made
//! 0700, files 0600. Invariant: while a [`Held`] lives, no other process has the folder.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::StoreError;

/// What the lock file says after an orderly close.
const CLOSED: &str = "closed";

/// What a lock file's reader gives up at: a pid and a command line are shorter.
const LOCK_BYTES: u64 = 4_096;

/// The ending of a file that is being written; what has it after a crash is worth nothing.
pub(crate) const PARTIAL: &str = ".partial";

/// The folder, held by this process.
#[derive(Debug)]
pub(crate) struct Held {
    lock: File,
    path: PathBuf,
    /// Whether whoever held it before closed it in order.
    pub(crate) was_closed: bool,
}

impl Held {
    /// Makes the folder if it is missing and takes it.
    pub(crate) fn take(data_dir: &Path) -> Result<Self, StoreError> {
        make_folder(data_dir)?;
        let path = data_dir.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| StoreError::io("open", &path, e))?;
        let taken = lock.try_lock();
        let mut text = String::new();
        (&lock)
            .take(LOCK_BYTES)
            .read_to_string(&mut text)
            .map_err(|e| StoreError::io("read", &path, e))?;
        match taken {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let by = text.trim();
                let by = if by.is_empty() || by == CLOSED {
                    "another process"
                } else {
                    by
                };
                return Err(StoreError::Held { by: by.to_owned() });
            }
            Err(TryLockError::Error(e)) => return Err(StoreError::io("lock", &path, e)),
        }
        let command: Vec<String> = std::env::args_os()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        let holder = format!("pid {}: {}\n", std::process::id(), command.join(" "));
        rewrite(&mut lock, &holder).map_err(|e| StoreError::io("write", &path, e))?;
        Ok(Self {
            lock,
            path,
            was_closed: text.trim() == CLOSED,
        })
    }

    /// Notes that all is on disk, so that the next start need not look for what is missing.
    pub(crate) fn close(&mut self) -> Result<(), StoreError> {
        rewrite(&mut self.lock, CLOSED).map_err(|e| StoreError::io("write", &self.path, e))
    }
}

fn rewrite(file: &mut File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

/// Makes a folder, and those above it, unless it is there.
pub(crate) fn make_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| StoreError::io("make the folder", path, e))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| StoreError::io("sync the folder", path, e))
}

/// Opens a new file, 0600; it is an error when there is one.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Puts `bytes` at `path`, whole or not at all. The name is durable once the folder is synced.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(PARTIAL);
    let partial = PathBuf::from(partial);
    remove(&partial)?;
    let write = || {
        let mut file = create_new(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(|e| StoreError::io("write", path, e))
}

/// Removes a file; whether it was there.
pub(crate) fn remove(path: &Path) -> Result<bool, StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(StoreError::io("remove", path, e)),
    }
}

/// A file's bytes, or `None` where there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(StoreError::io("read", path, e)),
    }
}

/// The names in a folder.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, StoreError> {
    let read = || -> io::Result<Vec<String>> {
        fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    };
    read().map_err(|e| StoreError::io("list", path, e))
}

/// The room on a file's file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Bytes free for this user.
    pub(crate) free_bytes: u64,
    pub(crate) is_read_only: bool,
}

/// The room where `file` lies.
pub(crate) fn room(file: &File) -> nix::Result<Room> {
    let stat = fstatvfs(file)?;
    Ok(Room {
        free_bytes: stat.blocks_available().saturating_mul(stat.fragment_size()),
        is_read_only: stat.flags().contains(FsFlags::ST_RDONLY),
    })
}

/// Whether a name is of a file that was being written when the process died.
pub(crate) fn is_partial(name: &str) -> bool {
    name.ends_with(PARTIAL)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_second_holder_is_told_who_holds_it_and_a_close_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/b");
        let mut first = Held::take(&data).unwrap();
        assert!(!first.was_closed);
        assert_eq!(
            fs::metadata(&data).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let StoreError::Held { by } = Held::take(&data).unwrap_err() else {
            panic!("another error");
        };
        assert!(
            by.starts_with(&format!("pid {}: ", std::process::id())),
            "{by}"
        );
        first.close().unwrap();
        drop(first);
        let second = Held::take(&data).unwrap();
        assert!(second.was_closed);
        drop(second);
        assert!(!Held::take(&data).unwrap().was_closed);
    }

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(dir.path().join("x.partial"), "left by a crash").unwrap();
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(names(dir.path()).unwrap(), ["x"]);
        assert!(remove(&path).unwrap());
        assert!(!remove(&path).unwrap());
        assert_eq!(read(&path).unwrap(), None);
    }
}
