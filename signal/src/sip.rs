//! SIP messages, as much of them as tells of calls (RFC 3261).
//!
//! Called by [`crate::pcap`]. A reader of our own: the crates that parse SIP (ezk-sip-types, rsip,
//! rsipstack, sip-core) want a whole message by the letter and belong to a stack; what is captured
//! is vendors' SIP, cut by snap lengths, and six headers of it are needed.
//!
//! Bounds: [`MOST_HEADERS`] lines, values of [`MOST_VALUE`] bytes. No input panics.

/// Header lines that are looked at.
const MOST_HEADERS: usize = 256;

/// A value's most bytes; a longer one is left out.
const MOST_VALUE: usize = 1_024;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) start: Start<'a>,
    pub(crate) call_id: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    /// The method that CSeq names: of a response, what it answers.
    pub(crate) method: &'a str,
    content_type: &'a str,
    /// Where the body begins.
    pub(crate) body_at: usize,
    pub(crate) content_length: Option<usize>,
    body: &'a [u8],
}

/// A message's first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start<'a> {
    /// Its method.
    Request(&'a str),
    /// Its status.
    Response(u16),
}

/// Whether bytes begin as SIP does; cheap, asked of every datagram.
pub(crate) fn begins_as_sip(bytes: &[u8]) -> bool {
    if !bytes.first().is_some_and(u8::is_ascii_uppercase) {
        return false;
    }
    if bytes.starts_with(b"SIP/2.0 ") {
        return true;
    }
    let line = &bytes[..bytes.len().min(2_048)];
    let end = line.iter().position(|&byte| byte == b'\n');
    let line = end.map_or(line, |end| &line[..end]);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.ends_with(b" SIP/2.0")
}

impl<'a> Message<'a> {
    /// Reads a message; `None` where it is none, or names no call.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        if !begins_as_sip(bytes) {
            return None;
        }
        let mut message = Self {
            start: Start::Response(0),
            call_id: "",
            from: "",
            to: "",
            method: "",
            content_type: "",
            body_at: bytes.len(),
            content_length: None,
            body: &[],
        };
        let mut at = 0;
        for number in 0..MOST_HEADERS {
            let Some(length) = bytes[at..].iter().position(|&byte| byte == b'\n') else {
                // Cut within the headers: what was read of them stands.
                break;
            };
            let line = &bytes[at..at + length];
            at += length + 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                message.body_at = at;
                break;
            }
            let Ok(line) = std::str::from_utf8(line) else {
                continue;
            };
            if number == 0 {
                message.start = start(line)?;
            } else if let Some((name, value)) = line.split_once(':') {
                message.header(name.trim(), value.trim());
            }
        }
        message.body = &bytes[message.body_at..];
        if let Some(length) = message.content_length {
            message.body = &message.body[..length.min(message.body.len())];
        }
        (!message.call_id.is_empty()).then_some(message)
    }

    fn header(&mut self, name: &'a str, value: &'a str) {
        if value.len() > MOST_VALUE {
            return;
        }
        // The first of each counts; the short names are RFC 3261 §7.3.3's.
        let of = |long: &str, short: &str| {
            name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short)
        };
        let field = if of("Call-ID", "i") {
            &mut self.call_id
        } else if of("From", "f") {
            &mut self.from
        } else if of("To", "t") {
            &mut self.to
        } else if of("Content-Type", "c") {
            &mut self.content_type
        } else if of("CSeq", "CSeq") {
            self.method = value.split_ascii_whitespace().nth(1).unwrap_or_default();
            return;
        } else if of("Content-Length", "l") {
            self.content_length = value.parse().ok();
            return;
        } else {
            return;
        };
        if field.is_empty() {
            *field = value;
        }
    }

    /// The SDP that it carries, alone or as one part of several (RFC 5621).
    pub(crate) fn sdp(&self) -> Option<&'a [u8]> {
        let kind = self.content_type.to_ascii_lowercase();
        if kind.starts_with("application/sdp") {
            return Some(self.body).filter(|body| !body.is_empty());
        }
        if !kind.starts_with("multipart/") {
            return None;
        }
        let part = find(self.body, b"application/sdp")?;
        let rest = &self.body[part..];
        let begin = find(rest, b"\r\n\r\n")? + 4;
        let sdp = &rest[begin..];
        let end = find(sdp, b"\r\n--").map_or(sdp.len(), |end| end + 2);
        Some(&sdp[..end])
    }
}

fn start(line: &str) -> Option<Start<'_>> {
    match line.strip_prefix("SIP/2.0 ") {
        Some(rest) => rest.get(..3)?.parse().ok().map(Start::Response),
        None => line.split(' ').next().map(Start::Request),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window.eq_ignore_ascii_case(wanted))
}

