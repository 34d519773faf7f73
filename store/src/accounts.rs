//! Accounts and their tokens: kept sealed, compared in constant time.
//!
//! Called by `api` for each request (`authenticate`) and by the daemon (the rest). It calls the
//! catalog, where an account is bytes of this module's making, and `key`.
//!
//! A token is 32 hex digits from the system's CSPRNG. On disk it is sealed with
//! XChaCha20-Poly1305 under the machine's key, the account's Sid being its associated data, so
//! that one account's token cannot be put in another's place. In memory each is kept opened:
//! authenticating touches no disk. Nothing here prints a token; whoever makes one is handed it
//! once.
//!
//! Accounts of the configuration live in memory alone: taken out of the file, they are gone.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, RwLock};

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use jiff::Timestamp;
use reeld_model::AccountSid;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::catalog::Catalog;
use crate::key::MachineKey;
use crate::locks::{read, write};
use crate::{Store, StoreError};

#[cfg(test)]
mod tests;

/// The version of [`Sealed`]'s bytes.
const VERSION: u8 = 1;

const NONCE_BYTES: usize = 24;

/// What an unknown account's token is compared with.
const NO_TOKEN: &str = "";

/// An account, without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name to the API.
    pub sid: AccountSid,
    /// Its name to people.
    pub name: String,
    /// When it was made, milliseconds since the Unix epoch; of one from the configuration, when
    /// that was read.
    pub created_ms: i64,
    /// Whether it is in the configuration rather than in the catalog.
    pub configured: bool,
}

/// An account as the catalog has it, postcard behind a version byte: add fields at the end only.
#[derive(Serialize, Deserialize)]
struct Sealed {
    name: String,
    created_ms: i64,
    nonce: [u8; NONCE_BYTES],
    token: Vec<u8>,
}

pub(crate) struct Accounts {
    catalog: Arc<dyn Catalog>,
    key: MachineKey,
    open: RwLock<HashMap<AccountSid, Open>>,
}

struct Open {
    account: Account,
    token: SecretString,
}

impl Accounts {
    pub(crate) fn open(data_dir: &Path, catalog: Arc<dyn Catalog>) -> Result<Self, StoreError> {
        let rows = catalog.accounts()?;
        let key = MachineKey::open(data_dir, rows.is_empty())?;
        let accounts = Self {
            catalog,
            key,
            open: RwLock::default(),
        };
        for (sid, bytes) in rows {
            let opened = accounts.unseal(sid, &bytes)?;
            write(&accounts.open).insert(sid, opened);
        }
        Ok(accounts)
    }

    fn unseal(&self, sid: AccountSid, bytes: &[u8]) -> Result<Open, StoreError> {
        let sealed: Option<Sealed> = match bytes.split_first() {
            Some((&VERSION, body)) => postcard::from_bytes(body).ok(),
            Some(_) | None => None,
        };
        let Some(Sealed {
            name,
            created_ms,
            nonce,
            token,
        }) = sealed
        else {
            return Err(StoreError::Catalog(format!("account {sid} cannot be read")));
        };
        let payload = Payload {
            msg: &token,
            aad: sid.as_bytes(),
        };
        let token = self
            .cipher()
            .decrypt(&XNonce::from(nonce), payload)
            .ok()
            .and_then(|token| String::from_utf8(token).ok())
            .ok_or_else(|| {
                self.key
                    .error(format!("it does not open the token of {sid}"))
            })?;
        let account = Account {
            sid,
            name,
            created_ms,
            configured: false,
        };
        Ok(Open {
            account,
            token: SecretString::from(token),
        })
    }

    fn seal(&self, open: &Open) -> Result<Vec<u8>, StoreError> {
        let Open {
            account:
                Account {
                    sid,
                    name,
                    created_ms,
                    ..
                },
            token,
        } = open;
        let mut nonce = [0; NONCE_BYTES];
        fill(&mut nonce)?;
        let payload = Payload {
            msg: token.expose_secret().as_bytes(),
            aad: sid.as_bytes(),
        };
        let token = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a token is far below the cipher's limit of 256 GiB");
        let sealed = Sealed {
            name: name.clone(),
            created_ms: *created_ms,
            nonce,
            token,
        };
        Ok(postcard::to_extend(&sealed, vec![VERSION])
            .expect("an account has no part that postcard refuses, and a Vec takes every byte"))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.key.bytes().into())
    }

    /// Seals an account, durable, and then lets it in.
    fn keep(&self, open: Open) -> Result<(), StoreError> {
        self.catalog
            .put_account(open.account.sid, &self.seal(&open)?)?;
        write(&self.open).insert(open.account.sid, open);
        Ok(())
    }

    /// The machine's key, of which others are derived.
    pub(crate) fn machine_key(&self) -> &[u8; 32] {
        self.key.bytes()
    }

    fn get(&self, sid: AccountSid) -> Option<Account> {
        read(&self.open).get(&sid).map(|open| open.account.clone())
    }
}

impl Store {
    /// Makes an account, with this Sid or a new one; the token is shown here and never again.
    ///
    /// # Errors
    /// [`StoreError::AccountTaken`], or what the engine says.
    pub fn add_account(
        &self,
        sid: Option<AccountSid>,
        name: &str,
    ) -> Result<(AccountSid, SecretString), StoreError> {
        let mut shown = None;
        let sid = self.add_account_told(sid, name, |_, token| {
            shown = Some(token.clone());
            Ok::<(), StoreError>(())
        })?;
        Ok((sid, shown.expect("it was told before the account was made")))
    }

