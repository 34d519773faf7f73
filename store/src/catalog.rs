//! The catalog: what is known of recordings and accounts, behind one trait.
//!
//! Called by the rest of this crate only; `catalog::sled` is the embedded one, and a shared one
//! on SQL takes its place behind the same trait. Bytes of sound do not belong here.
//!
//! Invariants that every catalog keeps:
//! - A record, its places in the indices and the kept counts change together or not at all.
//! - What a method calls durable survives power loss once it has returned.
//! - A list is of one instant, whatever writers do meanwhile.

mod change;
mod check;
mod count;
mod due;
mod indices;
mod key;
mod list;
mod names;
mod outbox;
pub(crate) mod sled;
mod trail;
mod usage;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use reeld_model::{AccountSid, KeySid, RecordingSid};

use crate::stored::Stored;
use crate::{Action, Cursor, Deletion, EventStatus, Page, Query, Record, StoreError, Subscription};

pub(crate) use outbox::{MOST_PENDING, Outbox};
pub(crate) use sled::SledCatalog;
pub(crate) use trail::Trail;

/// What [`Catalog::insert`] came to.
#[derive(Debug, PartialEq)]
pub(crate) enum Insert {
    /// It is in, durable.
    New,
    /// The account's token has begun this one before; nothing was changed.
    Repeated(Box<Stored>),
    /// The Sid is in use or still being deleted; nothing was changed.
    Taken,
}

/// Whom to tell of a new recording.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Told<'a> {
    pub(crate) status: Option<&'a Subscription>,
    pub(crate) action: Option<&'a Action>,
}

/// A record as [`Catalog::after`] meets it: `None` where its bytes cannot be read.
pub(crate) type Met = (RecordingSid, Option<Stored>);

