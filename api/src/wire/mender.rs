//! Requests in, the same requests in one canonical spelling out. No I/O.
//!
//! [`super::Mended`] feeds it. It reads each head whole, decides from it where the body ends, and
//! writes the head anew from what it understood: so hyper cannot see another framing than the one
//! seen here, and no request can hide in another's body (request smuggling, RFC 9112 §11.2). A
//! head that is odd in any way that touches framing is not guessed at: in its place hyper gets a
//! request with [`REFUSED_METHOD`] and the status to answer as its path, and everything after it
//! is dropped. A body that is odd ends the connection.
//!
//! Mended: `<` and `>` in the request target become `%3C` and `%3E`. Nothing else changes in it.
//!
//! Framing: RFC 9112 §6.3. Bounds: [`MAX_HEAD_BYTES`], [`MAX_HEADERS`].

use super::chunked::{Chunked, Progress};

/// The longest head, request line included. hyper's own default is far more, and no client of
/// this API comes near a tenth of it.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The most header fields; below hyper's 100, so that hyper never refuses one that passed here.
pub(super) const MAX_HEADERS: usize = 96;

/// The longest body that a head may announce. The API's own limit is far below and answers with
/// 413; this one keeps arithmetic honest.
const MAX_LENGTH: u64 = 1 << 40;

/// The method of the request that stands for one that was refused.
pub(crate) const REFUSED_METHOD: &str = "REFUSED";

/// The body is not as its head said; nothing after it can be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunked body breaks RFC 9112 §7.1")]
pub(crate) struct Broken;

/// Why a head is refused: the status to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// 400: not a request, or one whose end is in doubt.
    Malformed = 400,
    /// 405: CONNECT, after which no requests would follow.
    Connect = 405,
    /// 431: longer than [`MAX_HEAD_BYTES`] or more than [`MAX_HEADERS`].
    TooLarge = 431,
    /// 501: a transfer coding beside `chunked` (RFC 9112 §6.1).
    Coding = 501,
}

/// Where in the stream of requests we are.
#[derive(Debug)]
enum State {
    /// In a head; its bytes so far are in `Mender::head`.
    Head,
    /// In a body with this many bytes to come.
    Length(u64),
    /// In a chunked body.
    Chunked(Chunked),
    /// After a refused head: nothing is taken any more.
    Refused,
}

/// The state machine; one a connection.
#[derive(Debug)]
pub(super) struct Mender {
    state: State,
    head: Vec<u8>,
    /// How much of `head` was searched for its end.
    searched: usize,
}

impl Default for Mender {
    fn default() -> Self {
        Self {
            state: State::Head,
            head: Vec::new(),
            searched: 0,
        }
    }
}

impl Mender {
    /// Whether a head was refused, so that nothing more is read.
    pub(super) fn has_refused(&self) -> bool {
        matches!(self.state, State::Refused)
    }

    /// Whether the client may still be sending what was begun: a body, or behind a refused head.
    pub(super) fn is_amid(&self) -> bool {
        !matches!(self.state, State::Head)
    }

    /// Takes bytes as they came and appends to `out` what hyper is to see.
    pub(super) fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        while !input.is_empty() {
            match &mut self.state {
                State::Refused => return Ok(()),
                State::Head => {
                    input = self.feed_head(input, out);
                }
                State::Length(left) => {
                    let count = usize::try_from(*left).map_or(input.len(), |n| n.min(input.len()));
                    out.extend_from_slice(&input[..count]);
                    input = &input[count..];
                    *left -= count as u64;
                    if *left == 0 {
                        self.state = State::Head;
                    }
                }
                State::Chunked(chunked) => match chunked.feed(input, out)? {
                    Progress::More => return Ok(()),
                    Progress::Done { taken } => {
                        input = &input[taken..];
                        self.state = State::Head;
                    }
                },
            }
        }
        Ok(())
    }

    /// Takes a head's bytes up to its end; returns what follows it.
    fn feed_head<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let mut input = input;
        if self.head.is_empty() {
            // RFC 9112 §2.2: empty lines before a request line are skipped.
            let blank = input
                .iter()
                .take_while(|byte| matches!(byte, b'\r' | b'\n'))
                .count();
            input = &input[blank..];
        }
        let room = MAX_HEAD_BYTES - self.head.len();
        let before = self.head.len();
        self.head.extend_from_slice(&input[..input.len().min(room)]);
        let Some(end) = end_of_head(&self.head, self.searched) else {
            self.searched = self.head.len();
            if self.head.len() == MAX_HEAD_BYTES {
                self.refuse(Refusal::TooLarge, out);
            }
            return &[];
        };
        let rest = &input[end - before..];
        self.head.truncate(end);
        match mend(&self.head, out) {
            Ok(state) => self.state = state,
            Err(refusal) => self.refuse(refusal, out),
        }
        self.head.clear();
        self.searched = 0;
        rest
    }

    fn refuse(&mut self, refusal: Refusal, out: &mut Vec<u8>) {
        self.state = State::Refused;
        self.head = Vec::new();
        out.extend_from_slice(
            format!(
                "{REFUSED_METHOD} /{} HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n",
                refusal as u16
            )
            .as_bytes(),
        );
    }
}

