//! The wrapping keys, and the data keys that they wrap.
//!
//! Called by `store` at the open and by `envelope`. Keys come from files and systemd credentials; a key is in
//! no log and no `Debug`, a key's [`KeyId`] may be in any: it is 8 bytes of a hash of the key.
//!
//! A data key is 32 bytes of the system's CSPRNG, one a recording, wrapped by XChaCha20-Poly1305 with what the
//! envelope says (Sid and all) as associated data: wrapped for one recording it opens no other.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret as _, SecretBox};

use crate::StoreError;
use crate::accounts::fill;

pub(crate) const KEY_BYTES: usize = 32;
pub(super) const NONCE_BYTES: usize = 24;
pub(super) const TAG_BYTES: usize = 16;

/// Bytes of a wrapped data key.
pub(super) const WRAPPED_BYTES: usize = KEY_BYTES + TAG_BYTES;

/// What is read of a key file: a key is 44 or 64 characters and a line's end.
const MOST_FILE_BYTES: u64 = 256;

/// BLAKE3's context for a key's id.
const ID_CONTEXT: &str = "reeld 2026-11 id of a key that wraps recordings' data keys";

/// Which wrapping key: the first 8 bytes of BLAKE3 of it, in derive-key mode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(super) [u8; 8]);

impl KeyId {
    /// The id that [`fmt::Display`] has written.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 8];
        hex::decode_to_slice(text, &mut id).ok()?;
        Some(Self(id))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Where a wrapping key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a file.
    File(PathBuf),
    /// In a systemd credential of this name, below `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// Which keys a store has; none of them: what is recorded lies there in clear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encryption {
    /// Wraps what is recorded from now on.
    pub key: Option<KeyPlace>,
    /// Open what was recorded before.
    pub old: Vec<KeyPlace>,
}

/// The keys, read.
pub(crate) struct Keyring {
    /// The current one first, where there is one.
    keys: Vec<WrappingKey>,
    has_current: bool,
}

struct WrappingKey {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

/// A recording's own key.
pub(crate) struct DataKey(SecretBox<[u8; KEY_BYTES]>);

impl Keyring {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`StoreError::Key`], with the file and what is wrong with it.
    pub(crate) fn read(encryption: &Encryption) -> Result<Self, StoreError> {
        let places = encryption.key.iter().chain(&encryption.old);
        let keys = places.map(read).collect::<Result<_, _>>()?;
        Ok(Self {
            keys,
            has_current: encryption.key.is_some(),
        })
    }

    /// A keyring of these keys, the first of them current.
    pub(crate) fn of_bytes(keys: &[[u8; KEY_BYTES]]) -> Self {
        Self {
            keys: keys.iter().map(WrappingKey::new).collect(),
            has_current: true,
        }
    }

    /// The key that wraps what is recorded now.
    pub(crate) fn current(&self) -> Option<KeyId> {
        let first = self.keys.first().filter(|_| self.has_current);
        first.map(|key| key.id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn has(&self, id: KeyId) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    fn get(&self, id: KeyId) -> Option<&WrappingKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// Wraps a data key under the key `id`; `about` is bound to it.
    pub(super) fn wrap(
        &self,
        id: KeyId,
        data_key: &DataKey,
        nonce: [u8; NONCE_BYTES],
        about: &[u8],
    ) -> Option<[u8; WRAPPED_BYTES]> {
        let payload = Payload {
            msg: data_key.0.expose_secret(),
            aad: about,
        };
        let wrapped = self.get(id)?.cipher.encrypt(&XNonce::from(nonce), payload);
        wrapped.ok()?.try_into().ok()
    }

    /// The data key of which `wrapped` was made: the outer `None` where the key `id` is not here, the inner where
    /// it does not open it.
    pub(super) fn unwrap(
        &self,
        id: KeyId,
        wrapped: &[u8; WRAPPED_BYTES],
        nonce: [u8; NONCE_BYTES],
        about: &[u8],
    ) -> Option<Option<DataKey>> {
        let payload = Payload {
            msg: wrapped,
            aad: about,
        };
        let opened = self.get(id)?.cipher.decrypt(&XNonce::from(nonce), payload);
        Some(opened.ok().and_then(|mut bytes| {
            let key = bytes.first_chunk().copied();
            bytes.zeroize();
            key.map(|key| DataKey(SecretBox::new(Box::new(key))))
        }))
    }
}

impl WrappingKey {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut id = blake3::derive_key(ID_CONTEXT, bytes);
        let short = id.first_chunk().copied().unwrap_or_default();
        id.zeroize();
        Self {
            id: KeyId(short),
            cipher: XChaCha20Poly1305::new(bytes.into()),
        }
    }
}

impl DataKey {
    /// A new one.
    pub(crate) fn random() -> Result<Self, StoreError> {
        let mut bytes = Box::new([0; KEY_BYTES]);
        fill(&mut *bytes)?;
        Ok(Self(SecretBox::new(bytes)))
    }

