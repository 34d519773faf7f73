//! `a=crypto`: keys in SDP, read and written (RFC 4568).
//!
//! Called by [`crate::sdp`]; calls base64. What cannot be used is refused by its name; no error has a byte of a
//! key in it.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose};

use super::master::Master;
use super::suite::Suite;

/// With or without its padding, which RFC 4568 §6.1 has and some senders leave out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `a=crypto` lines of a media line that are looked at.
const MOST_LINES: usize = 32;
/// The longest MKI (RFC 4568 §9.2: 1 to 128 bytes).
const MOST_MKI: usize = 128;

/// What one `a=crypto` offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crypto {
    /// Its number, by which the answer names it.
    pub(crate) tag: u32,
    pub(crate) master: Master,
}

impl Crypto {
    /// The first of a line's attributes that can be used: they are in the order of the offerer's preference
    /// (RFC 4568 §5.1.2). The error says of each what is wrong with it.
    pub(crate) fn choose<'a>(values: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut faults = Vec::new();
        for value in values.take(MOST_LINES) {
            match Self::read(value) {
                Ok(crypto) => return Ok(crypto),
                Err(fault) => faults.push(fault),
            }
        }
        Err(faults.join("; "))
    }

    /// Reads an attribute's value: `tag suite inline:key||salt[|lifetime][|mki:length] [parameters]`.
    fn read(value: &str) -> Result<Self, String> {
        let mut words = value.split_ascii_whitespace();
        let (Some(tag), Some(name), Some(keys)) = (words.next(), words.next(), words.next()) else {
            return Err("an a=crypto is not whole".to_owned());
        };
        // RFC 4568 §9.1: 1 to 9 digits.
        let is_number = tag.len() <= 9 && tag.bytes().all(|byte| byte.is_ascii_digit());
        let tag = tag.parse().ok().filter(|_| is_number);
        let tag: u32 = tag.ok_or("an a=crypto has no number for a tag")?;
        // A name is echoed; it is the sender's, so it is bounded.
        let shown: String = name.chars().take(40).collect();
        let fault = |what: &str| format!("{tag} {shown}: {what}");
        let suite = Suite::by_name(name).ok_or_else(|| fault("this suite is not built"))?;
        let master = read_key(suite, keys).map_err(|what| fault(&what))?;
        for parameter in words {
            check_parameter(parameter).map_err(|what| fault(&what))?;
        }
        Ok(Self { tag, master })
    }

    /// The value of an answer's attribute, with a key of ours.
    pub(crate) fn value(tag: u32, ours: &Master) -> String {
        let inline = BASE64.encode(ours.expose_inline());
        format!("{tag} {} inline:{inline}", ours.suite.name())
    }
}

fn read_key(suite: Suite, keys: &str) -> Result<Master, String> {
    if keys.contains(';') {
        return Err("several keys in one a=crypto are not built".to_owned());
    }
    let method = keys.get(..7);
    if !method.is_some_and(|method| method.eq_ignore_ascii_case("inline:")) {
        return Err("its key method is not inline".to_owned());
    }
    let mut parts = keys[7..].split('|');
    let key = parts.next().unwrap_or_default();
    let wanted = suite.inline_bytes();
    let bytes = BASE64
        .decode(key)
        .map_err(|_| "its key is not base64".to_owned())?;
    let got = bytes.len();
    let mut mki = None;
    for (place, part) in parts.enumerate() {
        match part.split_once(':') {
            Some((value, length)) if mki.is_none() => mki = Some(read_mki(value, length)?),
            // How long a key may be used is its owner's to watch, who knows all that it encrypts.
            None if place == 0 && is_lifetime(part) => {}
            Some(_) | None => {
                return Err("what follows its key is neither lifetime nor MKI".to_owned());
            }
        }
    }
    Master::new(suite, bytes, mki.unwrap_or_default())
        .ok_or_else(|| format!("its key and salt have {got} bytes and not {wanted}"))
}

/// A number, or a power of two as `2^20`.
fn is_lifetime(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(text.strip_prefix("2^").unwrap_or(text))
}

/// The bytes that packets carry: the number, in so many bytes, big-endian.
fn read_mki(value: &str, length: &str) -> Result<Vec<u8>, String> {
    let length = length
        .parse()
        .ok()
        .filter(|length| (1..=MOST_MKI).contains(length));
    let number: Option<u128> = value.parse().ok();
    let (Some(length), Some(number)) = (length, number) else {
        return Err(format!(
            "its MKI is not a number of 1 to {MOST_MKI} bytes that is built"
        ));
    };
    let number = number.to_be_bytes();
    let mut mki = vec![0; length];
    let shared = length.min(number.len());
    mki[length - shared..].copy_from_slice(&number[number.len() - shared..]);
    if number[..number.len() - shared]
        .iter()
        .any(|byte| *byte != 0)
    {
        return Err("its MKI is larger than its length".to_owned());
    }
    Ok(mki)
}

