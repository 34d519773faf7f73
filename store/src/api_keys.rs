//! API keys: further names and secrets of an account, each of which can be taken away by itself.
//!
//! Called by `api` for each request that comes with one ([`Store::authenticate_key`]) and by the
//! daemon (the rest). It calls the catalog, where a key is bytes of this module's making.
//!
//! A secret is 32 hex digits from the system's CSPRNG; nothing signs with it, so only its BLAKE3
//! is kept, in memory and on disk: 128 random bits need no slow hash. Whoever makes one is handed
//! it once. A key is worth as much as its account: nothing, where that is gone.

use std::collections::HashMap;
use std::sync::RwLock;

use reeld_model::{AccountSid, KeySid};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::accounts::{new_token, now_ms, random};
use crate::catalog::Catalog;
use crate::locks::{read, write};
use crate::{Store, StoreError};

/// The version of [`Kept`]'s bytes.
const VERSION: u8 = 1;

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name to the API.
    pub sid: KeySid,
    /// Whose it is.
    pub account: AccountSid,
    /// Its name to people.
    pub name: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_ms: i64,
}

/// A key as the catalog has it, postcard behind a version byte: add fields at the end only.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    account: AccountSid,
    name: String,
    created_ms: i64,
    secret_blake3: [u8; 32],
}

/// All keys there are.
pub(crate) struct ApiKeys(RwLock<HashMap<KeySid, Kept>>);

impl ApiKeys {
    pub(crate) fn open(catalog: &dyn Catalog) -> Result<Self, StoreError> {
        let keys = catalog.keys()?.into_iter().map(|(sid, bytes)| {
            let kept = match bytes.split_first() {
                Some((&VERSION, body)) => postcard::from_bytes(body).ok(),
                Some(_) | None => None,
            };
            let kept =
                kept.ok_or_else(|| StoreError::Catalog(format!("API key {sid} cannot be read")))?;
            Ok((sid, kept))
        });
        Ok(Self(RwLock::new(keys.collect::<Result<_, StoreError>>()?)))
    }
}

impl Store {
    /// Makes a key of an account; the secret is shown here and never again. `None` where there is
    /// no such account.
    ///
    /// # Errors
    /// What the engine says.
    pub fn add_key(
        &self,
        account: AccountSid,
        name: &str,
    ) -> Result<Option<(KeySid, SecretString)>, StoreError> {
        if self.auth_token(account).is_none() {
            return Ok(None);
        }
        let sid = KeySid::from_bytes(random()?);
        let secret = new_token()?;
        let kept = Kept {
            account,
            name: name.to_owned(),
            created_ms: now_ms(),
            secret_blake3: *blake3::hash(secret.expose_secret().as_bytes()).as_bytes(),
        };
        let bytes = postcard::to_extend(&kept, vec![VERSION])
            .expect("a key has no part that postcard refuses, and a Vec takes every byte");
        self.inner.catalog.put_key(sid, &bytes)?;
        write(&self.inner.api_keys.0).insert(sid, kept);
        Ok(Some((sid, secret)))
    }

    /// All keys of all accounts, by account and then by Sid.
    #[must_use]
    pub fn keys(&self) -> Vec<ApiKey> {
        let mut keys: Vec<ApiKey> = read(&self.inner.api_keys.0)
            .iter()
            .map(|(sid, kept)| ApiKey {
                sid: *sid,
                account: kept.account,
                name: kept.name.clone(),
                created_ms: kept.created_ms,
            })
            .collect();
        keys.sort_unstable_by_key(|key| (key.account, key.sid));
        keys
    }

    /// Removes a key, at once; whether there was one.
    ///
    /// # Errors
    /// What the engine says.
    pub fn remove_key(&self, sid: KeySid) -> Result<bool, StoreError> {
        // Out of memory first: from here on nobody gets in with it.
        let was_there = write(&self.inner.api_keys.0).remove(&sid).is_some();
        if was_there {
            self.inner.catalog.remove_key(sid)?;
        }
        Ok(was_there)
    }

    /// Removes all keys of an account.
    pub(crate) fn remove_keys_of(&self, account: AccountSid) -> Result<(), StoreError> {
        let keys = self.keys().into_iter();
        for key in keys.filter(|key| key.account == account) {
            self.remove_key(key.sid)?;
        }
        Ok(())
    }

