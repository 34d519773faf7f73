//! Takes, media, catalog, recovery, verify, accounts: everything of reeld that outlives a process.
//!
//! Called by the daemon's recorder (takes), by `api` (reading, deletion, accounts) and by the
//! command line. It calls `codec` for WAV headers and levels, the file system, and sled. What a
//! recording sounds like, and when it ends, does not belong here.
//!
//! Invariants, each held by a test:
//! - Takes and media are the truth: the catalog can be made anew from them.
//! - Every procedure is steps that can be repeated; a crash between any two loses nothing that
//!   was acknowledged (`life`, `read`, `recover`).
//! - Record, indices, kept counts and the event that tells of it change together; no list walks
//!   what it does not return.
//! - Media that are known to be damaged are served to nobody; what is on hold is deleted by nothing.
//! - A deleted recording has no media, whatever is kept of its record.
//! - Nothing waits for a disk under a lock. Everything blocks; nothing is async.
//!
//! `docs/ref/storage.md` says what every byte on disk is.

#![forbid(unsafe_code)]

mod accounts;
mod api_keys;
mod audit;
mod catalog;
mod crypt;
mod disk;
mod error;
mod events;
mod fill;
mod folder;
mod found;
#[doc(hidden)]
pub mod fuzz;
mod group;
mod hold;
mod integrity;
mod key;
mod kv;
mod life;
mod links;
mod live;
mod locks;
mod media;
mod mend;
mod park;
mod query;
mod read;
mod rebuild;
mod record;
mod recover;
mod reserve;
mod retain;
mod rewrap;
mod scrub;
mod seal;
mod spool;
mod store;
mod stored;
mod sync;
mod take;
mod trouble;
mod verify;

#[cfg(test)]
mod harness;

pub use accounts::Account;
pub use api_keys::ApiKey;
pub use audit::{AuditAction, AuditEntry, AuditQuery, Who};
pub use crypt::{Encryption, KeyId, KeyPlace, Scratch, ScratchKey};
pub use disk::{Disk, DiskFault, Stall};
pub use error::StoreError;
pub use events::{
    Action, DeadEvent, Dialect, Event, EventFigures, EventMethod, EventStatus, HANGUP,
    Subscription, VerbEnd,
};
pub use hold::Hold;
pub use integrity::IntegrityFigures;
pub use life::{Begun, End};
pub use links::{Link, Reach};
pub use media::MediaReader;
pub use mend::Mended;
pub use park::GoesOn;
pub use query::{Cursor, Named, Page, PageAt, Query, Which};
pub use read::Deletion;
pub use rebuild::Rebuilt;
pub use record::{Marks, NewRecording, Origin, Parties, Record, Stage, ms_of};
pub use recover::Recovery;
pub use retain::{Limits, Reason, Retained, Retainer, Retention};
pub use rewrap::Rewrapped;
pub use scrub::{Scrub, Scrubbed};
pub use store::{Health, MediaKind, Store, StoreConfig};
pub use take::Take;
pub use verify::{Finding, VerifyProgress, VerifyReport};
