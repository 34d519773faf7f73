//! Both kinds of media side by side, so that `store.media` can be changed.
//!
//! Called through [`Media`]. New media go where the configuration says; what was kept the other
//! way before is still read, deleted and verified. Nothing is moved by itself.

use std::path::Path;
use std::sync::Arc;

use reeld_model::RecordingSid;

use super::{Gone, Media, MediaReader};
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

    fn remove(&self, sid: RecordingSid, gone: Gone) -> Result<(), StoreError> {
        if self.other.trailer(sid)?.is_none() {
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
        self.other.each(&mut |sid| match self.chosen.trailer(sid)? {
            Some(_) => Ok(()), // told already
            None => tell(sid),
        })
    }
}
