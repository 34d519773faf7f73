//! `X-Twilio-Signature`, as the SDKs' validators compute it (twilio.md §3).
//!
//! Called by `send`. HMAC-SHA1 under the account's token, of the URL and then each parameter of a
//! form, name and value, in the order of names, in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// The signature of a request to `url` with `form` as its body; a GET has no form.
pub(crate) fn sign(token: &str, url: &str, form: &[(&str, String)]) -> String {
    let mut sorted: Vec<_> = form.iter().collect();
    sorted.sort();
    let mut mac =
        Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twilio's own documented example, and two that twilio-python computes.
    #[test]
    fn twilios_vectors() {
        let form = [
            ("Digits", "1234"),
            ("CallSid", "CA1234567890ABCDE"),
            ("To", "+18005551212"),
            ("From", "+14158675309"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        for (url, form, signature) in [
            (
                "http://mycompany.com/myapp.php?foo=1&bar=2",
                form.as_slice(),
                "HpS7PBa1Agvt4OtO+wZp75IuQa0=",
            ),
            (
                "https://mycompany.com/myapp.php?foo=1&bar=2",
                form.as_slice(),
                "54XKNnZPAt5f65Po3o7s3WLIpKk=",
            ),
            (
                "http://127.0.0.1:9000/cb?x=1&RecordingSid=RE1",
                &[],
                "NKrMtXVkzE4CF7VujIwUxLFcp28=",
            ),
        ] {
            assert_eq!(sign("12345", url, form), signature, "{url}");
        }
    }
}
