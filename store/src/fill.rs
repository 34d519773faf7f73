//! Records without media: a catalog of a size that no recorder fills in minutes, and what a commit to
//! it costs.
//!
//! Called by `reeld bench catalog`, and by nobody who records: what is put in here has no take, no
//! media and no event. It calls the catalog alone. The records, their places in the indices and the
//! kept counts are what a recording leaves; `verify` tells that the media are missing.

use crate::catalog::{Insert, Told};
use crate::store::Store;
use crate::stored::Stored;
use crate::{Record, StoreError};

impl Store {
    /// Puts records in that are not there yet; they are durable when this returns. A few thousand at
    /// once cost a fraction of what as many commits do.
    ///
    /// # Errors
    /// [`StoreError::SidTaken`], where none of them are in, or what the engine says, where some may be.
    pub fn fill(&self, records: impl IntoIterator<Item = Record>) -> Result<(), StoreError> {
        let records: Vec<_> = records
            .into_iter()
            .map(|record| Stored {
                record,
                token: None,
            })
            .collect();
        self.inner.catalog.fill(&records)
    }
}

impl Store {
    /// Puts one record in that is not there yet, durable when this returns: by the very commit that
    /// [`Store::begin`] makes, whose sync all who ask at once share.
    ///
    /// # Errors
    /// [`StoreError::SidTaken`], or what the engine says.
    pub fn insert(&self, record: Record) -> Result<(), StoreError> {
        let sid = record.sid;
        let stored = Stored {
            record,
            token: None,
        };
        match self.inner.catalog.insert(&stored, Told::default())? {
            Insert::New => Ok(()),
            Insert::Repeated(_) | Insert::Taken => Err(StoreError::SidTaken { sid }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::harness::{T0, account, everything, open, sid};
    use crate::stored::tests::sample;
    use crate::{MediaKind, Query, StoreError};

    #[test]
    fn what_is_put_in_is_listed_and_counted_and_has_no_media() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), MediaKind::Local);
        let records: Vec<_> = (0..3_000_u32)
            .map(|n| {
                let mut record = sample().record;
                record.sid = sid(u64::from(n));
                record.account = account(1);
                record.created_ms = T0 + i64::from(n) * 40_000;
                record
            })
            .collect();
        for part in records.chunks(700) {
            store.fill(part.iter().cloned()).unwrap();
        }
        assert!(matches!(
            store.fill([records[7].clone()]),
            Err(StoreError::SidTaken { sid }) if sid == records[7].sid
        ));
        let mut one_more = records[7].clone();
        one_more.sid = sid(5_000);
        one_more.created_ms = T0 + 3_000 * 40_000;
        store.insert(one_more.clone()).unwrap();
        assert!(store.insert(one_more.clone()).is_err());
        assert_eq!(store.get(account(1), one_more.sid).unwrap(), Some(one_more));
        let mut differences = Vec::new();
        let mut tell = |difference| differences.push(difference);
        store.inner.catalog.check(&mut tell).unwrap();
        assert_eq!(differences, [""; 0]);
        drop(store);
        let store = open(dir.path(), MediaKind::Local);
        let query = Query {
            at: crate::PageAt::Number(2),
            ..everything()
        };
        let page = store.list(&query).unwrap();
        assert_eq!((page.first, page.total), (2_000, 3_001));
        let newest_first: Vec<_> = records[1..1_001].iter().rev().cloned().collect();
        assert_eq!(page.records, newest_first);
        assert!(store.media(&records[0]).is_err());
    }
}
