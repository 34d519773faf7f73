//! Verify: every record and its media read back and compared.
//!
//! Called by `reeld verify`, directly or through the running daemon, and by tests after every
//! crash: one function for all. It changes nothing. Recordings go on meanwhile: what is live is
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
    /// An index or a kept count that differs from the records; the text says which.
    Drift(String),
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(sid) => write!(f, "{sid}: missing: a record without media"),
            Self::Orphaned(sid) => write!(f, "{sid}: orphaned: media without a record"),
            Self::Damaged(sid, what) => write!(f, "{sid}: damaged: {what}"),
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
                let finding = inner.examine(&met, &mut |bytes| {
                    so_far.bytes += bytes;
                    progress(so_far);
                })?;
                if let Some(finding) = finding
                    && inner.is_still(&met)?
                {
                    report.findings.push(finding);
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
        inner
            .catalog
            .check(&mut |what| report.findings.push(Finding::Drift(what)))?;
        (report.records, report.bytes) = (so_far.done, so_far.bytes);
        Ok(report)
    }
}

impl Inner {
    fn examine(
        &self,
        (sid, stored): &Met,
        read: &mut dyn FnMut(u64),
    ) -> Result<Option<Finding>, StoreError> {
        let damaged = |what: &str| Ok(Some(Finding::Damaged(*sid, what.to_owned())));
        let Some(stored) = stored else {
            return damaged("the record cannot be read");
        };
        match stored.record.stage {
            Stage::Completed => {}
            Stage::Live if self.live.has(*sid) || self.spool.left(*sid).take => return Ok(None),
            Stage::Live => return Ok(Some(Finding::Missing(*sid))),
            Stage::Absent => return Ok(None),
            Stage::Deleted => return damaged("it is deleted, and lies among those that are not"),
        }
        let Some(mut media) = self.media.open(&stored.record)? else {
            return Ok(Some(Finding::Missing(*sid)));
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
            return damaged("its header is not that of the record");
        }
        match seal::checksum(&mut media, data_bytes, read) {
            Ok(checksum) if Some(checksum) == stored.record.blake3 => {}
            Ok(_) => return damaged("its samples have another checksum"),
            Err(error) => return damaged(&format!("its samples: {error}")),
        }
        match self.media.trailer(*sid)? {
            Some(Some(trailer)) if trailer == *stored => Ok(None),
            Some(Some(_)) => damaged("its trailer is another record"),
            Some(None) => damaged("its trailer cannot be read"),
            None => Ok(Some(Finding::Missing(*sid))),
        }
    }

    /// Whether what was met is what the catalog still has.
    fn is_still(&self, (sid, stored): &Met) -> Result<bool, StoreError> {
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
        Ok(!self.catalog.is_buried(sid)? && self.media.trailer(sid)?.is_some())
    }
}