/// Where the first empty line ends, looking from `from`; lines end in LF or CRLF, as httparse has
/// it (RFC 9112 §2.2).
fn end_of_head(head: &[u8], from: usize) -> Option<usize> {
    // An end that began in bytes searched before is at most "\n\r" away.
    let start = from.saturating_sub(2);
    head[start..]
        .iter()
        .enumerate()
        .filter(|&(_, byte)| *byte == b'\n')
        .find_map(|(i, _)| match &head[start + i + 1..] {
            [b'\n', ..] => Some(start + i + 2),
            [b'\r', b'\n', ..] => Some(start + i + 3),
            _ => None,
        })
}

/// Appends the head in its canonical spelling to `out`, and says what follows it.
fn mend(head: &[u8], out: &mut Vec<u8>) -> Result<State, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Ok(_) | Err(_) => return Err(Refusal::Malformed),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Refusal::Malformed);
    };
    if method == "CONNECT" {
        return Err(Refusal::Connect);
    }
    if method == REFUSED_METHOD {
        return Err(Refusal::Malformed);
    }
    let target = mend_target(target)?;
    let body = framing(request.headers, minor)?;

    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(&target);
    out.extend_from_slice(if minor == 0 {
        b" HTTP/1.0\r\n"
    } else {
        b" HTTP/1.1\r\n"
    });
    for header in request.headers.iter() {
        out.extend_from_slice(header.name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(header.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(body)
}

/// The target with `<` and `>` encoded, as something that `http::Uri` takes.
fn mend_target(target: &str) -> Result<Vec<u8>, Refusal> {
    let mut mended = Vec::with_capacity(target.len() + 4);
    for byte in target.bytes() {
        match byte {
            b'<' => mended.extend_from_slice(b"%3C"),
            b'>' => mended.extend_from_slice(b"%3E"),
            other => mended.push(other),
        }
    }
    // What hyper would refuse with an empty answer is refused here with a full one.
    http::Uri::try_from(mended.as_slice()).map_err(|_| Refusal::Malformed)?;
    Ok(mended)
}

/// What the head says of its body (RFC 9112 §6.3); refuses whatever two readers could take two
/// ways: both framings, a length that is repeated or not plain digits, codings beside `chunked`.
fn framing(headers: &[httparse::Header<'_>], minor: u8) -> Result<State, Refusal> {
    let mut lengths = values(headers, "content-length");
    let mut codings = values(headers, "transfer-encoding");
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(State::Head),
        (Some(length), None) if lengths.next().is_none() => {
            let digits = std::str::from_utf8(length).map_err(|_| Refusal::Malformed)?;
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Refusal::Malformed);
            }
            match digits.parse() {
                Ok(0) => Ok(State::Head),
                Ok(length) if length <= MAX_LENGTH => Ok(State::Length(length)),
                Ok(_) | Err(_) => Err(Refusal::Malformed),
            }
        }
        (None, Some(coding)) if codings.next().is_none() && minor == 1 => {
            if coding.eq_ignore_ascii_case(b"chunked") {
                Ok(State::Chunked(Chunked::default()))
            } else {
                Err(Refusal::Coding)
            }
        }
        (Some(_), _) | (None, Some(_)) => Err(Refusal::Malformed),
    }
}

fn values<'a>(
    headers: &'a [httparse::Header<'a>],
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}
