//! The spool: the folder of takes, and the start file beside each.
//!
//! Called by the store's life of a recording and by recovery; it calls `folder` and `stored`.
//! What is in a take is `take`'s and `seal`'s.
//!
//! `RE….wav` is the take; `RE….start` is its record as it was begun, framed, so that the take can
//! be finished without the catalog. The take is made first and exclusively: it is what keeps two
//! recordings from one name. Both names are durable before a recording is acknowledged.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use reeld_codec::wav;
use reeld_model::{Channels, RecordingSid};

use crate::StoreError;
use crate::crypt::{ENVELOPE_BYTES, Envelope, Growing, KeyId, Keyring};
use crate::disk::Disk;
use crate::folder;
use crate::group::Group;
use crate::stored::Stored;

pub(crate) struct Spool {
    folder: PathBuf,
    names: Group,
    disk: Disk,
}

/// What the spool has of a recording.
#[derive(Debug, PartialEq, Eq, Default, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) take: bool,
    pub(crate) start: bool,
}

/// The first 44 bytes of a take with this much sound.
pub(crate) fn header(channels: Channels, rate_hz: u32, data_bytes: u64) -> [u8; wav::HEADER_BYTES] {
    let data_bytes = u32::try_from(data_bytes).unwrap_or(u32::MAX);
    wav::header(channels.count(), rate_hz, data_bytes)
}

/// What stands in the header for sizes while a take grows: readers take it for "to the end".
pub(crate) const UNKNOWN_BYTES: u64 = u32::MAX as u64;

impl Spool {
    pub(crate) fn open(data_dir: &Path, disk: Disk) -> Result<Self, StoreError> {
        let folder = data_dir.join("spool");
        folder::make_folder(&folder)?;
        Ok(Self {
            folder,
            names: Group::default(),
            disk,
        })
    }

