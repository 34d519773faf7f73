//! Compares indices and kept counts with the records.
//!
//! Called by `catalog::sled` for `verify`, and by tests after every random walk: one function for
//! both. It walks everything, but holds the catalog still only for one key at a time, so that
//! recordings go on; what changed meanwhile is read again under the lock before it is told.

use std::sync::RwLock;

use super::change::{count_keys, scopes};
use super::count::{self, Counts, SHIFTS};
use super::key::{self, Scope, View};
use crate::kv::{Table, Value};
use crate::locks::read;
use crate::stored::Stored;
use crate::{Stage, StoreError};

/// Compares what a key and its value say with the records; the difference, if there is one.
type Check = fn(&Table, &[u8], &Value) -> Result<Option<String>, StoreError>;

/// Tells each difference, a sentence each.
pub(crate) fn check(
    table: &Table,
    order: &RwLock<()>,
    tell: &mut dyn FnMut(String),
) -> Result<(), StoreError> {
    let checks: [(u8, Check); 7] = [
        (key::RECORD, of_record),
        (key::PLACE, of_place),
        (key::LISTED_INDEX, of_index),
        (key::CALL_INDEX, of_index),
        (key::LIVE, of_live),
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
    Ok(())
}

/// A record lies where its Sid says, has its places in the indices, and every count that it is in
/// is there.
fn of_record(table: &Table, key: &[u8], value: &Value) -> Result<Option<String>, StoreError> {
    let Some(Stored { record, .. }) = Stored::decode(value) else {
        return Ok(None); // damaged: verify's own walk tells of it
    };
    let place = table.get(&key::of_sid(key::PLACE, record.sid))?;
    if key != key::record(&record) || place.is_none_or(|place| place != key::place(&record)) {
        return Ok(Some(format!(
            "{} does not lie where its Sid says",
            record.sid
        )));
    }
    for view in View::BOTH {
        for scope in scopes(&record) {
            let wanted = view.has(record.stage);
            if table.has(&key::index(view, scope, &record))? != wanted {
                let lacks = if wanted { "lacks" } else { "has" };
                return Ok(Some(format!(
                    "{scope:?} {lacks} {} in {view:?}",
                    record.sid
                )));
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
    Ok(None)
}

/// Under a Sid lies a record.
fn of_place(table: &Table, key: &[u8], place: &Value) -> Result<Option<String>, StoreError> {
    let Some(sid) = key::sid_at_end(key) else {
        return Ok(Some(odd(key)));
    };
    let there = table.has(&key::record_at(place, sid))?;
    Ok((!there).then(|| format!("{sid} has no record where it should lie")))
}

/// A place in an index is a record's.
fn of_index(table: &Table, key: &[u8], _: &Value) -> Result<Option<String>, StoreError> {
    let Some(sid) = key::sid_at_end(key) else {
        return Ok(Some(odd(key)));
    };
    let bytes = match table.get(&key::of_sid(key::PLACE, sid))? {
        Some(place) => table.get(&key::record_at(&place, sid))?,
        None => None,
    };
    let Some(bytes) = bytes else {
        return Ok(Some(format!("an index has {sid}, which has no record")));
    };
    let Some(Stored { record, .. }) = Stored::decode(&bytes) else {
        return Ok(None);
    };
    let its_own = View::BOTH
        .into_iter()
        .flat_map(|view| scopes(&record).map(|scope| key::index(view, scope, &record)))
        .any(|place| place == key);
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

/// A narrowest bucket counts its places in the index; another counts its buckets.
fn of_count(table: &Table, key: &[u8], value: &Value) -> Result<Option<String>, StoreError> {
    let Some((level, account, bucket)) = key::parts_of_count(key) else {
        return Ok(Some(odd(key)));
    };
    let Some(&shift) = SHIFTS.get(usize::from(level)) else {
        return Ok(Some(odd(key)));
    };
    let mut sums: Counts = [0; 2];
    if let Some(next) = SHIFTS.get(usize::from(level) + 1) {
        let by = shift - next;
        let start = key::count(level + 1, account, bucket << by);
        let end = key::count(level + 1, account, (bucket + 1) << by);
        for pair in table.range(start..end) {
            let counts = count::decode(&pair?.1)?;
            sums = [sums[0] + counts[0], sums[1] + counts[1]];
        }
    } else {
        let scope = Scope::Account(account);
        let last = (bucket << shift) | ((1 << shift) - 1);
        for view in View::BOTH {
            let start = key::index_from(view, scope, bucket << shift);
            for pair in table.range(start..key::index_end(view, scope)) {
                if key::newest_in(&pair?.0).is_none_or(|newest| newest > last) {
                    break;
                }
                sums[view.index()] += 1;
            }
        }
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
    let mut sums: Counts = [0; 2];
    for view in View::BOTH {
        let start = key::index_from(view, scope, 0);
        for pair in table.range(start..key::index_end(view, scope)) {
            pair?;
            sums[view.index()] += 1;
        }
    }
    compare(&format!("{account}, {call}"), value, sums)
}

fn compare(whose: &str, value: &[u8], sums: Counts) -> Result<Option<String>, StoreError> {
    let kept = count::decode(value)?;
    Ok((kept != sums).then(|| format!("{whose}: counts {kept:?} are kept, {sums:?} are there")))
}

fn odd(key: &[u8]) -> String {
    format!("a key of no known shape: {}", hex::encode(key))
}
