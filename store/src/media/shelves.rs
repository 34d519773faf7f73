//! Both kinds of media side by side, so that `store.media` can be changed.
//!
//! Called through [`Media`]. New media go where the configuration says; what was kept the other
//! way before is still read, deleted and verified. Nothing is moved by itself.

use std::path::Path;
use std::sync::Arc;

use reeld_model::RecordingSid;

use super::{Gone, Media, MediaReader};
use crate::rewrap::Rewrapped;
use crate::stored::Stored;
use crate::{Record, StoreError};

pub(crate) struct Shelves {
    pub(crate) chosen: Arc<dyn Media>,
    pub(crate) other: Arc<dyn Media>,
}

impl Media for Shelves {
    fn adopt(&self, stored: &Stored, path: &Path) -> Result<(), StoreError> {
        self.chosen.adopt(stored, path)
    }

    fn open(&self, record: &Record) -> Result<Option<MediaReader>, StoreError> {
        match self.chosen.open(record)? {
            Some(reader) => Ok(Some(reader)),
            None => self.other.open(record),
        }
    }

    fn trailer(&self, sid: RecordingSid) -> Result<Option<Option<Stored>>, StoreError> {
        match self.chosen.trailer(sid)? {
            Some(found) => Ok(Some(found)),
            None => self.other.trailer(sid),
        }
    }

    fn has(&self, sid: RecordingSid) -> Result<bool, StoreError> {
        Ok(self.chosen.has(sid)? || self.other.has(sid)?)
    }

    fn rewrap(&self, sids: &[RecordingSid], tally: &mut Rewrapped) -> Result<(), StoreError> {
        let (chosen, other): (Vec<_>, Vec<_>) = sids
            .iter()
            .map(|sid| self.chosen.has(*sid).map(|is_chosen| (*sid, is_chosen)))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .partition(|(_, is_chosen)| *is_chosen);
        let sids = |of: Vec<(RecordingSid, bool)>| -> Vec<_> {
            of.into_iter().map(|(sid, _)| sid).collect()
        };
        self.chosen.rewrap(&sids(chosen), tally)?;
        self.other.rewrap(&sids(other), tally)
    }

    fn remove(&self, sid: RecordingSid, gone: Gone) -> Result<(), StoreError> {
        if !self.other.has(sid)? {
            return self.chosen.remove(sid, gone);
        }
        let chosen = Arc::clone(&self.chosen);
        self.other
            .remove(sid, Box::new(move || chosen.remove(sid, gone)))
    }

    fn each(
        &self,
        tell: &mut dyn FnMut(RecordingSid) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.chosen.each(tell)?;
        self.other.each(&mut |sid| match self.chosen.has(sid)? {
            true => Ok(()), // told already
            false => tell(sid),
        })
    }
}
