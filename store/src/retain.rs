//! Retention: recordings that are older than they may be, or more than there is room for, are deleted,
//! each account's oldest first.
//!
//! Called by the daemon every few seconds, which tells the time and says of each deletion why. It calls
//! the catalog, and deletes as a request does (`read`): a tombstone, the media, and what
//! `store.deleted_metadata` keeps. What is being recorded and what is on hold is passed over; the
//! deletion itself refuses both again.
//!
//! A pass looks at no more than [`LOOK`] records and deletes no more than it is told, so that it is never
//! in anybody's way; where it left off in an account it goes on at the next pass.

use std::collections::HashMap;
use std::time::Duration;

use reeld_model::AccountSid;

use crate::store::Store;
use crate::{Cursor, Deletion, Record, Stage, StoreError};

#[cfg(test)]
mod tests;

/// Records that are fetched at once.
const BATCH: usize = 64;

/// Records that a pass looks at in an account at most; all but the first few are on hold.
const LOOK: usize = 4_096;

/// How much an account may keep; nothing is deleted for what is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// How long after it was begun a recording stays.
    pub age: Option<Duration>,
    /// Bytes of media, as they are served.
    pub bytes: Option<u64>,
}

/// How much accounts may keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// Each account that has no limits of its own.
    pub each: Limits,
    /// Those that have, whatever `each` is.
    pub accounts: HashMap<AccountSid, Limits>,
}

/// Why retention has deleted a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It was older than this.
    Age(Duration),
    /// Its account had this many bytes of media, and may have so many.
    Bytes {
        /// What it had.
        had: u64,
        /// What it may have.
        most: u64,
    },
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Age(age) => write!(f, "older than {} s", age.as_secs()),
            Self::Bytes { had, most } => write!(f, "its account had {had} of {most} bytes"),
        }
    }
}

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Retained {
    /// What was deleted, and why.
    pub deleted: Vec<(Record, Reason)>,
    /// Whether there may be more to delete now.
    pub more: bool,
}

/// Retention, where it is.
#[derive(Debug)]
pub struct Retainer {
    store: Store,
    retention: Retention,
    /// Where the last pass has left off in an account.
    places: HashMap<AccountSid, Cursor>,
}

impl Retention {
    /// Whether nothing is ever deleted.
    #[must_use]
    pub fn is_off(&self) -> bool {
        let is_off = |limits: &Limits| *limits == Limits::default();
        is_off(&self.each) && self.accounts.values().all(is_off)
    }

    /// The shortest age that it deletes at.
    #[must_use]
    pub fn shortest(&self) -> Option<Duration> {
        let all = self.accounts.values().chain([&self.each]);
        all.filter_map(|limits| limits.age).min()
    }

    fn limits(&self, account: AccountSid) -> Limits {
        self.accounts.get(&account).copied().unwrap_or(self.each)
    }
}

impl Retainer {
    /// Retention over `store`.
    #[must_use]
    pub fn new(store: Store, retention: Retention) -> Self {
        Self {
            store,
            retention,
            places: HashMap::new(),
        }
    }

    /// Deletes up to `limit` recordings that may not stay.
    ///
    /// # Errors
    /// What the system or the engine says, where nothing was deleted before; what was is told in any
    /// case.
    pub fn pass(&mut self, now_ms: i64, limit: usize) -> Result<Retained, StoreError> {
        let mut retained = Retained::default();
        for account in self.store.inner.catalog.owners()? {
            let limits = self.retention.limits(account);
            if limits != Limits::default() {
                let passed = self.pass_of(account, limits, now_ms, limit, &mut retained);
                match passed {
                    Ok(()) => {}
                    // What went has gone, and is the caller's to know.
                    Err(error) if !retained.deleted.is_empty() => {
                        tracing::error!(%account, %error, "a recording whose time is over stays");
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            if retained.deleted.len() >= limit {
                retained.more = true;
                break;
            }
        }
        Ok(retained)
    }

    fn pass_of(
        &mut self,
        account: AccountSid,
        limits: Limits,
        now_ms: i64,
        limit: usize,
        retained: &mut Retained,
    ) -> Result<(), StoreError> {
        let catalog = self.store.inner.catalog.clone();
        let mut place = self.places.remove(&account);
        for _ in 0..LOOK / BATCH {
            let batch = catalog.oldest(account, place, BATCH)?;
            if batch.is_empty() {
                return Ok(()); // the next pass begins anew
            }
            for record in batch {
                if retained.deleted.len() >= limit {
                    return Ok(());
                }
                let Some(reason) = reason(&record, limits, now_ms, || catalog.usage(account))?
                else {
                    return Ok(()); // nor is there one for any that is newer
                };
                place = Some(Cursor::of(&record));
                let may_go = match record.stage {
                    Stage::Live | Stage::Deleted => false,
                    // It has no bytes to give back.
                    Stage::Absent => matches!(reason, Reason::Age(_)),
                    Stage::Completed => true,
                };
                if !may_go || record.marks.held_ms.is_some() {
                    continue;
                }
                match self.store.delete(account, record.sid, now_ms)? {
                    Deletion::Deleted => {
                        tracing::info!(
                            recording = %record.sid, %account, %reason,
                            "deleted, as store.retention says"
                        );
                        retained.deleted.push((record, reason));
                    }
                    // Somebody was faster.
                    Deletion::Unknown | Deletion::StillLive | Deletion::OnHold => {}
                }
            }
        }
        retained.more = true;
        if let Some(place) = place {
            self.places.insert(account, place);
        }
        Ok(())
    }
}

/// Why a recording may not stay, if it may not, were it neither live nor on hold.
fn reason(
    record: &Record,
    limits: Limits,
    now_ms: i64,
    usage: impl FnOnce() -> Result<u64, StoreError>,
) -> Result<Option<Reason>, StoreError> {
    if let Some(age) = limits.age {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        if record.created_ms < now_ms.saturating_sub(age_ms) {
            return Ok(Some(Reason::Age(age)));
        }
    }
    let Some(most) = limits.bytes else {
        return Ok(None);
    };
    let had = usage()?;
    Ok((had > most).then_some(Reason::Bytes { had, most }))
}
