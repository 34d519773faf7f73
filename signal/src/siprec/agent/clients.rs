//! What a request says of who sends it: a recording client or any other, and what it requires of us.

use reeld_model::Bringer;

use super::Request;

/// What a client may require of us (RFC 3261 §8.2.2.3). Nothing is sent that 100rel would be for, and who called whom by
/// which ways (histinfo, RFC 7044), or that a party knows of recordings (record-aware, RFC 7866 §8), asks for nothing.
const KNOWN_EXTENSIONS: [&str; 5] = ["siprec", "timer", "100rel", "record-aware", "histinfo"];

/// What brings the call that a request is of.
pub(super) fn bringer_of(request: &Request) -> Bringer {
    if is_of_recording_client(request) {
        Bringer::Siprec
    } else {
        Bringer::Sip
    }
}

/// Whether an extension is one of those that are known, or several of them without what belongs between: Cisco's
/// `100relsiprec`.
pub(super) fn is_known(token: &str) -> bool {
    let mut rest = token;
    loop {
        let begins_with = |known: &&&str| {
            let begin = rest.get(..known.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(known))
        };
        let Some(known) = KNOWN_EXTENSIONS.iter().find(begins_with) else {
            return false;
        };
        rest = &rest[known.len()..];
        if rest.is_empty() {
            return true;
        }
    }
}

/// Whether an INVITE says that a recording client sends it (RFC 7866 §6.1), by the letter or in one of the ways that are
/// seen; any other is a call like that to a telephone, such as FreeSWITCH's `eavesdrop` makes.
pub(super) fn is_of_recording_client(request: &Request) -> bool {
    let tokens = request
        .tokens("require")
        .chain(request.tokens("supported"))
        .chain(request.tokens("k"));
    let says_siprec = tokens
        .into_iter()
        .any(|token| token.eq_ignore_ascii_case("siprec"));
    let contact = request.header("contact").unwrap_or_default();
    let kind = request.header("content-type").unwrap_or_default();
    says_siprec
        || contact.contains("sip.src")
        || contact.contains("sip-src")
        || contact.contains(";src")
        || kind.to_ascii_lowercase().starts_with("multipart/")
}
