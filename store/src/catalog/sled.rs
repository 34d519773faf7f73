//! The embedded catalog, on `kv`.
//!
//! Called by the rest of the crate through [`Catalog`]. Keys are `catalog::key`'s, what changes
//! with a record is `catalog::change`'s, paging is `catalog::list`'s, comparing is
//! `catalog::check`'s.
//!
//! Locks: `order` is held for writing while a change is worked out and applied, for reading while
//! a list is put together. Nothing waits for the disk under it: commits come after.
//!
//! The records' table has a generation in its name, kept in the table `meta`: `rebuild` fills the
//! next one, makes it the current one in a single write, and drops the old one.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::{Arc, RwLock};

use reeld_model::{AccountSid, KeySid, RecordingSid};

use super::change::{self, changes};
use super::key::{self, View};
use super::list::Slice;
use super::{
    Catalog, Insert, Met, Outbox, Told, Trail, check, count, indices, list, outbox, usage,
};
use crate::kv::{Changes, Kv, Table, Value};
use crate::locks::{read, write};
use crate::stored::Stored;
use crate::{Cursor, Deletion, Event, EventStatus, Page, Query, Record, Stage, StoreError};

const GENERATION: &[u8] = b"generation";

/// Keys that `fill` puts in at once: neighbours, so few pages.
const FILL_BATCH: usize = 256;

pub(crate) struct SledCatalog {
    kv: Arc<Kv>,
    meta: Table,
    accounts: Table,
    keys: Table,
    generation: u32,
    table: Table,
    order: RwLock<()>,
    outbox: Outbox,
    trail: Trail,
}

impl SledCatalog {
    pub(crate) fn open(kv: Arc<Kv>) -> Result<Self, StoreError> {
        let meta = kv.table("meta")?;
        let generation = match meta.get(GENERATION)?.as_deref() {
            None => 0,
            Some(bytes) => bytes.try_into().map(u32::from_be_bytes).map_err(|_| {
                StoreError::Catalog("the catalog's generation cannot be read".to_owned())
            })?,
        };
        Self::of_generation(kv, meta, generation)
    }

    fn of_generation(kv: Arc<Kv>, meta: Table, generation: u32) -> Result<Self, StoreError> {
        let accounts = kv.table("accounts")?;
        let keys = kv.table("keys")?;
        let table = kv.table(&table_name(generation))?;
        usage::settle(&table)?;
        indices::settle(&table)?;
        let outbox = Outbox::open(Arc::clone(&kv), table.clone())?;
        let trail = Trail::open(Arc::clone(&kv))?;
        Ok(Self {
            kv,
            meta,
            accounts,
            keys,
            generation,
            table,
            order: RwLock::default(),
            outbox,
            trail,
        })
    }

    /// A catalog with nothing but this one's outbox, that can take its place.
    pub(crate) fn successor(&self) -> Result<Self, StoreError> {
        let generation = self.generation.wrapping_add(1);
        let name = table_name(generation);
        self.kv.drop_table(&name)?;
        outbox::carry(&self.table, &self.kv.table(&name)?)?;
        Self::of_generation(Arc::clone(&self.kv), self.meta.clone(), generation)
    }

    /// Makes this the catalog that the next open finds, in place of `old`. Durable.
    pub(crate) fn succeed(&self, old: &Self) -> Result<(), StoreError> {
        let epoch = self.kv.epoch();
        let mut changes = Changes::default();
        self.kv.commit(epoch)?;
        changes.put(GENERATION.to_vec(), self.generation.to_be_bytes().to_vec());
        self.meta.apply(changes)?;
        self.kv.commit(epoch)?;
        self.kv.drop_table(&table_name(old.generation))
    }

    /// [`Catalog::put`], not yet durable; the events that become sendable once it is. Marks that the
    /// record has stay: whoever puts it does not know them.
    pub(crate) fn place(
        &self,
        stored: &Stored,
        ending: Option<EventStatus>,
    ) -> Result<Vec<Event>, StoreError> {
        let _order = write(&self.order);
        let old = self.read_either(stored.record.sid)?;
        let mut stored = stored.clone();
        if let Some(old) = &old
            && old.record.stage != Stage::Deleted
        {
            stored.record.marks = old.record.marks.clone();
        }
        let mut changes = changes(&self.table, old.as_ref(), Some(&stored))?;
        let events = outbox::end(&self.table, &mut changes, &stored, ending)?;
        self.table.apply(changes)?;
        Ok(events)
    }

