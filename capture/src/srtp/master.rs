//! A master key with its salt: what SDP carries, and nobody is to see again.
//!
//! Called by [`super`] and its parts; calls secrecy. Its Debug has no byte of it, and its memory is
//! overwritten when it goes. It is written where a call is kept for the next process and in the answer that
//! offers a key of ours, and nowhere else.

use secrecy::{ExposeSecret as _, SecretSlice};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq as _;

use super::suite::Suite;

/// Key and salt of a suite, and the MKI that packets name it by.
#[derive(Debug, Clone)]
pub(crate) struct Master {
    pub(crate) suite: Suite,
    /// [`Suite::inline_bytes`] of them: the key, then the salt.
    bytes: SecretSlice<u8>,
    /// The master key identifier that each packet carries before its tag; empty where none does.
    pub(crate) mki: Vec<u8>,
}

impl Master {
    /// `None` where there are not as many bytes as the suite has.
    pub(crate) fn new(suite: Suite, bytes: Vec<u8>, mki: Vec<u8>) -> Option<Self> {
        (bytes.len() == suite.inline_bytes()).then(|| Self {
            suite,
            bytes: bytes.into(),
            mki,
        })
    }

    /// Key and salt.
    pub(super) fn expose(&self) -> (&[u8], &[u8]) {
        self.bytes.expose_secret().split_at(self.suite.key_bytes())
    }

    /// Key and salt as `inline:` has them.
    pub(super) fn expose_inline(&self) -> &[u8] {
        self.bytes.expose_secret()
    }

    /// Whether it is `other`, which takes as long wherever they differ.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.suite == other.suite
            && self.mki == other.mki
            && bool::from(self.expose_inline().ct_eq(other.expose_inline()))
    }
}

impl PartialEq for Master {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}

impl Eq for Master {}

#[derive(Serialize, Deserialize)]
struct Kept {
    suite: Suite,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    #[serde(with = "serde_bytes", default)]
    mki: Vec<u8>,
}

impl Serialize for Master {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kept = Kept {
            suite: self.suite,
            bytes: self.expose_inline().to_vec(),
            mki: self.mki.clone(),
        };
        kept.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Master {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Kept { suite, bytes, mki } = Kept::deserialize(deserializer)?;
        Self::new(suite, bytes, mki)
            .ok_or_else(|| serde::de::Error::custom("an SRTP key of a wrong length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_and_never_shown() {
        let suite = Suite::AeadAes128Gcm;
        let master = Master::new(suite, vec![0xA7; 28], vec![1]).unwrap();
        let shown = format!("{master:?}");
        assert!(!shown.contains("167") && !shown.contains("A7"), "{shown}");
        let kept = rmp_serde::to_vec_named(&master).unwrap();
        assert_eq!(rmp_serde::from_slice::<Master>(&kept).unwrap(), master);
        assert_ne!(master, Master::new(suite, vec![0xA6; 28], vec![1]).unwrap());
        assert_eq!(Master::new(suite, vec![1; 30], Vec::new()), None);
    }
}
