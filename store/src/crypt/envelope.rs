//! The first bytes of an encrypted file: whose it is, and its data key, wrapped.
//!
//! Called by takes when they begin, by `open`, and by rewrapping. It has two slots of 512 bytes, a
//! sector each, of which one is used: another wrapping key comes into the other one, durable, before the first is
//! emptied, so that at every instant one of them opens. No sound is written again for it.
//!
//! A slot: `reeldENC`, version (1), cipher (1: XChaCha20-Poly1305), six zeros, the Sid, the wrapping key's
//! id, a nonce, the wrapped key; zeros to its end. What stands before the nonce is bound to the wrapped
//! key. An empty slot's id is 0.

use reeld_model::RecordingSid;

use super::keyring::{NONCE_BYTES, WRAPPED_BYTES};
use super::{DataKey, KeyId, Keyring, Shut};
use crate::StoreError;
use crate::accounts::fill;

pub(super) const MAGIC: &[u8; 8] = b"reeldENC";
const VERSION: u8 = 1;
const XCHACHA20_POLY1305: u8 = 1;

const SLOT_BYTES: usize = 512;
const SID_AT: usize = 16;
const KEY_AT: usize = 32;
const NONCE_AT: usize = 40;
const WRAPPED_AT: usize = NONCE_AT + NONCE_BYTES;

/// Bytes of a file before its first piece.
pub(crate) const ENVELOPE_BYTES: usize = 2 * SLOT_BYTES;

/// The id in an empty slot.
const NONE: KeyId = KeyId([0; 8]);

/// Whether a file that begins so is encrypted: a WAV file begins with `RIFF`.
pub(crate) fn is_encrypted(begins: &[u8]) -> bool {
    begins.starts_with(MAGIC)
}

/// One wrapped key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    key: KeyId,
    nonce: [u8; NONCE_BYTES],
    wrapped: [u8; WRAPPED_BYTES],
}

/// The envelope, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    sid: RecordingSid,
    slots: [Option<Slot>; 2],
}

/// A slot's bytes and where they go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) at: u64,
    pub(crate) bytes: [u8; SLOT_BYTES],
}

/// How a file's data key is brought under another wrapping key: what is written, made durable, and what then.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rewrap {
    pub(crate) first: Option<Write>,
    pub(crate) then: Option<Write>,
}

impl Envelope {
    /// The envelope of a new recording, with its data key under the keyring's current one.
    pub(crate) fn make(
        keys: &Keyring,
        current: KeyId,
        sid: RecordingSid,
        data_key: &DataKey,
    ) -> Result<[u8; ENVELOPE_BYTES], StoreError> {
        let slot = Slot::make(keys, current, sid, data_key)?;
        let mut bytes = [0; ENVELOPE_BYTES];
        bytes[..SLOT_BYTES].copy_from_slice(&slot.bytes(sid));
        bytes[SLOT_BYTES..].copy_from_slice(&empty(sid));
        Ok(bytes)
    }

    /// Reads a file's first [`ENVELOPE_BYTES`] bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Some((first, second)) = bytes
            .get(..ENVELOPE_BYTES)
            .map(|bytes| bytes.split_at(SLOT_BYTES))
        else {
            return Err(format!(
                "an encrypted file is longer than {} bytes",
                bytes.len()
            ));
        };
        let (first, second) = (parse(first), parse(second));
        let sid = match (&first, &second) {
            (Ok((sid, _)), _) | (Err(_), Ok((sid, _))) => *sid,
            (Err(what), Err(_)) => return Err(what.clone()),
        };
        let slot = |parsed: Result<(RecordingSid, Option<Slot>), String>| {
            parsed
                .ok()
                .filter(|(of, _)| *of == sid)
                .and_then(|(_, slot)| slot)
        };
        let slots = [slot(first), slot(second)];
        if slots.iter().all(Option::is_none) {
            return Err("its envelope has no key".to_owned());
        }
        Ok(Self { sid, slots })
    }

    /// The wrapping keys that open it.
    pub(crate) fn keys(&self) -> impl Iterator<Item = KeyId> {
        self.slots.iter().flatten().map(|slot| slot.key)
    }

    /// The data key of recording `sid`.
    ///
    /// # Errors
    /// [`Shut::NoKey`], or [`Shut::Damaged`] where it is another recording's or a key does not open what it wraps.
    pub(crate) fn open(&self, keys: &Keyring, sid: RecordingSid) -> Result<DataKey, Shut> {
        let (data_key, _) = self.unwrap(keys, sid)?;
        Ok(data_key)
    }

    /// The data key, and the slot that it came from.
    fn unwrap(&self, keys: &Keyring, sid: RecordingSid) -> Result<(DataKey, usize), Shut> {
        if self.sid != sid {
            let what = format!("its envelope is that of {}", self.sid);
            return Err(Shut::Damaged(what));
        }
        let mut missing = None;
        let mut wrong = None;
        for (at, slot) in self.slots.iter().enumerate() {
            let Some(slot) = slot else { continue };
            match keys.unwrap(slot.key, &slot.wrapped, slot.nonce, &about(sid, slot.key)) {
                Some(Some(data_key)) => return Ok((data_key, at)),
                Some(None) => wrong = Some(slot.key),
                None => missing = Some(slot.key),
            }
        }
        Err(match (wrong, missing) {
            (Some(key), _) => {
                Shut::Damaged(format!("its data key does not open under the key {key}"))
            }
            (None, Some(key)) => Shut::NoKey(key),
            (None, None) => Shut::Damaged("its envelope has no key".to_owned()),
        })
    }

    /// What brings the envelope of recording `sid` under the key `current`, and no other; nothing where it is there.
    ///
    /// # Errors
    /// As [`Envelope::open`]; [`StoreError`] where the system gives no random bytes.
    pub(crate) fn rewrap(
        &self,
        keys: &Keyring,
        current: KeyId,
        sid: RecordingSid,
    ) -> Result<Result<Rewrap, Shut>, StoreError> {
        let (data_key, at) = match self.unwrap(keys, sid) {
            Ok(unwrapped) => unwrapped,
            Err(shut) => return Ok(Err(shut)),
        };
        let other = 1 - at;
        let erase = |at: usize| Write {
            at: (at * SLOT_BYTES) as u64,
            bytes: empty(self.sid),
        };
        let key_in = |at: usize| self.slots[at].as_ref().map(|slot| slot.key);
        if key_in(at) == Some(current) {
            let then = self.slots[other].is_some().then(|| erase(other));
            return Ok(Ok(Rewrap { first: None, then }));
        }
        let slot = Slot::make(keys, current, self.sid, &data_key)?;
        Ok(Ok(Rewrap {
            first: Some(Write {
                at: (other * SLOT_BYTES) as u64,
                bytes: slot.bytes(self.sid),
            }),
            then: Some(erase(at)),
        }))
    }
}

