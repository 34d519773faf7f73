//! Rewrapping: every data key brought under the current wrapping key, without touching a sample.
//!
//! Called by `reeld rewrap`, through the daemon or in the folder, and by `store` when it is opened. It calls
//! the media, which know where their envelopes lie.
//!
//! **Rotation**
//! 1. The new key becomes current and the old one is kept among `store.old_encryption_keys`: what is recorded from then on is
//!    under the new one.
//! 2. Rewrap: of each file a new slot is written and durable, then the old one is emptied. *R: both slots open it.* A crash
//!    leaves the rest to the next call.
//! 3. The old key can go when rewrap says that nothing is left under it.
//!
//! `<data_dir>/encryption` has the ids of the keys under which anything here may be, a line each, so that a start
//! says which is missing without reading a file of a million. A key is in it, durable, before it wraps anything.

use reeld_model::RecordingSid;

use crate::StoreError;
use crate::crypt::{Envelope, KeyId, Keyring, Rewrap, Shut};
use crate::folder;
use crate::locks::lock;
use crate::store::{Inner, Store};
use crate::verify::VerifyProgress;

#[cfg(test)]
mod tests;

/// Files whose slots are written between two syncs.
const BATCH: usize = 256;

/// What is named of what was left: a full list is `reeld verify`'s.
const MOST_NAMED: usize = 100;

/// What [`Store::rewrap`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Media that are under the current key now and were not.
    pub rewrapped: u64,
    /// Media that were already.
    pub current: u64,
    /// Media in clear.
    pub clear: u64,
    /// Media that were left, since their key is not at hand or their envelope is damaged.
    pub left: u64,
    /// Why, of the first hundred.
    pub problems: Vec<String>,
}

impl Rewrapped {
    /// Counts a recording's media, and says what is to be written of them. `envelope` is their first bytes, `None` where they
    /// are in clear.
    pub(crate) fn plan(
        &mut self,
        sid: RecordingSid,
        envelope: Option<&[u8]>,
        keys: &Keyring,
        current: KeyId,
    ) -> Result<Option<Rewrap>, StoreError> {
        let Some(envelope) = envelope else {
            self.clear += 1;
            return Ok(None);
        };
        let rewrap = match Envelope::parse(envelope) {
            Ok(envelope) => envelope.rewrap(keys, current, sid)?,
            Err(what) => Err(Shut::Damaged(what)),
        };
        match rewrap {
            Ok(rewrap) if rewrap.is_nothing() => {
                self.current += 1;
                Ok(None)
            }
            Ok(rewrap) => Ok(Some(rewrap)),
            Err(shut) => {
                self.left += 1;
                if self.problems.len() < MOST_NAMED {
                    self.problems.push(shut.of(sid, "rewrap").to_string());
                }
                Ok(None)
            }
        }
    }
}

impl Store {
    /// Brings all media's data keys under the current wrapping key. Recordings go on meanwhile, and what they record is
    /// under it already. Durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::NotEncrypting`] where no key is configured, else what the system or the engine says; calling it again goes on.
    pub fn rewrap(
        &self,
        progress: &mut dyn FnMut(VerifyProgress),
    ) -> Result<Rewrapped, StoreError> {
        let inner = &*self.inner;
        let current = inner.keys.current().ok_or(StoreError::NotEncrypting)?;
        let _one = lock(&inner.rewrapping);
        let mut tally = Rewrapped::default();
        let mut so_far = VerifyProgress {
            total: inner.catalog.total()?,
            ..Default::default()
        };
        let mut batch = Vec::with_capacity(BATCH);
        inner.media.each(&mut |sid| {
            batch.push(sid);
            if batch.len() == BATCH {
                inner.media.rewrap(&batch, &mut tally)?;
                so_far.done += batch.len() as u64;
                progress(so_far);
                batch.clear();
            }
            Ok(())
        })?;
        inner.media.rewrap(&batch, &mut tally)?;
        inner.catalog.commit()?;
        if tally.left == 0 && inner.spool.keys()?.iter().all(|key| *key == current) {
            inner.write_keys(&[current])?;
        }
        Ok(tally)
    }

    /// Whether any key is configured: what is made of recordings is to be as unreadable as they are.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !self.inner.keys.is_empty()
    }
}

impl Inner {
    /// Notes the current key in the list of those that are used here, and says which of these are missing.
    pub(crate) fn settle_keys(&self) -> Result<(), StoreError> {
        let path = self.config.data_dir.join(FILE);
        let text = folder::read(&path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut used: Vec<KeyId> = text.lines().filter_map(KeyId::parse).collect();
        if let Some(current) = self.keys.current()
            && !used.contains(&current)
        {
            used.push(current);
            self.write_keys(&used)?;
        }
        used.retain(|key| !self.keys.has(*key));
        for key in &used {
            tracing::error!(
                key = %key,
                "recordings may be encrypted under a key that is not at hand \
                 (store.encryption_key, store.old_encryption_keys); they are not served"
            );
        }
        *lock(&self.missing_keys) = used;
        Ok(())
    }

    fn write_keys(&self, used: &[KeyId]) -> Result<(), StoreError> {
        let text: String = used.iter().map(|key| format!("{key}\n")).collect();
        folder::write_whole(&self.config.data_dir.join(FILE), text.as_bytes())?;
        folder::sync_folder(&self.config.data_dir)?;
        lock(&self.missing_keys).retain(|key| used.contains(key));
        Ok(())
    }

    /// The keys under which something here may be, and which are not at hand.
    pub(crate) fn missing_keys(&self) -> Vec<KeyId> {
        lock(&self.missing_keys).clone()
    }

    /// Refuses a new recording that would lie in clear where others are encrypted under a key that is missing. Whoever
    /// turns encryption off keeps the key among the old ones.
    pub(crate) fn check_keys(&self) -> Result<(), StoreError> {
        if self.keys.current().is_some() {
            return Ok(());
        }
        match lock(&self.missing_keys).first() {
            None => Ok(()),
            Some(key) => Err(StoreError::NoKey { key: *key }),
        }
    }
}

/// The list's name in the data folder.
const FILE: &str = "encryption";
