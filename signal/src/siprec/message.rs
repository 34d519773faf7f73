//! SIP messages as they come from a recording client, and as they go to it (RFC 3261 §7, §8.2, §18).
//!
//! Called by `agent`; calls ezk-sip-types for what a line, a name (short forms too) and a CSeq are. Values that
//! are only echoed stay text: a client whose Contact has no closing bracket is answered as any other. What cannot
//! be answered (no Via, no CSeq) is nothing.
//!
//! Bounds: [`MOST_BYTES`] a message, [`MOST_HEADERS`] header lines.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use ezk_sip_types::Method;
use ezk_sip_types::header::HeaderParse as _;
use ezk_sip_types::header::typed::CSeq;
use ezk_sip_types::msg::{Line, PullParser};

use super::Peer;

/// Bytes of a message: what a datagram can hold.
pub(crate) const MOST_BYTES: usize = 64 * 1024;

/// Header lines that are read.
const MOST_HEADERS: usize = 256;

/// SIP's own port.
const SIP_PORT: u16 = 5060;

/// What came.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Request(Box<Request>),
    Response(Response),
    /// White space: a client keeps its way to us open (RFC 5626 §3.5.1).
    KeepAlive,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The Request-URI.
    pub(crate) uri: String,
    /// Names in lower case and their long form, in their order.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) via: TopVia,
    pub(crate) cseq: u32,
}

/// The Via that a response goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopVia {
    pub(crate) branch: String,
    host: String,
    port: Option<u16>,
    /// Whether the client asks to be answered where it sent from (RFC 3581).
    has_rport: bool,
}

/// A response to a request of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) branch: String,
}

impl Message {
    /// Reads a message; `None` where it is none, or none that could be answered.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MOST_BYTES {
            return None;
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Some(Self::KeepAlive);
        }
        let bytes = bytes.trim_ascii_start();
        let (head, body) = split(bytes);
        // The reader wants a byte behind the last line.
        let mut text = String::from_utf8_lossy(head).into_owned();
        text.push_str("\r\n\r\n..");
        let text = Bytes::from(text);
        let mut lines = PullParser::new(&text, 0);
        let start = lines.next()?.ok()?;
        let start = std::str::from_utf8(start).ok()?;
        let mut headers = Vec::new();
        for line in lines.take(MOST_HEADERS) {
            let line = std::str::from_utf8(line.ok()?).ok()?;
            if let Ok((_, Line { name, value })) = Line::parse(&text, line) {
                let name = name.as_print_str().to_ascii_lowercase();
                headers.push((name, unfolded(&value)));
            }
        }
        let first = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let via = TopVia::read(first("via")?)?;
        let is_response = start
            .get(..8)
            .is_some_and(|begin| begin.eq_ignore_ascii_case("SIP/2.0 "));
        if is_response {
            let status = &start[8..];
            return Some(Self::Response(Response {
                status: status.get(..3)?.parse().ok()?,
                branch: via.branch,
            }));
        }
        let mut words = start.split_ascii_whitespace();
        let (method, uri) = (words.next()?, words.next()?);
        // RFC 3261 §7.1: its case does not matter.
        if !words
            .next_back()
            .is_some_and(|version| version.eq_ignore_ascii_case("SIP/2.0"))
            || !method.bytes().all(|byte| byte.is_ascii_uppercase())
        {
            return None;
        }
        let (cseq, _) = read_cseq(first("cseq")?)?;
        let length = first("content-length").and_then(|length| length.parse().ok());
        let body = &body[..length.unwrap_or(body.len()).min(body.len())];
        Some(Self::Request(Box::new(Request {
            method: method.to_owned(),
            uri: uri.to_owned(),
            body: body.to_vec(),
            via,
            cseq,
            headers,
        })))
    }
}

