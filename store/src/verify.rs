//! Verify: every record and its media read back and compared.
//!
//! Called by `reeld verify`, directly or through the running daemon, and by tests after every
//! crash: one function for all. It changes nothing; `integrity` marks what it finds. Recordings go on meanwhile: what is live is
//! passed over, and what looks wrong is looked at again, so that a recording that was finished or
//! deleted in between is no finding. What is kept of deleted recordings is compared with the
//! indices, as there are no media to read.

use std::io::Read as _;

use reeld_codec::wav;
use reeld_model::RecordingSid;

use crate::catalog::Met;
use crate::seal;
use crate::spool::header;
use crate::store::{Inner, Store};
use crate::stored::Stored;
use crate::{Record, Stage, StoreError};

#[cfg(test)]
mod tests;

/// What is said of media whose samples are not those that were recorded.
pub(crate) const ANOTHER_CHECKSUM: &str = "its samples have another checksum";

/// What is said of media whose header is not the one that the record makes.
pub(crate) const ANOTHER_HEADER: &str = "its header is not that of the record";

/// Records that are fetched at once.
const BATCH: usize = 256;

/// How far [`Store::verify`] or [`Store::rebuild`] is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Recordings looked at so far.
    pub done: u64,
    /// Recordings to look at, as far as is known.
    pub total: u64,
    /// Bytes of media read so far.
    pub bytes: u64,
}

/// What [`Store::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Records looked at.
    pub records: u64,
    /// Bytes of media read.
    pub bytes: u64,
    /// What is wrong, one each; empty when all is well.
    pub findings: Vec<Finding>,
    /// Of the recordings in `findings` those whose media are not what was recorded, and why.
    pub damaged: Vec<(RecordingSid, String)>,
    /// Recordings that are marked as damaged, and whose media are right.
    pub repaired: Vec<RecordingSid>,
}

/// One thing that [`Store::verify`] found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A record without its media.
    Missing(RecordingSid),
    /// Media without a record.
    Orphaned(RecordingSid),
    /// Media or a record that is not as it was written; the text says what differs.
    Damaged(RecordingSid, String),
    /// Media whose key is not at hand, so that nothing can be said of them; the text says which.
    Locked(RecordingSid, String),
    /// An index or a kept count that differs from the records; the text says which.
    Drift(String),
}

/// What is said of media that are not there.
const MISSING: &str = "its media are missing";

impl Finding {
    /// What is wrong with the media of a recording, where it is that.
    pub(crate) fn damage(&self) -> Option<&str> {
        match self {
            Self::Damaged(_, what) => Some(what),
            Self::Missing(_) => Some(MISSING),
            Self::Orphaned(_) | Self::Locked(..) | Self::Drift(_) => None,
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(sid) => write!(f, "{sid}: missing: a record without media"),
            Self::Orphaned(sid) => write!(f, "{sid}: orphaned: media without a record"),
            Self::Damaged(sid, what) => write!(f, "{sid}: damaged: {what}"),
            Self::Locked(_, what) => f.write_str(what),
            Self::Drift(what) => write!(f, "catalog: {what}"),
        }
    }
}

impl Store {
    /// Reads every record and its media back and compares length, header, BLAKE3 and trailer;
    /// then looks for media without a record, and compares indices and kept counts with the
    /// records.
    ///
    /// # Errors
    /// Where the folder or the engine as a whole cannot be read.
    pub fn verify(
        &self,
        progress: &mut dyn FnMut(VerifyProgress),
    ) -> Result<VerifyReport, StoreError> {
        let inner = &*self.inner;
        let mut report = VerifyReport::default();
        let mut so_far = VerifyProgress {
            total: inner.catalog.total()?,
            ..Default::default()
        };
        let mut last = None;
        loop {
            let batch = inner.catalog.after(last, BATCH)?;
            let Some((sid, _)) = batch.last() else { break };
            last = Some(*sid);
            for met in batch {
                let examined = inner.examine(&met, &mut |bytes| {
                    so_far.bytes += bytes;
                    progress(so_far);
                })?;
                let is_whole = examined == Examined::Whole;
                let finding = match examined {
                    Examined::Whole => inner.examine_trailer(&met)?,
                    Examined::NothingToRead => None,
                    Examined::Wrong(finding) => Some(finding),
                };
                if let Some(finding) = finding
                    && inner.is_still(&met)?
                {
                    if let (false, Some(what)) = (is_whole, finding.damage()) {
                        report.damaged.push((met.0, what.to_owned()));
                    }
                    report.findings.push(finding);
                }
                if is_whole && met.1.as_ref().is_some_and(Stored::is_damaged) {
                    report.repaired.push(met.0);
                }
                so_far.done += 1;
                progress(so_far);
            }
        }
        inner.media.each(&mut |sid| {
            if inner.is_orphan(sid)? {
                report.findings.push(Finding::Orphaned(sid));
            }
            Ok(())
        })?;
        inner.check_holds(&mut report.findings)?;
        inner
            .catalog
            .check(&mut |what| report.findings.push(Finding::Drift(what)))?;
        (report.records, report.bytes) = (so_far.done, so_far.bytes);
        Ok(report)
    }
}

