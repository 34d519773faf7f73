//! Recovery: what a stop in the middle left is taken to its end.
//!
//! Called by the daemon after `open` and before anything is served. It takes up the procedures of
//! `life` and `read` where a crash left them (their names there: B2 to D2); each case ends in a
//! step that can be repeated, so recovery may itself be interrupted and run again.
//!
//! | found | then |
//! | --- | --- |
//! | a take, parked (P1) | it is cut to what it keeps and becomes media as its trailer says |
//! | a take, sealed and whole (F1) | it becomes media as its trailer says |
//! | a take, not sealed (B4, F0) | it is cut to whole frames (trimmed: to its last sound), sealed, `recovered`; empty: absent |
//! | a take of which no record says anything, without sound (B2, B3) | removed: nobody was told of it |
//! | a live record and media (F2) | completed as the trailer says |
//! | a record that has its end (F3, A3), a deleted one's, or a tombstone | what is in the spool is removed |
//! | a live record and nothing else | absent, told as `failed`, and a problem |
//! | a tombstone (D1, D2) | the deletion is repeated |
//! | media without a record, after a crash | the record is restored from the trailer |
//!
//! What is owned by a running recording is left alone.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use reeld_model::{EndedBy, RecordingSid, Trim};

use crate::found::Found;
use crate::seal;
use crate::spool::Left;
use crate::store::{Inner, Store};
use crate::stored::Stored;
use crate::{EventStatus, Record, Stage, StoreError};

#[cfg(test)]
mod tests;

/// What [`Store::recover`] did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovery {
    /// Recordings whose end a stop interrupted, ended now.
    pub recovered: Vec<Record>,
    /// Recordings that turned out empty.
    pub absent: Vec<RecordingSid>,
    /// Records that the catalog had lost, restored from their media.
    pub restored: Vec<RecordingSid>,
    /// What could not be made good, a sentence each.
    pub problems: Vec<String>,
}

impl Store {
    /// Finishes every take in the spool that no running recording owns, and repeats what else
    /// was interrupted. Call it after `open`, before serving; [`Store::mend`] does it again.
    ///
    /// # Errors
    /// Where the folder or the engine as a whole fails; what fails for one recording is a problem
    /// in the answer.
    pub fn recover(&self, now_ms: i64) -> Result<Recovery, StoreError> {
        let inner = &*self.inner;
        let mut recovery = Recovery::default();
        let mut sids = inner
            .spool
            .sweep(&|sid| inner.live.has(sid), &mut recovery.problems)?;
        sids.extend(inner.catalog.live()?);
        sids.sort_unstable();
        sids.dedup();
        for sid in sids {
            let Some(_owner) = inner.live.own(sid) else {
                continue;
            };
            if let Err(error) = inner.recover_one(sid, now_ms, &mut recovery) {
                recovery.problems.push(format!("{sid}: {error}"));
            }
        }
        for sid in inner.catalog.buried()? {
            if let Err(error) = inner.erase(sid) {
                recovery
                    .problems
                    .push(format!("{sid}: not deleted: {error}"));
            }
        }
        if inner.may_lack_records.load(Ordering::Relaxed) {
            inner.restore(&mut recovery)?;
            inner.may_lack_records.store(false, Ordering::Relaxed);
        }
        inner.restore_holds()?;
        inner.catalog.commit()?;
        Ok(recovery)
    }
}

impl Inner {
    fn recover_one(
        &self,
        sid: RecordingSid,
        now_ms: i64,
        recovery: &mut Recovery,
    ) -> Result<(), StoreError> {
        let Left { take, .. } = self.spool.left(sid);
        let known = self.catalog.get(sid)?;
        let is_deleted = known.is_none() && self.catalog.get_deleted(sid)?.is_some();
        if is_deleted || self.catalog.is_buried(sid)? {
            return self.spool.clear(sid);
        }
        let stage = known.as_ref().map(|stored| stored.record.stage);
        match stage {
            Some(Stage::Absent) => return self.spool.clear(sid),
            Some(Stage::Completed) if !take || self.media.has(sid)? => {
                return self.spool.clear(sid);
            }
            Some(Stage::Completed | Stage::Live | Stage::Deleted) | None => {}
        }
        let is_known = known.is_some();
        let begun = match known {
            Some(known) => Some(known),
            None => self.spool.start(sid)?,
        };
        if take {
            return self.recover_take(sid, begun, is_known, now_ms, recovery);
        }
        match (self.media.trailer(sid)?, begun) {
            (Some(Some(stored)), _) => {
                self.catalog.put(&stored)?;
                self.spool.clear(sid)?;
                recovery.recovered.push(stored.record);
            }
            (Some(None), _) => {
                recovery
                    .problems
                    .push(format!("{sid}: its media has no whole record behind it"));
            }
            (None, Some(mut begun)) if is_known => {
                recovery
                    .problems
                    .push(format!("{sid}: its take is gone, so it is absent"));
                begun.record.ended_by = Some(EndedBy::Recovered);
                begun.record.recovered = true;
                begun.record.updated_ms = now_ms;
                self.make_absent_as(begun, EventStatus::Failed)?;
                recovery.absent.push(sid);
            }
            (None, _) => self.spool.clear(sid)?,
        }
        Ok(())
    }

