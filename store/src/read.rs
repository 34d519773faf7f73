//! Reading recordings, and deleting them.
//!
//! Called by `api`. It calls the catalog and the media.
//!
//! **Delete**
//! 1. The record goes and a tombstone comes, durable in one step; where deleted recordings'
//!    records are kept (`StoreConfig::deleted_metadata`), it goes among these in the same step.
//!    *D1: a tombstone over media.* From here on nobody finds the recording but who asks for
//!    deleted ones; who reads its media reads on.
//! 2. The media go; in the engine, once their last reader is done. *D2: a tombstone over some
//!    media or none.*
//! 3. The tombstone goes. Recovery repeats 2 and 3 for each tombstone that it finds.
//!
//! **Purge**: a deleted recording's record goes when its time is over, each in one step. A crash
//! between two leaves the rest to the next purge.

use std::sync::atomic::Ordering;

use reeld_model::{AccountSid, RecordingSid};

use crate::media::MediaReader;
use crate::store::{Inner, Store};
use crate::{Page, Query, Record, Stage, StoreError};

#[cfg(test)]
mod tests;

/// What [`Store::delete`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Record and media are gone.
    Deleted,
    /// The account has no such recording.
    Unknown,
    /// It is still being recorded or finished; nothing was changed.
    StillLive,
    /// It is on legal hold; nothing was changed.
    OnHold,
}

impl Store {
    /// An account's recording; another account's is `None`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], or what the engine says.
    pub fn get(
        &self,
        account: AccountSid,
        sid: RecordingSid,
    ) -> Result<Option<Record>, StoreError> {
        Ok(self.find(sid)?.filter(|record| record.account == account))
    }

    /// An account's deleted recording, as long as its record is kept.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], or what the engine says.
    pub fn get_deleted(
        &self,
        account: AccountSid,
        sid: RecordingSid,
    ) -> Result<Option<Record>, StoreError> {
        let deleted = self.inner.catalog.get_deleted(sid)?;
        Ok(deleted
            .map(|stored| stored.record)
            .filter(|record| record.account == account))
    }

    /// A recording, whosever it is: the Sid is the only key to public media.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], or what the engine says.
    pub fn find(&self, sid: RecordingSid) -> Result<Option<Record>, StoreError> {
        Ok(self.inner.catalog.get(sid)?.map(|stored| stored.record))
    }

    /// A page of an account's recordings and how many there are, as of one instant.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], or what the engine says.
    pub fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.inner.catalog.list(query)
    }

    /// A completed recording's file as it is served. Of a share of the readers that are asked for
    /// (`StoreConfig::check_reads_ppm`) the whole file is read and compared with its checksum first,
    /// so that no byte of one that turns out damaged is served.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], also where that was found out before; [`StoreError::KeyMissing`];
    /// [`StoreError::MediaMissing`] where it has none, as while it is live, when it is absent, or
    /// when it has just been deleted; else what the system or the engine says.
    pub fn media(&self, record: &Record) -> Result<MediaReader, StoreError> {
        let inner = &*self.inner;
        let sid = record.sid;
        let missing = StoreError::MediaMissing { sid };
        if record.stage != Stage::Completed {
            return Err(missing);
        }
        if let Some(what) = record.marks.damage.clone() {
            return Err(StoreError::Damaged { sid, what });
        }
        if inner.integrity.is_check_due() {
            inner.check_media(record)?;
        }
        let opened = inner.media.open(record);
        if let Err(StoreError::KeyMissing { .. }) = &opened {
            inner.integrity.locked.fetch_add(1, Ordering::Relaxed);
        }
        opened?.ok_or(missing)
    }

    /// Deletes an account's recording, whose record may be kept for a while as
    /// [`Store::get_deleted`] and [`crate::Which::WithDeleted`] show it.
    ///
    /// # Errors
    /// What the system or the engine says. Where the record was gone by then, recovery deletes
    /// the media.
    pub fn delete(
        &self,
        account: AccountSid,
        sid: RecordingSid,
        now_ms: i64,
    ) -> Result<Deletion, StoreError> {
        let inner = &*self.inner;
        let keeps = !inner.config.deleted_metadata.is_zero();
        inner.heed(inner.delete(account, sid, keeps.then_some(now_ms)))
    }

    /// Deletes an account's recording and keeps nothing of it: one that should not have been.
    ///
    /// # Errors
    /// As [`Store::delete`].
    pub fn discard(&self, account: AccountSid, sid: RecordingSid) -> Result<Deletion, StoreError> {
        self.inner.delete(account, sid, None)
    }

    /// Takes out up to `limit` records of deleted recordings whose time is over; how many. Where
    /// that is `limit`, there may be more. Durable.
    ///
    /// # Errors
    /// What the engine says; what was not taken out is the next purge's.
    pub fn purge_deleted(&self, now_ms: i64, limit: usize) -> Result<usize, StoreError> {
        let inner = &*self.inner;
        let kept_ms = i64::try_from(inner.config.deleted_metadata.as_millis()).unwrap_or(i64::MAX);
        let purged = inner.catalog.purge(now_ms.saturating_sub(kept_ms), limit)?;
        if purged > 0 {
            inner.catalog.commit()?;
        }
        Ok(purged)
    }
}

impl Inner {
    fn delete(
        &self,
        account: AccountSid,
        sid: RecordingSid,
        keep_ms: Option<i64>,
    ) -> Result<Deletion, StoreError> {
        let deletion = self.catalog.bury(account, sid, keep_ms)?;
        if deletion == Deletion::Deleted {
            self.erase(sid)?;
        }
        Ok(deletion)
    }

    /// Delete, steps 2 and 3.
    pub(crate) fn erase(&self, sid: RecordingSid) -> Result<(), StoreError> {
        let catalog = self.catalog.clone();
        self.media
            .remove(sid, Box::new(move || catalog.forget(sid)))
    }
}
