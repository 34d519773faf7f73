//! The folder of finished MP3s: which there are, how many bytes, and which was wanted last.
//!
//! [`super::Encoder`] owns it under its lock. A file is made under a name that ends in `.part`,
//! made durable, then renamed: so whatever has a finished name is whole, after a crash too.
//! The index lives in memory and is read from the folder at start, oldest use first by the files'
//! times. The least recently wanted goes when the sum exceeds its bound. Files with other names
//! are not ours and are left alone.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use lru::LruCache;
use reeld_model::RecordingSid;

use super::Key;

const FINISHED: &str = "mp3";
const PART: &str = "part";

/// See the file's header.
pub(super) struct Folder {
    dir: PathBuf,
    limit: u64,
    /// Bytes of each file.
    index: LruCache<Key, u64>,
    /// Their sum.
    bytes: u64,
    /// Tells temporary files apart.
    made: u64,
}

/// A file that is not finished.
pub(super) struct Temporary {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
}

impl Folder {
    pub(super) fn open(dir: PathBuf, limit: u64) -> io::Result<Self> {
        // What it holds is as private as the recordings.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)?;
        let mut found: Vec<(SystemTime, Key, u64)> = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(PART) => fs::remove_file(&path)?,
                Some(FINISHED) => {
                    if let Some(key) = path.file_stem().and_then(|stem| parse(stem.to_str()?)) {
                        let metadata = fs::metadata(&path)?;
                        found.push((metadata.modified()?, key, metadata.len()));
                    }
                }
                Some(_) | None => {}
            }
        }
        found.sort_by_key(|(used, ..)| *used);
        let mut folder = Self {
            dir,
            limit,
            index: LruCache::unbounded(),
            bytes: 0,
            made: 0,
        };
        for (_, key, length) in found {
            folder.bytes += length;
            folder.index.put(key, length);
        }
        folder.evict();
        Ok(folder)
    }

    /// The finished file of `key`; one that has another length than it must is removed.
    pub(super) fn get(&mut self, key: Key, length: u64) -> io::Result<Option<File>> {
        if self.index.get(&key).is_none() {
            return Ok(None);
        }
        match File::open(self.path(key)) {
            Ok(file) if file.metadata()?.len() == length => {
                // The order of use outlives a restart; without it the cache is a little worse.
                if let Err(error) = file.set_modified(SystemTime::now()) {
                    tracing::debug!(%error, "an MP3's time could not be set");
                }
                Ok(Some(file))
            }
            Ok(_) => {
                self.remove(key);
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.remove(key);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A new file for the MP3 of `key`, readable by its owner alone.
    pub(super) fn temporary(&mut self, key: Key) -> io::Result<Temporary> {
        self.made += 1;
        let path = self.dir.join(format!("{}-{}.{PART}", name(key), self.made));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Temporary {
            file: Arc::new(file),
            path,
        })
    }

    /// Makes a whole and durable file the MP3 of `key`.
    pub(super) fn keep(&mut self, key: Key, temporary: &Temporary, length: u64) -> io::Result<()> {
        fs::rename(&temporary.path, self.path(key))?;
        self.bytes += length;
        self.bytes -= self.index.put(key, length).unwrap_or(0);
        self.evict();
        Ok(())
    }

    /// Removes all MP3s of a recording.
    pub(super) fn forget(&mut self, sid: RecordingSid) {
        let keys: Vec<Key> = self
            .index
            .iter()
            .map(|(key, _)| *key)
            .filter(|key| key.sid == sid)
            .collect();
        for key in keys {
            self.remove(key);
        }
    }

    fn evict(&mut self) {
        while self.bytes > self.limit {
            let Some((&key, _)) = self.index.peek_lru() else {
                return;
            };
            self.remove(key);
        }
    }

    fn remove(&mut self, key: Key) {
        self.bytes -= self.index.pop(&key).unwrap_or(0);
        remove(&self.path(key));
    }

    fn path(&self, key: Key) -> PathBuf {
        self.dir.join(format!("{}.{FINISHED}", name(key)))
    }
}

impl Temporary {
    /// Gives it up.
    pub(super) fn remove(&self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "a cached MP3 could not be removed");
    }
}

fn name(key: Key) -> String {
    format!("{}-{}-{}", key.sid, hex::encode(key.hash), key.channels)
}

fn parse(name: &str) -> Option<Key> {
    let mut parts = name.split('-');
    let sid = parts.next()?.parse().ok()?;
    let mut hash = [0; 8];
    hex::decode_to_slice(parts.next()?, &mut hash).ok()?;
    let channels = parts.next()?.parse().ok()?;
    let key = Key {
        sid,
        hash,
        channels,
    };
    // The one spelling that `name` has.
    (self::name(key) == name).then_some(key)
}