    /// Makes an account as [`Store::add_account`] does, once `tell` has told its owner of it: a crash
    /// between the two leaves no account rather than one whose token nobody knows.
    ///
    /// # Errors
    /// [`StoreError::AccountTaken`], what `tell` or what the engine says.
    pub fn add_account_told<E: From<StoreError>>(
        &self,
        sid: Option<AccountSid>,
        name: &str,
        tell: impl FnOnce(AccountSid, &SecretString) -> Result<(), E>,
    ) -> Result<AccountSid, E> {
        let accounts = &self.inner.accounts;
        let sid = match sid {
            Some(sid) => sid,
            None => AccountSid::from_bytes(random()?),
        };
        if accounts.get(sid).is_some() {
            return Err(StoreError::AccountTaken { sid }.into());
        }
        let token = new_token()?;
        tell(sid, &token)?;
        let account = Account {
            sid,
            name: name.to_owned(),
            created_ms: now_ms(),
            configured: false,
        };
        accounts.keep(Open { account, token })?;
        Ok(sid)
    }

    /// Lets an account of the configuration in, for as long as this process lives. It goes before
    /// one of the same Sid in the catalog.
    ///
    /// # Errors
    /// [`StoreError::AccountTaken`] where the configuration has it twice.
    pub fn put_account(
        &self,
        sid: AccountSid,
        name: &str,
        token: SecretString,
    ) -> Result<(), StoreError> {
        let account = Account {
            sid,
            name: name.to_owned(),
            created_ms: now_ms(),
            configured: true,
        };
        let mut open = write(&self.inner.accounts.open);
        if open.get(&sid).is_some_and(|open| open.account.configured) {
            return Err(StoreError::AccountTaken { sid });
        }
        open.insert(sid, Open { account, token });
        Ok(())
    }

    /// All accounts, by Sid.
    ///
    /// # Errors
    /// None from the embedded catalog, whose accounts are all in memory.
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let mut accounts: Vec<Account> = read(&self.inner.accounts.open)
            .values()
            .map(|open| open.account.clone())
            .collect();
        accounts.sort_unstable_by_key(|account| account.sid);
        Ok(accounts)
    }

    /// Removes an account with its API keys, at once; whether there was one. Its recordings stay.
    ///
    /// # Errors
    /// [`StoreError::AccountConfigured`], or what the engine says.
    pub fn remove_account(&self, sid: AccountSid) -> Result<bool, StoreError> {
        let accounts = &self.inner.accounts;
        match accounts.get(sid) {
            None => Ok(false),
            Some(account) if account.configured => Err(StoreError::AccountConfigured { sid }),
            Some(_) => {
                // Out of memory first: from here on nobody gets in with it.
                write(&accounts.open).remove(&sid);
                // Before it: an account of the same Sid must find none of them.
                self.remove_keys_of(sid)?;
                accounts.catalog.remove_account(sid)?;
                Ok(true)
            }
        }
    }

    /// Gives an account a new token, at once; the old one is worth nothing from then on. `None`
    /// where there is no such account.
    ///
    /// # Errors
    /// [`StoreError::AccountConfigured`], or what the engine says.
    pub fn rotate_account(&self, sid: AccountSid) -> Result<Option<SecretString>, StoreError> {
        let accounts = &self.inner.accounts;
        match accounts.get(sid) {
            None => Ok(None),
            Some(account) if account.configured => Err(StoreError::AccountConfigured { sid }),
            Some(account) => {
                let token = new_token()?;
                accounts.keep(Open {
                    account,
                    token: token.clone(),
                })?;
                Ok(Some(token))
            }
        }
    }

    /// Whether `token` is the account's. The time that it takes says nothing of the token, nor of
    /// whether there is such an account: both are hashed and the hashes are compared whole.
    #[must_use]
    pub fn authenticate(&self, sid: AccountSid, token: &str) -> bool {
        let given = blake3::hash(token.as_bytes());
        let accounts = read(&self.inner.accounts.open);
        let open = accounts.get(&sid);
        let wanted = open.map_or(NO_TOKEN, |open| open.token.expose_secret());
        let is_same = given
            .as_bytes()
            .ct_eq(blake3::hash(wanted.as_bytes()).as_bytes());
        bool::from(is_same) && open.is_some() && !token.is_empty()
    }
}

impl Store {
    /// An account's token, to sign what is sent to its client; `None` where there is no such
    /// account.
    #[must_use]
    pub fn auth_token(&self, sid: AccountSid) -> Option<SecretString> {
        let accounts = read(&self.inner.accounts.open);
        accounts.get(&sid).map(|open| open.token.clone())
    }
}

pub(crate) fn new_token() -> Result<SecretString, StoreError> {
    Ok(SecretString::from(hex::encode(random()?)))
}

pub(crate) fn random() -> Result<[u8; 16], StoreError> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Fills `bytes` from the system's CSPRNG.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes).map_err(|error| StoreError::Io {
        what: "ask the system for random bytes".to_owned(),
        source: error.into(),
    })
}

pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
