//! What can go wrong in the store: a variant for each thing that a caller can do differently.
//!
//! Every module of this crate returns [`StoreError`]; `api` turns it into a status and Twilio's
//! code, `recorder` into an end of the recording, the daemon into an exit code. Each variant
//! carries what finds the thing: the Sid, the path, the engine's own words.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use reeld_model::{AccountSid, RecordingSid};

use crate::KeyId;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the data folder. Nothing was touched.
    #[error("the data folder is held by {by}")]
    Held {
        /// Who: its pid and command line, as it wrote them into the lock file.
        by: String,
    },
    /// Less than `store.min_free` is free: a new recording is refused before live ones are at risk.
    #[error("{free} bytes are free, {min_free} must stay free (store.min_free)")]
    NoSpace {
        /// Bytes free now for this user.
        free: u64,
        /// Bytes that must be.
        min_free: u64,
    },
    /// The file system takes no writes at all.
    #[error("{} is read-only", path.display())]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },
    /// The disk has failed, and no probe of it has succeeded since: a new recording is refused.
    #[error("the disk has failed: {what}")]
    Failing {
        /// What failed, and how.
        what: String,
    },
    /// The disk took no more of this recording; what was written before is whole. Finish it.
    #[error("the disk is full: {sid} ends here")]
    DiskFull {
        /// The recording.
        sid: RecordingSid,
    },
    /// The operating system refused; the text says what was done to what.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// The catalog's engine refused.
    #[error("catalog: {0}")]
    Catalog(String),
    /// The record cannot be read: bad bytes, or a version that this program does not know.
    #[error("the record of {sid} cannot be read")]
    Corrupt {
        /// Whose record.
        sid: RecordingSid,
    },
    /// The record is there and its media is not.
    #[error("the media of {sid} is missing")]
    MediaMissing {
        /// Whose media.
        sid: RecordingSid,
    },
    /// The media are not what was recorded, so they are not served.
    #[error("the media of {sid} are damaged: {what}")]
    Damaged {
        /// Whose media.
        sid: RecordingSid,
        /// What is wrong with them.
        what: String,
    },
    /// The media are encrypted under a key that the store was not given.
    #[error("{sid} is encrypted under the key {key}, which is not at hand (store.encryption_key)")]
    KeyMissing {
        /// Whose media.
        sid: RecordingSid,
        /// Which key wraps its data key.
        key: KeyId,
    },
    /// What was recorded here is encrypted, and no key is given to go on with: a new recording would lie
    /// in clear.
    #[error(
        "recordings here are encrypted under the key {key}, which is not at hand: \
         none is begun without (store.encryption_key)"
    )]
    NoKey {
        /// The key that is missing.
        key: KeyId,
    },
    /// No key is configured, so that nothing can be brought under it.
    #[error("no encryption key is configured (store.encryption_key)")]
    NotEncrypting,
    /// So many recordings' events wait for their receivers that no more is taken on.
    #[error("the events of {recordings} recordings wait for their receivers")]
    OutboxFull {
        /// How many may.
        recordings: usize,
    },
    /// A recording with this Sid is there already, or is just being deleted.
    #[error("{sid} is there already")]
    SidTaken {
        /// The Sid.
        sid: RecordingSid,
    },
    /// The recording is not live here: it was never begun, or has been finished or aborted.
    #[error("{sid} is not being recorded")]
    NotLive {
        /// The Sid.
        sid: RecordingSid,
    },
    /// The recording's take has been handed out; only one writer can have it.
    #[error("the take of {sid} has been handed out already")]
    TakeInUse {
        /// The Sid.
        sid: RecordingSid,
    },
    /// An account with this Sid is there already.
    #[error("account {sid} is there already")]
    AccountTaken {
        /// The Sid.
        sid: AccountSid,
    },
    /// The account is in the configuration, and only there can it be changed.
    #[error("account {sid} is in the configuration; change it there")]
    AccountConfigured {
        /// The Sid.
        sid: AccountSid,
    },
    /// A key is missing or wrong: the machine's, so that no token can be read, or one of encryption.
    #[error("{}: {reason}", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    /// `source`, met while doing `what` to `path`.
    pub(crate) fn io(what: &str, path: &Path, source: io::Error) -> Self {
        if source.raw_os_error() == Some(Errno::EROFS as i32) {
            return Self::ReadOnly {
                path: path.to_owned(),
            };
        }
        Self::Io {
            what: format!("{what} {}", path.display()),
            source,
        }
    }

    /// Whether the disk has no room: freeing some and trying again can help.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::DiskFull { .. } | Self::NoSpace { .. } => true,
            Self::Io { source, .. } => is_full(source),
            Self::Catalog(_)
            | Self::Held { .. }
            | Self::ReadOnly { .. }
            | Self::Failing { .. }
            | Self::Corrupt { .. }
            | Self::MediaMissing { .. }
            | Self::Damaged { .. }
            | Self::KeyMissing { .. }
            | Self::NoKey { .. }
            | Self::NotEncrypting
            | Self::SidTaken { .. }
            | Self::OutboxFull { .. }
            | Self::NotLive { .. }
            | Self::TakeInUse { .. }
            | Self::AccountTaken { .. }
            | Self::AccountConfigured { .. }
            | Self::Key { .. } => false,
        }
    }
}

/// Whether `error` says that there is no room, on the disk or in the user's quota.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)
    )
}
