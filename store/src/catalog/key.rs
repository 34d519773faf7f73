//! The keys of the embedded catalog, in one ordered table.
//!
//! Called by `catalog::{change, count, sled}`. All integers are big-endian, so that byte order is
//! their order. `docs/ref/storage.md` has the same list.
//!
//! | key | value |
//! | --- | --- |
//! | `a` account newest sid | the record's bytes: the account's index of every record |
//! | `w` account newest sid | nothing: the account's index of unlisted ones, neither completed nor deleted |
//! | `e` account newest sid | a deleted recording's record: the account's index of deleted ones |
//! | `c` index account call newest sid | nothing: the call's three indices, `A` of every record, `U` of unlisted ones, `D` of deleted ones |
//! | `q` index account name newest sid | nothing: the same indices of a name (`names`) |
//! | `r` sid | account newest: where the record lies |
//! | `y` sid | account newest: where a deleted recording's record lies |
//! | `p` deleted sid | nothing: a deleted recording, by when it was deleted |
//! | `l` sid | nothing: the record is live |
//! | `h` sid | nothing: the record is on legal hold |
//! | `g` sid | nothing: its media are damaged |
//! | `x` sid | nothing: a tombstone, a deletion that is not over |
//! | `t` account token-hash | sid |
//! | `s` sid, `v` sid, `o` sid number, `d` died sid number | subscriptions, actions and events (`outbox`) |
//! | `n` level account bucket | a count for each view |
//! | `m` account call | a count for each view |
//! | `u` account | bytes of its completed recordings' media, as they are served; `u` alone: these are kept |
//! | `i` | nothing: the indices are these (before there was it, `b` and `c` `L` had completed ones) |
//!
//! `newest` is the creation time turned round, so that the newest comes first; equal times are
//! ordered by Sid. Records lie in that order, so that a page is read in one place and new records
//! are written in one. What is deleted lies apart: no list that leaves it out ever meets it. Nearly every record
//! is completed, so it is the few others that an index names: completed ones are all but these.

use std::ops::Range;

use reeld_model::{AccountSid, CallSid, RecordingSid};

use super::names::Name;
use crate::events::Number;
use crate::{Record, Stage};

/// Which records a list has, and a kept count counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Every record that is not deleted: 2010's list.
    All,
    /// Completed ones alone: 2008's list.
    Listed,
    /// Deleted ones alone.
    Deleted,
}

impl View {
    pub(crate) const EACH: [Self; 3] = [Self::All, Self::Listed, Self::Deleted];

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::All => 0,
            Self::Listed => 1,
            Self::Deleted => 2,
        }
    }

    pub(crate) const fn has(self, stage: Stage) -> bool {
        match self {
            Self::All => !matches!(stage, Stage::Deleted),
            Self::Listed => matches!(stage, Stage::Completed),
            Self::Deleted => matches!(stage, Stage::Deleted),
        }
    }

    /// The index that has its records, and the one that has those of that one's that it leaves out.
    pub(crate) const fn indices(self) -> (Index, Option<Index>) {
        match self {
            Self::All => (Index::All, None),
            Self::Listed => (Index::All, Some(Index::Unlisted)),
            Self::Deleted => (Index::Deleted, None),
        }
    }
}

/// Which records an index has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Index {
    /// Every one that is not deleted.
    All,
    /// Of these the ones that are not completed.
    Unlisted,
    /// Deleted ones.
    Deleted,
}

impl Index {
    pub(crate) const EACH: [Self; 3] = [Self::All, Self::Unlisted, Self::Deleted];

    const fn byte(self) -> u8 {
        match self {
            Self::All => b'A',
            Self::Unlisted => b'U',
            Self::Deleted => b'D',
        }
    }

    /// The tag of an account's index.
    const fn tag(self) -> u8 {
        match self {
            Self::All => RECORD,
            Self::Unlisted => UNLISTED_INDEX,
            Self::Deleted => DELETED_RECORD,
        }
    }

    pub(crate) const fn has(self, stage: Stage) -> bool {
        match self {
            Self::All => View::All.has(stage),
            Self::Unlisted => View::All.has(stage) && !View::Listed.has(stage),
            Self::Deleted => View::Deleted.has(stage),
        }
    }

    /// The index of the account where records of this stage lie.
    pub(crate) const fn home(stage: Stage) -> Self {
        match stage {
            Stage::Live | Stage::Completed | Stage::Absent => Self::All,
            Stage::Deleted => Self::Deleted,
        }
    }
}

/// Whose index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Account(AccountSid),
    Call(AccountSid, CallSid),
    Name(AccountSid, Name),
}

/// A creation time turned round: later is smaller.
pub(crate) const fn newest(created_ms: i64) -> u64 {
    !created_ms.cast_unsigned() ^ (1 << 63)
}