impl Request {
    /// The first header of this name, in lower case and its long form.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let own = self.headers.iter().find(|(known, _)| known == name);
        own.map(|(_, value)| value.as_str())
    }

    /// All of them, a line each.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let own = self.headers.iter().filter(move |(known, _)| known == name);
        own.map(|(_, value)| value.as_str())
    }

    /// What stands between the commas of all of them.
    pub(crate) fn tokens<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.all(name).flat_map(|value| value.split(','));
        values.map(str::trim).filter(|token| !token.is_empty())
    }

    pub(crate) fn call_id(&self) -> &str {
        self.header("call-id").unwrap_or_default()
    }

    pub(crate) fn from(&self) -> &str {
        self.header("from").unwrap_or_default()
    }

    pub(crate) fn to(&self) -> &str {
        self.header("to").unwrap_or_default()
    }

    pub(crate) fn their_tag(&self) -> &str {
        crate::sip::tag(self.from())
    }

    pub(crate) fn own_tag(&self) -> &str {
        crate::sip::tag(self.to())
    }

    /// What names its transaction (RFC 3261 §17.2.3); an ACK has that of its INVITE.
    pub(crate) fn transaction(&self) -> String {
        let method = if self.method == "ACK" {
            "INVITE"
        } else {
            &self.method
        };
        let TopVia {
            branch, host, port, ..
        } = &self.via;
        if branch.starts_with("z9hG4bK") {
            return format!("{branch}|{host}|{port:?}|{method}");
        }
        // A client of RFC 2543, or one whose branch is made otherwise.
        let (from, call_id, cseq) = (self.their_tag(), self.call_id(), self.cseq);
        format!("{branch}|{host}|{port:?}|{method}|{from}|{call_id}|{cseq}")
    }

    /// Where a response to it goes, if it came from there by UDP (RFC 3261 §18.2.2, RFC 3581 §4).
    pub(crate) fn answered_at(&self, from: SocketAddr) -> SocketAddr {
        if self.via.has_rport {
            return from;
        }
        SocketAddr::new(from.ip(), self.via.port.unwrap_or(SIP_PORT))
    }

    /// A response to it. `tag` is ours, for a To that has none.
    pub(crate) fn answer(&self, from: Peer, status: Status, tag: &str, more: &Headers) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {} {}\r\n", status.0, status.1);
        for (at, via) in self.all("via").enumerate() {
            let via = if at == 0 {
                Cow::Owned(self.via.received(via, from.address()))
            } else {
                Cow::Borrowed(via)
            };
            line(&mut text, "Via", &via);
        }
        if status.0 > 100 && status.0 < 300 {
            for route in self.all("record-route") {
                line(&mut text, "Record-Route", route);
            }
        }
        line(&mut text, "From", self.from());
        if status.0 > 100 && self.own_tag().is_empty() {
            line(&mut text, "To", &format!("{};tag={tag}", self.to()));
        } else {
            line(&mut text, "To", self.to());
        }
        line(&mut text, "Call-ID", self.call_id());
        line(&mut text, "CSeq", &format!("{} {}", self.cseq, self.method));
        if status.0 == 100
            && let Some(timestamp) = self.header("timestamp")
        {
            line(&mut text, "Timestamp", timestamp);
        }
        more.end(text)
    }
}

impl TopVia {
    /// The first of a header's Vias. A reader of our own: names with an underscore, and branches with characters that no
    /// token has, are seen, and what is cut from one is answered elsewhere or taken for another.
    fn read(value: &str) -> Option<Self> {
        let mut parts = first_of(value).split(';');
        let (version, rest) = parts.next()?.rsplit_once('/')?;
        let name = version.split('/').next().unwrap_or_default().trim();
        // Behind the transport stands who sent it, and a comment perhaps.
        let (_, sent_by) = rest.trim().split_once([' ', '\t'])?;
        let sent_by: String = sent_by
            .split('(')
            .next()
            .unwrap_or_default()
            .split_ascii_whitespace()
            .collect();
        if !name.eq_ignore_ascii_case("SIP") || sent_by.is_empty() {
            return None;
        }
        let (host, port) = host_and_port(&sent_by);
        let mut via = Self {
            branch: String::new(),
            host: host.to_owned(),
            port,
            has_rport: false,
        };
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "branch" => value.trim().clone_into(&mut via.branch),
                "rport" => via.has_rport = true,
                _ => {}
            }
        }
        Some(via)
    }

    /// The Via as it goes back: with the address it came from, where it says another (RFC 3261 §18.2.1).
    fn received(&self, value: &str, from: SocketAddr) -> String {
        let first = first_of(value);
        let rest = &value[first.len()..];
        let mut via: String = first.trim_end().to_owned();
        if self.has_rport {
            let parameters = via.split(';').map(|parameter| {
                let name = parameter.split('=').next().unwrap_or_default().trim();
                if name.eq_ignore_ascii_case("rport") {
                    format!("rport={}", from.port())
                } else {
                    parameter.to_owned()
                }
            });
            via = parameters.collect::<Vec<_>>().join(";");
        }
        let is_other = self.host.parse::<IpAddr>() != Ok(from.ip());
        if (is_other || self.has_rport) && !via.contains(";received=") {
            put(&mut via, format_args!(";received={}", from.ip()));
        }
        via + rest
    }
}

/// A status and its phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u16, pub(crate) &'static str);

/// What a message of ours has beside what it must have, and its body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers {
    lines: Vec<(&'static str, String)>,
    body: Option<(&'static str, String)>,
}

impl Headers {
    /// With a header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.lines.push((name, value.into()));
        self
    }

    /// With a body.
    pub(crate) fn body(mut self, kind: &'static str, body: impl Into<String>) -> Self {
        self.body = Some((kind, body.into()));
        self
    }

    /// Ends a message with them.
    pub(crate) fn end(&self, mut text: String) -> Vec<u8> {
        for (name, value) in &self.lines {
            line(&mut text, name, value);
        }
        line(
            &mut text,
            "Server",
            concat!("reeld/", env!("CARGO_PKG_VERSION")),
        );
        let body = self.body.as_ref().map_or("", |(kind, body)| {
            line(&mut text, "Content-Type", kind);
            body
        });
        line(&mut text, "Content-Length", &body.len().to_string());
        text.push_str("\r\n");
        text.push_str(body);
        text.into_bytes()
    }
}

