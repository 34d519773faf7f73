//! Calls by their SIP: who calls whom, where each side wants its RTP, when it ends.
//!
//! Called by [`super::plan`] for each SIP message of the first pass, over UDP or TCP.
//!
//! A call is its Call-ID. Its caller's side is the one whose tag the first INVITE had in From;
//! whatever a message carries, a request's SDP is the From side's and a response's the other's.
//! What a proxy forwards is seen twice and says the same of the two sides.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::sdp::{self, Line};
use crate::sip::{self, Message, Start};

/// Calls of one file.
const MOST_CALLS: usize = 65_536;

/// Changes of SDP that are kept of one side of a call.
const MOST_CHANGES: usize = 64;

/// A call as SIP tells of it. Times are nanoseconds from the file's start.
#[derive(Debug)]
pub(super) struct Dialog {
    pub(super) id: String,
    pub(super) from: String,
    pub(super) to: String,
    caller_tag: String,
    pub(super) begins: u64,
    /// When it was hung up or refused.
    pub(super) ends: Option<u64>,
    hung_up: bool,
    /// The caller's and the callee's lines, each with when it was said.
    pub(super) sides: [Vec<(u64, Line)>; 2],
}

/// All calls, by Call-ID.
#[derive(Debug, Default)]
pub(super) struct Dialogs {
    numbers: HashMap<String, usize>,
    pub(super) dialogs: Vec<Dialog>,
    streams: HashMap<(SocketAddr, SocketAddr), Stream>,
    /// INVITEs that found no room.
    pub(super) left_out: u64,
}

/// Bytes of a TCP connection, in one direction, that are not yet a whole message.
#[derive(Debug, Default)]
struct Stream {
    next: u32,
    bytes: Vec<u8>,
}

/// TCP connections that are followed.
const MOST_STREAMS: usize = 1_024;

/// Bytes of one that wait for the rest of their message.
const MOST_WAITING: usize = 64 * 1024;

impl Dialogs {
    /// Takes a datagram; true where it was SIP.
    pub(super) fn note(&mut self, at: u64, datagram: &[u8]) -> bool {
        if !sip::begins_as_sip(datagram) {
            return false;
        }
        if let Some(message) = Message::read(datagram) {
            self.take(at, &message);
        }
        true
    }

    /// Takes a segment of a TCP connection. A lost one costs the message it was of.
    pub(super) fn note_segment(
        &mut self,
        at: u64,
        pair: (SocketAddr, SocketAddr),
        sequence: u32,
        begins: bool,
        payload: &[u8],
    ) {
        if begins {
            self.streams.remove(&pair);
        }
        if payload.is_empty() {
            return;
        }
        if !self.streams.contains_key(&pair) {
            if !sip::begins_as_sip(payload) || self.streams.len() >= MOST_STREAMS {
                return;
            }
            let empty = Stream {
                next: sequence,
                bytes: Vec::new(),
            };
            self.streams.insert(pair, empty);
        }
        let Some(mut stream) = self.streams.remove(&pair) else {
            return;
        };
        let ahead = sequence.wrapping_sub(stream.next);
        if ahead > u32::MAX / 2 {
            // Sent again: it was taken before.
            self.streams.insert(pair, stream);
            return;
        }
        if ahead != 0 {
            stream.bytes.clear();
        }
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        stream.next = sequence.wrapping_add(length);
        stream.bytes.extend_from_slice(payload);
        while let Some(message) = Message::read(&stream.bytes) {
            // Over a stream the length is a must (RFC 3261 §18.3).
            let whole = message.body_at + message.content_length.unwrap_or(0);
            if message.body_at == stream.bytes.len() && !ends_headers(&stream.bytes)
                || whole > stream.bytes.len()
            {
                break;
            }
            self.take(at, &message);
            stream.bytes.drain(..whole);
        }
        if stream.bytes.len() > MOST_WAITING {
            stream.bytes.clear();
        }
        self.streams.insert(pair, stream);
    }

    fn take(&mut self, at: u64, message: &Message<'_>) {
        let number = match (self.numbers.get(message.call_id), message.start) {
            (Some(&number), _) => number,
            (None, Start::Request("INVITE")) => {
                if self.dialogs.len() >= MOST_CALLS {
                    self.left_out += 1;
                    return;
                }
                self.numbers
                    .insert(message.call_id.to_owned(), self.dialogs.len());
                self.dialogs.push(Dialog {
                    id: message.call_id.to_owned(),
                    from: sip::uri(message.from).to_owned(),
                    to: sip::uri(message.to).to_owned(),
                    caller_tag: sip::tag(message.from).to_owned(),
                    begins: at,
                    ends: None,
                    hung_up: false,
                    sides: [Vec::new(), Vec::new()],
                });
                self.dialogs.len() - 1
            }
            // A call whose INVITE was not captured says too little.
            (None, _) => return,
        };
        let dialog = &mut self.dialogs[number];
        let is_callers = sip::tag(message.from) == dialog.caller_tag;
        let sender = match message.start {
            Start::Request(_) => usize::from(!is_callers),
            Start::Response(_) => usize::from(is_callers),
        };
        match (message.start, message.method) {
            (Start::Request("BYE"), _) if !dialog.hung_up => {
                (dialog.ends, dialog.hung_up) = (Some(at), true);
            }
            // A proxy asks who it is that hangs up: the call goes on until it is told.
            (Start::Response(401 | 407), "BYE") => (dialog.ends, dialog.hung_up) = (None, false),
            // One branch of a forked call refuses or is cancelled, and another answers.
            (Start::Response(200..=299), "INVITE") if !dialog.hung_up => dialog.ends = None,
            (Start::Response(status), "INVITE") if status >= 300 => {
                let is_first = dialog.sides[1].is_empty();
                // An asked-for password or a refused re-INVITE ends nothing.
                if is_first && !matches!(status, 401 | 407 | 422 | 491) {
                    dialog.ends = dialog.ends.or(Some(at));
                }
            }
            _ => {}
        }
        let Some(body) = message.sdp() else {
            return;
        };
        let said = &mut dialog.sides[sender];
        for line in sdp::lines(body) {
            let is_known = said.iter().any(|(_, known)| *known == line);
            let is_last = said.last().is_some_and(|(_, last)| *last == line);
            // Said again later, after another: it is a change too.
            if !is_last && said.len() < MOST_CHANGES && (!is_known || at > dialog.begins) {
                said.push((at, line));
            }
        }
    }
}

fn ends_headers(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\r\n\r\n") || bytes.ends_with(b"\n\n")
}
