//! The file of an encoding: in clear, or encrypted under a key that is in this process's memory alone.
//!
//! `folder` opens it, `growing` writes and reads it. Where a store has keys of encryption, what is made of its
//! recordings must tell no more to whoever has the disk than they do.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;

use reeld_store::{Scratch, ScratchKey};

/// See the file's header.
#[derive(Debug)]
pub(super) enum Kept {
    Clear(File),
    Secret(Scratch),
}

impl Kept {
    /// Appends bytes to the `so_far` that were appended before; how many from the first can be read now.
    pub(super) fn append(&self, bytes: &[u8], so_far: u64) -> io::Result<u64> {
        match self {
            Self::Clear(file) => {
                (&*file).write_all(bytes)?;
                Ok(so_far + bytes.len() as u64)
            }
            Self::Secret(scratch) => scratch.append(bytes),
        }
    }

    /// Makes it whole and durable.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Clear(file) => file.sync_data(),
            Self::Secret(scratch) => {
                scratch.finish()?;
                scratch.file().sync_data()
            }
        }
    }

    /// Fills `bytes` from byte `at` on.
    pub(super) fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Self::Clear(file) => file.read_exact_at(bytes, at),
            Self::Secret(scratch) => scratch.read_exact_at(bytes, at),
        }
    }

    /// What opens it again, where it is encrypted.
    pub(super) fn key(&self) -> Option<ScratchKey> {
        match self {
            Self::Clear(_) => None,
            Self::Secret(scratch) => Some(scratch.key()),
        }
    }
}
