//! Kept counts: how many records an account has before an instant, and which is the n-th.
//!
//! Called by `catalog::sled` for `total` and for page N, so that no list walks what it does not
//! return; `catalog::change` keeps the counts. Which bytes a key has is `catalog::key`'s.
//!
//! Time, turned round so that the newest is first, is cut into buckets of 2^12, 2^19, 2^26 and
//! 2^33 ms (4 s, 9 min, 19 h, 99 days), each level's 128 to one of the next. A rank or a selection
//! adds up at most 128 buckets a level, a few of the widest, and the records of four seconds: some
//! hundred keys, whatever the number of records. Buckets of days, hours, minutes and seconds would
//! cost one key more a record and have no bound at the top; the calendar would be no help, since
//! bounds are instants and days depend on a time zone.

use std::ops::{Bound, Range};

use reeld_model::AccountSid;

use super::key::{self, Index, Scope, View};
use crate::StoreError;
use crate::kv::{Table, Value};

/// Bits of the time that a bucket of each level spans, widest first.
pub(crate) const SHIFTS: [u32; 4] = [33, 26, 19, 12];

/// The counts in a value, by [`View::index`].
pub(crate) type Counts = [u64; 3];

/// The count of deleted ones is written where there are any: a value without it is of a bucket, or
/// of a reeld, that has none.
pub(crate) fn encode(counts: Counts) -> Vec<u8> {
    let [all, listed, deleted] = counts;
    let bytes = postcard::to_extend(&[all, listed], Vec::new());
    match deleted {
        0 => bytes,
        deleted => bytes.and_then(|bytes| postcard::to_extend(&deleted, bytes)),
    }
    .expect("postcard refuses no integers, and a Vec takes every byte")
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Counts, StoreError> {
    let whole = || {
        let ([all, listed], rest) = postcard::take_from_bytes(bytes).ok()?;
        if rest.is_empty() {
            return Some([all, listed, 0]);
        }
        let (deleted, rest) = postcard::take_from_bytes(rest).ok()?;
        rest.is_empty().then_some([all, listed, deleted])
    };
    whole().ok_or_else(damaged)
}

pub(crate) fn counts_at(table: &Table, key: &[u8]) -> Result<Counts, StoreError> {
    table
        .get(key)?
        .map_or(Ok(Counts::default()), |value: Value| decode(&value))
}

/// How many records some views, which share none, have together.
pub(crate) fn sum(counts: Counts, views: &[View]) -> u64 {
    views.iter().map(|view| counts[view.index()]).sum()
}

/// How many records some views, which share none, have together in a span of keys that `span` gives of each index.
pub(crate) fn entries(
    table: &Table,
    views: &[View],
    span: impl Fn(Index) -> Range<Vec<u8>>,
) -> Result<u64, StoreError> {
    let walked = |of: Index| {
        let Range { start, end } = span(of);
        if end <= start {
            return Ok(0);
        }
        table
            .range(start..end)
            .try_fold(0, |count: u64, entry| entry.map(|_| count + 1))
    };
    let mut sum: u64 = 0;
    for view in views {
        let (of, without) = view.indices();
        sum += walked(of)?.saturating_sub(without.map_or(Ok(0), &walked)?);
    }
    Ok(sum)
}

/// An account's records in some views together, which share none.
#[derive(Clone, Copy)]
pub(crate) struct Counted<'a> {
    pub(crate) table: &'a Table,
    pub(crate) account: AccountSid,
    pub(crate) views: &'a [View],
}

impl Counted<'_> {
    /// How many records come before `place`, a time turned round; all, without one.
    pub(crate) fn before(self, place: Option<u64>) -> Result<u64, StoreError> {
        let mut sum = 0;
        let mut from = 0;
        let mut above = u64::BITS;
        for (level, shift) in (0..).zip(SHIFTS) {
            // The first bucket of this level inside the bucket above that `place` is in.
            from <<= above - shift;
            let to = place.map(|place| place >> shift);
            for bucket in self.buckets(level, from, to) {
                sum += bucket?.1;
            }
            let Some(to) = to else { return Ok(sum) };
            (from, above) = (to, shift);
        }
        let Some(place) = place else { return Ok(sum) };
        let scope = Scope::Account(self.account);
        let beside = entries(self.table, self.views, |of| {
            key::index_from(of, scope, from << above)..key::index_from(of, scope, place)
        })?;
        Ok(sum + beside)
    }

    /// From which time, turned round, to go on, and how many to pass over from there, for the
    /// record that `rank` others come before; `None` past the end.
    pub(crate) fn select(self, rank: u64) -> Result<Option<(u64, u64)>, StoreError> {
        let mut left = rank;
        let mut from = 0;
        let mut above = u64::BITS;
        for (level, shift) in (0..).zip(SHIFTS) {
            from <<= above - shift;
            let to = (level > 0).then(|| from + (1 << (above - shift)));
            let mut found = None;
            for bucket in self.buckets(level, from, to) {
                let (bucket, count) = bucket?;
                if left < count {
                    found = Some(bucket);
                    break;
                }
                left -= count;
            }
            match found {
                Some(bucket) => (from, above) = (bucket, shift),
                None if level == 0 => return Ok(None),
                None => return Err(damaged()),
            }
        }
        Ok(Some((from << above, left)))
    }

    /// The buckets `from..to` of a level with their counts; to the last, without `to`.
    fn buckets(
        self,
        level: u8,
        from: u64,
        to: Option<u64>,
    ) -> impl Iterator<Item = Result<(u64, u64), StoreError>> {
        let start = Bound::Included(key::count(level, self.account, from));
        let end = match to {
            Some(to) => Bound::Excluded(key::count(level, self.account, to)),
            None => Bound::Included(key::count(level, self.account, u64::MAX)),
        };
        self.table.range((start, end)).map(move |pair| {
            let (key, value) = pair?;
            let (_, _, bucket) = key::parts_of_count(&key).ok_or_else(damaged)?;
            Ok((bucket, sum(decode(&value)?, self.views)))
        })
    }
}

pub(crate) fn damaged() -> StoreError {
    StoreError::Catalog("kept counts are damaged; `reeld verify` says where".to_owned())
}
