//! Media as plain files: `media/<first two digits>/RE….wav`, playable by any tool.
//!
//! Called through [`Media`]. A take becomes media by a rename, so nothing is copied. A reader
//! keeps its open file, which the system keeps as long as it is open, deleted or not.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use reeld_model::RecordingSid;

use super::reader::Source;
use super::{Gone, Media, MediaReader};
use crate::folder;
use crate::seal;
use crate::spool::Spool;
use crate::stored::Stored;
use crate::{Record, StoreError};

pub(crate) struct LocalMedia {
    folder: PathBuf,
    spool: Arc<Spool>,
}

impl LocalMedia {
    /// Makes the 256 folders that are missing.
    pub(crate) fn open(data_dir: &Path, spool: Arc<Spool>) -> Result<Self, StoreError> {
        let folder = Self::folder(data_dir);
        for first in 0..=u8::MAX {
            folder::make_folder(&folder.join(hex::encode([first])))?;
        }
        folder::sync_folder(&folder)?;
        Ok(Self { folder, spool })
    }

    /// Whether the data folder has ever kept media as files.
    pub(crate) fn is_in(data_dir: &Path) -> bool {
        Self::folder(data_dir).is_dir()
    }

    fn folder(data_dir: &Path) -> PathBuf {
        data_dir.join("media")
    }

    fn path(&self, sid: RecordingSid) -> PathBuf {
        let [first, ..] = sid.as_bytes();
        self.folder
            .join(hex::encode([*first]))
            .join(format!("{sid}.wav"))
    }

    fn file(&self, sid: RecordingSid) -> Result<Option<(File, PathBuf)>, StoreError> {
        let path = self.path(sid);
        match File::open(&path) {
            Ok(file) => Ok(Some((file, path))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("open", &path, e)),
        }
    }
}

fn sync_parent(path: &Path) -> Result<(), StoreError> {
    path.parent().map_or(Ok(()), folder::sync_folder)
}

impl Media for LocalMedia {
    fn adopt(&self, stored: &Stored, path: &Path) -> Result<(), StoreError> {
        let target = self.path(stored.record.sid);
        self.spool.pass("move to media", path)?;
        fs::rename(path, &target).map_err(|e| StoreError::io("move to media", path, e))?;
        sync_parent(&target)?;
        self.spool.sync_names()
    }

    fn open(&self, record: &Record) -> Result<Option<MediaReader>, StoreError> {
        let Some((file, _)) = self.file(record.sid)? else {
            return Ok(None);
        };
        Ok(Some(MediaReader::new(
            Source::File(file),
            seal::served_bytes(record),
        )))
    }

    fn trailer(&self, sid: RecordingSid) -> Result<Option<Option<Stored>>, StoreError> {
        let Some((file, path)) = self.file(sid)? else {
            return Ok(None);
        };
        seal::trailer(&file, sid)
            .map(Some)
            .map_err(|e| StoreError::io("read", &path, e))
    }

    fn remove(&self, sid: RecordingSid, gone: Gone) -> Result<(), StoreError> {
        let path = self.path(sid);
        self.spool.pass("remove", &path)?;
        if folder::remove(&path)? {
            sync_parent(&path)?;
        }
        gone()
    }

    fn each(
        &self,
        tell: &mut dyn FnMut(RecordingSid) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for first in 0..=u8::MAX {
            let folder = self.folder.join(hex::encode([first]));
            for name in folder::names(&folder)? {
                let sid = name.strip_suffix(".wav").map(RecordingSid::from_str);
                match sid {
                    Some(Ok(sid)) => tell(sid)?,
                    Some(Err(_)) | None => tracing::warn!(
                        path = %folder.join(&name).display(),
                        "no recording's name; it was left alone"
                    ),
                }
            }
        }
        Ok(())
    }
}