/// The `tag` of a From or To (RFC 3261 §19.3).
pub(crate) fn tag(address: &str) -> &str {
    // Behind the URI, which may have a parameter of that name itself.
    let parameters = address.rsplit('>').next().unwrap_or(address);
    let named = parameters.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("tag").then_some(value)
    });
    named.unwrap_or_default().trim()
}

/// What stands behind a display name in quotes, which may hold any character (RFC 3261 §25.1).
fn unquoted(address: &str) -> &str {
    let Some(quoted) = address.trim_start().strip_prefix('"') else {
        return address;
    };
    let mut is_escaped = false;
    let end = quoted.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(address, |end| &quoted[end + 1..])
}

/// The URI of a From or To, without its parameters: `sip:alice@example.com`.
pub(crate) fn uri(address: &str) -> &str {
    let inner = match unquoted(address).split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
        None => address,
    };
    inner.split([';', '?']).next().unwrap_or(inner).trim()
}

/// The URI of a Contact with its own parameters, by which its owner knows what a request is for. One that is not in
/// brackets has none (RFC 3261 §20.10), and of one whose bracket is not closed nobody knows which are its own.
pub(crate) fn contact(address: &str) -> &str {
    let inner = unquoted(address).split_once('<').map(|(_, rest)| rest);
    match inner.and_then(|rest| rest.split_once('>')) {
        Some((uri, _)) => uri.split('?').next().unwrap_or(uri).trim(),
        None => uri(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INVITE: &str = "INVITE sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP a\r\n\
        f: \"Alice <A>\" <sip:alice@a.example;tag=no>;tag=one\r\nTo: <sip:bob@b.example>\r\n\
        i: 7@a.example\r\nCSeq: 1 INVITE\r\nc: application/sdp\r\nl: 4\r\n\r\nv=0\nmore";

    #[test]
    fn six_headers_and_the_body_are_read() {
        let message = Message::read(INVITE.as_bytes()).unwrap();
        assert_eq!(message.start, Start::Request("INVITE"));
        assert_eq!((message.call_id, message.method), ("7@a.example", "INVITE"));
        assert_eq!(message.sdp(), Some(&b"v=0\n"[..]));
        assert_eq!(tag(message.from), "one");
        assert_eq!(tag(message.to), "");
        assert_eq!(uri(message.to), "sip:bob@b.example");
        let odd = r#""a \"<sip:no@x>\" ;tag=no" <sip:alice@a.example;user=phone>; Tag = two"#;
        assert_eq!((uri(odd), tag(odd)), ("sip:alice@a.example", "two"));
        assert_eq!(uri("\"never closed <tel:+1>"), "tel:+1");
        for (header, own) in [
            (
                "\"x\" <sip:a@b;line=1;lr?x=y>;+sip.src",
                "sip:a@b;line=1;lr",
            ),
            ("<sip:a@b;+sip.src", "sip:a@b"),
            ("sip:a@b;expires=1", "sip:a@b"),
        ] {
            assert_eq!(contact(header), own);
        }
    }

    #[test]
    fn a_response_and_a_part_of_several() {
        let text = "SIP/2.0 200 OK\r\nCall-ID: x\r\nCSeq: 2 BYE\r\n\
            Content-Type: multipart/mixed;boundary=b\r\n\r\n--b\r\nContent-Type: application/sdp\r\n\
            \r\nv=0\r\n--b\r\nContent-Type: text/plain\r\n\r\nv=1\r\n--b--";
        let message = Message::read(text.as_bytes()).unwrap();
        assert_eq!(message.start, Start::Response(200));
        assert_eq!(message.method, "BYE");
        assert_eq!(message.sdp(), Some(&b"v=0\r\n"[..]));
    }

    #[test]
    fn what_is_no_sip_is_left_alone() {
        for bytes in [
            &b""[..],
            b"\x80\x00",
            b"HTTP/1.1 200 OK\r\n",
            b"GET / HTTP/1.1\r\n",
        ] {
            assert!(!begins_as_sip(bytes));
            assert!(Message::read(bytes).is_none());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..400) {
            let _ = Message::read(&bytes);
            let cut = &INVITE.as_bytes()[..at.min(INVITE.len())];
            let mixed = [cut, &bytes].concat();
            for bytes in [cut, &mixed] {
                if let Some(message) = Message::read(bytes) {
                    let _ = (message.sdp(), tag(message.from), uri(message.from));
                }
            }
        }
    }
}
