//! What was done to a data folder, in order, as `tests/faults/log.c` has written it down.

use std::fs;
use std::path::Path;

use super::Mark;

/// An operation on the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Bytes at a place of a file.
    Write {
        /// Of the file.
        inode: u64,
        /// Bytes from its beginning.
        at: u64,
        /// What was written.
        data: Vec<u8>,
    },
    /// A file has this length from now on.
    Length {
        /// Of the file.
        inode: u64,
        /// In bytes.
        bytes: u64,
    },
    /// A file is at least this long from now on, with zeros where nothing was.
    Allocate {
        /// Of the file.
        inode: u64,
        /// In bytes.
        bytes: u64,
    },
    /// A new, empty file.
    Create {
        /// Of the file.
        inode: u64,
        /// Within the folder.
        path: String,
    },
    /// A new folder; the data folder itself has no path.
    Folder {
        /// Of the folder.
        inode: u64,
        /// Within the folder.
        path: String,
    },
    /// Another name for a file or folder, in place of what had it.
    Rename {
        /// Within the folder.
        from: String,
        /// Within the folder.
        to: String,
    },
    /// A name goes.
    Remove {
        /// Within the folder.
        path: String,
    },
    /// What had been done to this file or folder up to `begun` is durable.
    Sync {
        /// Of the file or folder.
        inode: u64,
        /// When the sync began.
        begun: Mark,
    },
    /// What had been done to anything up to `begun` is durable.
    SyncAll {
        /// When the sync began.
        begun: Mark,
    },
}

/// An operation and where its line ends in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The log had this length when it was done.
    pub end: Mark,
    /// What was done.
    pub op: Op,
}

/// Bytes before the names of a line.
const HEAD: usize = 40;

/// The log in this file. A last line that is not whole is one that a kill has cut.
///
/// # Panics
/// When it cannot be read or is none.
#[must_use]
pub fn read(path: &Path) -> Vec<Entry> {
    let log = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut entries = Vec::new();
    let mut at = 0;
    while let Some((entry, next)) = line(&log, at) {
        entries.push(entry);
        at = next;
    }
    entries
}

fn line(log: &[u8], at: usize) -> Option<(Entry, usize)> {
    let head = log.get(at..at + HEAD)?;
    let four = |place: usize| {
        let bytes = [0, 1, 2, 3].map(|step| head[place + step]);
        u32::from_le_bytes(bytes) as usize
    };
    let eight = |place: usize| {
        let bytes = [0, 1, 2, 3, 4, 5, 6, 7].map(|step| head[place + step]);
        u64::from_le_bytes(bytes)
    };
    let (kind, name, more) = (four(0), four(4), four(8));
    let (inode, number) = (eight(16), eight(24));
    let middle = at + HEAD + name;
    let end = middle + more;
    let more = log.get(middle..end)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let path = text(&log[at + HEAD..middle]);
    let op = match kind {
        1 => Op::Write {
            inode,
            at: number,
            data: more.to_vec(),
        },
        2 => Op::Length {
            inode,
            bytes: number,
        },
        3 => Op::Create { inode, path },
        4 => Op::Folder { inode, path },
        5 => Op::Rename {
            from: path,
            to: text(more),
        },
        6 => Op::Remove { path },
        7 => Op::Sync {
            inode,
            begun: number,
        },
        8 => Op::SyncAll { begun: number },
        9 => Op::Allocate {
            inode,
            bytes: number,
        },
        other => panic!("{other} is no operation, at {at} of the log"),
    };
    let end_mark = end as Mark;
    Some((Entry { end: end_mark, op }, end))
}
