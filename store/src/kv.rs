//! The embedded ordered key-value engine: the one file that names sled.
//!
//! Called by `catalog::sled` and `media::sled`, which share one database. It knows keys and bytes,
//! no recordings.
//!
//! Invariants: a [`Changes`] is applied whole or not at all, also over a crash (sled seals a batch
//! in its log). What was applied before [`Kv::commit`] was called survives power loss once that
//! has returned: sled 0.34's flush ends in `sync_file_range`, which leaves the device's cache and
//! the file's metadata alone, so an `fdatasync` of its file follows. After a failed write sled
//! refuses everything until it is opened anew; [`Kv::is_well`] says so.

use std::fs::File;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::StoreError;
use crate::disk::Disk;
use crate::group::Group;

/// A value as the engine's cache holds it: cheap to clone, derefs to bytes.
pub(crate) type Value = sled::IVec;

/// Its background thread collects garbage, and takes what nobody committed to disk, this often.
const BACKGROUND_MS: u64 = 1_000;

/// A dropped database lets go of its file a moment later, when its threads have ended; so one
/// that was closed in this very process can still be held. Our own lock keeps others out.
const OPEN_TRIES: u32 = 100;
const OPEN_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Kv {
    db: sled::Db,
    file: File,
    path: PathBuf,
    group: Group,
    well: AtomicBool,
    disk: Disk,
}

impl Kv {
    pub(crate) fn open(folder: &Path, cache_bytes: u64, disk: Disk) -> Result<Self, StoreError> {
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(cache_bytes)
            .flush_every_ms(Some(BACKGROUND_MS));
        let mut tries = 0;
        let db = loop {
            match config.open() {
                Ok(db) => break db,
                Err(error) if is_held(&error) && tries < OPEN_TRIES => {
                    tries += 1;
                    thread::sleep(OPEN_PAUSE);
                }
                Err(error) => return Err(of_sled(error)),
            }
        };
        let path = folder.join("db");
        let file = File::open(&path).map_err(|e| StoreError::io("open", &path, e))?;
        Ok(Self {
            db,
            file,
            path,
            group: Group::default(),
            well: AtomicBool::new(true),
            disk,
        })
    }

    /// The table of this name; made if it is missing.
    pub(crate) fn table(&self, name: &str) -> Result<Table, StoreError> {
        self.db.open_tree(name).map(Table).map_err(of_sled)
    }

    pub(crate) fn drop_table(&self, name: &str) -> Result<(), StoreError> {
        self.db.drop_tree(name).map(drop).map_err(of_sled)
    }

    /// Makes all that was applied before this call durable.
    pub(crate) fn commit(&self) -> Result<(), StoreError> {
        let result = self.group.wait(|| {
            self.disk.pass();
            self.db.flush().map_err(of_sled)?;
            self.file
                .sync_data()
                .map_err(|e| StoreError::io("sync", &self.path, e))
        });
        if result.is_err() {
            self.well.store(false, Ordering::Relaxed);
        }
        result
    }

    /// Whether every commit so far has succeeded.
    pub(crate) fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }
}

/// Keys in byte order, with a value each.
#[derive(Clone)]
pub(crate) struct Table(sled::Tree);

impl Table {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.0.get(key).map_err(of_sled)
    }

    pub(crate) fn has(&self, key: &[u8]) -> Result<bool, StoreError> {
        self.0.contains_key(key).map_err(of_sled)
    }

    /// The keys in `range` with their values, in order. What changes meanwhile may be seen or not.
    pub(crate) fn range<R: RangeBounds<Vec<u8>>>(
        &self,
        range: R,
    ) -> impl Iterator<Item = Result<(Value, Value), StoreError>> + use<R> {
        self.0
            .range::<Vec<u8>, _>(range)
            .map(|pair| pair.map_err(of_sled))
    }

    /// The last key there is, with its value.
    pub(crate) fn last(&self) -> Result<Option<(Value, Value)>, StoreError> {
        self.0.last().map_err(of_sled)
    }

    pub(crate) fn apply(&self, changes: Changes) -> Result<(), StoreError> {
        self.0.apply_batch(changes.0).map_err(of_sled)
    }
}

/// Changes to one table that are made together.
#[derive(Default)]
pub(crate) struct Changes(sled::Batch);

impl Changes {
    pub(crate) fn put(&mut self, key: Vec<u8>, value: impl Into<Value>) {
        self.0.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.0.remove(key);
    }
}

fn is_held(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().contains("could not acquire lock"))
}

fn of_sled(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(source) => StoreError::Io {
            what: "catalog".to_owned(),
            source,
        },
        error @ (sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::Corruption { .. }) => StoreError::Catalog(error.to_string()),
    }
}
