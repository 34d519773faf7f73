//! The body of a SIP message: one thing, or several parts (RFC 5621, RFC 2046 §5.1).
//!
//! Called by `agent`, and by fuzzers. A reader of our own, since what is needed is what a reader by the letter
//! refuses: recording clients are seen that close no boundary, end lines with LF alone, say a wrong length of a
//! part, put no space behind a header's colon, name a type that the part is not of, or send a multipart type
//! with a body that is no multipart. So what a part is, is asked of its first bytes where its type says nothing
//! of use.
//!
//! A part in base64 or quoted-printable is decoded: SIP is 8-bit clean and has no use for these (RFC 5621 §3.3), yet
//! libraries made for mail write them.
//!
//! Bounds: [`MOST_PARTS`] parts in one, [`MOST_DEPTH`] deep; nothing is copied but what is decoded. No bytes panic.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Base64 as it comes, with what ends it or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Parts that are looked at: SDP, metadata, a vendor's one or two.
const MOST_PARTS: usize = 16;

/// Parts within parts; what is deeper is taken as it is.
const MOST_DEPTH: usize = 4;

/// Header lines of a part that are looked at.
const MOST_HEADERS: usize = 16;

/// What a recording session is told in a body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Body<'a> {
    /// An offer.
    pub(crate) sdp: Option<Cow<'a, [u8]>>,
    /// rs-metadata.
    pub(crate) metadata: Option<Cow<'a, [u8]>>,
    /// Whether it was several parts of which a boundary was missing or none was found.
    pub(crate) is_torn: bool,
    /// Whether there is something in it that is neither.
    pub(crate) has_other: bool,
}

impl<'a> Body<'a> {
    /// Reads a body of this `Content-Type`.
    pub(crate) fn read(content_type: &str, bytes: &'a [u8]) -> Self {
        let mut body = Self::default();
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return body;
        }
        let named = boundary(content_type);
        let guessed = || guessed_boundary(bytes);
        match named.or_else(|| is_multipart(content_type).then(guessed).flatten()) {
            Some(boundary) => {
                if !body.take_parts(boundary, bytes, 0) {
                    // The type names another boundary than the body has.
                    match guessed() {
                        Some(other) => {
                            body.take_parts(other, bytes, 0);
                        }
                        None => body.take("", bytes.into()),
                    }
                    body.is_torn = true;
                }
            }
            None if begins(bytes, b"--")
                && guessed().is_some_and(|b| body.take_parts(b, bytes, 0)) =>
            {
                body.is_torn = true;
            }
            None => body.take(content_type, bytes.into()),
        }
        body
    }

    /// Takes the parts between boundaries; whether there was one.
    fn take_parts(&mut self, boundary: &[u8], bytes: &'a [u8], depth: usize) -> bool {
        let mut begin = None;
        let (mut parts, mut closed) = (0, false);
        let mut at = 0;
        while at < bytes.len() && parts < MOST_PARTS {
            let line = &bytes[at..at + line_length(&bytes[at..])];
            if let Some(rest) = trimmed(line)
                .strip_prefix(b"--")
                .and_then(|line| line.strip_prefix(boundary))
                .filter(|rest| rest.is_empty() || *rest == b"--")
            {
                if let Some(begin) = begin.take() {
                    self.take_part(&bytes[begin..at], depth);
                    parts += 1;
                }
                closed = rest == b"--";
                if closed {
                    break;
                }
                begin = Some(at + line.len());
            }
            at += line.len();
        }
        if let Some(begin) = begin {
            self.take_part(&bytes[begin..], depth);
            parts += 1;
        }
        self.is_torn |= !closed;
        parts > 0
    }

    fn take_part(&mut self, part: &'a [u8], depth: usize) {
        let (mut at, mut content_type, mut encoding) = (0, Cow::Borrowed(""), "");
        let mut is_type = false;
        for _ in 0..MOST_HEADERS {
            let length = line_length(&part[at..]);
            let is_fold = at > 0 && part[at..].starts_with(b" ") || part[at..].starts_with(b"\t");
            let line = trimmed(&part[at..at + length]);
            if is_fold && !line.is_empty() {
                if is_type {
                    let more = String::from_utf8_lossy(line);
                    content_type = format!("{content_type} {more}").into();
                }
                at += length;
                continue;
            }
            if line.is_empty() {
                at += length;
                break;
            }
            let header = std::str::from_utf8(line)
                .ok()
                .and_then(|line| line.split_once(':'))
                .filter(|(name, _)| is_header_name(name));
            let Some((name, value)) = header else {
                break; // no headers, or no empty line behind them
            };
            let name = name.trim();
            is_type = name.eq_ignore_ascii_case("Content-Type") || name.eq_ignore_ascii_case("c");
            if is_type {
                content_type = value.trim().into();
            } else if name.eq_ignore_ascii_case("Content-Transfer-Encoding") {
                encoding = value.trim();
            }
            at += length;
        }
        let content = part.get(at..).unwrap_or_default();
        // A part within a part: RFC 5621 lets a client do that.
        if depth < MOST_DEPTH
            && is_multipart(&content_type)
            && let Some(boundary) = boundary(&content_type)
            && content.len() < part.len()
        {
            self.take_parts(boundary, content, depth + 1);
            return;
        }
        self.take(&content_type, decoded(encoding, content));
    }

    /// Takes one thing: by its type, else by how it begins. The first of each counts.
    fn take(&mut self, content_type: &str, content: Cow<'a, [u8]>) {
        let kind = content_type.to_ascii_lowercase();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let looks_like_sdp = begins(&content, b"v=");
        // Behind a byte order mark, or in two bytes a letter.
        let xml = [
            &b"<"[..],
            b"\xef\xbb\xbf<",
            b"\xff\xfe<",
            b"\xfe\xff\0<",
            b"\0<",
        ];
        let looks_like_xml = xml.iter().any(|begin| begins(&content, begin));
        let is_metadata = kind.contains("rs-metadata") && !kind.contains("request");
        if (kind == "application/sdp" && !looks_like_xml) || looks_like_sdp {
            self.sdp.get_or_insert(content);
        } else if is_metadata || looks_like_xml {
            self.metadata.get_or_insert(content);
        } else if !content.iter().all(u8::is_ascii_whitespace) {
            self.has_other = true;
        }
    }
}

