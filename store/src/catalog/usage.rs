//! What each account's media take, kept with the records so that retention by size adds nothing up.
//!
//! Called by `catalog::change`, which keeps the sums, by `catalog::sled` and by `catalog::check`.
//! A sum is of the bytes that are served of an account's completed recordings, headers included. A
//! catalog from before has none: they are made when it is opened.

use std::collections::BTreeMap;

use reeld_model::AccountSid;

use super::{count, key};
use crate::kv::{Changes, Table};
use crate::seal;
use crate::stored::Stored;
use crate::{Cursor, Record, Stage, StoreError};

/// Bytes of a record's media.
pub(super) fn bytes(record: &Record) -> u64 {
    match record.stage {
        Stage::Completed => seal::served_bytes(record),
        Stage::Live | Stage::Absent | Stage::Deleted => 0,
    }
}

pub(super) fn encode(bytes: u64) -> Vec<u8> {
    bytes.to_be_bytes().to_vec()
}

/// An account's sum.
pub(super) fn of(table: &Table, account: AccountSid) -> Result<u64, StoreError> {
    match table.get(&key::usage(account))? {
        None => Ok(0),
        Some(bytes) => decode(&bytes),
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<u64, StoreError> {
    let bytes = bytes.try_into().map_err(|_| count::damaged())?;
    Ok(u64::from_be_bytes(bytes))
}

/// By how much the sums change where `new` comes in the place of `old`.
pub(super) fn difference(old: Option<&Stored>, new: Option<&Stored>) -> BTreeMap<AccountSid, i64> {
    let mut by: BTreeMap<AccountSid, i64> = BTreeMap::new();
    for (stored, sign) in [(old, -1), (new, 1)] {
        let Some(Stored { record, .. }) = stored else {
            continue;
        };
        // A file is below 4 GiB.
        *by.entry(record.account).or_default() += sign * bytes(record).cast_signed();
    }
    by.retain(|_, by| *by != 0);
    by
}

/// An account's sum, added up anew.
pub(super) fn add_up(table: &Table, account: AccountSid) -> Result<u64, StoreError> {
    let (from, to) = (
        key::of_account(key::RECORD, account),
        key::behind_account(key::RECORD, account),
    );
    let mut sum = 0;
    for pair in table.range(from..to) {
        // One that cannot be read is told of elsewhere, and was counted when it could be.
        let record = Stored::decode(&pair?.1).map(|stored| stored.record);
        sum += record.as_ref().map_or(0, bytes);
    }
    Ok(sum)
}

/// The accounts that have records.
pub(super) fn accounts(table: &Table) -> Result<Vec<AccountSid>, StoreError> {
    let mut accounts = Vec::new();
    let mut from = vec![key::RECORD];
    while let Some(pair) = table.range(from..vec![key::RECORD + 1]).next() {
        let account = key::account_in(&pair?.0).ok_or_else(count::damaged)?;
        accounts.push(account);
        from = key::behind_account(key::RECORD, account);
    }
    Ok(accounts)
}

/// [`super::Catalog::oldest`].
pub(super) fn oldest(
    table: &Table,
    account: AccountSid,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let from = key::of_account(key::RECORD, account);
    let to = match after {
        None => key::behind_account(key::RECORD, account),
        Some(Cursor { created_ms, sid }) => {
            let time = key::newest(created_ms).to_be_bytes();
            [from.as_slice(), &time, sid.as_bytes()].concat()
        }
    };
    table
        .range(from..to)
        .rev()
        .take(limit)
        .filter_map(|pair| match pair {
            // One that cannot be read is told of by verify, and stays.
            Ok((_, bytes)) => Stored::decode(&bytes).map(|stored| Ok(stored.record)),
            Err(error) => Some(Err(error)),
        })
        .collect()
}

/// Makes the sums of a catalog that has none.
pub(super) fn settle(table: &Table) -> Result<(), StoreError> {
    let is_kept = vec![key::USAGE];
    if table.has(&is_kept)? {
        return Ok(());
    }
    let mut changes = Changes::default();
    for account in accounts(table)? {
        let bytes = add_up(table, account)?;
        if bytes > 0 {
            changes.put(key::usage(account), encode(bytes));
        }
    }
    changes.put(is_kept, Vec::new());
    table.apply(changes)
}