fn join(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(tag);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// All keys with this tag.
pub(crate) fn all(tag: u8) -> Range<Vec<u8>> {
    vec![tag]..vec![tag + 1]
}

pub(crate) const RECORD: u8 = b'a';
pub(crate) const DELETED_RECORD: u8 = b'e';
pub(crate) const PLACE: u8 = b'r';
pub(crate) const DELETED_PLACE: u8 = b'y';
pub(crate) const PURGE: u8 = b'p';
pub(crate) const LIVE: u8 = b'l';
pub(crate) const HELD: u8 = b'h';
pub(crate) const DAMAGED: u8 = b'g';
pub(crate) const TOMBSTONE: u8 = b'x';
pub(crate) const SUBSCRIPTION: u8 = b's';
pub(crate) const ACTION: u8 = b'v';
pub(crate) const EVENT: u8 = b'o';
pub(crate) const DEAD: u8 = b'd';
pub(crate) const USAGE: u8 = b'u';
pub(crate) const COUNT: u8 = b'n';
pub(crate) const CALL_COUNT: u8 = b'm';
pub(crate) const UNLISTED_INDEX: u8 = b'w';
pub(crate) const OLD_LISTED_INDEX: u8 = b'b';
pub(crate) const INDICES: u8 = b'i';
pub(crate) const CALL_INDEX: u8 = b'c';
pub(crate) const NAME_INDEX: u8 = b'q';

/// A key of [`PLACE`], [`DELETED_PLACE`], [`LIVE`], [`HELD`], [`DAMAGED`], [`TOMBSTONE`], [`SUBSCRIPTION`] or [`ACTION`].
pub(crate) fn of_sid(tag: u8, sid: RecordingSid) -> Vec<u8> {
    join(tag, &[sid.as_bytes()])
}

/// The keys of [`PLACE`] whose Sid begins with this byte.
pub(crate) fn places_from(first: u8) -> Range<Vec<u8>> {
    let end = match first.checked_add(1) {
        Some(next) => vec![PLACE, next],
        None => vec![PLACE + 1],
    };
    vec![PLACE, first]..end
}

/// The Sid that a key ends with, or that a value is.
pub(crate) fn sid_at_end(bytes: &[u8]) -> Option<RecordingSid> {
    bytes.last_chunk().map(|sid| RecordingSid::from_bytes(*sid))
}

pub(crate) fn token(account: AccountSid, token: &[u8; 16]) -> Vec<u8> {
    join(b't', &[account.as_bytes(), token])
}

/// The place in an index where those created at `newest` begin.
pub(crate) fn index_from(of: Index, scope: Scope, newest: u64) -> Vec<u8> {
    let time = &newest.to_be_bytes();
    match scope {
        Scope::Account(account) => join(of.tag(), &[account.as_bytes(), time]),
        Scope::Call(account, call) => join(
            CALL_INDEX,
            &[&[of.byte()], account.as_bytes(), call.as_bytes(), time],
        ),
        Scope::Name(account, name) => {
            join(NAME_INDEX, &[&[of.byte()], account.as_bytes(), &name, time])
        }
    }
}

/// The place just behind an index.
pub(crate) fn index_end(of: Index, scope: Scope) -> Vec<u8> {
    let mut end = index_from(of, scope, u64::MAX);
    end.extend_from_slice(&[u8::MAX; 17]);
    end
}

/// A record's place in an index.
pub(crate) fn index(of: Index, scope: Scope, record: &Record) -> Vec<u8> {
    let mut key = index_from(of, scope, newest(record.created_ms));
    key.extend_from_slice(record.sid.as_bytes());
    key
}

/// Where a record lies.
pub(crate) fn record(record: &Record) -> Vec<u8> {
    let home = Index::home(record.stage);
    index(home, Scope::Account(record.account), record)
}

/// The key under which a record's place is found by its Sid.
pub(crate) fn by_sid(record: &Record) -> Vec<u8> {
    let tag = match Index::home(record.stage) {
        Index::All | Index::Unlisted => PLACE,
        Index::Deleted => DELETED_PLACE,
    };
    of_sid(tag, record.sid)
}

/// The value under a record's Sid, from which [`record_at`] finds it.
pub(crate) fn place(record: &Record) -> Vec<u8> {
    [
        record.account.as_bytes().as_slice(),
        &newest(record.created_ms).to_be_bytes(),
    ]
    .concat()
}

/// Where the record lies whose Sid has this value under a key with this tag.
pub(crate) fn record_at(tag: u8, place: &[u8], sid: RecordingSid) -> Vec<u8> {
    let home = if tag == DELETED_PLACE {
        DELETED_RECORD
    } else {
        RECORD
    };
    join(home, &[place, sid.as_bytes()])
}

/// The keys of the calls' indices of completed ones, which there were before [`INDICES`].
pub(crate) fn old_call_listed() -> Range<Vec<u8>> {
    vec![CALL_INDEX, b'L']..vec![CALL_INDEX, b'L' + 1]
}

/// A record's place among others, as each index of a scope ends with it: newest, sid.
pub(crate) type Rank = [u8; 24];

/// The end of a key of an index.
pub(crate) fn rank(index: &[u8]) -> Option<Rank> {
    index.last_chunk().copied()
}

/// Where the record lies that has this rank in the account's index that has the records.
pub(crate) fn record_of(of: Index, account: AccountSid, rank: &Rank) -> Vec<u8> {
    join(of.tag(), &[account.as_bytes(), rank])
}

/// A deleted recording's place among those to be purged; a time before 1970 counts as 1970.
pub(crate) fn purge(record: &Record) -> Vec<u8> {
    let mut key = purge_from(record.updated_ms);
    key.extend_from_slice(record.sid.as_bytes());
    key
}

/// Where those that were deleted at `deleted_ms` begin.
pub(crate) fn purge_from(deleted_ms: i64) -> Vec<u8> {
    let deleted = u64::try_from(deleted_ms).unwrap_or(0);
    join(PURGE, &[&deleted.to_be_bytes()])
}

pub(crate) fn count(level: u8, account: AccountSid, bucket: u64) -> Vec<u8> {
    join(
        COUNT,
        &[&[level], account.as_bytes(), &bucket.to_be_bytes()],
    )
}

/// The level, account and bucket of a key of [`COUNT`].
pub(crate) fn parts_of_count(key: &[u8]) -> Option<(u8, AccountSid, u64)> {
    let (&[_tag, level], rest) = key.split_first_chunk()?;
    let (account, bucket) = rest.split_first_chunk()?;
    let bucket = u64::from_be_bytes(bucket.try_into().ok()?);
    Some((level, AccountSid::from_bytes(*account), bucket))
}

pub(crate) fn call_count(account: AccountSid, call: CallSid) -> Vec<u8> {
    join(CALL_COUNT, &[account.as_bytes(), call.as_bytes()])
}

/// The account and call of a key of [`CALL_COUNT`].
pub(crate) fn parts_of_call_count(key: &[u8]) -> Option<(AccountSid, CallSid)> {
    let (account, call) = key.get(1..)?.split_first_chunk()?;
    Some((
        AccountSid::from_bytes(*account),
        CallSid::from_bytes(call.try_into().ok()?),
    ))
}

/// What an account's media take.
pub(crate) fn usage(account: AccountSid) -> Vec<u8> {
    join(USAGE, &[account.as_bytes()])
}

/// Where an account's keys with this tag begin.
pub(crate) fn of_account(tag: u8, account: AccountSid) -> Vec<u8> {
    join(tag, &[account.as_bytes()])
}

/// The account of a key of [`USAGE`] or of the account's indices.
pub(crate) fn account_in(key: &[u8]) -> Option<AccountSid> {
    let account = key.get(1..)?.first_chunk()?;
    Some(AccountSid::from_bytes(*account))
}

/// The first key of a later account's with this tag.
pub(crate) fn behind_account(tag: u8, account: AccountSid) -> Vec<u8> {
    let mut key = join(tag, &[account.as_bytes()]);
    key.extend_from_slice(&[u8::MAX; 25]);
    key
}

/// An event that waits, by its number among its recording's.
pub(crate) fn event(sid: RecordingSid, number: Number) -> Vec<u8> {
    join(EVENT, &[sid.as_bytes(), &[number as u8]])
}

/// The recording and number of a key of [`EVENT`].
pub(crate) fn parts_of_event(key: &[u8]) -> Option<(RecordingSid, Number)> {
    let (sid, number) = key.get(1..)?.split_first_chunk()?;
    match number {
        [number] => Some((RecordingSid::from_bytes(*sid), Number::of(*number)?)),
        _ => None,
    }
}

/// An event that was given up on at `died_ms`; a time before 1970 counts as 1970.
pub(crate) fn dead(died_ms: i64, sid: RecordingSid, number: Number) -> Vec<u8> {
    let died = u64::try_from(died_ms).unwrap_or(0).to_be_bytes();
    join(DEAD, &[&died, sid.as_bytes(), &[number as u8]])
}

/// When the event of a key of [`DEAD`] was given up on.
pub(crate) fn died_ms(key: &[u8]) -> Option<i64> {
    let died = key.get(1..)?.first_chunk()?;
    i64::try_from(u64::from_be_bytes(*died)).ok()
}
