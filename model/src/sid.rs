//! Sids: Twilio's 34-character names, parsed once at the edge into types.
//!
//! A Sid is two letters and 32 hexadecimal digits (twilio.md §2.1, `^[0-9a-fA-F]{32}$`). It is kept
//! as 16 bytes, so that upper and lower case name the same thing and no path or key is ever built
//! from a caller's text. The canonical spelling is lower case.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a Sid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a Sid: it must be {prefix} and 32 hexadecimal digits")]
pub struct SidError {
    /// The two letters that the Sid must begin with.
    pub prefix: &'static str,
    /// What was given, cut to 64 characters.
    pub text: String,
}

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The two letters in front of the digits.
            pub const PREFIX: &'static str = $prefix;

            /// The Sid with these 16 bytes as its digits.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes that the digits spell.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = SidError;

            fn from_str(text: &str) -> Result<Self, SidError> {
                let mut bytes = [0; 16];
                text.strip_prefix($prefix)
                    .and_then(|digits| hex::decode_to_slice(digits, &mut bytes).ok())
                    .map(|()| Self(bytes))
                    .ok_or_else(|| SidError {
                        prefix: $prefix,
                        text: text.chars().take(64).collect(),
                    })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            /// Text where a person reads it, 16 bytes where a machine does.
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?
                        .parse()
                        .map_err(serde::de::Error::custom)
                } else {
                    <[u8; 16]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

sid! {
    /// An account, `AC` and 32 digits: whom recordings belong to.
    AccountSid, "AC"
}
sid! {
    /// A call, `CA` and 32 digits: Twilio's CallSid.
    CallSid, "CA"
}
sid! {
    /// A recording, `RE` and 32 digits. It is the only key to a public media URL, so it is made
    /// from 16 bytes of the system's CSPRNG.
    RecordingSid, "RE"
}

sid! {
    /// An API key, `SK` and 32 digits: another name that an account's client may have.
    KeySid, "SK"
}

impl CallSid {
    /// The CallSid of a call that another system names: `CA` and the first 32 digits of
    /// BLAKE3("reeld-call\0" + account + "\0" + id), as contract.md, "Calls", has it.
    #[must_use]
    pub fn from_external(account: AccountSid, external_id: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"reeld-call\0");
        hasher.update(account.to_string().as_bytes());
        hasher.update(b"\0");
        hasher.update(external_id.as_bytes());
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_of_digits_does_not_matter_but_prefix_does() {
        let lower: RecordingSid = "RE41331862605f3d662488fdafda2e175f".parse().unwrap();
        let upper: RecordingSid = "RE41331862605F3D662488FDAFDA2E175F".parse().unwrap();
        assert_eq!(lower, upper);
        assert_eq!(upper.to_string(), "RE41331862605f3d662488fdafda2e175f");
        assert!(
            "re41331862605f3d662488fdafda2e175f"
                .parse::<RecordingSid>()
                .is_err()
        );
        assert!(
            "RE41331862605f3d662488fdafda2e175"
                .parse::<RecordingSid>()
                .is_err()
        );
        assert!("../../etc/passwd".parse::<RecordingSid>().is_err());
    }

    #[test]
    fn a_foreign_id_names_a_call_of_its_account() {
        let one: AccountSid = "AC00000000000000000000000000000001".parse().unwrap();
        let two: AccountSid = "AC00000000000000000000000000000002".parse().unwrap();
        assert_eq!(
            CallSid::from_external(one, "x"),
            CallSid::from_external(one, "x")
        );
        assert_ne!(
            CallSid::from_external(one, "x"),
            CallSid::from_external(two, "x")
        );
        let hash = blake3::hash(b"reeld-call\0AC00000000000000000000000000000001\0x").to_hex();
        assert_eq!(
            CallSid::from_external(one, "x").to_string(),
            format!("CA{}", &hash[..32])
        );
    }

    proptest! {
        #[test]
        fn what_is_shown_is_parsed(bytes: [u8; 16]) {
            let sid = CallSid::from_bytes(bytes);
            prop_assert_eq!(sid.to_string().parse::<CallSid>().unwrap(), sid);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<AccountSid>();
        }
    }
}