    /// [`SledCatalog::place`], durable, and its events let out.
    fn put_durable(&self, stored: &Stored, ending: Option<EventStatus>) -> Result<(), StoreError> {
        let events = self.durably(|| self.place(stored, ending))?;
        for event in &events {
            self.outbox.added(event, false);
        }
        if stored.record.stage != Stage::Live {
            // What has ended has begun, also where nobody asked for its end.
            self.outbox.announce(stored.record.sid);
        }
        Ok(())
    }

    /// Makes what `change` applies durable.
    fn durably<T>(&self, change: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let epoch = self.kv.epoch();
        let changed = change()?;
        self.kv.commit(epoch)?;
        Ok(changed)
    }

    /// Puts a tombstone, not yet durable.
    pub(crate) fn entomb(&self, sid: RecordingSid) -> Result<(), StoreError> {
        self.mark(key::TOMBSTONE, sid, true)
    }

    fn read_record(&self, sid: RecordingSid) -> Result<Option<Stored>, StoreError> {
        self.read_by(key::PLACE, sid)
    }

    /// What has this Sid, deleted or not; it is never both.
    fn read_either(&self, sid: RecordingSid) -> Result<Option<Stored>, StoreError> {
        match self.read_record(sid)? {
            Some(stored) => Ok(Some(stored)),
            None => self.read_by(key::DELETED_PLACE, sid),
        }
    }

    fn read_by(&self, tag: u8, sid: RecordingSid) -> Result<Option<Stored>, StoreError> {
        let Some(place) = self.table.get(&key::of_sid(tag, sid))? else {
            return Ok(None);
        };
        let stored = self.read_at(&key::record_at(tag, &place, sid), sid)?;
        Ok(Some(stored))
    }

    /// Up to `limit` records after `sid` that are found under keys with this tag.
    fn met(
        &self,
        tag: u8,
        sid: Option<RecordingSid>,
        limit: usize,
    ) -> Result<Vec<Met>, StoreError> {
        let all = key::all(tag);
        let start = match sid {
            None => Bound::Included(all.start),
            Some(sid) => Bound::Excluded(key::of_sid(tag, sid)),
        };
        self.table
            .range((start, Bound::Excluded(all.end)))
            .take(limit)
            .map(|pair| {
                let (key, place) = pair?;
                let sid = key::sid_at_end(&key).ok_or_else(count::damaged)?;
                let bytes = self.table.get(&key::record_at(tag, &place, sid))?;
                Ok((sid, bytes.and_then(|bytes| Stored::decode(&bytes))))
            })
            .collect()
    }

    /// Takes a deleted recording's record out, if it still is what is to be purged.
    fn purge_one(&self, key: &[u8], sid: RecordingSid) -> Result<(), StoreError> {
        let _order = write(&self.order);
        let old = match self.read_by(key::DELETED_PLACE, sid) {
            Ok(Some(old)) if key::purge(&old.record) == key => old,
            Ok(Some(_) | None) => {
                let mut changes = Changes::default();
                changes.remove(key.to_vec());
                return self.table.apply(changes);
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%error, "purged all the same; `reeld verify` tells what it leaves");
                return self.purge_damaged(key, sid);
            }
            Err(error) => return Err(error),
        };
        self.table.apply(changes(&self.table, Some(&old), None)?)
    }

    fn read_at(&self, key: &[u8], sid: RecordingSid) -> Result<Stored, StoreError> {
        let bytes = self.table.get(key)?;
        bytes
            .and_then(|bytes| Stored::decode(&bytes))
            .ok_or(StoreError::Corrupt { sid })
    }

    /// Takes out what can be found of a deleted recording whose record cannot be read: its data
    /// may not stay longer than another's.
    fn purge_damaged(&self, key: &[u8], sid: RecordingSid) -> Result<(), StoreError> {
        let by_sid = key::of_sid(key::DELETED_PLACE, sid);
        let mut changes = Changes::default();
        changes.remove(key.to_vec());
        if let Some(place) = self.table.get(&by_sid)? {
            changes.remove(key::record_at(key::DELETED_PLACE, &place, sid));
        }
        changes.remove(by_sid);
        self.table.apply(changes)
    }

    fn sids(&self, tag: u8) -> Result<Vec<RecordingSid>, StoreError> {
        self.table
            .range(key::all(tag))
            .map(|pair| key::sid_at_end(&pair?.0).ok_or_else(count::damaged))
            .collect()
    }

    fn mark(&self, tag: u8, sid: RecordingSid, put: bool) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        if put {
            changes.put(key::of_sid(tag, sid), Value::default());
        } else {
            changes.remove(key::of_sid(tag, sid));
        }
        self.table.apply(changes)
    }
}