/// Session parameters (RFC 4568 §6.3): one that is not known may be passed over where it begins with `-` alone.
fn check_parameter(parameter: &str) -> Result<(), String> {
    let name = parameter.split('=').next().unwrap_or_default();
    // A hint of how far out of order packets come; the window here is larger than any that is hinted.
    if name.eq_ignore_ascii_case("WSH") || name.starts_with('-') {
        return Ok(());
    }
    let shown: String = name.chars().take(40).collect();
    Err(format!("its session parameter {shown} is not built"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    fn choose(lines: &[&str]) -> Result<Crypto, String> {
        Crypto::choose(lines.iter().copied())
    }

    #[test]
    fn the_examples_of_rfc_4568_are_read() {
        let crypto = choose(&[&format!(
            "1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4 FEC_ORDER=FEC_SRTP"
        )]);
        assert!(crypto.unwrap_err().contains("FEC_ORDER"));
        for (line, mki) in [
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4"),
                vec![0, 0, 0, 1],
            ),
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:1"),
                vec![1],
            ),
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31"),
                vec![],
            ),
            (
                format!("1 aes_cm_128_hmac_sha1_80 INLINE:{KEY}|1048576 WSH=64"),
                vec![],
            ),
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} -vendor=x"),
                vec![],
            ),
        ] {
            let crypto = choose(&[&line]).unwrap();
            assert_eq!(
                (crypto.tag, crypto.master.suite),
                (1, Suite::AesCm128Sha1Tag80)
            );
            assert_eq!(crypto.master.mki, mki, "{line}");
            let (key, salt) = crypto.master.expose();
            assert_eq!((key.len(), salt.len()), (16, 14));
            assert!(key.starts_with(b"YS___semctl"));
        }
    }

    #[test]
    fn the_first_that_can_be_used_is_chosen() {
        let lines = [
            format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"),
            format!("2 AES_CM_128_HMAC_SHA1_32 inline:{KEY} UNENCRYPTED_SRTP"),
            format!("3 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"),
            format!("4 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let chosen = choose(&lines).unwrap();
        assert_eq!(
            (chosen.tag, chosen.master.suite),
            (3, Suite::AesCm128Sha1Tag32)
        );
        let fault = choose(&lines[..2]).unwrap_err();
        assert!(
            fault.contains("1 F8_128_HMAC_SHA1_80: this suite"),
            "{fault}"
        );
        assert!(fault.contains("UNENCRYPTED_SRTP"), "{fault}");
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_key() {
        let two = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:1;inline:{KEY}|2:1");
        for (line, said) in [
            ("1 AES_CM_128_HMAC_SHA1_80", "not whole"),
            ("x AES_CM_128_HMAC_SHA1_80 inline:x", "tag"),
            ("+1 AES_CM_128_HMAC_SHA1_80 inline:x", "tag"),
            ("1234567890 AES_CM_128_HMAC_SHA1_80 inline:x", "tag"),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:?", "base64"),
            ("1 AES_CM_128_HMAC_SHA1_80 uri:x", "inline"),
            ("1 AES_CM_128_HMAC_SHA1_80 ä", "inline"),
            (
                &format!("1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}"),
                "30 bytes and not 46",
            ),
            (
                &format!("1 AEAD_AES_128_GCM inline:{KEY}"),
                "30 bytes and not 28",
            ),
            (&two, "several keys"),
            (
                &format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|x"),
                "lifetime",
            ),
            (
                &format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|256:1"),
                "larger",
            ),
            (
                &format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:129"),
                "MKI",
            ),
            (
                &format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=1"),
                "KDR",
            ),
            (
                &format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNAUTHENTICATED_SRTP"),
                "UNAUTH",
            ),
        ] {
            let fault = choose(&[line]).unwrap_err();
            assert!(fault.contains(said), "{line}: {fault}");
            assert!(!fault.contains(&KEY[..8]), "{fault}");
        }
        assert_eq!(choose(&[]), Err(String::new()));
    }

    #[test]
    fn padding_of_base64_may_be_left_out() {
        let key = BASE64.encode([7; 28]);
        assert!(key.ends_with("=="));
        for key in [key.as_str(), key.trim_end_matches('=')] {
            choose(&[&format!("1 AEAD_AES_128_GCM inline:{key}")]).unwrap();
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: [u8; 32], salt: [u8; 14], tag in 0_u32..1_000_000_000) {
            let bytes = [bytes.as_slice(), &salt].concat();
            let master = Master::new(Suite::AesCm256Sha1Tag32, bytes, Vec::new()).unwrap();
            let value = Crypto::value(tag, &master);
            prop_assert_eq!(Crypto::read(&value), Ok(Crypto { tag, master }));
        }

        #[test]
        fn no_text_panics(text: String, key in "[A-Za-z0-9+/=|:;^]{0,80}") {
            let _ = Crypto::read(&text);
            let _ = Crypto::read(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}"));
        }
    }
}
