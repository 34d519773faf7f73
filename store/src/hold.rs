//! Legal hold: a recording that nothing deletes, neither a request nor retention, until it is released.
//!
//! Called by `reeld hold`. It calls the catalog, which keeps the hold in the record and refuses the
//! deletion in the same step, and the file system: `holds/RE…` is a file for each, with the time in it,
//! so that a lost catalog loses no hold.
//!
//! **Hold**: 1. the file, durable. 2. The record, durable. **Release**: 1. The record, durable. 2. The
//! file goes. A crash between the steps leaves a file without a hold, from which recovery makes the
//! hold anew: nobody was told of a release.

use std::path::PathBuf;
use std::str::FromStr as _;

use reeld_model::{AccountSid, RecordingSid};

use crate::folder;
use crate::store::{Inner, Store};
use crate::verify::Finding;
use crate::{Record, StoreError};

#[cfg(test)]
mod tests;

/// A recording that is on hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Which.
    pub sid: RecordingSid,
    /// Whose it is.
    pub account: AccountSid,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: i64,
}

impl Hold {
    fn of(record: &Record) -> Option<Self> {
        Some(Self {
            sid: record.sid,
            account: record.account,
            since_ms: record.marks.held_ms?,
        })
    }
}

impl Store {
    /// Puts a recording on hold, also one that is still being recorded; `None` where there is none.
    /// One that is on hold stays so, since when it was. Durable.
    ///
    /// # Errors
    /// What the system or the engine says.
    pub fn hold(&self, sid: RecordingSid, now_ms: i64) -> Result<Option<Hold>, StoreError> {
        let inner = &*self.inner;
        let held = match inner.catalog.get(sid)? {
            None => None,
            Some(stored) => {
                let since_ms = stored.record.marks.held_ms.unwrap_or(now_ms);
                inner.heed(inner.hold(sid, since_ms))?
            }
        };
        if held.is_some() {
            tracing::warn!(recording = %sid, "put on legal hold");
        }
        Ok(held)
    }

    /// Releases a recording; `false` where it is not on hold. Durable.
    ///
    /// # Errors
    /// What the system or the engine says.
    pub fn release(&self, sid: RecordingSid) -> Result<bool, StoreError> {
        let inner = &*self.inner;
        let is_held = |record: Record| record.marks.held_ms.is_some();
        if !self.find(sid)?.is_some_and(is_held) {
            return Ok(false);
        }
        inner.heed(inner.release(sid))?;
        tracing::warn!(recording = %sid, "released from legal hold");
        Ok(true)
    }

    /// The recordings that are on hold, in the order of Sids.
    ///
    /// # Errors
    /// What the engine says.
    pub fn holds(&self) -> Result<Vec<Hold>, StoreError> {
        let mut holds = Vec::new();
        for sid in self.inner.catalog.held()? {
            // It may have been released since.
            holds.extend(self.find(sid)?.as_ref().and_then(Hold::of));
        }
        Ok(holds)
    }
}

impl Inner {
    fn hold(&self, sid: RecordingSid, since_ms: i64) -> Result<Option<Hold>, StoreError> {
        let folder = self.holds();
        folder::make_folder(&folder)?;
        let path = folder.join(sid.to_string());
        self.spool.pass("write", &path)?;
        folder::write_whole(&path, since_ms.to_string().as_bytes())?;
        folder::sync_folder(&folder)?;
        folder::sync_folder(&self.config.data_dir)?;
        let held = self.catalog.amend(sid, &mut |record| {
            record.marks.held_ms.get_or_insert(since_ms);
        })?;
        if held.is_none() {
            folder::remove(&path)?; // deleted meanwhile
        }
        Ok(held.and_then(|stored| Hold::of(&stored.record)))
    }

    fn release(&self, sid: RecordingSid) -> Result<(), StoreError> {
        self.catalog
            .amend(sid, &mut |record| record.marks.held_ms = None)?;
        let path = self.holds().join(sid.to_string());
        self.spool.pass("remove", &path)?;
        if folder::remove(&path)? {
            folder::sync_folder(&self.holds())?;
        }
        Ok(())
    }

    /// Puts on hold what a file says is, and the record does not.
    pub(crate) fn restore_holds(&self) -> Result<(), StoreError> {
        for (sid, since_ms) in self.hold_files()? {
            let held = self
                .catalog
                .get(sid)?
                .map(|stored| stored.record.marks.held_ms);
            if held == Some(None) {
                tracing::warn!(recording = %sid, "on legal hold again, as its file says");
                self.catalog.amend(sid, &mut |record| {
                    record.marks.held_ms.get_or_insert(since_ms);
                })?;
            }
        }
        Ok(())
    }

    /// Compares the files with the records.
    pub(crate) fn check_holds(&self, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        let files = self.hold_files()?;
        let held = self.catalog.held()?;
        for (sid, _) in &files {
            if !held.contains(sid) && self.catalog.held()?.binary_search(sid).is_err() {
                findings.push(Finding::Drift(format!(
                    "{sid} has a file in holds/ and is not on hold"
                )));
            }
        }
        for sid in held {
            let is_there = || self.holds().join(sid.to_string()).exists();
            if !is_there() && self.catalog.held()?.contains(&sid) {
                findings.push(Finding::Drift(format!(
                    "{sid} is on hold and has no file in holds/"
                )));
            }
        }
        Ok(())
    }

    /// The recordings that have a file, and the time in it.
    fn hold_files(&self) -> Result<Vec<(RecordingSid, i64)>, StoreError> {
        let folder = self.holds();
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for name in folder::names(&folder)? {
            let Ok(sid) = RecordingSid::from_str(&name) else {
                continue; // one that was being written
            };
            let text = folder::read(&folder.join(&name))?.unwrap_or_default();
            let since_ms = String::from_utf8_lossy(&text).trim().parse().unwrap_or(0);
            files.push((sid, since_ms));
        }
        Ok(files)
    }

    fn holds(&self) -> PathBuf {
        self.config.data_dir.join("holds")
    }
}
