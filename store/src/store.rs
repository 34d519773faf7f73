//! The store's handle: opening the folder, its health, and what its parts share.
//!
//! Called by the daemon, `api` and the recorder. What can be done with a recording is in `life`
//! (begin to finish), `read` (get, list, media, delete), `recover`, `verify` and `rebuild`; with
//! an account, in `accounts`, `api_keys` and `links`.
//!
//! Everything blocks and may be called from any thread; none of the locks is held over a sync.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::StoreError;
use crate::accounts::Accounts;
use crate::api_keys::ApiKeys;
use crate::catalog::{Catalog, SledCatalog};
use crate::crypt::{Encryption, KeyId, Keyring};
use crate::disk::Disk;
use crate::folder::{self, Held, Room};
use crate::integrity::Integrity;
use crate::kv::{self, Kv};
use crate::live::Live;
use crate::locks::lock;
use crate::media::{LocalMedia, Media, Shelves, SledMedia};
use crate::mend::Unfinished;
use crate::reserve::Reserve;
use crate::spool::Spool;
use crate::trouble::Trouble;

/// Where finished audio is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// A file a recording under `<data_dir>/media`.
    Local,
    /// In the catalog's own engine, in values of 64 KiB.
    Sled,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The folder that has everything; made if it is missing.
    pub data_dir: PathBuf,
    /// Where finished audio is kept.
    pub media: MediaKind,
    /// Bytes that must stay free for a new recording to be begun.
    pub min_free_bytes: u64,
    /// Bytes of memory for the catalog's cache.
    pub catalog_cache_bytes: u64,
    /// How long a deleted recording's record is kept; zero keeps none.
    pub deleted_metadata: Duration,
    /// Of a million readers of media, how many have the file compared with its checksum first.
    pub check_reads_ppm: u32,
    /// Which keys encrypt what is recorded, and open what was.
    pub encryption: Encryption,
    /// What it lies on.
    pub disk: Disk,
}

/// How the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Bytes free for this user.
    pub free_bytes: u64,
    /// Bytes that must stay free for a new recording to be begun.
    pub min_free_bytes: u64,
    /// Whether the folder takes writes and each commit so far became durable.
    pub writable: bool,
    /// What the disk failed at, until it works again.
    pub failing: Option<String>,
    /// Recordings that have ended and could not be finished; they are, once the disk lets them.
    pub unfinished: usize,
    /// Recordings whose media are known to be damaged.
    pub damaged: usize,
    /// The key that encrypts what is recorded now; without one it lies in clear.
    pub encryption_key: Option<KeyId>,
    /// Keys under which recordings here may be, and that are not at hand.
    pub missing_keys: Vec<KeyId>,
}

/// The store. A cheap handle: clones share one open folder. It blocks, and any thread may use it.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub(crate) config: StoreConfig,
    pub(crate) accounts: Accounts,
    pub(crate) api_keys: ApiKeys,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) missing_keys: Mutex<Vec<KeyId>>,
    /// Held while data keys are brought under another one.
    pub(crate) rewrapping: Mutex<()>,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) media: Arc<dyn Media>,
    pub(crate) spool: Arc<Spool>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) trouble: Arc<Trouble>,
    pub(crate) unfinished: Mutex<Vec<Unfinished>>,
    pub(crate) integrity: Integrity,
    pub(crate) live: Live,
    /// Whether the media folder may have what the catalog has not: the last holder died.
    pub(crate) may_lack_records: AtomicBool,
    spool_folder: File,
    /// Last, since it is dropped last: the folder is held until all else is closed.
    held: Mutex<Held>,
}

/// The parts of an open folder, of which `open` and `rebuild` both begin.
pub(crate) struct Parts {
    pub(crate) held: Held,
    pub(crate) spool: Arc<Spool>,
    pub(crate) catalog: SledCatalog,
    pub(crate) media: Arc<dyn Media>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) keys: Arc<Keyring>,
}

impl Parts {
    /// Takes the folder, makes what is missing, and opens its engine.
    pub(crate) fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let data_dir = &config.data_dir;
        let keys = Arc::new(Keyring::read(&config.encryption)?);
        let held = Held::take(data_dir)?;
        let spool = Arc::new(Spool::open(data_dir, config.disk.clone())?);
        let catalog_folder = data_dir.join("catalog");
        kv::make(&catalog_folder)?;
        let reserve = Arc::new(Reserve::open(data_dir)?);
        let kv = Arc::new(Kv::open(
            &catalog_folder,
            config.catalog_cache_bytes,
            Arc::clone(&reserve),
            config.disk.clone(),
        )?);
        let media = open_media(config, &kv, &spool, &keys)?;
        let catalog = SledCatalog::open(kv)?;
        folder::sync_folder(data_dir)?;
        Ok(Self {
            held,
            spool,
            catalog,
            media,
            reserve,
            keys,
        })
    }
}

