//! The folder of finished files: which there are, how many bytes, and which was wanted last.
//!
//! [`super::Encoder`] owns it under its lock. A file is made under a name that ends in `.part`,
//! made durable, then renamed: so whatever has a finished name is whole, after a crash too.
//! The index lives in memory and is read from the folder at start, oldest use first by the files'
//! times. The least recently wanted goes when the sum exceeds its bound. Files with other names
//! are not ours and are left alone. Where files are secret they have keys that this process alone has, so those of
//! an earlier one are removed, and so are those in clear.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use lru::LruCache;
use reeld_model::RecordingSid;
use reeld_store::{Scratch, ScratchKey};

use super::kept::Kept;
use super::{Format, Key};

const PART: &str = "part";

/// Behind the name of a file that is encrypted.
const SECRET: &str = "secret";

/// See the file's header.
pub(super) struct Folder {
    dir: PathBuf,
    limit: u64,
    is_secret: bool,
    /// Each file.
    index: LruCache<Key, Entry>,
    /// Their sum.
    bytes: u64,
    /// Tells temporary files apart.
    made: u64,
}

/// A finished file: its bytes as they are served, and what opens it, where it is encrypted.
struct Entry {
    length: u64,
    key: Option<ScratchKey>,
}

/// A file that is not finished.
pub(super) struct Temporary {
    pub(super) file: Arc<Kept>,
    pub(super) path: PathBuf,
}

impl Folder {
    pub(super) fn open(dir: PathBuf, limit: u64, is_secret: bool) -> io::Result<Self> {
        // What it holds is as private as the recordings.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)?;
        let mut found: Vec<(SystemTime, Key, u64)> = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(PART | SECRET) => fs::remove_file(&path)?,
                Some(_) | None => {
                    if let Some(key) = path.file_name().and_then(|name| parse(name.to_str()?)) {
                        if is_secret {
                            fs::remove_file(&path)?;
                            continue;
                        }
                        let metadata = fs::metadata(&path)?;
                        found.push((metadata.modified()?, key, metadata.len()));
                    }
                }
            }
        }
        found.sort_by_key(|(used, ..)| *used);
        let mut folder = Self {
            dir,
            limit,
            is_secret,
            index: LruCache::unbounded(),
            bytes: 0,
            made: 0,
        };
        for (_, key, length) in found {
            folder.bytes += length;
            folder.index.put(key, Entry { length, key: None });
        }
        folder.evict();
        Ok(folder)
    }

    /// The finished file of `key`; one that has another length than it must is removed.
    pub(super) fn get(&mut self, key: Key, length: u64) -> io::Result<Option<Kept>> {
        let Some(Entry {
            key: secret_key, ..
        }) = self.index.get(&key)
        else {
            return Ok(None);
        };
        let secret_key = secret_key.clone();
        let on_disk = match secret_key {
            None => length,
            Some(_) => Scratch::disk_bytes(length),
        };
        match File::open(self.path(key)) {
            Ok(file) if file.metadata()?.len() == on_disk => {
                // The order of use outlives a restart; without it the cache is a little worse.
                if let Err(error) = file.set_modified(SystemTime::now()) {
                    tracing::debug!(%error, "a cached file's time could not be set");
                }
                Ok(Some(match secret_key {
                    None => Kept::Clear(file),
                    Some(key) => Kept::Secret(Scratch::open(file, key)),
                }))
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

    /// A new file for `key`, readable by its owner alone.
    pub(super) fn temporary(&mut self, key: Key) -> io::Result<Temporary> {
        self.made += 1;
        let path = self.dir.join(format!("{}-{}.{PART}", name(key), self.made));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let file = if self.is_secret {
            Kept::Secret(Scratch::new(file).map_err(io::Error::other)?)
        } else {
            Kept::Clear(file)
        };
        Ok(Temporary {
            file: Arc::new(file),
            path,
        })
    }

    /// Makes a whole and durable file that of `key`.
    pub(super) fn keep(&mut self, key: Key, temporary: &Temporary, length: u64) -> io::Result<()> {
        fs::rename(&temporary.path, self.path(key))?;
        self.bytes += length;
        let entry = Entry {
            length,
            key: temporary.file.key(),
        };
        let before = self.index.put(key, entry);
        self.bytes -= before.map_or(0, |entry| entry.length);
        self.evict();
        Ok(())
    }

    /// The recordings that have files.
    pub(super) fn sids(&self) -> BTreeSet<RecordingSid> {
        self.index.iter().map(|(key, _)| key.sid).collect()
    }

    /// Removes all files of a recording.
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
        self.bytes -= self.index.pop(&key).map_or(0, |entry| entry.length);
        remove(&self.path(key));
    }

    fn path(&self, key: Key) -> PathBuf {
        let name = name(key);
        self.dir.join(if self.is_secret {
            format!("{name}.{SECRET}")
        } else {
            name
        })
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
        tracing::warn!(%error, path = %path.display(), "a cached file could not be removed");
    }
}

fn name(key: Key) -> String {
    let hash = hex::encode(key.hash);
    let extension = key.format.extension();
    format!("{}-{hash}-{}.{extension}", key.sid, key.channels)
}

fn parse(name: &str) -> Option<Key> {
    let (stem, extension) = name.rsplit_once('.')?;
    let mut parts = stem.split('-');
    let sid = parts.next()?.parse().ok()?;
    let mut hash = [0; 8];
    hex::decode_to_slice(parts.next()?, &mut hash).ok()?;
    let channels = parts.next()?.parse().ok()?;
    let key = Key {
        sid,
        hash,
        channels,
        format: Format::of_extension(extension)?,
    };
    // The one spelling that `name` has.
    (self::name(key) == name).then_some(key)
}