/// A host and its port: a name, an address, or one of IPv6 with brackets or, as is seen, without.
fn host_and_port(sent_by: &str) -> (&str, Option<u16>) {
    let is_bare = sent_by.parse::<IpAddr>().is_ok();
    let (host, port) = match sent_by.rsplit_once(':') {
        Some((host, port)) if !is_bare && !port.ends_with(']') => (host, port.parse().ok()),
        _ => (sent_by, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (host, port.filter(|port| *port != 0))
}

/// The host and the port of a SIP URI, where the host is an address.
pub(crate) fn address_of(uri: &str) -> Option<SocketAddr> {
    let host = host_of(uri)?;
    if let Ok(address) = host.parse::<SocketAddr>() {
        return Some(address);
    }
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()?;
    Some(SocketAddr::new(address, SIP_PORT))
}

/// The host of a SIP URI with its port, if it has one: what stands behind the user.
pub(crate) fn host_of(uri: &str) -> Option<&str> {
    let rest = ["sips:", "sip:"].iter().find_map(|scheme| {
        let own = uri.get(..scheme.len())?;
        own.eq_ignore_ascii_case(scheme)
            .then(|| &uri[scheme.len()..])
    })?;
    let rest = rest.split(['?', '>']).next().unwrap_or(rest);
    // A user may have parameters of its own.
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split(';').next().unwrap_or(host).trim();
    (!host.is_empty()).then_some(host)
}

/// How many bytes the first message of a stream has, once it is there whole (RFC 3261 §18.3).
///
/// # Errors
/// The stream has no messages that can be told apart, or too long ones.
pub(crate) fn framed(bytes: &[u8]) -> Result<Option<usize>, Unframed> {
    let (head, body) = split(bytes);
    if body.is_empty() && head.len() == bytes.len() {
        return if bytes.len() > MOST_BYTES {
            Err(Unframed)
        } else {
            Ok(None)
        };
    }
    let head_bytes = bytes.len() - body.len();
    let text = String::from_utf8_lossy(head);
    let header = |long: &str, short: &str| {
        text.lines().skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let name = name.trim();
            let is_it = name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short);
            is_it.then(|| value.trim())
        })
    };
    let length = match header("content-length", "l").map(str::parse::<usize>) {
        Some(Ok(length)) => length,
        Some(Err(_)) => return Err(Unframed),
        // It is required, and some leave it out.
        None => match header("content-type", "c").map(|kind| guessed_length(kind, body)) {
            Some(Some(length)) => length,
            Some(None) if bytes.len() > MOST_BYTES => return Err(Unframed),
            Some(None) => return Ok(None),
            // Most of these have no body.
            None => 0,
        },
    };
    let whole = head_bytes.saturating_add(length);
    if whole > MOST_BYTES {
        return Err(Unframed);
    }
    Ok((bytes.len() >= whole).then_some(whole))
}

/// How long a body without a length is: several parts to what closes them, which may be yet to come, and anything else
/// to the next message, or as far as it has come.
fn guessed_length(content_type: &str, body: &[u8]) -> Option<usize> {
    let closing =
        super::body::boundary(content_type).map(|boundary| [b"--", boundary, b"--"].concat());
    let mut at = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        match &closing {
            Some(closing) if line.trim_ascii() == closing => return Some(at + line.len()),
            None if is_start(line) => return Some(at),
            Some(_) | None => at += line.len(),
        }
    }
    closing.is_none().then_some(at)
}

/// Whether a line can be a message's first.
pub(crate) fn is_start(line: &[u8]) -> bool {
    const VERSION: &[u8] = b"SIP/2.0";
    let line = line.trim_ascii();
    let (begin, end) = (
        line.get(..7),
        line.len().checked_sub(7).map(|at| &line[at..]),
    );
    [begin, end]
        .into_iter()
        .flatten()
        .any(|word| word.eq_ignore_ascii_case(VERSION))
}

/// A stream that is no SIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unframed;

/// Head and body; all is head where no empty line is.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(end) = bytes[at..].iter().position(|&byte| byte == b'\n') {
        let line = &bytes[at..at + end];
        if line.trim_ascii_end().is_empty() && !line.starts_with(b" ") && at > 0 {
            return (&bytes[..at], &bytes[at + end + 1..]);
        }
        at += end + 1;
    }
    (bytes, &bytes[bytes.len()..])
}

/// The first of several values with commas between, but not those in quotes or brackets.
fn first_of(value: &str) -> &str {
    let mut in_quotes = false;
    let end = value.bytes().position(|byte| {
        in_quotes ^= byte == b'"';
        byte == b',' && !in_quotes
    });
    end.map_or(value, |end| &value[..end])
}

/// Lines that were folded are one.
fn unfolded(value: &str) -> String {
    if value.contains(['\r', '\n']) {
        value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    } else {
        value.trim().to_owned()
    }
}

fn read_cseq(value: &str) -> Option<(u32, Method)> {
    let text = Bytes::copy_from_slice(value.as_bytes());
    let (_, CSeq { cseq, method }) = CSeq::parse(&text, std::str::from_utf8(&text).ok()?).ok()?;
    Some((cseq, method))
}

fn line(text: &mut String, name: &str, value: &str) {
    put(text, format_args!("{name}: {value}\r\n"));
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests;
