//! Media as plain files: `media/<first two digits>/RE….wav`, playable by any tool unless it is
//! encrypted.
//!
//! Called through [`Media`]. A take becomes media by a rename, so nothing is copied. A reader
//! keeps its open file, which the system keeps as long as it is open, deleted or not. A file that is
//! encrypted has the same name, and is told by its first bytes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use reeld_model::RecordingSid;

use super::reader::{Encrypted, Raw, Source, encrypted_trailer};
use super::{Gone, Media, MediaReader};
use crate::crypt::{ENVELOPE_BYTES, Keyring, is_encrypted};
use crate::folder;
use crate::rewrap::Rewrapped;
use crate::seal;
use crate::spool::Spool;
use crate::stored::Stored;
use crate::{Record, StoreError};

pub(crate) struct LocalMedia {
    folder: PathBuf,
    spool: Arc<Spool>,
    keys: Arc<Keyring>,
}

impl LocalMedia {
    /// Makes the 256 folders that are missing.
    pub(crate) fn open(
        data_dir: &Path,
        spool: Arc<Spool>,
        keys: Arc<Keyring>,
    ) -> Result<Self, StoreError> {
        let folder = Self::folder(data_dir);
        for first in 0..=u8::MAX {
            folder::make_folder(&folder.join(hex::encode([first])))?;
        }
        folder::sync_folder(&folder)?;
        Ok(Self {
            folder,
            spool,
            keys,
        })
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

/// The length of an encrypted file; `None` of one in clear.
fn encrypted_bytes(file: &File) -> io::Result<Option<u64>> {
    let mut begins = [0; 8];
    match file.read_exact_at(&mut begins, 0) {
        Ok(()) if is_encrypted(&begins) => file.metadata().map(|metadata| Some(metadata.len())),
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
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
        let Some((file, path)) = self.file(record.sid)? else {
            return Ok(None);
        };
        let encrypted = encrypted_bytes(&file).map_err(|e| StoreError::io("read", &path, e))?;
        let source = match encrypted {
            None => Source::File(file),
            Some(length) => Encrypted::open(Raw::File(file), length, &self.keys, record)?,
        };
        Ok(Some(MediaReader::new(source, seal::served_bytes(record))))
    }

    fn trailer(&self, sid: RecordingSid) -> Result<Option<Option<Stored>>, StoreError> {
        let Some((file, path)) = self.file(sid)? else {
            return Ok(None);
        };
        let io = |e| StoreError::io("read", &path, e);
        if let Some(length) = encrypted_bytes(&file).map_err(io)? {
            return encrypted_trailer(Raw::File(file), length, &self.keys, sid).map(Some);
        }
        seal::trailer(&file, sid).map(Some).map_err(io)
    }

    fn has(&self, sid: RecordingSid) -> Result<bool, StoreError> {
        let path = self.path(sid);
        path.try_exists()
            .map_err(|e| StoreError::io("look for", &path, e))
    }

    fn rewrap(&self, sids: &[RecordingSid], tally: &mut Rewrapped) -> Result<(), StoreError> {
        let Some(current) = self.keys.current() else {
            return Ok(());
        };
        let mut under_way = Vec::new();
        for sid in sids {
            let path = self.path(*sid);
            let file = match File::options().read(true).write(true).open(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue, // deleted since
                Err(e) => return Err(StoreError::io("open", &path, e)),
            };
            let io = |e| StoreError::io("read", &path, e);
            let is_encrypted = encrypted_bytes(&file).map_err(io)?.is_some();
            let mut envelope = [0; ENVELOPE_BYTES];
            if is_encrypted
                && let Err(e) = file.read_exact_at(&mut envelope, 0)
                && e.kind() != io::ErrorKind::UnexpectedEof
            {
                return Err(io(e));
            }
            let envelope = is_encrypted.then_some(envelope.as_slice());
            if let Some(rewrap) = tally.plan(*sid, envelope, &self.keys, current)? {
                under_way.push((path, file, rewrap));
            }
        }
        // All of a batch with two syncs: new slots, then the old ones emptied.
        for is_first in [true, false] {
            for (path, file, rewrap) in &under_way {
                let write = if is_first {
                    &rewrap.first
                } else {
                    &rewrap.then
                };
                if let Some(write) = write {
                    self.spool.pass("write", path)?;
                    file.write_all_at(&write.bytes, write.at)
                        .map_err(|e| StoreError::io("write", path, e))?;
                }
            }
            if let Some((path, file, _)) = under_way.first() {
                self.spool.pass("sync", path)?;
                nix::unistd::syncfs(file).map_err(|e| StoreError::io("sync", path, e.into()))?;
            }
        }
        tally.rewrapped += under_way.len() as u64;
        Ok(())
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