/// What a look at one recording came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Examined {
    /// Its media are what was recorded.
    Whole,
    /// It is live, or absent.
    NothingToRead,
    Wrong(Finding),
}

impl Examined {
    /// What it comes to where media do not open: what concerns these media alone is a finding.
    pub(crate) fn of_error(sid: RecordingSid, error: StoreError) -> Result<Self, StoreError> {
        if let StoreError::Damaged { what, .. } = error {
            return Ok(Self::Wrong(Finding::Damaged(sid, what)));
        }
        if let StoreError::KeyMissing { .. } = error {
            return Ok(Self::Wrong(Finding::Locked(sid, error.to_string())));
        }
        Err(error)
    }
}

impl Inner {
    /// Compares a recording's media with its record, but for the trailer, which nobody is served.
    pub(crate) fn examine(
        &self,
        (sid, stored): &Met,
        read: &mut dyn FnMut(u64),
    ) -> Result<Examined, StoreError> {
        let missing = Ok(Examined::Wrong(Finding::Missing(*sid)));
        let damaged = |what: &str| {
            let finding = Finding::Damaged(*sid, what.to_owned());
            Ok(Examined::Wrong(finding))
        };
        let Some(stored) = stored else {
            return damaged("the record cannot be read");
        };
        match stored.record.stage {
            Stage::Completed => {}
            Stage::Live if self.live.has(*sid) || self.spool.left(*sid).take => {
                return Ok(Examined::NothingToRead);
            }
            Stage::Live => return missing,
            Stage::Absent => return Ok(Examined::NothingToRead),
            Stage::Deleted => return damaged("it is deleted, and lies among those that are not"),
        }
        let opened = match self.media.open(&stored.record) {
            Err(error) => return Examined::of_error(*sid, error),
            Ok(opened) => opened,
        };
        let Some(mut media) = opened else {
            return missing;
        };
        let mut head = [0; wav::HEADER_BYTES];
        if let Err(error) = media.read_exact(&mut head) {
            return damaged(&format!("its header: {error}"));
        }
        read(head.len() as u64);
        let data_bytes = stored.record.data_bytes();
        let Record {
            channels, rate_hz, ..
        } = stored.record;
        if head != header(channels, rate_hz, data_bytes) {
            return damaged(ANOTHER_HEADER);
        }
        match seal::checksum(&mut media, data_bytes, read) {
            Ok(checksum) if Some(checksum) == stored.record.blake3 => Ok(Examined::Whole),
            Ok(_) => damaged(ANOTHER_CHECKSUM),
            Err(error) => damaged(&format!("its samples: {error}")),
        }
    }

    /// Compares what lies behind a recording's media with its record.
    fn examine_trailer(&self, (sid, stored): &Met) -> Result<Option<Finding>, StoreError> {
        let damaged = |what: &str| Some(Finding::Damaged(*sid, what.to_owned()));
        Ok(match (self.media.trailer(*sid)?, stored) {
            (Some(Some(trailer)), Some(stored)) if trailer.is_but_for_marks(stored) => None,
            (Some(Some(_)), _) => damaged("its trailer is another record"),
            (Some(None), _) => damaged("its trailer cannot be read"),
            (None, _) => Some(Finding::Missing(*sid)),
        })
    }

    /// Whether what was met is what the catalog still has.
    pub(crate) fn is_still(&self, (sid, stored): &Met) -> Result<bool, StoreError> {
        match (self.catalog.get(*sid), stored) {
            (Ok(now), Some(_)) => Ok(now == *stored),
            (Err(StoreError::Corrupt { .. }), None) => Ok(true),
            (Ok(_), None) | (Err(StoreError::Corrupt { .. }), Some(_)) => Ok(false),
            (Err(error), _) => Err(error),
        }
    }

    /// Whether nothing accounts for these media, and nothing is about to.
    fn is_orphan(&self, sid: RecordingSid) -> Result<bool, StoreError> {
        let stage = match self.catalog.get(sid) {
            Ok(stored) => stored.map(|Stored { record, .. }| record.stage),
            Err(StoreError::Corrupt { .. }) => return Ok(false), // told of already
            Err(error) => return Err(error),
        };
        match stage {
            Some(Stage::Completed | Stage::Live) => return Ok(false),
            Some(Stage::Absent | Stage::Deleted) | None => {}
        }
        // Deleted meanwhile: there is a tombstone, or the media are gone since they were met.
        Ok(!self.catalog.is_buried(sid)? && self.media.has(sid)?)
    }
}
