//! What changes with a record: its places in the indices, its token, and the kept counts.
//!
//! Called by `catalog::sled` under its write lock, which applies what comes out as one batch.
//! Invariant: the counts are those of the records, since both come out of one function.

use std::collections::BTreeMap;

use reeld_model::AccountSid;

use super::count::{self, Counts, SHIFTS};
use super::key::{self, Index, Scope, View};
use super::names;
use super::usage;
use crate::StoreError;
use crate::kv::{Changes, Table};
use crate::stored::Stored;
use crate::{Record, Stage};

/// Whose indices a record is in.
pub(crate) fn scopes(record: &Record) -> Vec<Scope> {
    let account = record.account;
    let names = names::of(&record.signalling_json).into_iter();
    [Scope::Account(account), Scope::Call(account, record.call)]
        .into_iter()
        .chain(names.map(|name| Scope::Name(account, name)))
        .collect()
}

/// The keys of all counts that a record is in.
pub(crate) fn count_keys(record: &Record) -> Vec<Vec<u8>> {
    let newest = key::newest(record.created_ms);
    (0..)
        .zip(SHIFTS)
        .map(|(level, shift)| key::count(level, record.account, newest >> shift))
        .chain([key::call_count(record.account, record.call)])
        .collect()
}

/// The views that have a record.
fn views(record: &Record) -> impl Iterator<Item = View> {
    let stage = record.stage;
    View::EACH.into_iter().filter(move |view| view.has(stage))
}

/// A record's places in the indices that have nothing but places.
fn index_keys(record: &Record) -> impl Iterator<Item = Vec<u8>> {
    // One of the account's indices is where the records lie.
    let home = (Index::home(record.stage), Scope::Account(record.account));
    let purge = (record.stage == Stage::Deleted).then(|| key::purge(record));
    let scopes = scopes(record);
    Index::EACH
        .into_iter()
        .filter(|of| of.has(record.stage))
        .flat_map(move |of| scopes.clone().into_iter().map(move |scope| (of, scope)))
        .filter(move |place| *place != home)
        .map(|(of, scope)| key::index(of, scope, record))
        .chain(purge)
}

