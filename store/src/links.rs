//! Signed links: whoever has one may read one recording until it expires, without credentials.
//!
//! Called by `api` (it makes and checks them) and the daemon (`reeld link`). What a link looks like
//! in a URL does not belong here.
//!
//! A signature is the first 16 bytes of keyed BLAKE3, which is a MAC, over what the link opens and
//! until when: no version of the API and no file's extension, so that one link serves each way to
//! write it. The key is derived from the machine's key and the account's token, under a context
//! of its own: who knows the token alone can sign nothing, and `rotate_account` ends every link.

use reeld_model::{AccountSid, RecordingSid};
use secrecy::ExposeSecret as _;
use subtle::ConstantTimeEq as _;

use crate::Store;

/// Tells this use of the machine's key from every other (BLAKE3's `derive_key`).
const CONTEXT: &str = "reeld 2026-11-26 signed links v1";

const SIGNATURE_BYTES: usize = 16;

/// What of a recording a link opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Its sound in every format, and the peaks to draw it by.
    Sound,
    /// What is known of it: its metadata in every face.
    Metadata,
}

/// A link, but for its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whose recording.
    pub account: AccountSid,
    /// Which.
    pub sid: RecordingSid,
    /// What of it.
    pub reach: Reach,
    /// Until when, seconds since the Unix epoch.
    pub expires_s: u64,
}

impl Link {
    /// What is signed: fields of fixed size, so that no two links have the same bytes.
    fn bytes(&self) -> Vec<u8> {
        let reach: u8 = match self.reach {
            Reach::Sound => 1,
            Reach::Metadata => 2,
        };
        let mut bytes = vec![reach];
        bytes.extend(self.account.as_bytes());
        bytes.extend(self.sid.as_bytes());
        bytes.extend(self.expires_s.to_be_bytes());
        bytes
    }
}

impl Store {
    /// The link's signature, 32 hexadecimal digits; `None` where there is no such account. Whether
    /// there is such a recording is not looked at.
    #[must_use]
    pub fn sign_link(&self, link: &Link) -> Option<String> {
        self.signature(link).map(hex::encode)
    }

    /// Whether `signature` is the link's, in a time that says nothing of the right one. Whether it
    /// has expired is not looked at.
    #[must_use]
    pub fn check_link(&self, link: &Link, signature: &str) -> bool {
        let mut given = [0; SIGNATURE_BYTES];
        let is_signature = hex::decode_to_slice(signature, &mut given).is_ok();
        let wanted = self.signature(link);
        let is_same = given.ct_eq(&wanted.unwrap_or_default());
        bool::from(is_same) && is_signature && wanted.is_some()
    }

    fn signature(&self, link: &Link) -> Option<[u8; SIGNATURE_BYTES]> {
        let token = self.auth_token(link.account)?;
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(self.inner.accounts.machine_key());
        hasher.update(token.expose_secret().as_bytes());
        let key = hasher.finalize();
        let mac = blake3::keyed_hash(key.as_bytes(), &link.bytes());
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(&mac.as_bytes()[..SIGNATURE_BYTES]);
        Some(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MediaKind;
    use crate::harness::{account, open, sid};

    #[test]
    fn a_signature_is_of_one_link_and_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), MediaKind::Local);
        for n in [1, 2] {
            store.add_account(Some(account(n)), "").unwrap();
        }
        let link = Link {
            account: account(1),
            sid: sid(1),
            reach: Reach::Sound,
            expires_s: 1_000,
        };
        let signature = store.sign_link(&link).unwrap();
        assert_eq!(signature.len(), 32);
        drop(store);
        let store = open(dir.path(), MediaKind::Local);
        assert!(store.check_link(&link, &signature));
        assert!(store.check_link(&link, &signature.to_uppercase()));
        let others = [
            Link {
                account: account(2),
                ..link
            },
            Link {
                sid: sid(2),
                ..link
            },
            Link {
                reach: Reach::Metadata,
                ..link
            },
            Link {
                expires_s: 1_001,
                ..link
            },
            Link {
                account: account(3),
                ..link
            },
        ];
        for other in others {
            assert!(!store.check_link(&other, &signature), "{other:?}");
        }
        // Each digit counts, and nothing that is none is taken.
        for place in 0..32 {
            let mut wrong = signature.clone().into_bytes();
            wrong[place] = if wrong[place] == b'0' { b'1' } else { b'0' };
            assert!(!store.check_link(&link, std::str::from_utf8(&wrong).unwrap()));
        }
        for wrong in ["", "00", &signature[..31], &format!("{signature}0"), "zz"] {
            assert!(!store.check_link(&link, wrong), "{wrong}");
        }
        assert_eq!(store.sign_link(&others[4]), None);
        assert!(!store.check_link(&others[4], &"0".repeat(32)));
    }

    #[test]
    fn a_new_token_ends_the_links_of_its_account_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), MediaKind::Local);
        let links = [1, 2].map(|n| {
            store.add_account(Some(account(n)), "").unwrap();
            let link = Link {
                account: account(n),
                sid: sid(1),
                reach: Reach::Sound,
                expires_s: 1_000,
            };
            (link, store.sign_link(&link).unwrap())
        });
        store.rotate_account(account(1)).unwrap();
        assert!(!store.check_link(&links[0].0, &links[0].1));
        assert!(store.check_link(&links[1].0, &links[1].1));
        store.remove_account(account(2)).unwrap();
        assert!(!store.check_link(&links[1].0, &links[1].1));
    }

    #[test]
    fn another_machine_signs_otherwise() {
        let link = Link {
            account: account(1),
            sid: sid(1),
            reach: Reach::Sound,
            expires_s: 1_000,
        };
        let signatures = [(); 2].map(|()| {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path(), MediaKind::Local);
            let token = "the same".to_owned().into();
            store.put_account(account(1), "", token).unwrap();
            store.sign_link(&link).unwrap()
        });
        assert_ne!(signatures[0], signatures[1]);
    }
}
