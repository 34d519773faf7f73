//! The embedded ordered key-value engine: the one file that names sled.
//!
//! Called by `catalog::sled` and `media::sled`, which share one database. It knows keys and bytes,
//! no recordings.
//!
//! Invariants: a [`Changes`] is applied whole or not at all, also over a crash (sled seals a batch
//! in its log). What was applied since [`Kv::epoch`] was asked survives power loss once
//! [`Kv::commit`] with that epoch has returned: sled 0.34's flush ends in `sync_file_range`, which leaves the device's cache and
//! the file's metadata alone, so an `fdatasync` of its file follows, or a `syncfs` where large pages are
//! files of their own.
//!
//! After a failed write sled refuses every change until it is opened anew, and reads go on;
//! [`Kv::is_well`] says so, and [`Kv::reopen`] does it within this process. What was applied and
//! not committed is gone then, or not, as after a crash: the epoch is another one, so that whoever
//! applied it is not told that it is durable.
//!
//! A disk that is nearly full is found out before a change, and room given back for it
//! (`reserve`), so that a full disk is hardly ever the engine's.

use std::fs::{self, File};
use std::io;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::thread;
use std::time::Duration;

use crate::StoreError;
use crate::disk::Disk;
use crate::folder;
use crate::group::Group;
use crate::locks::{lock, read, write};
use crate::reserve::Reserve;

/// A value as the engine's cache holds it: cheap to clone, derefs to bytes.
pub(crate) type Value = sled::IVec;

/// Its background thread collects garbage, and takes what nobody committed to disk, this often.
const BACKGROUND_MS: u64 = 1_000;

/// A dropped database lets go of its file a moment later, when its threads have ended; so one
/// that was closed in this very process can still be held. Our own lock keeps others out.
const OPEN_TRIES: u32 = 500;
const OPEN_PAUSE: Duration = Duration::from_millis(10);

/// Where less is free, the reserve is given back before the log grows: four of its segments.
const LITTLE_ROOM: u64 = 2 << 20;

/// The engine wants some cache where it has nothing to keep in it.
const LITTLE_CACHE: u64 = 1 << 20;

/// What [`Kv::nudge`] writes to.
const NUDGE_TABLE: &str = "meta";
const NUDGE_KEY: &[u8] = b"nudge";

pub(crate) struct Kv {
    folder: PathBuf,
    cache_bytes: u64,
    reserve: Arc<Reserve>,
    disk: Disk,
    /// `None` while it is being opened anew, or where that has failed.
    open: RwLock<Option<Open>>,
    /// How often it was opened; held for writing by nobody, so that reading it waits for nothing.
    epoch: AtomicU64,
    tables: Mutex<Vec<Weak<Inner>>>,
    group: Group,
    well: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Open {
    db: sled::Db,
    file: Arc<File>,
}

impl Kv {
    pub(crate) fn open(
        folder: &Path,
        cache_bytes: u64,
        reserve: Arc<Reserve>,
        disk: Disk,
    ) -> Result<Self, StoreError> {
        let open = open(folder, cache_bytes)?;
        Ok(Self {
            folder: folder.to_owned(),
            cache_bytes,
            reserve,
            disk,
            open: RwLock::new(Some(open)),
            epoch: AtomicU64::new(0),
            tables: Mutex::default(),
            group: Group::default(),
            well: Arc::new(AtomicBool::new(true)),
        })
    }

    /// The table of this name; made if it is missing.
    pub(crate) fn table(&self, name: &str) -> Result<Table, StoreError> {
        let tree = self.db()?.db.open_tree(name).map_err(of_sled)?;
        let table = Arc::new(Inner {
            name: name.to_owned(),
            tree: RwLock::new(Some(tree)),
            reserve: Arc::clone(&self.reserve),
            well: Arc::clone(&self.well),
        });
        lock(&self.tables).push(Arc::downgrade(&table));
        Ok(Table(table))
    }

    pub(crate) fn drop_table(&self, name: &str) -> Result<(), StoreError> {
        self.db()?.db.drop_tree(name).map(drop).map_err(of_sled)
    }

    /// What [`Kv::commit`] is told of changes that follow.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Makes all that was applied since `epoch` was asked durable.
    pub(crate) fn commit(&self, epoch: u64) -> Result<(), StoreError> {
        let result = self.group.wait(|| {
            let Open { db, file } = self.db()?;
            let path = self.path();
            let io = |e| StoreError::io("sync", &path, e);
            self.disk.pass().map_err(io)?;
            db.flush().map_err(of_sled)?;
            sync(&self.folder, &file).map_err(io)
        });
        if self.epoch() != epoch {
            return Err(reopening());
        }
        if result.is_err() {
            self.well.store(false, Ordering::Release);
        }
        result
    }

