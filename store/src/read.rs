//! Reading recordings, and deleting them.
//!
//! Called by `api`. It calls the catalog and the media.
//!
//! **Delete**
//! 1. The record goes and a tombstone comes, durable in one step. *D1: a tombstone over media.*
//!    From here on nobody finds the recording; who reads its media reads on.
//! 2. The media go; in the engine, once their last reader is done. *D2: a tombstone over some
//!    media or none.*
//! 3. The tombstone goes. Recovery repeats 2 and 3 for each tombstone that it finds.

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

    /// A completed recording's file as it is served.
    ///
    /// # Errors
    /// [`StoreError::MediaMissing`] where it has none, as while it is live, when it is absent, or
    /// when it has just been deleted; else what the system or the engine says.
    pub fn media(&self, record: &Record) -> Result<MediaReader, StoreError> {
        let missing = StoreError::MediaMissing { sid: record.sid };
        if record.stage != Stage::Completed {
            return Err(missing);
        }
        self.inner.media.open(record)?.ok_or(missing)
    }

    /// Deletes an account's recording.
    ///
    /// # Errors
    /// What the system or the engine says. Where the record was gone by then, recovery deletes
    /// the media.
    pub fn delete(&self, account: AccountSid, sid: RecordingSid) -> Result<Deletion, StoreError> {
        let deletion = self.inner.catalog.bury(account, sid)?;
        if deletion == Deletion::Deleted {
            self.inner.erase(sid)?;
        }
        Ok(deletion)
    }
}

impl Inner {
    /// Delete, steps 2 and 3.
    pub(crate) fn erase(&self, sid: RecordingSid) -> Result<(), StoreError> {
        let catalog = self.catalog.clone();
        self.media
            .remove(sid, Box::new(move || catalog.forget(sid)))
    }
}