    fn recover_take(
        &self,
        sid: RecordingSid,
        begun: Option<Stored>,
        is_known: bool,
        now_ms: i64,
        recovery: &mut Recovery,
    ) -> Result<(), StoreError> {
        let mut found = Found::open(self.spool.take_path(sid), &self.keys, sid)?;
        if let Some(sealed) = found.sealed(&self.keys, sid)? {
            if found.keeps_more(&sealed)? {
                // Parked, and nobody went on with it: what it does not keep goes.
                found.seal(&sealed)?;
            }
            self.complete(&sealed)?;
            recovery.recovered.push(sealed.record);
            return Ok(());
        }
        let Some(Stored { mut record, token }) = begun else {
            if found.has_sound()? {
                recovery.problems.push(format!(
                    "{}: sound, but nothing says whose; it was left alone",
                    found.path().display()
                ));
                return Ok(());
            }
            return self.spool.clear(sid);
        };
        // The record as it was begun does not know the rate: the take's header has it.
        if let Some(rate_hz) = found.rate_hz(&record)? {
            record.rate_hz = rate_hz;
        }
        let mut data = found.data_bytes(&record)?;
        if data == 0 && !is_known {
            return self.spool.clear(sid);
        }
        if record.trim == Trim::TrimSilence {
            data = found.without_silence(&record, data)?;
        }
        record.frames = data / seal::frame_bytes(record.channels);
        record.ended_by = Some(EndedBy::Recovered);
        record.recovered = true;
        record.updated_ms = now_ms;
        if record.frames == 0 {
            self.make_absent(Stored { record, token })?;
            recovery.absent.push(sid);
            return Ok(());
        }
        record.stage = Stage::Completed;
        record.blake3 = Some(found.checksum(&record)?);
        let stored = Stored { record, token };
        found.seal(&stored)?;
        self.complete(&stored)?;
        recovery.recovered.push(stored.record);
        Ok(())
    }

    /// Restores the records of media that the catalog does not know. Both are gone through in the
    /// order of Sids, so that a million media cost a walk and no million of look-ups.
    fn restore(&self, recovery: &mut Recovery) -> Result<(), StoreError> {
        let mut known = (None, HashSet::new());
        self.media.each(&mut |sid| {
            let [first, ..] = *sid.as_bytes();
            if known.0 != Some(first) {
                known = (Some(first), self.catalog.sids_from(first)?);
            }
            if known.1.contains(&sid) {
                return Ok(());
            }
            self.restore_one(sid, recovery)
        })
    }

    fn restore_one(&self, sid: RecordingSid, recovery: &mut Recovery) -> Result<(), StoreError> {
        let Some(_owner) = self.live.own(sid) else {
            return Ok(());
        };
        // It may have come since the walk.
        if self.catalog.get(sid)?.is_some() || self.catalog.is_buried(sid)? {
            return Ok(());
        }
        if self.catalog.get_deleted(sid)?.is_some() {
            let problem = format!("{sid}: media of a recording that was deleted");
            recovery.problems.push(problem);
            return Ok(());
        }
        let trailer = match self.media.trailer(sid) {
            Err(error @ StoreError::KeyMissing { .. }) => {
                let problem = format!("{sid}: media without a record: {error}");
                recovery.problems.push(problem);
                return Ok(());
            }
            trailer => trailer?,
        };
        match trailer {
            Some(Some(stored)) => {
                self.catalog.put(&stored)?;
                recovery.restored.push(sid);
            }
            Some(None) => recovery
                .problems
                .push(format!("{sid}: media without a record, here or behind it")),
            None => {}
        }
        Ok(())
    }
}
