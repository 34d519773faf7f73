//! A file that is read while it is written.
//!
//! `worker` writes a [`Growing`]; `media` reads it through a [`Source`], which waits without a
//! thread until the bytes it wants are there. The file may be renamed or removed meanwhile: both
//! sides hold it open.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::folder::Temporary;
use super::kept::Kept;

/// How far an encoding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// So many bytes can be read.
    Written(u64),
    /// All can.
    Done,
    /// No more will come.
    Failed,
}

/// A file in the making.
pub(super) struct Growing {
    temporary: Temporary,
    length: u64,
    progress: watch::Sender<Progress>,
    forgotten: AtomicBool,
    wanted: AtomicBool,
}

impl Growing {
    pub(super) fn new(temporary: Temporary, length: u64) -> Self {
        Self {
            temporary,
            length,
            progress: watch::Sender::new(Progress::Written(0)),
            forgotten: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
        }
    }

    /// Appends bytes and lets readers have them. One thread alone calls it.
    pub(super) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let Progress::Written(so_far) = *self.progress.borrow() else {
            return Ok(());
        };
        let readable = self.temporary.file.append(bytes, so_far)?;
        self.progress.send_replace(Progress::Written(readable));
        Ok(())
    }

    /// Tells readers that it is whole, or that it never will be.
    pub(super) fn end(&self, whole: bool) {
        let progress = if whole {
            Progress::Done
        } else {
            Progress::Failed
        };
        self.progress.send_replace(progress);
    }

    pub(super) fn temporary(&self) -> &Temporary {
        &self.temporary
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Its recording was deleted: it is not kept.
    pub(super) fn forget(&self) {
        self.forgotten.store(true, Ordering::Release);
    }

    /// Somebody has asked for it.
    pub(super) fn want(&self) {
        self.wanted.store(true, Ordering::Release);
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Acquire)
    }
}

/// An encoded file to read from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    file: Arc<Kept>,
    length: u64,
    /// `None` where the file is whole.
    progress: Option<watch::Receiver<Progress>>,
}

impl Source {
    pub(super) fn finished(file: Kept, length: u64) -> Self {
        Self {
            file: Arc::new(file),
            length,
            progress: None,
        }
    }

    pub(super) fn growing(growing: &Growing) -> Self {
        Self {
            file: Arc::clone(&growing.temporary.file),
            length: growing.length,
            progress: Some(growing.progress.subscribe()),
        }
    }

    /// Waits until byte `at` can be read; says up to where it can then.
    ///
    /// # Errors
    /// Where the encoding failed before it came there.
    pub(crate) async fn available(&mut self, at: u64) -> io::Result<u64> {
        let Some(progress) = &mut self.progress else {
            return Ok(self.length);
        };
        let reached = progress
            .wait_for(|progress| match progress {
                Progress::Written(written) => *written > at,
                Progress::Done | Progress::Failed => true,
            })
            .await
            .map(|progress| *progress);
        match reached {
            Ok(Progress::Written(written)) => Ok(written),
            Ok(Progress::Done) => Ok(self.length),
            Ok(Progress::Failed) | Err(_) => Err(io::Error::other("the encoding failed")),
        }
    }

    /// Fills `bytes` from byte `at` on; blocks on the disk.
    pub(crate) fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read(bytes, at)
    }
}