/// The configured kind of media, and the other one too where it may have been used before.
fn open_media(
    config: &StoreConfig,
    kv: &Kv,
    spool: &Arc<Spool>,
    keys: &Arc<Keyring>,
) -> Result<Arc<dyn Media>, StoreError> {
    let data_dir = &config.data_dir;
    let local = || LocalMedia::open(data_dir, Arc::clone(spool), Arc::clone(keys)).map(Arc::new);
    let sled = Arc::new(SledMedia::new(kv.table("media")?, Arc::clone(keys)));
    Ok(match config.media {
        MediaKind::Local if sled.is_empty()? => local()?,
        MediaKind::Local => Arc::new(Shelves {
            chosen: local()?,
            other: sled,
        }),
        MediaKind::Sled if LocalMedia::is_in(data_dir) => Arc::new(Shelves {
            chosen: sled,
            other: local()?,
        }),
        MediaKind::Sled => sled,
    })
}

impl Store {
    /// Takes the data folder for this process, makes what is missing in it, and opens it. Call
    /// [`Store::recover`] next, before anything is served.
    ///
    /// # Errors
    /// [`StoreError::Held`] where another process has the folder, [`StoreError::Key`] where the
    /// accounts' tokens cannot be read or an encryption key is none, else what the system or the engine says.
    pub fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let Parts {
            held,
            spool,
            catalog,
            media,
            reserve,
            keys,
        } = Parts::open(&config)?;
        let catalog: Arc<dyn Catalog> = Arc::new(catalog);
        let accounts = Accounts::open(&config.data_dir, Arc::clone(&catalog))?;
        let api_keys = ApiKeys::open(&*catalog)?;
        let spool_folder =
            File::open(spool.folder()).map_err(|e| StoreError::io("open", spool.folder(), e))?;
        let inner = Inner {
            accounts,
            api_keys,
            keys,
            missing_keys: Mutex::default(),
            rewrapping: Mutex::default(),
            catalog,
            media,
            spool,
            reserve,
            trouble: Arc::default(),
            unfinished: Mutex::default(),
            integrity: Integrity::new(config.check_reads_ppm),
            live: Live::default(),
            may_lack_records: AtomicBool::new(!held.was_closed),
            spool_folder,
            held: Mutex::new(held),
            config,
        };
        inner.settle_keys()?;
        inner.reserve.fill();
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// How the store is: for `/readyz`.
    #[must_use]
    pub fn health(&self) -> Health {
        let inner = &self.inner;
        let room = inner.room().unwrap_or_else(|error| {
            tracing::error!(%error, "the data folder's file system does not answer");
            Room {
                free_bytes: 0,
                is_read_only: true,
            }
        });
        Health {
            free_bytes: room.free_bytes,
            min_free_bytes: inner.config.min_free_bytes,
            writable: !room.is_read_only && inner.catalog.is_well(),
            failing: inner.trouble.get(),
            unfinished: lock(&inner.unfinished).len(),
            damaged: inner.damaged(),
            encryption_key: inner.keys.current(),
            missing_keys: inner.missing_keys(),
        }
    }

    /// Makes all samples appended so far power-loss durable, those of every take with one
    /// `syncfs`.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync_takes(&self) -> Result<(), StoreError> {
        let inner = &*self.inner;
        let synced = inner.config.disk.pass();
        let synced = synced.and_then(|()| Ok(nix::unistd::syncfs(&inner.spool_folder)?));
        let synced = synced.map_err(|e| StoreError::io("sync", inner.spool.folder(), e));
        inner.heed(synced)
    }
}

impl Inner {
    /// Notes what of the disk's a result is.
    pub(crate) fn heed<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.trouble.note(error);
        }
        result
    }

    fn room(&self) -> Result<Room, StoreError> {
        self.reserve
            .room(&self.spool_folder)
            .map_err(|e| StoreError::io("ask for the room of", self.spool.folder(), e.into()))
    }

    /// Refuses where there is no room for one more recording.
    pub(crate) fn check_room(&self) -> Result<(), StoreError> {
        if let Some(what) = self.trouble.get() {
            return Err(StoreError::Failing { what });
        }
        self.reserve.fill();
        let min_free = self.config.min_free_bytes;
        let Room {
            free_bytes: free,
            is_read_only,
        } = self.room()?;
        if is_read_only {
            return Err(StoreError::ReadOnly {
                path: self.config.data_dir.clone(),
            });
        }
        if free < min_free {
            return Err(StoreError::NoSpace { free, min_free });
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let close = || {
            self.catalog.commit()?;
            if self.may_lack_records.load(Ordering::Relaxed) || !self.catalog.is_well() {
                return Ok(());
            }
            lock(&self.held).close()
        };
        if let Err(error) = close() {
            tracing::error!(%error, "the store was not closed in order; the next start looks for \
                what the catalog lacks");
        }
    }
}