/// What puts many records in that nobody has and no token has begun: keys and values, in the keys'
/// order. Each count is in it once, whatever number of the records it counts.
pub(crate) fn many(
    table: &Table,
    records: &[Stored],
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StoreError> {
    let mut puts = BTreeMap::new();
    let mut counts: BTreeMap<Vec<u8>, Counts> = BTreeMap::new();
    let mut used: BTreeMap<AccountSid, u64> = BTreeMap::new();
    for stored in records {
        let record = &stored.record;
        puts.extend(index_keys(record).map(|key| (key, Vec::new())));
        puts.insert(key::by_sid(record), key::place(record));
        puts.insert(key::record(record), stored.encode());
        for (tag, is_so) in marks(stored) {
            if is_so {
                puts.insert(key::of_sid(tag, record.sid), Vec::new());
            }
        }
        *used.entry(record.account).or_default() += usage::bytes(record);
        for view in views(record) {
            for key in count_keys(record) {
                counts.entry(key).or_default()[view.index()] += 1;
            }
        }
    }
    for (key, more) in counts {
        let mut then = count::counts_at(table, &key)?;
        for (count, more) in then.iter_mut().zip(more) {
            *count += more;
        }
        puts.insert(key, count::encode(then));
    }
    for (account, more) in used.into_iter().filter(|(_, more)| *more > 0) {
        let bytes = usage::of(table, account)?.saturating_add(more);
        puts.insert(key::usage(account), usage::encode(bytes));
    }
    Ok(puts)
}

/// The keys that mark a record, and whether it has them.
pub(crate) fn marks(stored: &Stored) -> [(u8, bool); 3] {
    let record = &stored.record;
    [
        (key::LIVE, record.stage == Stage::Live),
        (key::HELD, record.marks.held_ms.is_some()),
        (key::DAMAGED, record.marks.damage.is_some()),
    ]
}

/// The changes that put `new` in the place of `old`; both are of one Sid.
pub(crate) fn changes(
    table: &Table,
    old: Option<&Stored>,
    new: Option<&Stored>,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    let mut index: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    let mut counts: BTreeMap<Vec<u8>, [i64; 3]> = BTreeMap::new();
    for (stored, sign) in [(old, -1), (new, 1)] {
        let Some(Stored { record, .. }) = stored else {
            continue;
        };
        for key in index_keys(record) {
            *index.entry(key).or_default() += sign;
        }
        for view in views(record) {
            for key in count_keys(record) {
                counts.entry(key).or_default()[view.index()] += sign;
            }
        }
    }
    if let (Some(old), new) = (old, new)
        && new.is_none_or(|new| key::record(&new.record) != key::record(&old.record))
    {
        changes.remove(key::record(&old.record));
    }
    for (key, sum) in index {
        match sum {
            1 => changes.put(key, &[]),
            -1 => changes.remove(key),
            _ => {}
        }
    }
    for (key, by) in counts {
        if by == [0; 3] {
            continue;
        }
        let mut then = count::counts_at(table, &key)?;
        for (count, by) in then.iter_mut().zip(by) {
            *count = count.saturating_add_signed(by);
        }
        if then == Counts::default() {
            changes.remove(key);
        } else {
            changes.put(key, count::encode(then));
        }
    }
    for (account, by) in usage::difference(old, new) {
        let bytes = usage::of(table, account)?.saturating_add_signed(by);
        if bytes == 0 {
            changes.remove(key::usage(account));
        } else {
            changes.put(key::usage(account), usage::encode(bytes));
        }
    }
    set_token(table, &mut changes, old, new)?;
    if let Some(Stored { record, .. }) = new.or(old) {
        let is =
            |stored: Option<&Stored>, nth: usize| stored.is_some_and(|stored| marks(stored)[nth].1);
        for (nth, tag) in [key::LIVE, key::HELD, key::DAMAGED].into_iter().enumerate() {
            let key = key::of_sid(tag, record.sid);
            match (is(old, nth), is(new, nth)) {
                (_, true) => changes.put(key, &[]),
                (true, false) => changes.remove(key),
                // A live record's mark goes with it, also where the record had been lost.
                (false, false) if tag == key::LIVE => changes.remove(key),
                (false, false) => {}
            }
        }
        let place = |stored: &Stored| (key::by_sid(&stored.record), key::place(&stored.record));
        let (was_at, is_at) = (old.map(place), new.map(place));
        if let Some((sid, _)) = &was_at
            && is_at.as_ref().is_none_or(|(other, _)| other != sid)
        {
            changes.remove(sid.clone());
        }
        if was_at != is_at
            && let Some((sid, place)) = is_at
        {
            changes.put(sid, place);
        }
        if let Some(new) = new {
            changes.put(key::record(&new.record), new.encode());
        }
    }
    Ok(changes)
}

/// A token names the first recording that it began, as long as that is there.
fn set_token(
    table: &Table,
    changes: &mut Changes,
    old: Option<&Stored>,
    new: Option<&Stored>,
) -> Result<(), StoreError> {
    let of = |stored: Option<&Stored>| {
        stored.and_then(|stored| {
            let token = stored.token?;
            Some((key::token(stored.record.account, &token), stored.record.sid))
        })
    };
    let (old, new) = (of(old), of(new));
    if old == new {
        return Ok(());
    }
    if let Some((key, sid)) = old
        && table.get(&key)?.and_then(|value| key::sid_at_end(&value)) == Some(sid)
    {
        changes.remove(key);
    }
    if let Some((key, sid)) = new
        && !table.has(&key)?
    {
        changes.put(key, sid.as_bytes());
    }
    Ok(())
}
