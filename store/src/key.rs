//! The machine's key, under which tokens are sealed.
//!
//! Called by `accounts`. The key is 32 bytes: those of the systemd credential `reeld.key`
//! (`$CREDENTIALS_DIRECTORY/reeld.key`) where there is one, else of `<data_dir>/key`, 0600, which
//! is made when there is neither key nor account. It is in no log and no `Debug`.

use std::env;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretBox};

use crate::accounts::fill;
use crate::{StoreError, folder};

const KEY_BYTES: usize = 32;

pub(crate) struct MachineKey {
    bytes: SecretBox<[u8; KEY_BYTES]>,
    path: PathBuf,
}

impl MachineKey {
    /// Reads the key; makes one where there is none and `may_make`.
    pub(crate) fn open(data_dir: &Path, may_make: bool) -> Result<Self, StoreError> {
        let credential =
            env::var_os("CREDENTIALS_DIRECTORY").map(|dir| PathBuf::from(dir).join("reeld.key"));
        Self::of(credential, data_dir, may_make)
    }

    fn of(
        credential: Option<PathBuf>,
        data_dir: &Path,
        may_make: bool,
    ) -> Result<Self, StoreError> {
        if let Some(path) = credential
            && let Some(bytes) = folder::read(&path)?
        {
            return Self::new(bytes, path);
        }
        let path = data_dir.join("key");
        if let Some(bytes) = folder::read(&path)? {
            return Self::new(bytes, path);
        }
        if !may_make {
            let reason = "it is missing, and the accounts' tokens are sealed under it".to_owned();
            return Err(StoreError::Key { path, reason });
        }
        let mut bytes = vec![0; KEY_BYTES];
        fill(&mut bytes)?;
        folder::write_whole(&path, &bytes)?;
        folder::sync_folder(data_dir)?;
        Self::new(bytes, path)
    }

    fn new(bytes: Vec<u8>, path: PathBuf) -> Result<Self, StoreError> {
        match <[u8; KEY_BYTES]>::try_from(bytes) {
            Ok(bytes) => Ok(Self {
                bytes: SecretBox::new(Box::new(bytes)),
                path,
            }),
            Err(bytes) => {
                let reason = format!("{KEY_BYTES} bytes make a key; it has {}", bytes.len());
                Err(StoreError::Key { path, reason })
            }
        }
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        self.bytes.expose_secret()
    }

    /// What is wrong with this key.
    pub(crate) fn error(&self, reason: String) -> StoreError {
        StoreError::Key {
            path: self.path.clone(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_private_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            MachineKey::of(None, dir.path(), false),
            Err(StoreError::Key { .. })
        ));
        let made = *MachineKey::of(None, dir.path(), true).unwrap().bytes();
        assert_ne!(made, [0; KEY_BYTES]);
        let mode = fs::metadata(dir.path().join("key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            *MachineKey::of(None, dir.path(), false).unwrap().bytes(),
            made
        );
    }

    #[test]
    fn a_credential_goes_before_the_file_and_another_length_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let credential = dir.path().join("reeld.key");
        let of = || MachineKey::of(Some(credential.clone()), dir.path(), true);
        let made = *of().unwrap().bytes();
        fs::write(&credential, [9; KEY_BYTES]).unwrap();
        assert_eq!(*of().unwrap().bytes(), [9; KEY_BYTES]);
        fs::write(&credential, [9; KEY_BYTES + 1]).unwrap();
        assert!(matches!(of(), Err(StoreError::Key { .. })));
        fs::remove_file(&credential).unwrap();
        assert_eq!(*of().unwrap().bytes(), made);
    }
}
