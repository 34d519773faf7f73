//! Rebuild: the catalog made anew from what lies with the media.
//!
//! Called by `reeld verify --rebuild` while nothing else has the folder.
//!
//! 1. The folder is taken and its engine opened. An engine that does not open is moved aside as
//!    `catalog.damaged-<n>` and an empty one made, which local media allow; accounts are lost
//!    with it.
//! 2. A new, empty table of records is filled: first from every medium's trailer, then with what
//!    the old table still has and no medium can tell: live and absent records, those of deleted
//!    recordings, and tombstones. What is deleted stays so, whatever media there are.
//! 3. The new table becomes the current one in one durable write; the old one is dropped. A crash
//!    before that leaves the old catalog as it was.

use std::fs;
use std::path::PathBuf;

use reeld_model::RecordingSid;

use crate::catalog::{Catalog as _, Met};
use crate::store::Parts;
use crate::stored::Stored;
use crate::verify::VerifyProgress;
use crate::{MediaKind, Stage, Store, StoreConfig, StoreError};

#[cfg(test)]
mod tests;

/// Records of the old table that are fetched at once.
const BATCH: usize = 256;

/// What [`Store::rebuild`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Records made anew from media.
    pub from_media: u64,
    /// Records without media that the old catalog still had.
    pub kept: u64,
    /// Records of deleted recordings that it still had.
    pub deleted: u64,
    /// What could not be made good, a sentence each.
    pub problems: Vec<String>,
}

impl Store {
    /// Makes the catalog's records anew. Open the store and recover it afterwards.
    ///
    /// # Errors
    /// [`StoreError::Held`] where a daemon has the folder, else what the system or the engine
    /// says.
    pub fn rebuild(
        config: StoreConfig,
        progress: &mut dyn FnMut(VerifyProgress),
    ) -> Result<Rebuilt, StoreError> {
        let mut rebuilt = Rebuilt::default();
        let parts = match Parts::open(&config) {
            Err(StoreError::Catalog(reason)) if config.media == MediaKind::Local => {
                let aside = move_aside(&config)?;
                rebuilt.problems.push(format!(
                    "the catalog does not open ({reason}); it is now {}, and accounts must be \
                     added again",
                    aside.display()
                ));
                Parts::open(&config)?
            }
            parts => parts?,
        };
        let Parts {
            catalog: old,
            media,
            ..
        } = parts;
        let mut so_far = VerifyProgress::default();
        let new = old.successor()?;
        for sid in old.buried()? {
            new.entomb(sid)?;
        }
        each(
            &|last| old.deleted_after(last, BATCH),
            &mut |sid, stored| {
                match stored {
                    Some(stored) => {
                        new.place(&stored, None)?;
                        rebuilt.deleted += 1;
                    }
                    None => rebuilt.problems.push(format!(
                        "{sid}: dropped: it was deleted, and cannot be read"
                    )),
                }
                Ok(())
            },
        )?;
        media.each(&mut |sid| {
            if new.get_deleted(sid)?.is_some() {
                rebuilt
                    .problems
                    .push(format!("{sid}: media of a recording that was deleted"));
            } else if !new.is_buried(sid)? {
                let trailer = match media.trailer(sid) {
                    Err(error @ StoreError::KeyMissing { .. }) => {
                        // What the old catalog knows of it is all that can be known without its key.
                        match old.get(sid) {
                            Ok(Some(known)) => {
                                new.place(&known, None)?;
                                rebuilt.kept += 1;
                            }
                            Ok(None) | Err(_) => {
                                rebuilt.problems.push(format!("{sid}: {error}"));
                            }
                        }
                        None
                    }
                    trailer => trailer?,
                };
                match trailer {
                    Some(Some(mut stored)) => {
                        // What lies with the media knows nothing of marks; holds have files too.
                        if let Ok(Some(known)) = old.get(sid) {
                            stored.record.marks = known.record.marks;
                        }
                        new.place(&stored, None)?;
                        rebuilt.from_media += 1;
                    }
                    Some(None) => rebuilt
                        .problems
                        .push(format!("{sid}: its media has no whole record behind it")),
                    None => {}
                }
            }
            so_far.done += 1;
            so_far.total = so_far.done;
            progress(so_far);
            Ok(())
        })?;
        each(&|last| old.after(last, BATCH), &mut |sid, stored| {
            if new.get(sid)?.is_some() {
                return Ok(());
            }
            match stored.map(|stored| (stored.record.stage, stored)) {
                Some((Stage::Live | Stage::Absent, stored)) => {
                    new.place(&stored, None)?;
                    rebuilt.kept += 1;
                }
                Some((Stage::Completed, _)) => {
                    rebuilt
                        .problems
                        .push(format!("{sid}: dropped: its media is missing"));
                }
                Some((Stage::Deleted, _)) | None => rebuilt
                    .problems
                    .push(format!("{sid}: dropped: it cannot be read")),
            }
            Ok(())
        })?;
        new.succeed(&old)?;
        Ok(rebuilt)
    }
}

/// Tells each record of an old table that is fetched in batches.
fn each(
    after: &dyn Fn(Option<RecordingSid>) -> Result<Vec<Met>, StoreError>,
    tell: &mut dyn FnMut(RecordingSid, Option<Stored>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut last = None;
    loop {
        let batch = after(last)?;
        let Some((sid, _)) = batch.last() else {
            return Ok(());
        };
        last = Some(*sid);
        for (sid, stored) in batch {
            tell(sid, stored)?;
        }
    }
}

fn move_aside(config: &StoreConfig) -> Result<PathBuf, StoreError> {
    let from = config.data_dir.join("catalog");
    let mut number = 1_u32;
    loop {
        let to = config.data_dir.join(format!("catalog.damaged-{number}"));
        if !to.exists() {
            fs::rename(&from, &to).map_err(|e| StoreError::io("move aside", &from, e))?;
            return Ok(to);
        }
        number += 1;
    }
}