/// A part's content by its Content-Transfer-Encoding; as it is where that is none, or not what it says.
fn decoded<'a>(encoding: &str, content: &'a [u8]) -> Cow<'a, [u8]> {
    if encoding.eq_ignore_ascii_case("base64") {
        let letters = content.iter().copied();
        let letters: Vec<u8> = letters.filter(|byte| !byte.is_ascii_whitespace()).collect();
        return BASE64.decode(letters).map_or(content.into(), Cow::Owned);
    }
    if encoding.eq_ignore_ascii_case("quoted-printable") {
        return unquoted(content).into();
    }
    content.into()
}

/// RFC 2045 §6.7; what is no escape stands for itself.
fn unquoted(content: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'=' {
            text.push(byte);
            continue;
        }
        let hex = behind
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            text.push(byte);
            rest = &behind[2..];
        } else if behind[..line_length(behind)].trim_ascii().is_empty() && !behind.is_empty() {
            // A line that goes on.
            rest = &behind[line_length(behind)..];
        } else {
            text.push(byte);
        }
    }
    text
}

/// Whether a type is of several parts.
fn is_multipart(content_type: &str) -> bool {
    let prefix = content_type.trim_start().as_bytes();
    prefix
        .get(..10)
        .is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"))
}

/// The boundary that a multipart type names.
pub(crate) fn boundary(content_type: &str) -> Option<&[u8]> {
    if !is_multipart(content_type) {
        return None;
    }
    let mut rest = content_type.split_once(';')?.1;
    let value = loop {
        let (name, value) = rest.split_once('=')?;
        // What stands before the name is a parameter without a value.
        let name = name.rsplit(';').next().unwrap_or(name).trim();
        let (value, behind) = match value.trim_start().strip_prefix('"') {
            // In quotes it may have a semicolon.
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => value.split_at(value.find(';').unwrap_or(value.len())),
        };
        if name.eq_ignore_ascii_case("boundary") {
            break value.trim();
        }
        rest = behind;
    };
    // RFC 2046 has at most 70 characters; more is let through, nothing is not.
    (!value.is_empty() && value.len() <= 256).then_some(value.as_bytes())
}

/// The first line that can be a boundary, without its dashes.
fn guessed_boundary(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    while at < bytes.len() {
        let length = line_length(&bytes[at..]);
        let line = trimmed(&bytes[at..at + length]);
        if let Some(boundary) = line.strip_prefix(b"--") {
            return (!boundary.is_empty() && boundary.len() <= 256).then_some(boundary);
        }
        if !line.is_empty() {
            return None;
        }
        at += length;
    }
    None
}

