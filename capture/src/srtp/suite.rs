//! Crypto suites: what they are called in SDP, and the lengths that follow from them.
//!
//! Called by [`super`] and its parts; calls nobody. RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.2.

use serde::{Deserialize, Serialize};

/// A crypto suite that is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Suite {
    AesCm128Sha1Tag80,
    AesCm128Sha1Tag32,
    AesCm256Sha1Tag80,
    AesCm256Sha1Tag32,
    AeadAes128Gcm,
    AeadAes256Gcm,
}

impl Suite {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 6] = [
        Self::AesCm128Sha1Tag80,
        Self::AesCm128Sha1Tag32,
        Self::AesCm256Sha1Tag80,
        Self::AesCm256Sha1Tag32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// By its name in SDP; names have no case here (RFC 4568 §9.2 is silent, and ABNF's strings have none).
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "AES_CM_128_HMAC_SHA1_80" => Self::AesCm128Sha1Tag80,
            "AES_CM_128_HMAC_SHA1_32" => Self::AesCm128Sha1Tag32,
            // The second is what drafts of RFC 6188 called it, and some still do.
            "AES_256_CM_HMAC_SHA1_80" | "AES_CM_256_HMAC_SHA1_80" => Self::AesCm256Sha1Tag80,
            "AES_256_CM_HMAC_SHA1_32" | "AES_CM_256_HMAC_SHA1_32" => Self::AesCm256Sha1Tag32,
            "AEAD_AES_128_GCM" => Self::AeadAes128Gcm,
            "AEAD_AES_256_GCM" => Self::AeadAes256Gcm,
            _ => return None,
        })
    }

    /// Its name as it is registered.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AesCm128Sha1Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128Sha1Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256Sha1Tag80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256Sha1Tag32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Bytes of its master key.
    pub(crate) const fn key_bytes(self) -> usize {
        match self {
            Self::AesCm128Sha1Tag80 | Self::AesCm128Sha1Tag32 | Self::AeadAes128Gcm => 16,
            Self::AesCm256Sha1Tag80 | Self::AesCm256Sha1Tag32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of its master salt.
    pub(crate) const fn salt_bytes(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::AesCm128Sha1Tag80
            | Self::AesCm128Sha1Tag32
            | Self::AesCm256Sha1Tag80
            | Self::AesCm256Sha1Tag32 => 14,
        }
    }

    /// Bytes of key and salt, as they stand in `inline:`.
    pub(crate) const fn inline_bytes(self) -> usize {
        self.key_bytes() + self.salt_bytes()
    }

    /// Bytes of the tag of an RTP packet.
    pub(super) const fn rtp_tag_bytes(self) -> usize {
        match self {
            Self::AesCm128Sha1Tag80 | Self::AesCm256Sha1Tag80 => 10,
            Self::AesCm128Sha1Tag32 | Self::AesCm256Sha1Tag32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Bytes of the tag of an RTCP packet: never a short one (RFC 4568 §6.2.2).
    pub(super) const fn rtcp_tag_bytes(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::AesCm128Sha1Tag80
            | Self::AesCm128Sha1Tag32
            | Self::AesCm256Sha1Tag80
            | Self::AesCm256Sha1Tag32 => 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_suites() {
        for suite in Suite::ALL {
            assert_eq!(Suite::by_name(suite.name()), Some(suite));
            assert_eq!(
                Suite::by_name(&suite.name().to_ascii_lowercase()),
                Some(suite)
            );
        }
        assert_eq!(
            Suite::by_name("AES_CM_256_HMAC_SHA1_80"),
            Some(Suite::AesCm256Sha1Tag80)
        );
        assert_eq!(Suite::by_name("F8_128_HMAC_SHA1_80"), None);
        assert_eq!(Suite::by_name(""), None);
    }
}