    pub(super) fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.0.expose_secret().into())
    }
}

/// Reads the key at a place.
fn read(place: &KeyPlace) -> Result<WrappingKey, StoreError> {
    match place {
        KeyPlace::File(path) => read_file(path),
        KeyPlace::Credential(name) => match env::var_os("CREDENTIALS_DIRECTORY") {
            Some(folder) => read_file(&PathBuf::from(folder).join(name)),
            None => Err(StoreError::Key {
                path: PathBuf::from(format!("credential:{name}")),
                reason: "CREDENTIALS_DIRECTORY is not set: only a systemd unit with LoadCredential has credentials"
                    .to_owned(),
            }),
        },
    }
}

fn read_file(path: &Path) -> Result<WrappingKey, StoreError> {
    let wrong = |reason: String| StoreError::Key {
        path: path.to_owned(),
        reason,
    };
    let unreadable = |e: std::io::Error| wrong(format!("the encryption key cannot be read: {e}"));
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(wrong("the encryption key is no file".to_owned()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    // The group's bits are the mask of what systemd gives a service with an ACL.
    if mode & 0o027 != 0 {
        return Err(wrong(format!(
            "others than its owner can read or change the encryption key (mode {mode:04o}): chmod 600 it"
        )));
    }
    let mut text = Vec::new();
    let read = file.take(MOST_FILE_BYTES).read_to_end(&mut text);
    let key = read.map_err(unreadable).and_then(|_| {
        let key = decode(&text).map_err(wrong)?;
        Ok(WrappingKey::new(key.expose_secret()))
    });
    text.zeroize();
    key
}

/// 32 bytes as 64 hexadecimal digits or as base64, alone on a line.
fn decode(text: &[u8]) -> Result<SecretBox<[u8; KEY_BYTES]>, String> {
    const WANTED: &str = "expected 32 bytes as 64 hexadecimal digits or 44 characters of base64 (openssl rand -base64 32)";
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(format!("the encryption key is empty: {WANTED}"));
    }
    let decoded = if text.len() == 2 * KEY_BYTES {
        hex::decode(text).map_err(|_| ())
    } else {
        STANDARD.decode(text).map_err(|_| ())
    };
    let Ok(mut bytes) = decoded else {
        return Err(format!(
            "the encryption key's {} characters are neither hexadecimal nor base64: {WANTED}",
            text.len()
        ));
    };
    let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice());
    let length = bytes.len();
    bytes.zeroize();
    let key = key.map_err(|_| format!("the encryption key has {length} bytes: {WANTED}"))?;
    if key.iter().all(|byte| *byte == key[0]) {
        return Err("the encryption key is one byte over and over, which is none".to_owned());
    }
    Ok(SecretBox::new(Box::new(key)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn put(path: &Path, text: &str, mode: u32) {
        // A mode that keeps its owner out is for reading alone.
        let _ = fs::remove_file(path);
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn refusal(path: &Path) -> String {
        match read_file(path) {
            Ok(key) => panic!("{} was taken", key.id),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_key_is_hexadecimal_or_base64_and_its_id_tells_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let bytes: [u8; KEY_BYTES] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        put(&path, &format!("{}\n", hex::encode(bytes)), 0o600);
        let one = read_file(&path).unwrap().id;
        put(&path, &STANDARD.encode(bytes), 0o400);
        assert_eq!(read_file(&path).unwrap().id, one);
        assert_eq!(KeyId::parse(&one.to_string()), Some(one));
        assert!(!bytes.windows(8).any(|eight| eight == one.0));
        put(&path, &hex::encode([&bytes[1..], &[99]].concat()), 0o440);
        assert_ne!(read_file(&path).unwrap().id, one);
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for (text, mode, said) in [
            ("", 0o600, "is empty"),
            ("\n", 0o600, "is empty"),
            (&"zz".repeat(32), 0o600, "64 characters are neither"),
            ("AAECAwQ=", 0o600, "has 5 bytes"),
            (&"01".repeat(33), 0o600, "66 characters are neither"),
            (&"01".repeat(32), 0o600, "one byte over and over"),
            (&hex::encode([1; 16]), 0o600, "has 24 bytes"),
            (&"0f1e".repeat(16), 0o604, "(mode 0604)"),
            (&"0f1e".repeat(16), 0o620, "(mode 0620)"),
        ] {
            put(&path, text, mode);
            let refused = refusal(&path);
            assert!(refused.contains(said), "{refused}");
            assert!(refused.contains(path.to_str().unwrap()), "{refused}");
            assert!(!refused.contains("0f1e"), "{refused}");
        }
        assert!(refusal(dir.path()).contains("no file"));
        assert!(refusal(&dir.path().join("none")).contains("No such file"));
        let credential = KeyPlace::Credential("encryption-key".to_owned());
        if env::var_os("CREDENTIALS_DIRECTORY").is_none() {
            let error = read(&credential).err().unwrap().to_string();
            assert!(error.starts_with("credential:encryption-key: "), "{error}");
        }
    }
}
