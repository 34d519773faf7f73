//! The audit trail's table: entries by number, the oldest taken out where there are too many.
//!
//! `audit` calls it through [`super::Catalog::trail`] and makes the bytes. A key is the entry's number,
//! 8 bytes big-endian; entries leave at the front alone, so numbers have no gaps and how many there
//! are is one subtraction. The table is none of the catalog's generations: a rebuild leaves it alone.
//!
//! Locks: `kept` is held while a batch is applied, never over a commit.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::StoreError;
use crate::kv::{Changes, Kv, Table};
use crate::locks::lock;

/// Entries that are taken out at once.
const MOST_OUT: u64 = 4_096;

/// Entries kept where nobody says otherwise.
const USUAL_MOST: u64 = 1_000_000;

pub(crate) struct Trail {
    kv: Arc<Kv>,
    table: Table,
    /// The numbers of the entries there are.
    kept: Mutex<Range<u64>>,
    most: AtomicU64,
}

impl Trail {
    pub(crate) fn open(kv: Arc<Kv>) -> Result<Self, StoreError> {
        let table = kv.table("audit")?;
        let first = table.range(..).next().transpose()?;
        let kept = match (first, table.last()?) {
            (Some((first, _)), Some((last, _))) => number(&first)?..number(&last)? + 1,
            _ => 0..0,
        };
        Ok(Self {
            kv,
            table,
            kept: Mutex::new(kept),
            most: AtomicU64::new(USUAL_MOST),
        })
    }

    /// How many are kept from now on; 0 keeps none.
    pub(crate) fn bound(&self, most: u64) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Puts entries in, in order, and takes the oldest out where there are too many. Durable.
    pub(crate) fn add(&self, entries: Vec<Vec<u8>>) -> Result<(), StoreError> {
        let most = self.most.load(Ordering::Relaxed);
        if most == 0 || entries.is_empty() {
            return Ok(());
        }
        let epoch = self.kv.epoch();
        {
            let mut kept = lock(&self.kept);
            let mut changes = Changes::default();
            let mut next = kept.clone();
            for entry in entries {
                changes.put(key(next.end), entry);
                next.end += 1;
            }
            let over = (next.end - next.start).saturating_sub(most);
            for gone in next
                .by_ref()
                .take(usize::try_from(over.min(MOST_OUT)).unwrap_or(0))
            {
                changes.remove(key(gone));
            }
            self.table.apply(changes)?;
            *kept = next;
        }
        self.kv.commit(epoch)
    }

    /// Takes the oldest out for as long as `is_over` says so of their bytes, [`MOST_OUT`] at most;
    /// how many. Not durable: until it is, they are taken out again.
    pub(crate) fn purge(&self, is_over: impl Fn(&[u8]) -> bool) -> Result<u64, StoreError> {
        let most = self.most.load(Ordering::Relaxed);
        let mut kept = lock(&self.kept);
        let mut changes = Changes::default();
        let mut first = kept.start;
        let end = kept.end.min(kept.start + MOST_OUT);
        while first < end {
            let is_too_many = kept.end - first > most;
            let entry = self.table.get(&key(first))?;
            if !is_too_many && !entry.is_none_or(|entry| is_over(&entry)) {
                break;
            }
            changes.remove(key(first));
            first += 1;
        }
        let gone = first - kept.start;
        if gone > 0 {
            self.table.apply(changes)?;
            kept.start = first;
        }
        Ok(gone)
    }

    /// The bytes of entries, the newest first. What comes meanwhile is not seen; what goes is left out.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = Result<Vec<u8>, StoreError>> {
        let kept = lock(&self.kept).clone();
        kept.rev().filter_map(|number| {
            let entry = self.table.get(&key(number)).transpose()?;
            Some(entry.map(|bytes| bytes.to_vec()))
        })
    }
}

fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn number(key: &[u8]) -> Result<u64, StoreError> {
    let bytes = key
        .try_into()
        .map_err(|_| StoreError::Catalog("a key of the audit trail cannot be read".to_owned()))?;
    Ok(u64::from_be_bytes(bytes))
}
