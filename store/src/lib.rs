//! reeld-store.

mod error;
mod query;
mod record;

use std::io;
use std::path::PathBuf;

use reeld_model::{AccountSid, RecordingSid, Summary};
use secrecy::SecretString;

pub use error::StoreError;
pub use query::{Page, Query};
pub use record::{NewRecording, Origin, Record, Stage};

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
}

/// The store. A cheap handle: clones share one open folder; it blocks, and any thread may use it.
#[derive(Clone)]
pub struct Store {}

/// What [`Store::begin`] came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// A new recording: its record, live.
    New(Record),
    /// The idempotency token has begun this one before: its record as it is now.
    Repeated(Record),
}

/// What is known at a recording's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// What capture says of it.
    pub summary: Summary,
    /// The wall-clock time of the file's first frame, milliseconds since the Unix epoch.
    pub started_ms: Option<i64>,
    /// When it ended, milliseconds since the Unix epoch.
    pub ended_ms: i64,
}

/// What [`Store::delete`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Record and media are gone.
    Deleted,
    /// The account has no such recording.
    Unknown,
    /// It is still being recorded or finished; nothing was changed.
    StillLive,
}

/// What [`Store::recover`] did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovery {
    /// Recordings whose finishing the last stop interrupted, finished now: send their events.
    pub recovered: Vec<Record>,
    /// Recordings that turned out empty.
    pub absent: Vec<RecordingSid>,
    /// Records that the catalog had lost, restored from their media.
    pub restored: Vec<RecordingSid>,
    /// What could not be made good, a sentence each.
    pub problems: Vec<String>,
}

/// How the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Bytes free for this user.
    pub free_bytes: u64,
    /// Bytes that must stay free.
    pub min_free_bytes: u64,
    /// Whether the folder takes writes and the last one became durable.
    pub writable: bool,
}

/// How far [`Store::verify`] or [`Store::rebuild`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Recordings looked at so far.
    pub done: u64,
    /// Recordings to look at, as far as is known.
    pub total: u64,
    /// Bytes of media read so far.
    pub bytes: u64,
}

/// What [`Store::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Records read and found whole.
    pub records: u64,
    /// Bytes of media read.
    pub bytes: u64,
    /// What is wrong, one each; empty when all is well.
    pub findings: Vec<Finding>,
}

/// One thing that [`Store::verify`] found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A record without its media.
    Missing(RecordingSid),
    /// Media without a record.
    Orphaned(RecordingSid),
    /// Media or a record that is not as it was written; the text says what differs.
    Damaged(RecordingSid, String),
    /// An index or a kept count that differs from the records; the text says which.
    Drift(String),
}

/// What [`Store::rebuild`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Records made anew from media.
    pub from_media: u64,
    /// Records without media that the old catalog still had.
    pub kept: u64,
    /// What could not be made good, a sentence each.
    pub problems: Vec<String>,
}

/// An account, without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name to the API.
    pub sid: AccountSid,
    /// Its name to people.
    pub name: String,
    /// When it was made, milliseconds since the Unix epoch; of one from the configuration, when
    /// the configuration was read.
    pub created_ms: i64,
    /// Whether it is in the configuration rather than in the catalog.
    pub configured: bool,
}

#[expect(
    missing_docs,
    clippy::todo,
    unused_variables,
    reason = "signatures ahead of their bodies"
)]
impl Store {
    pub fn open(config: StoreConfig) -> Result<Self, StoreError> {
        todo!()
    }
    pub fn rebuild(
        config: StoreConfig,
        progress: &mut dyn FnMut(VerifyProgress),
    ) -> Result<Rebuilt, StoreError> {
        todo!()
    }
    pub fn recover(&self, now_ms: i64) -> Result<Recovery, StoreError> {
        todo!()
    }
    pub fn begin(&self, new: NewRecording) -> Result<Begun, StoreError> {
        todo!()
    }
    pub fn abort(&self, sid: RecordingSid) -> Result<(), StoreError> {
        todo!()
    }
    pub fn take(&self, sid: RecordingSid) -> Result<Take, StoreError> {
        todo!()
    }
    pub fn finish(&self, take: Take, end: End) -> Result<Record, StoreError> {
        todo!()
    }
    pub fn sync_takes(&self) -> Result<(), StoreError> {
        todo!()
    }
    pub fn get(
        &self,
        account: AccountSid,
        sid: RecordingSid,
    ) -> Result<Option<Record>, StoreError> {
        todo!()
    }
    pub fn find(&self, sid: RecordingSid) -> Result<Option<Record>, StoreError> {
        todo!()
    }
    pub fn list(&self, query: &Query) -> Result<Page, StoreError> {
        todo!()
    }
    pub fn media(&self, record: &Record) -> Result<MediaReader, StoreError> {
        todo!()
    }
    pub fn delete(&self, account: AccountSid, sid: RecordingSid) -> Result<Deletion, StoreError> {
        todo!()
    }
    pub fn verify(
        &self,
        progress: &mut dyn FnMut(VerifyProgress),
    ) -> Result<VerifyReport, StoreError> {
        todo!()
    }
    pub fn health(&self) -> Health {
        todo!()
    }
    pub fn add_account(
        &self,
        sid: Option<AccountSid>,
        name: &str,
    ) -> Result<(AccountSid, SecretString), StoreError> {
        todo!()
    }
    pub fn put_account(
        &self,
        sid: AccountSid,
        name: &str,
        token: SecretString,
    ) -> Result<(), StoreError> {
        todo!()
    }
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        todo!()
    }
    pub fn remove_account(&self, sid: AccountSid) -> Result<bool, StoreError> {
        todo!()
    }
    pub fn rotate_account(&self, sid: AccountSid) -> Result<Option<SecretString>, StoreError> {
        todo!()
    }
    pub fn authenticate(&self, sid: AccountSid, token: &str) -> bool {
        todo!()
    }
}

/// A recording being written.
pub struct Take {}

#[expect(
    missing_docs,
    clippy::todo,
    unused_variables,
    reason = "signatures ahead of their bodies"
)]
impl Take {
    pub fn append(&mut self, samples: &[i16], keep_frames: u64) -> Result<(), StoreError> {
        todo!()
    }
    pub fn frames(&self) -> u64 {
        todo!()
    }
}

/// A recording's WAV file as it is served.
pub struct MediaReader {}

#[expect(
    missing_docs,
    clippy::todo,
    clippy::len_without_is_empty,
    reason = "signatures ahead of their bodies"
)]
impl MediaReader {
    pub fn len(&self) -> u64 {
        todo!()
    }
}

#[expect(
    clippy::todo,
    unused_variables,
    reason = "signatures ahead of their bodies"
)]
impl io::Read for MediaReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        todo!()
    }
}

#[expect(
    clippy::todo,
    unused_variables,
    reason = "signatures ahead of their bodies"
)]
impl io::Seek for MediaReader {
    fn seek(&mut self, pos: io::SeekFrom) -> io::Result<u64> {
        todo!()
    }
}