/// A table's values by their Sids, of which `sid` makes one.
fn by_sid<S>(table: &Table, sid: impl Fn([u8; 16]) -> S) -> Result<Vec<(S, Vec<u8>)>, StoreError> {
    let pairs = table.range(..).map(|pair| {
        let (key, bytes) = pair?;
        let key = key.as_ref().try_into().map_err(|_| count::damaged())?;
        Ok((sid(key), bytes.to_vec()))
    });
    pairs.collect()
}

fn table_name(generation: u32) -> String {
    format!("catalog-{generation}")
}

impl Catalog for SledCatalog {
    fn insert(&self, stored: &Stored, told: Told<'_>) -> Result<Insert, StoreError> {
        let epoch = self.kv.epoch();
        let sid = stored.record.sid;
        let event = {
            let _order = write(&self.order);
            if let Some(token) = stored.token
                && let Some(first) = self.by_token(stored.record.account, token)?
                && let Some(first) = self.read_record(first)?
            {
                return Ok(Insert::Repeated(Box::new(first)));
            }
            if self.table.has(&key::of_sid(key::PLACE, sid))? || self.is_buried(sid)? {
                return Ok(Insert::Taken);
            }
            let deleted = self.read_by(key::DELETED_PLACE, sid)?;
            let mut changes = changes(&self.table, deleted.as_ref(), Some(stored))?;
            let event = outbox::begin(&mut changes, stored, told);
            self.table.apply(changes)?;
            event
        };
        self.kv.commit(epoch)?;
        if let Some(event) = event {
            self.outbox.added(&event, true);
        }
        Ok(Insert::New)
    }

    fn put(&self, stored: &Stored) -> Result<(), StoreError> {
        self.put_durable(stored, None)
    }

    fn put_as(&self, stored: &Stored, ending: EventStatus) -> Result<(), StoreError> {
        self.put_durable(stored, Some(ending))
    }

    fn fill(&self, records: &[Stored]) -> Result<(), StoreError> {
        let epoch = self.kv.epoch();
        {
            let _order = write(&self.order);
            for Stored { record, .. } in records {
                if self.read_either(record.sid)?.is_some() {
                    return Err(StoreError::SidTaken { sid: record.sid });
                }
            }
            let mut changes = Changes::default();
            for (number, (key, value)) in
                change::many(&self.table, records)?.into_iter().enumerate()
            {
                changes.put(key, value);
                if number % FILL_BATCH == FILL_BATCH - 1 {
                    self.table.apply(std::mem::take(&mut changes))?;
                }
            }
            self.table.apply(changes)?;
        }
        self.kv.commit(epoch)
    }

    fn remove(&self, sid: RecordingSid) -> Result<(), StoreError> {
        let epoch = self.kv.epoch();
        {
            let _order = write(&self.order);
            let old = self.read_record(sid)?;
            let mut changes = changes(&self.table, old.as_ref(), None)?;
            outbox::take_back(&mut changes, sid);
            self.table.apply(changes)?;
        }
        self.outbox.forget(sid);
        self.kv.commit(epoch)
    }