    /// Whose key it is, if `secret` is its secret and the account is there. The time that it takes
    /// says nothing of the secret, nor of whether there is such a key.
    #[must_use]
    pub fn authenticate_key(&self, sid: KeySid, secret: &str) -> Option<AccountSid> {
        let given = blake3::hash(secret.as_bytes());
        let kept = read(&self.inner.api_keys.0).get(&sid).cloned();
        let wanted = kept.as_ref().map_or([0; 32], |kept| kept.secret_blake3);
        let is_same = given.as_bytes().ct_eq(&wanted);
        kept.filter(|_| bool::from(is_same))
            .map(|kept| kept.account)
            .filter(|account| self.auth_token(*account).is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::MediaKind;
    use crate::harness::{account, open};

    #[test]
    fn a_key_lets_its_account_in_with_its_secret_alone_and_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), MediaKind::Local);
        let (_, token) = store.add_account(Some(account(1)), "").unwrap();
        let (one, secret) = store.add_key(account(1), "player").unwrap().unwrap();
        let (other, other_secret) = store.add_key(account(1), "").unwrap().unwrap();
        assert!(store.add_key(account(2), "").unwrap().is_none());
        let (secret, other_secret) = (secret.expose_secret(), other_secret.expose_secret());
        assert_eq!(secret.len(), 32);
        assert_ne!(secret, other_secret);
        for reopened in [false, true] {
            if reopened {
                drop(store);
                store = open(dir.path(), MediaKind::Local);
            }
            assert_eq!(store.authenticate_key(one, secret), Some(account(1)));
            for wrong in ["", other_secret, &secret[..31], token.expose_secret()] {
                assert_eq!(store.authenticate_key(one, wrong), None);
            }
            let unknown = KeySid::from_bytes([9; 16]);
            assert_eq!(store.authenticate_key(unknown, secret), None);
            assert_eq!(store.authenticate_key(unknown, ""), None);
            let found = store.keys().into_iter().find(|key| key.sid == one).unwrap();
            assert_eq!((found.account, &*found.name), (account(1), "player"));
        }
        assert!(store.remove_key(other).unwrap());
        assert!(!store.remove_key(other).unwrap());
        store.rotate_account(account(1)).unwrap();
        drop(store);
        let store = open(dir.path(), MediaKind::Local);
        assert_eq!(store.authenticate_key(other, other_secret), None);
        assert_eq!(store.authenticate_key(one, secret), Some(account(1)));
    }

    #[test]
    fn keys_go_with_their_account_and_do_not_come_back_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), MediaKind::Local);
        store.add_account(Some(account(1)), "").unwrap();
        let (sid, secret) = store.add_key(account(1), "").unwrap().unwrap();
        store.remove_account(account(1)).unwrap();
        store.add_account(Some(account(1)), "").unwrap();
        assert_eq!(store.authenticate_key(sid, secret.expose_secret()), None);
        assert_eq!(store.keys(), []);
    }

    #[test]
    fn a_key_of_the_configurations_account_is_worth_nothing_without_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), MediaKind::Local);
        let put = |store: &Store| store.put_account(account(3), "", "short".to_owned().into());
        put(&store).unwrap();
        let (sid, secret) = store.add_key(account(3), "").unwrap().unwrap();
        drop(store);
        let store = open(dir.path(), MediaKind::Local);
        assert_eq!(store.authenticate_key(sid, secret.expose_secret()), None);
        put(&store).unwrap();
        let whose = store.authenticate_key(sid, secret.expose_secret());
        assert_eq!(whose, Some(account(3)));
    }

    #[test]
    fn no_secret_is_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), MediaKind::Local);
        store.add_account(Some(account(1)), "").unwrap();
        let (sid, secret) = store.add_key(account(1), "").unwrap().unwrap();
        drop(store);
        let secret = secret.expose_secret();
        let raw = hex::decode(secret).unwrap();
        let mut folders = vec![dir.path().to_owned()];
        let mut has_sid = false;
        while let Some(path) = folders.pop() {
            if path.is_dir() {
                let entries = fs::read_dir(&path).unwrap();
                folders.extend(entries.map(|entry| entry.unwrap().path()));
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            assert!(!has(secret.as_bytes()) && !has(&raw), "{path:?}");
            has_sid |= has(sid.as_bytes());
        }
        assert!(has_sid, "the key itself was looked at");
    }
}