    /// Whether every change and commit since it was opened has succeeded.
    pub(crate) fn is_well(&self) -> bool {
        self.well.load(Ordering::Acquire)
    }

    /// Lets who waits for a sync see that the engine has failed: sled wakes nobody at a failed
    /// write, but at the next change.
    pub(crate) fn nudge(&self) -> Result<(), StoreError> {
        if !self.group.is_leading() {
            return Ok(());
        }
        let tree = self.db()?.db.open_tree(NUDGE_TABLE).map_err(of_sled)?;
        tree.insert(NUDGE_KEY, &[]).map(drop).map_err(of_sled)
    }

    /// Opens the engine anew. Meanwhile, and where that fails until a later try succeeds, there is
    /// nothing to be read; so see to it that the disk works before.
    pub(crate) fn reopen(&self) -> Result<(), StoreError> {
        if self.group.is_leading() {
            // Who waits in a sync holds what has to go; `nudge` brings it out.
            return Err(StoreError::Catalog("a sync is under way".to_owned()));
        }
        let tables: Vec<_> = lock(&self.tables)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        let mut now = write(&self.open);
        self.well.store(false, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        for table in &tables {
            *write(&table.tree) = None;
        }
        *now = None;
        let opened = open(&self.folder, self.cache_bytes)?;
        for table in &tables {
            let tree = opened.db.open_tree(&table.name).map_err(of_sled)?;
            *write(&table.tree) = Some(tree);
        }
        *now = Some(opened);
        lock(&self.tables).retain(|table| table.strong_count() > 0);
        self.well.store(true, Ordering::Release);
        Ok(())
    }

    fn db(&self) -> Result<Open, StoreError> {
        read(&self.open).clone().ok_or_else(reopening)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("db")
    }
}

/// Makes an empty database in `folder`, whole or not at all, unless the folder is there. One whose
/// first bytes a loss of power has torn would not open, though nobody was told of anything in it.
pub(crate) fn make(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    let partial = folder.with_extension("partial");
    let io = |e| StoreError::io("make the catalog", &partial, e);
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(io)?;
    }
    folder::make_folder(&partial)?;
    let Open { db, file } = open(&partial, LITTLE_CACHE)?;
    db.flush().map_err(of_sled)?;
    drop(db);
    // Once its threads have ended it lets go of the lock, and of all its paths.
    let mut tries = 0;
    while let Err(error) = file.try_lock() {
        if tries == OPEN_TRIES {
            return Err(io(error.into()));
        }
        tries += 1;
        thread::sleep(OPEN_PAUSE);
    }
    for entry in fs::read_dir(&partial).map_err(io)? {
        let path = entry.map_err(io)?.path();
        File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(|e| StoreError::io("sync", &path, e))?;
    }
    folder::sync_folder(&partial)?;
    fs::rename(&partial, folder).map_err(io)?;
    folder.parent().map_or(Ok(()), folder::sync_folder)
}

fn open(folder: &Path, cache_bytes: u64) -> Result<Open, StoreError> {
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(cache_bytes)
        .flush_every_ms(Some(BACKGROUND_MS));
    after_a_crash(folder)?;
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
    // sled makes its files and syncs none of their names.
    folder::sync_folder(folder)?;
    Ok(Open {
        db,
        file: Arc::new(file),
    })
}

/// Puts right what sled 0.34 would stumble over, before it opens.
fn after_a_crash(folder: &Path) -> Result<(), StoreError> {
    let io = |e| StoreError::io("open", folder, e);
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "generating")
        {
            // A snapshot that was being written: taken for a finished one, and no database opens with
            // one that is cut. Without it the log is read from the one before.
            folder::remove(&path)?;
        } else if path.ends_with("db") {
            // sled writes a snapshot of what it finds. If a process that was killed has left that to
            // the page cache, a loss of power could keep the snapshot and not what it is of.
            File::open(&path)
                .and_then(|file| sync(folder, &file))
                .map_err(io)?;
        }
    }
    Ok(())
}