    fn bury(
        &self,
        account: AccountSid,
        sid: RecordingSid,
        keep_ms: Option<i64>,
    ) -> Result<Deletion, StoreError> {
        let epoch = self.kv.epoch();
        {
            let _order = write(&self.order);
            let old = match self.read_record(sid)? {
                Some(old) if old.record.account == account => old,
                Some(_) | None => return Ok(Deletion::Unknown),
            };
            if old.record.stage == Stage::Live {
                return Ok(Deletion::StillLive);
            }
            if old.record.marks.held_ms.is_some() {
                return Ok(Deletion::OnHold);
            }
            let kept = keep_ms.map(|deleted_ms| old.deleted(deleted_ms));
            let mut changes = changes(&self.table, Some(&old), kept.as_ref())?;
            changes.put(key::of_sid(key::TOMBSTONE, sid), Value::default());
            self.table.apply(changes)?;
        }
        self.kv.commit(epoch)?;
        Ok(Deletion::Deleted)
    }

    fn forget(&self, sid: RecordingSid) -> Result<(), StoreError> {
        self.mark(key::TOMBSTONE, sid, false)
    }

    fn get(&self, sid: RecordingSid) -> Result<Option<Stored>, StoreError> {
        self.read_record(sid)
    }

    fn get_deleted(&self, sid: RecordingSid) -> Result<Option<Stored>, StoreError> {
        self.read_by(key::DELETED_PLACE, sid)
    }

    fn purge(&self, before_ms: i64, limit: usize) -> Result<usize, StoreError> {
        let span = key::all(key::PURGE).start..key::purge_from(before_ms);
        let mut purged = 0;
        for pair in self.table.range(span).take(limit) {
            let (key, _) = pair?;
            let sid = key::sid_at_end(&key).ok_or_else(count::damaged)?;
            self.purge_one(&key, sid)?;
            purged += 1;
        }
        Ok(purged)
    }

    fn by_token(
        &self,
        account: AccountSid,
        token: [u8; 16],
    ) -> Result<Option<RecordingSid>, StoreError> {
        let sid = self.table.get(&key::token(account, &token))?;
        Ok(sid.and_then(|sid| key::sid_at_end(&sid)))
    }

    fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let _order = read(&self.order);
        let Slice { keys, first, total } = list::page(&self.table, query)?;
        let records = keys
            .into_iter()
            .map(|key| {
                let sid = key::sid_at_end(&key).ok_or_else(count::damaged)?;
                Ok(self.read_at(&key, sid)?.record)
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Page {
            records,
            first,
            total,
        })
    }

    fn after(&self, sid: Option<RecordingSid>, limit: usize) -> Result<Vec<Met>, StoreError> {
        self.met(key::PLACE, sid, limit)
    }

    fn sids_from(&self, first: u8) -> Result<HashSet<RecordingSid>, StoreError> {
        self.table
            .range(key::places_from(first))
            .map(|pair| key::sid_at_end(&pair?.0).ok_or_else(count::damaged))
            .collect()
    }

    fn deleted_after(
        &self,
        sid: Option<RecordingSid>,
        limit: usize,
    ) -> Result<Vec<Met>, StoreError> {
        self.met(key::DELETED_PLACE, sid, limit)
    }

    fn total(&self) -> Result<u64, StoreError> {
        let mut total = 0;
        let [widest, next] = [0, 1].map(|level| vec![key::COUNT, level]);
        for pair in self.table.range(widest..next) {
            total += count::decode(&pair?.1)?[View::All.index()];
        }
        Ok(total)
    }

    fn live(&self) -> Result<Vec<RecordingSid>, StoreError> {
        self.sids(key::LIVE)
    }

    fn amend(
        &self,
        sid: RecordingSid,
        change: &mut dyn FnMut(&mut Record),
    ) -> Result<Option<Stored>, StoreError> {
        let epoch = self.kv.epoch();
        let new = {
            let _order = write(&self.order);
            let Some(old) = self.read_record(sid)? else {
                return Ok(None);
            };
            let mut new = old.clone();
            change(&mut new.record);
            if new != old {
                self.table
                    .apply(changes(&self.table, Some(&old), Some(&new))?)?;
            }
            new
        };
        self.kv.commit(epoch)?;
        Ok(Some(new))
    }

    fn held(&self) -> Result<Vec<RecordingSid>, StoreError> {
        self.sids(key::HELD)
    }

