//! Compares indices and kept counts with the records.
//!
//! Called by `catalog::sled` for `verify`, and by tests after every random walk: one function for
//! both. It walks everything, but holds the catalog still only for one key at a time, so that
//! recordings go on; what changed meanwhile is read again under the lock before it is told.

use std::ops::Range;
use std::sync::RwLock;

use reeld_model::RecordingSid;

use super::change::{count_keys, marks, scopes};
use super::count::{self, Counts, SHIFTS};
use super::key::{self, Index, Scope, View};
use super::usage;
use crate::kv::{Table, Value};
use crate::locks::read;
use crate::stored::Stored;
use crate::{Record, Stage, StoreError};

/// Compares what a key and its value say with the records; the difference, if there is one.
type Check = fn(&Table, &[u8], &Value) -> Result<Option<String>, StoreError>;

/// Tells each difference, a sentence each.
pub(crate) fn check(
    table: &Table,
    order: &RwLock<()>,
    tell: &mut dyn FnMut(String),
) -> Result<(), StoreError> {
    let checks: [(u8, Check); 13] = [
        (key::RECORD, of_record),
        (key::DELETED_RECORD, of_deleted),
        (key::PLACE, of_place),
        (key::DELETED_PLACE, of_place),
        (key::PURGE, of_purge),
        (key::UNLISTED_INDEX, of_index),
        (key::CALL_INDEX, of_index),
        (key::NAME_INDEX, of_index),
        (key::LIVE, of_live),
        (key::HELD, of_mark),
        (key::DAMAGED, of_mark),
        (key::COUNT, of_count),
        (key::CALL_COUNT, of_call_count),
    ];
    for (tag, check) in checks {
        for pair in table.range(key::all(tag)) {
            let (key, _) = pair?;
            let _order = read(order);
            if let Some(value) = table.get(&key)?
                && let Some(difference) = check(table, &key, &value)?
            {
                tell(difference);
            }
        }
    }
    of_usage(table, tell)
}

/// A record lies where its Sid says, has its places in the indices, and every count that it is in
/// is there.
fn of_record(table: &Table, key: &[u8], value: &Value) -> Result<Option<String>, StoreError> {
    let Some(Stored { record, .. }) = Stored::decode(value) else {
        return Ok(None); // damaged: verify's own walk tells of it
    };
    let place = table.get(&key::by_sid(&record))?;
    if key != key::record(&record) || place.is_none_or(|place| place != key::place(&record)) {
        return Ok(Some(format!(
            "{} does not lie where its Sid says",
            record.sid
        )));
    }
    for of in Index::EACH {
        for scope in scopes(&record) {
            let wanted = of.has(record.stage);
            if table.has(&key::index(of, scope, &record))? != wanted {
                let lacks = if wanted { "lacks" } else { "has" };
                return Ok(Some(format!("{scope:?} {lacks} {} in {of:?}", record.sid)));
            }
        }
    }
    for key in count_keys(&record) {
        if !table.has(&key)? {
            return Ok(Some(format!(
                "{} is in no count {}",
                record.sid,
                hex::encode(key)
            )));
        }
    }
    let live = record.stage == Stage::Live;
    if table.has(&key::of_sid(key::LIVE, record.sid))? != live {
        return Ok(Some(format!(
            "{} is not marked as {:?}",
            record.sid, record.stage
        )));
    }
    let purged = table.has(&key::purge(&record))?;
    if purged != (record.stage == Stage::Deleted) {
        let is = if purged { "is" } else { "is not" };
        return Ok(Some(format!("{} {is} to be purged", record.sid)));
    }
    Ok(None)
}

/// The same of a deleted recording, which nobody else tells of where it cannot be read.
fn of_deleted(table: &Table, key: &[u8], value: &Value) -> Result<Option<String>, StoreError> {
    match (Stored::decode(value), key::sid_at_end(key)) {
        (Some(_), _) => of_record(table, key, value),
        (None, Some(sid)) => Ok(Some(format!(
            "the record of {sid}, which is deleted, cannot be read"
        ))),
        (None, None) => Ok(Some(odd(key))),
    }
}

/// What is to be purged is a deleted recording, by when it was deleted.
fn of_purge(table: &Table, key: &[u8], _: &Value) -> Result<Option<String>, StoreError> {
    let Some(sid) = key::sid_at_end(key) else {
        return Ok(Some(odd(key)));
    };
    let difference = match record_of(table, key::DELETED_PLACE, sid)? {
        Some(Some(record)) if key::purge(&record) == key => None,
        Some(Some(_)) => Some(format!(
            "{sid} is to be purged at another time than its own"
        )),
        Some(None) => None, // damaged: told above
        None => Some(format!("{sid} is to be purged and is not deleted")),
    };
    Ok(difference)
}

/// The record under a Sid; the inner `None`: it cannot be read.
fn record_of(
    table: &Table,
    tag: u8,
    sid: RecordingSid,
) -> Result<Option<Option<Record>>, StoreError> {
    let Some(place) = table.get(&key::of_sid(tag, sid))? else {
        return Ok(None);
    };
    let bytes = table.get(&key::record_at(tag, &place, sid))?;
    Ok(bytes.map(|bytes| Stored::decode(&bytes).map(|stored| stored.record)))
}

/// Under a Sid lies a record, and it is deleted or not.
fn of_place(table: &Table, key: &[u8], place: &Value) -> Result<Option<String>, StoreError> {
    let Some(sid) = key::sid_at_end(key) else {
        return Ok(Some(odd(key)));
    };
    let tag = key.first().copied().unwrap_or(key::PLACE);
    if !table.has(&key::record_at(tag, place, sid))? {
        return Ok(Some(format!("{sid} has no record where it should lie")));
    }
    let both = tag == key::PLACE && table.has(&key::of_sid(key::DELETED_PLACE, sid))?;
    Ok(both.then(|| format!("{sid} is there and deleted too")))
}