/// Makes all that the engine has written durable. A page of more than 128 KiB, as pieces of media make
/// them, is a file in `blobs`, which sled never syncs, neither its bytes nor its name; and where one is
/// torn it gives up all that its log has behind it. So where there are any, all of the file system.
fn sync(folder: &Path, file: &File) -> io::Result<()> {
    let has_blobs = match fs::read_dir(folder.join("blobs")) {
        Ok(mut blobs) => blobs.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if has_blobs {
        return Ok(nix::unistd::syncfs(file)?);
    }
    file.sync_data()
}

/// Keys in byte order, with a value each. It outlives [`Kv::reopen`].
#[derive(Clone)]
pub(crate) struct Table(Arc<Inner>);

struct Inner {
    name: String,
    /// `None` while the engine is being opened anew.
    tree: RwLock<Option<sled::Tree>>,
    reserve: Arc<Reserve>,
    well: Arc<AtomicBool>,
}

impl Table {
    fn tree(&self) -> Result<sled::Tree, StoreError> {
        read(&self.0.tree).clone().ok_or_else(reopening)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.tree()?.get(key).map_err(of_sled)
    }

    pub(crate) fn has(&self, key: &[u8]) -> Result<bool, StoreError> {
        self.tree()?.contains_key(key).map_err(of_sled)
    }

    /// The keys in `range` with their values, in order. What changes meanwhile may be seen or not.
    pub(crate) fn range<R: RangeBounds<Vec<u8>>>(
        &self,
        range: R,
    ) -> impl DoubleEndedIterator<Item = Result<(Value, Value), StoreError>> + use<R> {
        let (pairs, error) = match self.tree() {
            Ok(tree) => (Some(tree.range::<Vec<u8>, _>(range)), None),
            Err(error) => (None, Some(Err(error))),
        };
        let pairs = pairs.into_iter().flatten();
        error
            .into_iter()
            .chain(pairs.map(|pair| pair.map_err(of_sled)))
    }

    /// The last key there is, with its value.
    pub(crate) fn last(&self) -> Result<Option<(Value, Value)>, StoreError> {
        self.tree()?.last().map_err(of_sled)
    }

    /// Applies changes together, and leaves the tree as readers like it: sled splits and merges nodes when they are met
    /// next, by a reader too, so that on a disk that has failed meanwhile what is there could not be read.
    pub(crate) fn apply(&self, changes: Changes) -> Result<(), StoreError> {
        self.0.reserve.release_below(LITTLE_ROOM);
        let tree = self.tree()?;
        let Changes { batch, keys } = changes;
        let applied = tree.apply_batch(batch);
        let settle = || {
            keys.iter()
                .try_for_each(|key| tree.contains_key(key).map(drop))
        };
        let settled = applied.as_ref().map_or(Ok(()), |()| settle());
        // What is applied is, whatever becomes of the nodes; who has to have it durable hears of a failed log by `commit`.
        if let (Err(sled::Error::Io(_)), _) | (_, Err(sled::Error::Io(_))) = (&applied, settled) {
            self.0.well.store(false, Ordering::Release);
        }
        applied.map_err(of_sled)
    }
}

/// Changes to one table that are made together.
#[derive(Default)]
pub(crate) struct Changes {
    batch: sled::Batch,
    keys: Vec<sled::IVec>,
}

impl Changes {
    pub(crate) fn put(&mut self, key: Vec<u8>, value: impl Into<Value>) {
        let key = self.touched(key);
        self.batch.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        let key = self.touched(key);
        self.batch.remove(key);
    }

    fn touched(&mut self, key: Vec<u8>) -> sled::IVec {
        let key = sled::IVec::from(key);
        self.keys.push(key.clone());
        key
    }
}

fn is_held(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().contains("could not acquire lock"))
}

fn reopening() -> StoreError {
    StoreError::Catalog("it is being opened anew after a failed write".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(folder: &Path) -> Result<Kv, StoreError> {
        let reserve = Arc::new(Reserve::open(folder)?);
        Kv::open(&folder.join("catalog"), 1 << 20, reserve, Disk::default())
    }

    #[test]
    fn a_snapshot_that_a_crash_has_cut_is_no_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = dir.path().join("catalog");
        make(&catalog).unwrap();
        let one = kv(dir.path()).unwrap();
        let mut changes = Changes::default();
        changes.put(b"key".to_vec(), b"value".to_vec());
        let epoch = one.epoch();
        one.table("t").unwrap().apply(changes).unwrap();
        one.commit(epoch).unwrap();
        drop(one);
        let cut = catalog.join("snap.00000000FFFFFFFF.generating");
        fs::write(&cut, [0; 512]).unwrap();
        let two = kv(dir.path()).unwrap();
        let value = two.table("t").unwrap().get(b"key").unwrap();
        assert_eq!(value.as_deref(), Some(&b"value"[..]));
        assert!(!cut.exists());
    }

    #[test]
    fn a_database_is_made_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = dir.path().join("catalog");
        // What a loss of power can leave of the making.
        let partial = dir.path().join("catalog.partial");
        fs::create_dir(&partial).unwrap();
        fs::write(partial.join("db"), [0; 37]).unwrap();
        make(&catalog).unwrap();
        assert!(!partial.exists());
        assert!(kv(dir.path()).unwrap().table("t").is_ok());
        // One that is there stays as it is.
        fs::write(catalog.join("witness"), "").unwrap();
        make(&catalog).unwrap();
        assert!(catalog.join("witness").exists());
    }
}
