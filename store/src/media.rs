//! Media: finished files, behind one trait, and reading them as they are served.
//!
//! Called by `finish` (adopt), by reading, deletion, recovery and verify. `media::local` keeps a
//! file each, `media::sled` values in the catalog's engine, `media::shelves` both
//! where the setting was changed. What is known of a recording does not
//! belong here, but each medium has its record as a trailer, so that a lost catalog can be made
//! anew.
//!
//! Invariant: a reader that was opened reads to its end, whatever is deleted meanwhile.

mod local;
mod reader;
mod shelves;
mod sled;

#[cfg(test)]
mod tests;

use std::path::Path;

use reeld_model::RecordingSid;

use crate::rewrap::Rewrapped;
use crate::stored::Stored;
use crate::{Record, StoreError};

pub(crate) use local::LocalMedia;
pub use reader::MediaReader;
pub(crate) use shelves::Shelves;
pub(crate) use sled::SledMedia;

/// Called when nothing is left of a recording's media.
pub(crate) type Gone = Box<dyn FnOnce() -> Result<(), StoreError> + Send>;

pub(crate) trait Media: Send + Sync {
    /// Takes in the sealed take at `path`. It is durable at the latest with the catalog's next
    /// commit; the take may be gone from `path` then or not. Doing it again changes nothing.
    fn adopt(&self, stored: &Stored, path: &Path) -> Result<(), StoreError>;

    /// Opens a recording's file as it is served; `None` where it is not here. [`StoreError::KeyMissing`] or
    /// [`StoreError::Damaged`] where it is encrypted and does not open.
    fn open(&self, record: &Record) -> Result<Option<MediaReader>, StoreError>;

    /// The record that lies with the media. The outer `None`: no media. The inner: media whose
    /// trailer is damaged. [`StoreError::KeyMissing`]: it is encrypted under a key that is not at hand.
    fn trailer(&self, sid: RecordingSid) -> Result<Option<Option<Stored>>, StoreError>;

    /// Whether there are media of a recording, whatever they are worth.
    fn has(&self, sid: RecordingSid) -> Result<bool, StoreError>;

    /// Brings the data keys of these recordings' media under the keyring's current key, and no other; the sound stays
    /// as it is. Durable with the catalog's next commit. A crash anywhere leaves each file with one
    /// key that opens it, old or new, and doing it again does the rest.
    fn rewrap(&self, sids: &[RecordingSid], tally: &mut Rewrapped) -> Result<(), StoreError>;

    /// Removes a recording's media, if there are any, and then calls `gone`; where somebody reads
    /// them, when the last reader is done.
    fn remove(&self, sid: RecordingSid, gone: Gone) -> Result<(), StoreError>;

    /// Tells the Sid of each medium here.
    fn each(
        &self,
        tell: &mut dyn FnMut(RecordingSid) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;
}