/// A place in an index is a record's.
fn of_index(table: &Table, key: &[u8], _: &Value) -> Result<Option<String>, StoreError> {
    let Some(sid) = key::sid_at_end(key) else {
        return Ok(Some(odd(key)));
    };
    let record = match record_of(table, key::PLACE, sid)? {
        None => record_of(table, key::DELETED_PLACE, sid)?,
        known => known,
    };
    let record = match record {
        None => return Ok(Some(format!("an index has {sid}, which has no record"))),
        Some(None) => return Ok(None),
        Some(Some(record)) => record,
    };
    let its_own = Index::EACH
        .into_iter()
        .flat_map(|of| scopes(&record).into_iter().map(move |scope| (of, scope)))
        .any(|(of, scope)| key::index(of, scope, &record) == key);
    Ok((!its_own).then(|| format!("an index has {sid} at another place than its own")))
}

/// A live mark is a live record's.
fn of_live(table: &Table, key: &[u8], _: &Value) -> Result<Option<String>, StoreError> {
    let Some(sid) = key::sid_at_end(key) else {
        return Ok(Some(odd(key)));
    };
    let there = table.has(&key::of_sid(key::PLACE, sid))?;
    Ok((!there).then(|| format!("{sid} is marked as live and has no record")))
}

/// A mark's record has it.
fn of_mark(table: &Table, key: &[u8], _: &Value) -> Result<Option<String>, StoreError> {
    let Some(sid) = key::sid_at_end(key) else {
        return Ok(Some(odd(key)));
    };
    let place = table.get(&key::of_sid(key::PLACE, sid))?;
    let bytes = place.map(|place| table.get(&key::record_at(key::PLACE, &place, sid)));
    let stored = bytes.transpose()?.flatten();
    let stored = stored.and_then(|bytes| Stored::decode(&bytes));
    let has_it = stored.is_some_and(|stored| marks(&stored).contains(&(key[0], true)));
    Ok((!has_it).then(|| format!("{sid} is in the index of marks and has none")))
}

/// Each account's sum is that of its records. They are added up while recordings go on, so a sum
/// that changes meanwhile is left to the next time.
fn of_usage(table: &Table, tell: &mut dyn FnMut(String)) -> Result<(), StoreError> {
    let mut accounts = usage::accounts(table)?;
    for pair in table.range(key::all(key::USAGE)) {
        accounts.extend(key::account_in(&pair?.0));
    }
    accounts.sort_unstable();
    accounts.dedup();
    for account in accounts {
        let differs = || {
            let before = usage::of(table, account)?;
            let sum = usage::add_up(table, account)?;
            let is_same = usage::of(table, account)? == before;
            Ok::<_, StoreError>((is_same && sum != before).then_some((before, sum)))
        };
        if differs()?.is_some()
            && let Some((kept, sum)) = differs()?
        {
            tell(format!(
                "{account} is said to have {kept} bytes of media and has {sum}"
            ));
        }
    }
    Ok(())
}

/// A narrowest bucket counts its places in the index; another counts its buckets.
fn of_count(table: &Table, key: &[u8], value: &Value) -> Result<Option<String>, StoreError> {
    let Some((level, account, bucket)) = key::parts_of_count(key) else {
        return Ok(Some(odd(key)));
    };
    let Some(&shift) = SHIFTS.get(usize::from(level)) else {
        return Ok(Some(odd(key)));
    };
    let mut sums = Counts::default();
    if let Some(next) = SHIFTS.get(usize::from(level) + 1) {
        let by = shift - next;
        let start = key::count(level + 1, account, bucket << by);
        let end = key::count(level + 1, account, (bucket + 1) << by);
        for pair in table.range(start..end) {
            for (sum, count) in sums.iter_mut().zip(count::decode(&pair?.1)?) {
                *sum += count;
            }
        }
    } else {
        let scope = Scope::Account(account);
        let end = |of| match bucket.checked_add(1) {
            Some(next) if next < 1 << (u64::BITS - shift) => {
                key::index_from(of, scope, next << shift)
            }
            Some(_) | None => key::index_end(of, scope),
        };
        sums = of_views(table, |of| {
            key::index_from(of, scope, bucket << shift)..end(of)
        })?;
    }
    compare(
        &format!("{account}, bucket {bucket} of level {level}"),
        value,
        sums,
    )
}

fn of_call_count(table: &Table, key: &[u8], value: &Value) -> Result<Option<String>, StoreError> {
    let Some((account, call)) = key::parts_of_call_count(key) else {
        return Ok(Some(odd(key)));
    };
    let scope = Scope::Call(account, call);
    let sums = of_views(table, |of| {
        key::index_from(of, scope, 0)..key::index_end(of, scope)
    })?;
    compare(&format!("{account}, {call}"), value, sums)
}

/// How many each view has in a span of keys that `span` gives of each index.
fn of_views(table: &Table, span: impl Fn(Index) -> Range<Vec<u8>>) -> Result<Counts, StoreError> {
    let mut sums = Counts::default();
    for view in View::EACH {
        sums[view.index()] = count::entries(table, &[view], &span)?;
    }
    Ok(sums)
}

fn compare(whose: &str, value: &[u8], sums: Counts) -> Result<Option<String>, StoreError> {
    let kept = count::decode(value)?;
    Ok((kept != sums).then(|| format!("{whose}: counts {kept:?} are kept, {sums:?} are there")))
}

fn odd(key: &[u8]) -> String {
    format!("a key of no known shape: {}", hex::encode(key))
}