pub(crate) trait Catalog: Send + Sync {
    /// Takes a new record in, with whom to tell of it; where a deleted recording had its Sid, in
    /// that one's place. Durable.
    fn insert(&self, stored: &Stored, told: Told<'_>) -> Result<Insert, StoreError>;

    /// Puts a record in place of the one with its Sid, or in, where there is none. Durable. A
    /// record that has ended brings its event with it, in the same step, where one is asked for.
    fn put(&self, stored: &Stored) -> Result<(), StoreError>;

    /// As [`Catalog::put`], where another event than the record's stage says is to be told.
    fn put_as(&self, stored: &Stored, ending: EventStatus) -> Result<(), StoreError>;

    /// Puts many records in, each of a Sid and without a token that nobody has used, telling nobody.
    /// Durable once it returns, and not before: a crash leaves any part of it.
    fn fill(&self, records: &[Stored]) -> Result<(), StoreError>;

    /// Takes a record out with its events, and leaves nothing. Durable.
    fn remove(&self, sid: RecordingSid) -> Result<(), StoreError>;

    /// Takes an account's record out and leaves a tombstone, so that its media can go. With a time
    /// the record is kept among the deleted ones, as deleted then. Durable.
    fn bury(
        &self,
        account: AccountSid,
        sid: RecordingSid,
        keep_ms: Option<i64>,
    ) -> Result<Deletion, StoreError>;

    /// Takes a tombstone away, once nothing is left under it. Not durable: until it is, the
    /// deletion is only repeated.
    fn forget(&self, sid: RecordingSid) -> Result<(), StoreError>;

    /// A record that is not deleted.
    fn get(&self, sid: RecordingSid) -> Result<Option<Stored>, StoreError>;

    /// A deleted recording's record.
    fn get_deleted(&self, sid: RecordingSid) -> Result<Option<Stored>, StoreError>;

    /// Takes out up to `limit` records of recordings that were deleted before `before_ms`, the
    /// longest deleted first; how many. Not durable: until it is, they are taken out again.
    fn purge(&self, before_ms: i64, limit: usize) -> Result<usize, StoreError>;

    /// The recording that an account's token has begun.
    fn by_token(
        &self,
        account: AccountSid,
        token: [u8; 16],
    ) -> Result<Option<RecordingSid>, StoreError>;

    fn list(&self, query: &Query) -> Result<Page, StoreError>;

    /// Up to `limit` records that are not deleted after `sid` (from the first, without one), in
    /// the order of Sids.
    fn after(&self, sid: Option<RecordingSid>, limit: usize) -> Result<Vec<Met>, StoreError>;

    /// The records that are not deleted whose Sid begins with this byte; whether their bytes can be
    /// read is not looked at.
    fn sids_from(&self, first: u8) -> Result<HashSet<RecordingSid>, StoreError>;

    /// As [`Catalog::after`], of deleted recordings.
    fn deleted_after(
        &self,
        sid: Option<RecordingSid>,
        limit: usize,
    ) -> Result<Vec<Met>, StoreError>;

    /// How many records there are that are not deleted, of all accounts.
    fn total(&self) -> Result<u64, StoreError>;

    /// The records that are live.
    fn live(&self) -> Result<Vec<RecordingSid>, StoreError>;

    /// Changes a record, in its marks or in what is not indexed; the record then, or `None` where there is none that is not deleted.
    /// Durable.
    fn amend(
        &self,
        sid: RecordingSid,
        change: &mut dyn FnMut(&mut Record),
    ) -> Result<Option<Stored>, StoreError>;

    /// The records that are on legal hold.
    fn held(&self) -> Result<Vec<RecordingSid>, StoreError>;

    /// The records whose media are damaged.
    fn damaged(&self) -> Result<Vec<RecordingSid>, StoreError>;

    /// The accounts that have records which are not deleted.
    fn owners(&self) -> Result<Vec<AccountSid>, StoreError>;

    /// Bytes of the media of an account's completed recordings, as they are served.
    fn usage(&self, account: AccountSid) -> Result<u64, StoreError>;

    /// Up to `limit` of an account's records that are not deleted, the oldest first, all of them
    /// newer than `after`.
    fn oldest(
        &self,
        account: AccountSid,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// The tombstones.
    fn buried(&self) -> Result<Vec<RecordingSid>, StoreError>;

    fn is_buried(&self, sid: RecordingSid) -> Result<bool, StoreError>;

    /// Compares indices and kept counts with the records, a little at a time; tells each
    /// difference.
    fn check(&self, tell: &mut dyn FnMut(String)) -> Result<(), StoreError>;

    /// The accounts as `accounts` wrote them.
    fn accounts(&self) -> Result<Vec<(AccountSid, Vec<u8>)>, StoreError>;

    /// Writes an account. Durable.
    fn put_account(&self, sid: AccountSid, bytes: &[u8]) -> Result<(), StoreError>;

    /// Removes an account. Durable.
    fn remove_account(&self, sid: AccountSid) -> Result<(), StoreError>;

    /// The API keys as `api_keys` wrote them.
    fn keys(&self) -> Result<Vec<(KeySid, Vec<u8>)>, StoreError>;

    /// Writes an API key. Durable.
    fn put_key(&self, sid: KeySid, bytes: &[u8]) -> Result<(), StoreError>;

    /// Removes an API key. Durable.
    fn remove_key(&self, sid: KeySid) -> Result<(), StoreError>;

    /// The events that somebody is still to be told of.
    fn outbox(&self) -> &Outbox;

    /// Who did what.
    fn trail(&self) -> &Trail;

    /// Makes all that was changed before this call durable.
    fn commit(&self) -> Result<(), StoreError>;

    /// Whether it still takes writes.
    fn is_well(&self) -> bool;

    /// Lets who waits for it see that it has failed, should it have.
    fn nudge(&self) -> Result<(), StoreError>;

    /// Makes one that has failed take writes again. What was not durable may be gone, and whoever
    /// still waits for it to be is told so. Meanwhile nothing can be read.
    fn reopen(&self) -> Result<(), StoreError>;
}
