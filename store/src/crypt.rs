//! Encryption at rest: what lies in a file is the recording's for who has the key, and noise for others.
//!
//! Called by takes, media, recovery and rewrapping. `keyring` has the wrapping keys, `envelope` is a file's
//! head with its data key, wrapped; `piece` one stretch of sound under it, `grow` a take that is appended to, `open`
//! a file that is read; `scratch` is for files that need not outlive the process. How they are used
//! belongs to the callers; what is in clear beside them is `docs/guide/encryption.md`'s.
//!
//! A file is its envelope, then pieces, each with a nonce of its own from the system's CSPRNG: nothing
//! that was written is ever written over but a wrapped key, so that no nonce meets two plaintexts,
//! whatever crash and second try comes between (`docs/design/decisions/0023-recordings-at-rest-are-pieces.md`).

mod envelope;
mod grow;
mod keyring;
mod open;
mod piece;
mod scratch;

#[cfg(test)]
mod tests;

use std::io;

use reeld_model::RecordingSid;

use crate::StoreError;

pub(crate) use envelope::{ENVELOPE_BYTES, Envelope, Rewrap, is_encrypted};
pub(crate) use grow::Growing;
pub(crate) use keyring::{DataKey, Keyring};
pub use keyring::{Encryption, KeyId, KeyPlace};
pub(crate) use open::{Opened, RawBytes};
pub use scratch::{Scratch, ScratchKey};

/// Why an encrypted file does not open.
#[derive(Debug)]
pub(crate) enum Shut {
    /// It cannot be read.
    Io(io::Error),
    /// It is not as it was written.
    Damaged(String),
    /// No key at hand opens it.
    NoKey(KeyId),
}

impl Shut {
    /// The store's error of it; `what` was being done to the recording.
    pub(crate) fn of(self, sid: RecordingSid, what: &str) -> StoreError {
        match self {
            Self::Io(source) => StoreError::Io {
                what: format!("{what} {sid}"),
                source,
            },
            Self::Damaged(what) => StoreError::Damaged { sid, what },
            Self::NoKey(key) => StoreError::KeyMissing { sid, key },
        }
    }
}

impl From<io::Error> for Shut {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// For `fuzz/`: any bytes as an encrypted file.
pub(crate) fn fuzz(bytes: &[u8]) {
    let keys = Keyring::of_bytes(&[[7; keyring::KEY_BYTES]]);
    let sid = RecordingSid::from_bytes([1; 16]);
    if let Ok(envelope) = Envelope::parse(bytes) {
        // Whose key it names is not known, unless it is by chance of 2^-64.
        let _ = envelope.open(&keys, sid);
        if let Some(current) = keys.current() {
            let _ = envelope.rewrap(&keys, current, sid);
        }
    }
    let _ = Opened::open(bytes.to_vec(), bytes.len() as u64, &keys, sid).map(drop);
    open::fuzz(bytes);
    piece::fuzz(bytes);
}