    /// Passes the disk ahead of doing `what` to `path`.
    pub(crate) fn pass(&self, what: &str, path: &Path) -> Result<(), StoreError> {
        self.disk.pass().map_err(|e| StoreError::io(what, path, e))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn take_path(&self, sid: RecordingSid) -> PathBuf {
        self.folder.join(format!("{sid}.wav"))
    }

    fn start_path(&self, sid: RecordingSid) -> PathBuf {
        self.folder.join(format!("{sid}.start"))
    }

    /// Makes the take and its start file, durable; the take encrypted, where `keys` has a current one.
    pub(crate) fn create(
        &self,
        stored: &Stored,
        keys: &Keyring,
    ) -> Result<(File, Option<Growing>), StoreError> {
        let sid = stored.record.sid;
        let path = self.take_path(sid);
        let made = self.disk.pass().and_then(|()| folder::create_new(&path));
        let take = made.map_err(|e| {
            if e.kind() == io::ErrorKind::AlreadyExists {
                StoreError::SidTaken { sid }
            } else {
                StoreError::io("make", &path, e)
            }
        })?;
        let rest = || {
            let record = &stored.record;
            let io = |e| StoreError::io("write", &path, e);
            let growing = if let Some(current) = keys.current() {
                let (growing, envelope) = Growing::begin(keys, current, sid)?;
                // Durable ahead of any sound: what it encrypts is lost without it.
                let written = take.write_all_at(&envelope, 0);
                written.and_then(|()| take.sync_data()).map_err(io)?;
                Some(growing)
            } else {
                let head = header(record.channels, record.rate_hz, UNKNOWN_BYTES);
                take.write_all_at(&head, 0).map_err(io)?;
                None
            };
            folder::write_whole(&self.start_path(sid), &stored.frame())?;
            self.sync_names()?;
            Ok(growing)
        };
        let made = rest();
        if made.is_err()
            && let Err(left) = self.clear(sid)
        {
            // Of no record: what mends the store, or the next start, removes it.
            tracing::error!(recording = %sid, error = %left, "a take that was not begun stays");
        }
        made.map(|growing| (take, growing))
    }

    /// Makes the names in the spool durable, those of many recordings at once.
    pub(crate) fn sync_names(&self) -> Result<(), StoreError> {
        self.names.wait(|| {
            self.pass("sync", &self.folder)?;
            folder::sync_folder(&self.folder)
        })
    }

    /// The record as it was begun; `None` where there is no start file or it is damaged.
    pub(crate) fn start(&self, sid: RecordingSid) -> Result<Option<Stored>, StoreError> {
        let bytes = folder::read(&self.start_path(sid))?;
        Ok(bytes.and_then(|bytes| Stored::from_frame(&bytes)))
    }

    pub(crate) fn left(&self, sid: RecordingSid) -> Left {
        Left {
            take: self.take_path(sid).exists(),
            start: self.start_path(sid).exists(),
        }
    }

    /// Puts a copy of a take's first `bytes` bytes in its place, written anew and durable; the copy.
    /// What the system has in memory of a file is not written again once a sync of it has failed.
    pub(crate) fn renew(
        &self,
        sid: RecordingSid,
        take: &File,
        bytes: u64,
    ) -> Result<File, StoreError> {
        let path = self.take_path(sid);
        let partial = self.folder.join(format!("{sid}.wav{}", folder::PARTIAL));
        self.pass("write", &partial)?;
        folder::remove(&partial)?;
        let copy = || {
            let file = folder::create_new(&partial)?;
            let mut block = vec![0; 1 << 16];
            let mut done = 0;
            while done < bytes {
                let left = usize::try_from(bytes - done).unwrap_or(usize::MAX);
                let piece = left.min(block.len());
                take.read_exact_at(&mut block[..piece], done)?;
                file.write_all_at(&block[..piece], done)?;
                done += piece as u64;
            }
            file.sync_all()?;
            std::fs::rename(&partial, &path)?;
            Ok(file)
        };
        let file = copy().map_err(|e| StoreError::io("write anew", &path, e))?;
        self.sync_names()?;
        Ok(file)
    }

    /// The wrapping keys of the takes here.
    pub(crate) fn keys(&self) -> Result<Vec<KeyId>, StoreError> {
        let mut keys = Vec::new();
        for name in folder::names(&self.folder)? {
            let path = self.folder.join(&name);
            let mut begins = [0; ENVELOPE_BYTES];
            let read = File::open(&path).and_then(|file| file.read_exact_at(&mut begins, 0));
            match read {
                Ok(()) => keys.extend(Envelope::parse(&begins).iter().flat_map(Envelope::keys)),
                // Shorter than an envelope, or finished meanwhile.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(StoreError::io("read", &path, e)),
            }
        }
        Ok(keys)
    }

    /// Removes what is left of a recording: the take, then the start file.
    pub(crate) fn clear(&self, sid: RecordingSid) -> Result<(), StoreError> {
        let path = self.take_path(sid);
        self.pass("remove", &path)?;
        folder::remove(&path)?;
        folder::remove(&self.start_path(sid))?;
        Ok(())
    }

    /// The recordings that have anything here; what was being written when the process died is
    /// removed, but for what belongs to a recording of which `is_owned` is true; what is no name of
    /// ours is told.
    pub(crate) fn sweep(
        &self,
        is_owned: &dyn Fn(RecordingSid) -> bool,
        problems: &mut Vec<String>,
    ) -> Result<Vec<RecordingSid>, StoreError> {
        let mut sids = Vec::new();
        for name in folder::names(&self.folder)? {
            let path = self.folder.join(&name);
            if folder::is_partial(&name) {
                let sid = name.split('.').next().map(RecordingSid::from_str);
                if !sid.is_some_and(|sid| sid.is_ok_and(is_owned)) {
                    folder::remove(&path)?;
                }
                continue;
            }
            let sid = name
                .strip_suffix(".wav")
                .or_else(|| name.strip_suffix(".start"))
                .and_then(|sid| RecordingSid::from_str(sid).ok());
            match sid {
                Some(sid) => sids.push(sid),
                None => problems.push(format!("{} is no take; it was left alone", path.display())),
            }
        }
        sids.sort_unstable();
        sids.dedup();
        Ok(sids)
    }
}