fn is_header_name(name: &str) -> bool {
    let name = name.trim();
    !name.is_empty()
        && name.len() < 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The length of the first line with what ends it.
fn line_length(bytes: &[u8]) -> usize {
    let end = bytes.iter().position(|&byte| byte == b'\n');
    end.map_or(bytes.len(), |end| end + 1)
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.trim_ascii()
}

/// Whether bytes begin so, behind white space.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(with)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n";
    const XML: &str = "<?xml version=\"1.0\"?><recording/>";

    fn read(content_type: &str, body: &str) -> (bool, bool, bool, bool) {
        let body = Body::read(content_type, body.as_bytes());
        let sdp = body
            .sdp
            .is_some_and(|sdp| sdp.trim_ascii().starts_with(b"v=0"));
        let xml = body.metadata.is_some_and(|xml| {
            let text = std::str::from_utf8(&xml).unwrap();
            text.contains("<recording/>") && !text.contains("--")
        });
        (sdp, xml, body.is_torn, body.has_other)
    }

    #[test]
    fn the_parts_of_a_strict_client_are_found() {
        let body = format!(
            "preamble\r\n--b=1\r\nContent-Type: application/sdp\r\n\
             Content-Disposition: session;handling=required\r\n\r\n{SDP}\r\n--b=1\r\n\
             Content-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n\
             {XML}\r\n--b=1\r\nContent-Type: application/gtd\r\n\r\nIAM,\r\n--b=1--\r\nepilogue"
        );
        let found = read("multipart/mixed;boundary=\"b=1\"", &body);
        assert_eq!(found, (true, true, false, true));
    }

    #[test]
    fn what_vendors_get_wrong_is_read_all_the_same() {
        let parts = format!(
            "\n--X\nContent-Type:application/ +xml\nContent-Length:2012\n\n{XML}\n\
             --X\nContent-Type: application/sdp\nContent-Length: 3\n\n{SDP}\n--X-- \n"
        );
        // Lines end in LF, a type is nonsense, lengths are wrong, the metadata come first.
        assert_eq!(
            read("Multipart/Mixed; Boundary=X", &parts),
            (true, true, false, false)
        );
        // No closing boundary.
        let open = parts.replace("--X-- \n", "");
        assert_eq!(
            read("multipart/mixed;boundary=X", &open),
            (true, true, true, false)
        );
        // No boundary in the type, another one, and no multipart type.
        assert_eq!(read("multipart/mixed", &parts), (true, true, false, false));
        assert_eq!(
            read("multipart/mixed;boundary=Y", &parts),
            (true, true, true, false)
        );
        assert_eq!(read("application/sdp", &parts), (true, true, true, false));
        // A multipart type with SDP alone; SDP alone; metadata alone.
        assert_eq!(
            read("multipart/mixed;boundary=X", SDP),
            (true, false, true, false)
        );
        assert_eq!(read("application/sdp", SDP), (true, false, false, false));
        assert_eq!(
            read("application/rs-metadata", XML),
            (false, true, false, false)
        );
        // The types are swapped, or missing.
        assert_eq!(read("application/sdp", XML), (false, true, false, false));
        assert_eq!(read("", SDP), (true, false, false, false));
        let bare = format!("--X\r\n\r\n{SDP}\r\n--X\r\n{XML}\r\n--X--");
        assert_eq!(
            read("multipart/mixed;boundary=X", &bare),
            (true, true, false, false)
        );
        assert_eq!(
            read("application/isup", "\x01\x02"),
            (false, false, false, true)
        );
        assert_eq!(
            read("application/sdp", "\r\n"),
            (false, false, false, false)
        );
    }

    #[test]
    fn parts_are_decoded_and_their_headers_unfolded() {
        let base64 = BASE64.encode(SDP);
        let (first, second) = base64.split_at(20);
        let body = format!(
            "--a;b c\r\nContent-Type: multipart/related;\r\n\tboundary=\"in;side\"; type=x\r\nContent-ID: <x>\r\n\r\n\
             --in;side\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: BASE64\r\n\r\n{first}\r\n{second}\r\n\
             --in;side--\r\n--a;b c\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type:\r\n application/rs-metadata+xml\r\n\r\n\
             <?xml version=3D\"1.0\"?><recor=\r\nding/>\r\n--a;b c--\r\n"
        );
        let kind = "multipart/mixed ; x; charset=utf-8;boundary = \"a;b c\"";
        assert_eq!(read(kind, &body), (true, true, false, false));
        // What is not what it says is taken as it is.
        let plain = format!("--b\nContent-Transfer-Encoding: base64\n\n{SDP}\n--b--");
        assert!(read("multipart/mixed;boundary=b", &plain).0);
        assert_eq!(unquoted(b"a=3Db=\r\nc=zz=4"), b"a=bc=zz=4");
    }

    #[test]
    fn parts_within_parts_are_read_to_a_depth() {
        let within = |depth: usize| {
            let mut text = SDP.to_owned();
            for level in 0..depth {
                text = format!("--{level}\r\n{text}");
                if level + 1 < depth {
                    text = format!("Content-Type: multipart/x;boundary={level}\r\n\r\n{text}");
                }
            }
            let kind = format!("multipart/mixed;boundary={}", depth - 1);
            read(&kind, &text).0
        };
        assert!(within(1) && within(3));
        // 64 KiB of them are neither followed nor found.
        assert!(!within(1_500));
    }

    #[test]
    fn a_request_for_metadata_is_none() {
        let body = Body::read("application/rs-metadata-request", b"please");
        assert!(body.metadata.is_none() && body.has_other);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(kind in "(multipart/mixed;boundary=)?[ -~]{0,12}", bytes: Vec<u8>, lines in proptest::collection::vec("(--)?[a-cX:=<]{0,4}\r?\n?", 0..20)) {
            let _ = Body::read(&kind, &bytes);
            let text = lines.concat();
            let _ = Body::read(&kind, text.as_bytes());
            let _ = Body::read("multipart/mixed;boundary=X", text.as_bytes());
        }
    }
}
