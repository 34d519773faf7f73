//! Signed links: whoever has one may read one recording until it expires, without credentials.
//!
//! Called by `api` (it makes and checks them), `callbacks` and the daemon (`reeld link`). The URLs in
//! front of a link's query do not belong here.
//!
//! A signature is the first 16 bytes of keyed BLAKE3, which is a MAC, over what the link opens and
//! until when: no version of the API and no file's extension, so that one link serves each way to
//! write it. The key is derived from the machine's key and the account's token, under a context
//! of its own: who knows the token alone can sign nothing, and `rotate_account` ends every link.

use std::time::Duration;

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
    /// To a recording's sound, for at least `lifetime` from `now_ms` on. Its end is rounded up by an
    /// eighth at most, so that the same link is given for a while and what caches hold stays good.
    #[must_use]
    pub fn to_sound(
        account: AccountSid,
        sid: RecordingSid,
        now_ms: i64,
        lifetime: Duration,
    ) -> Self {
        let now_s = u64::try_from(now_ms.div_euclid(1_000)).unwrap_or(0);
        let lifetime_s = lifetime.as_secs();
        let end_s = now_s.saturating_add(lifetime_s).saturating_add(1);
        let step_s = (lifetime_s / 8).max(1);
        Self {
            account,
            sid,
            reach: Reach::Sound,
            expires_s: end_s.checked_next_multiple_of(step_s).unwrap_or(end_s),
        }
    }

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

    /// The query of a URL that is the link; `None` where there is no such account.
    #[must_use]
    pub fn signed_query(&self, link: &Link) -> Option<String> {
        let signature = self.sign_link(link)?;
        Some(format!("expires={}&signature={signature}", link.expires_s))
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
    fn a_link_lasts_as_long_as_it_should_and_is_the_same_for_a_while() {
        let hour = Duration::from_secs(3_600);
        let end = |now_ms, lifetime| Link::to_sound(account(1), sid(1), now_ms, lifetime).expires_s;
        let mut ends = Vec::new();
        for now_s in 1_000_000..1_003_600 {
            let end = end(now_s * 1_000 + 999, hour);
            let lasts = end - u64::try_from(now_s).unwrap();
            assert!((3_601..=3_601 + 450).contains(&lasts), "{lasts}");
            ends.push(end);
        }
        ends.dedup();
        assert!(ends.len() <= 9, "{} links in an hour", ends.len());
        assert_eq!(end(999, Duration::from_secs(1)), 2);
        assert_eq!(end(0, Duration::MAX), u64::MAX);
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
