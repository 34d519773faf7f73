//! Mending: what goes on again within the process once a disk that was full, read-only or failing
//! works.
//!
//! Called by the daemon every few seconds, which costs nothing while all is well. It calls the
//! catalog's engine, which after a failed write refuses changes until it is opened anew, the spool,
//! and recovery.
//!
//! 1. The disk is probed: a small file is written, synced and removed. Where that fails, that is all.
//! 2. The engine is opened anew, if it has failed. What had not become durable may be gone, as after
//!    a crash; nobody was told of it.
//! 3. Recordings that had ended and could not be finished are. A take whose write or sync failed is
//!    copied first: what the system has of it in memory is whole, but is not written a second time.
//! 4. What refused beginnings and endings left is taken up by recovery.
//!
//! Each step can be repeated, and a crash between two leaves what a crash anywhere leaves.

use std::io::Write as _;

use crate::folder;
use crate::life::End;
use crate::locks::lock;
use crate::store::{Inner, Store};
use crate::take::Take;
use crate::{Record, Recovery, StoreError};

#[cfg(test)]
mod tests;

/// What the probe writes: more than any file system keeps within its own records.
const PROBE_BYTES: usize = 1 << 16;

/// Room that is to be there for the engine and for trailers; where it is not, the reserve is given
/// back.
const ROOM_BYTES: u64 = 2 << 20;

/// A recording that has ended and could not be finished. Its files stay owned.
pub(crate) struct Unfinished {
    take: Take,
    end: End,
    /// Whether the take's file has to be written anew.
    is_doubtful: bool,
}

/// What [`Store::mend`] did; empty where there was nothing to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mended {
    /// Recordings that had ended and are finished now.
    pub finished: Vec<Record>,
    /// Whether the catalog was opened anew.
    pub reopened: bool,
    /// What recovery found, where it was called for.
    pub recovery: Option<Recovery>,
}

impl Store {
    /// Puts right what the disk has made wrong, if the disk works again. It may take as long as an
    /// open of the catalog, during which nothing can be read.
    ///
    /// # Errors
    /// Why the disk does not work yet, or what failed all the same: call it again later.
    pub fn mend(&self, now_ms: i64) -> Result<Mended, StoreError> {
        let inner = &*self.inner;
        let mut mended = Mended::default();
        // Its error is what is mended here.
        let _ = inner.catalog.nudge();
        let had_trouble = inner.trouble.get().is_some();
        let is_well = inner.catalog.is_well();
        if is_well && !had_trouble && lock(&inner.unfinished).is_empty() {
            return Ok(mended);
        }
        inner.probe()?;
        if !is_well {
            inner.catalog.reopen()?;
            mended.reopened = true;
        }
        inner.trouble.clear();
        mended.finished = inner.finish_left();
        if had_trouble || mended.reopened {
            mended.recovery = Some(self.recover(now_ms)?);
        }
        Ok(mended)
    }
}

impl Inner {
    /// Keeps a recording that could not be finished, for [`Store::mend`].
    pub(crate) fn keep_unfinished(&self, take: Take, end: End, error: &StoreError) {
        lock(&self.unfinished).push(Unfinished {
            take,
            end,
            is_doubtful: !error.is_full(),
        });
    }

    /// Tries each of them once more; those that were finished.
    fn finish_left(&self) -> Vec<Record> {
        let left = std::mem::take(&mut *lock(&self.unfinished));
        let mut finished = Vec::new();
        for mut one in left {
            let sid = one.take.sid();
            let again = self
                .renew(&mut one)
                .and_then(|()| self.finish(&mut one.take, &one.end));
            match self.heed(again) {
                Ok(record) => finished.push(record),
                Err(error) => {
                    tracing::error!(recording = %sid, %error, "still not finished");
                    self.keep_unfinished(one.take, one.end, &error);
                }
            }
        }
        finished
    }

    /// Writes a take's file anew, where a write or a sync of it may have failed.
    fn renew(&self, one: &mut Unfinished) -> Result<(), StoreError> {
        let sid = one.take.sid();
        if !one.is_doubtful || !self.spool.left(sid).take {
            return Ok(());
        }
        let bytes = one.take.file_bytes();
        one.take.file = self.spool.renew(sid, &one.take.file, bytes)?;
        one.is_doubtful = false;
        Ok(())
    }

    /// Whether the disk takes a write and makes it durable.
    fn probe(&self) -> Result<(), StoreError> {
        self.reserve.release_below(ROOM_BYTES);
        let path = self
            .config
            .data_dir
            .join(format!("probe{}", folder::PARTIAL));
        self.spool.pass("write", &path)?;
        folder::remove(&path)?;
        let written = folder::create_new(&path).and_then(|mut file| {
            file.write_all(&[0; PROBE_BYTES])?;
            file.sync_all()
        });
        let removed = folder::remove(&path);
        written.map_err(|e| StoreError::io("write", &path, e))?;
        removed.map(drop)
    }
}