    fn damaged(&self) -> Result<Vec<RecordingSid>, StoreError> {
        self.sids(key::DAMAGED)
    }

    fn owners(&self) -> Result<Vec<AccountSid>, StoreError> {
        usage::accounts(&self.table)
    }

    fn usage(&self, account: AccountSid) -> Result<u64, StoreError> {
        usage::of(&self.table, account)
    }

    fn oldest(
        &self,
        account: AccountSid,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        usage::oldest(&self.table, account, after, limit)
    }

    fn buried(&self) -> Result<Vec<RecordingSid>, StoreError> {
        self.sids(key::TOMBSTONE)
    }

    fn is_buried(&self, sid: RecordingSid) -> Result<bool, StoreError> {
        self.table.has(&key::of_sid(key::TOMBSTONE, sid))
    }

    fn check(&self, tell: &mut dyn FnMut(String)) -> Result<(), StoreError> {
        check::check(&self.table, &self.order, tell)
    }

    fn accounts(&self) -> Result<Vec<(AccountSid, Vec<u8>)>, StoreError> {
        by_sid(&self.accounts, AccountSid::from_bytes)
    }

    fn put_account(&self, sid: AccountSid, bytes: &[u8]) -> Result<(), StoreError> {
        let epoch = self.kv.epoch();
        let mut changes = Changes::default();
        changes.put(sid.as_bytes().to_vec(), bytes);
        self.accounts.apply(changes)?;
        self.kv.commit(epoch)
    }

    fn remove_account(&self, sid: AccountSid) -> Result<(), StoreError> {
        let epoch = self.kv.epoch();
        let mut changes = Changes::default();
        changes.remove(sid.as_bytes().to_vec());
        self.accounts.apply(changes)?;
        self.kv.commit(epoch)
    }

    fn keys(&self) -> Result<Vec<(KeySid, Vec<u8>)>, StoreError> {
        by_sid(&self.keys, KeySid::from_bytes)
    }

    fn put_key(&self, sid: KeySid, bytes: &[u8]) -> Result<(), StoreError> {
        let epoch = self.kv.epoch();
        let mut changes = Changes::default();
        changes.put(sid.as_bytes().to_vec(), bytes);
        self.keys.apply(changes)?;
        self.kv.commit(epoch)
    }

    fn remove_key(&self, sid: KeySid) -> Result<(), StoreError> {
        let epoch = self.kv.epoch();
        let mut changes = Changes::default();
        changes.remove(sid.as_bytes().to_vec());
        self.keys.apply(changes)?;
        self.kv.commit(epoch)
    }

    fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn trail(&self) -> &Trail {
        &self.trail
    }

    fn commit(&self) -> Result<(), StoreError> {
        self.kv.commit(self.kv.epoch())
    }

    fn is_well(&self) -> bool {
        self.kv.is_well()
    }

    fn nudge(&self) -> Result<(), StoreError> {
        self.kv.nudge()
    }

    fn reopen(&self) -> Result<(), StoreError> {
        self.kv.reopen()
    }
}

/// Damage, for tests.
#[cfg(test)]
impl SledCatalog {
    pub(crate) fn overwrite(&self, key: &[u8], value: Option<&[u8]>) {
        let mut changes = Changes::default();
        match value {
            Some(value) => changes.put(key.to_vec(), value),
            None => changes.remove(key.to_vec()),
        }
        self.table.apply(changes).unwrap();
    }

    pub(crate) fn table_has(&self, key: &[u8]) -> bool {
        self.table.has(key).unwrap()
    }

    pub(crate) fn scribble(&self, sid: RecordingSid, bytes: &[u8]) {
        let sample = crate::stored::tests::sample().record;
        let place = self.table.get(&key::of_sid(key::PLACE, sid)).unwrap();
        let place = place.map_or_else(|| key::place(&sample), |place| place.to_vec());
        self.overwrite(&key::of_sid(key::PLACE, sid), Some(&place));
        self.overwrite(&key::record_at(key::PLACE, &place, sid), Some(bytes));
    }

    pub(crate) fn wipe(&self) {
        for pair in self.table.range(..) {
            self.overwrite(&pair.unwrap().0, None);
        }
    }
}