impl Rewrap {
    pub(crate) const fn is_nothing(&self) -> bool {
        self.first.is_none() && self.then.is_none()
    }
}

impl Slot {
    fn make(
        keys: &Keyring,
        key: KeyId,
        sid: RecordingSid,
        data_key: &DataKey,
    ) -> Result<Self, StoreError> {
        let mut nonce = [0; NONCE_BYTES];
        fill(&mut nonce)?;
        let wrapped = keys.wrap(key, data_key, nonce, &about(sid, key));
        Ok(Self {
            key,
            nonce,
            wrapped: wrapped.expect("the key is the keyring's, and 32 bytes are no limit"),
        })
    }

    fn bytes(&self, sid: RecordingSid) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..NONCE_AT].copy_from_slice(&about(sid, self.key));
        bytes[NONCE_AT..WRAPPED_AT].copy_from_slice(&self.nonce);
        bytes[WRAPPED_AT..WRAPPED_AT + WRAPPED_BYTES].copy_from_slice(&self.wrapped);
        bytes
    }
}

/// What stands before the nonce, and is bound to the wrapped key.
fn about(sid: RecordingSid, key: KeyId) -> [u8; NONCE_AT] {
    let mut bytes = [0; NONCE_AT];
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[MAGIC.len()] = VERSION;
    bytes[MAGIC.len() + 1] = XCHACHA20_POLY1305;
    bytes[SID_AT..KEY_AT].copy_from_slice(sid.as_bytes());
    bytes[KEY_AT..].copy_from_slice(&key.0);
    bytes
}

fn empty(sid: RecordingSid) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..NONCE_AT].copy_from_slice(&about(sid, NONE));
    bytes
}

/// A slot and whose it says that it is; the inner `None` is an empty one.
fn parse(bytes: &[u8]) -> Result<(RecordingSid, Option<Slot>), String> {
    let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
    if !is_encrypted(bytes) {
        return Err("its envelope is none".to_owned());
    }
    let kind = part(MAGIC.len(), SID_AT);
    if kind != [VERSION, XCHACHA20_POLY1305, 0, 0, 0, 0, 0, 0] {
        return Err("its envelope is of another version".to_owned());
    }
    let short = |_| "its envelope is short".to_owned();
    let sid = <[u8; 16]>::try_from(part(SID_AT, KEY_AT)).map_err(short)?;
    let key = KeyId(part(KEY_AT, NONCE_AT).try_into().map_err(short)?);
    let nonce = part(NONCE_AT, WRAPPED_AT).try_into().map_err(short)?;
    let end = WRAPPED_AT + WRAPPED_BYTES;
    let wrapped = part(WRAPPED_AT, end).try_into().map_err(short)?;
    if part(end, SLOT_BYTES).iter().any(|byte| *byte != 0) {
        return Err("its envelope has something behind its key".to_owned());
    }
    let slot = (key != NONE).then_some(Slot {
        key,
        nonce,
        wrapped,
    });
    Ok((RecordingSid::from_bytes(sid), slot))
}
