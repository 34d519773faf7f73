//! The indices of a catalog from before it had them: made when it is opened.
//!
//! Called by `catalog::sled`. A catalog without one of unlisted recordings names each completed recording twice more, in the
//! account's and in the call's index of completed ones; with a million that is 55 MiB of memory. One without one of names
//! lacks them of recordings that were signalled. A crash in between has it done again.

use std::ops::Range;

use super::change::scopes;
use super::count;
use super::key::{self, Index, Scope};
use crate::StoreError;
use crate::kv::{Changes, Table};
use crate::stored::Stored;

/// What stands under [`key::INDICES`] where there are all indices; nothing stood there before there was the one of names.
const ALL: &[u8] = &[2];

/// Keys that change at once.
const BATCH: usize = 1_024;

/// Makes the indices that there are not yet, and removes what they take the place of.
pub(super) fn settle(table: &Table) -> Result<(), StoreError> {
    let are_these = vec![key::INDICES];
    let known = table.get(&are_these)?;
    if known.as_deref() == Some(ALL) {
        return Ok(());
    }
    let has_unlisted = known.is_some();
    let records = [key::all(key::RECORD), key::all(key::DELETED_RECORD)];
    if records
        .clone()
        .into_iter()
        .any(|span| table.range(span).next().is_some())
    {
        tracing::info!("the catalog's indices are made anew");
        for span in records {
            put_names(table, span)?;
        }
        if !has_unlisted {
            put_unlisted(table)?;
            for span in [key::all(key::OLD_LISTED_INDEX), key::old_call_listed()] {
                remove(table, span)?;
            }
        }
    }
    let mut changes = Changes::default();
    changes.put(are_these, ALL.to_vec());
    table.apply(changes)
}

fn put_unlisted(table: &Table) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    let mut listed = table.range(key::all(key::OLD_LISTED_INDEX)).peekable();
    for pair in table.range(key::all(key::RECORD)) {
        let (key, bytes) = pair?;
        // Both are in one order, so a record that is listed is not even read.
        let place = key.get(1..).ok_or_else(count::damaged)?;
        let is_before = |other: &[u8]| other.get(1..).is_some_and(|other| other < place);
        while listed
            .next_if(|entry| entry.as_ref().is_ok_and(|(other, _)| is_before(other)))
            .is_some()
        {}
        match listed.peek() {
            Some(Ok((other, _))) if other.get(1..) == Some(place) => continue,
            Some(Err(_)) => return listed.next().map_or(Ok(()), |entry| entry.map(drop)),
            Some(Ok(_)) | None => {}
        }
        let Some(Stored { record, .. }) = Stored::decode(&bytes) else {
            continue; // damaged: verify tells of it
        };
        if Index::Unlisted.has(record.stage) {
            for scope in scopes(&record) {
                changes.put(key::index(Index::Unlisted, scope, &record), Vec::new());
            }
        }
    }
    table.apply(changes)
}

fn put_names(table: &Table, records: Range<Vec<u8>>) -> Result<(), StoreError> {
    for pair in table.range(records) {
        let Some(Stored { record, .. }) = Stored::decode(&pair?.1) else {
            continue; // damaged: verify tells of it
        };
        // Of a call that nothing signalled there is nothing to be found by, and nothing to write.
        if record.signalling_json.is_empty() {
            continue;
        }
        let mut changes = Changes::default();
        for scope in scopes(&record) {
            if let Scope::Name(..) = scope {
                for of in Index::EACH.into_iter().filter(|of| of.has(record.stage)) {
                    changes.put(key::index(of, scope, &record), Vec::new());
                }
            }
        }
        table.apply(changes)?;
    }
    Ok(())
}

fn remove(table: &Table, span: Range<Vec<u8>>) -> Result<(), StoreError> {
    loop {
        let mut changes = Changes::default();
        let mut count = 0;
        for pair in table.range(span.clone()).take(BATCH) {
            changes.remove(pair?.0.to_vec());
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        table.apply(changes)?;
    }
}

#[cfg(test)]
mod tests;
