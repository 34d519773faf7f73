//! Whether media are what was recorded: checked when they are read, by the scrub and by verify; what
//! is found is marked in the record, so that it outlives the process and nobody is served it.
//!
//! Called by `read`, `scrub` and, for `reeld verify`, by the daemon. It calls the catalog and the
//! media. Which bytes are compared is `verify`'s.

use std::sync::atomic::{AtomicU64, Ordering};

use reeld_model::RecordingSid;

use crate::catalog::Met;
use crate::store::{Inner, Store};
use crate::stored::Stored;
use crate::verify::{Examined, VerifyReport};
use crate::{Record, StoreError};

#[cfg(test)]
mod tests;

/// All readers are checked: in parts per million.
const ALL_PPM: u64 = 1_000_000;

/// How many reads were checked, and what is counted of it.
#[derive(Default)]
pub(crate) struct Integrity {
    check_ppm: u64,
    /// Parts per million of a check that are due: each reader adds its share.
    due_ppm: AtomicU64,
    reads_checked: AtomicU64,
    scrubbed: AtomicU64,
    scrubbed_bytes: AtomicU64,
    found: AtomicU64,
    pub(crate) locked: AtomicU64,
}

/// What was checked since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IntegrityFigures {
    /// Reads before which the whole file was checked.
    pub reads_checked: u64,
    /// Recordings that the scrub has looked at.
    pub scrubbed: u64,
    /// Bytes of media that the scrub has read.
    pub scrubbed_bytes: u64,
    /// Recordings that were found damaged, each time that it was.
    pub found: u64,
    /// Readers of media that were refused, since their key is not at hand.
    pub locked: u64,
}

impl Integrity {
    pub(crate) fn new(check_ppm: u32) -> Self {
        Self {
            check_ppm: u64::from(check_ppm).min(ALL_PPM),
            ..Self::default()
        }
    }

    /// Whether this reader is one of the share; evenly, and by no chance.
    pub(crate) fn is_check_due(&self) -> bool {
        if self.check_ppm == 0 {
            return false;
        }
        let before = self.due_ppm.fetch_add(self.check_ppm, Ordering::Relaxed);
        (before + self.check_ppm) / ALL_PPM > before / ALL_PPM
    }

    pub(crate) fn count_scrubbed(&self, recordings: u64, bytes: u64) {
        self.scrubbed.fetch_add(recordings, Ordering::Relaxed);
        self.scrubbed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Store {
    /// What was checked since the start.
    #[must_use]
    pub fn integrity_figures(&self) -> IntegrityFigures {
        let of = &self.inner.integrity;
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        IntegrityFigures {
            reads_checked: load(&of.reads_checked),
            scrubbed: load(&of.scrubbed),
            scrubbed_bytes: load(&of.scrubbed_bytes),
            found: load(&of.found),
            locked: load(&of.locked),
        }
    }

    /// Marks in the records what a verify has found: what is damaged or missing, and what was and is
    /// whole again.
    ///
    /// # Errors
    /// What the engine says.
    pub fn mark_findings(&self, report: &VerifyReport) -> Result<(), StoreError> {
        let inner = &*self.inner;
        for (sid, what) in &report.damaged {
            match inner.mark_damage(*sid, Some(what)) {
                // Of a record that cannot be read the report is all that there is.
                Ok(()) | Err(StoreError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        for sid in &report.repaired {
            inner.mark_damage(*sid, None)?;
        }
        Ok(())
    }
}

impl Inner {
    /// How many recordings are marked as damaged; what cannot be counted is none.
    pub(crate) fn damaged(&self) -> usize {
        self.catalog.damaged().map_or(0, |sids| sids.len())
    }

    /// Reads a completed recording's media whole and compares them; damage is marked.
    pub(crate) fn check_media(&self, record: &Record) -> Result<(), StoreError> {
        let sid = record.sid;
        let Some(stored) = self.catalog.get(sid)? else {
            return Err(StoreError::MediaMissing { sid }); // deleted since
        };
        self.integrity.reads_checked.fetch_add(1, Ordering::Relaxed);
        let met = (sid, Some(stored));
        let examined = self.examine(&met, &mut |_| {})?;
        match self.settle(&met, &examined)? {
            None => Ok(()),
            Some(what) => Err(StoreError::Damaged { sid, what }),
        }
    }

    /// Marks what was found of a recording, if it still is what was met; what is wrong with it.
    pub(crate) fn settle(
        &self,
        met: &Met,
        examined: &Examined,
    ) -> Result<Option<String>, StoreError> {
        let sid = met.0;
        let marked = met.1.as_ref().is_some_and(Stored::is_damaged);
        let what = match examined {
            Examined::Whole if marked => {
                self.mark_damage(sid, None)?;
                return Ok(None);
            }
            Examined::Whole | Examined::NothingToRead => None,
            Examined::Wrong(finding) => finding.damage(),
        };
        let Some(what) = what else { return Ok(None) };
        if !self.is_still(met)? {
            return Ok(None);
        }
        self.mark_damage(sid, Some(what))?;
        Ok(Some(what.to_owned()))
    }

    fn mark_damage(&self, sid: RecordingSid, what: Option<&str>) -> Result<(), StoreError> {
        let before = self
            .catalog
            .get(sid)?
            .and_then(|stored| stored.record.marks.damage);
        if before.as_deref() == what {
            return Ok(());
        }
        let amended = self.catalog.amend(sid, &mut |record| {
            record.marks.damage = what.map(str::to_owned)
        })?;
        if amended.is_none() {
            return Ok(());
        }
        match what {
            Some(what) => {
                self.integrity.found.fetch_add(1, Ordering::Relaxed);
                tracing::error!(recording = %sid, what, "a recording is damaged; it is not served");
            }
            None => tracing::warn!(recording = %sid, "a damaged recording is whole again"),
        }
        Ok(())
    }
}
