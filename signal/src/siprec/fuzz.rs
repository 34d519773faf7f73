//! The parsers and the server as fuzzers see them: bytes in, nothing kept.
//!
//! Called by `fuzz/`. Not an API: hidden in the documentation, and changed with the parsers.

use reeld_model::{AccountSid, Channels, Mono, PauseBehavior, RecordingSid};

use super::body::Body;
use super::metadata::{Document, Metadata};
use super::{Agent, Output, Peer, Settings};
use crate::offer::Offer;
use crate::work::Outcome;

/// Reads a body of several parts.
pub fn multipart(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (kind, body) = bytes.split_at(end);
    let body = Body::read(&String::from_utf8_lossy(kind), body);
    body.sdp.as_deref().and_then(Offer::read).is_some() | body.metadata.is_some()
}

/// Reads rs-metadata, and takes it for a change of itself.
pub fn metadata(bytes: &[u8]) -> usize {
    let document = Document::read(bytes);
    let mut metadata = Metadata::default();
    metadata.merge(&document);
    metadata.merge(&document);
    metadata.participants.len()
}

/// A server that gets these messages, of which two line ends and a NUL end one; what it has sent.
pub fn messages(bytes: &[u8]) -> usize {
    let mut number = 0;
    let mut agent = Agent::new(
        Settings {
            allow: vec!["127.0.0.0/8".parse().expect("a network")],
            routes: Vec::new(),
            contact: ([127, 0, 0, 1], 5060).into(),
            tls_contact: ([127, 0, 0, 1], 5061).into(),
            pause: PauseBehavior::Skip,
            channels: Channels::Dual,
            media_is_local: true,
            incoming: Default::default(),
        },
        Box::new(move || {
            number += 1;
            number
        }),
    );
    agent.set_sole_account(Some(AccountSid::from_bytes([1; 16])));
    let from = Peer::Udp(([127, 0, 0, 1], 5070).into());
    let (mut sent, mut now) = (0, Mono(0));
    for message in bytes.split(|byte| *byte == 0) {
        agent.handle_message(from, message, now);
        let mut works = Vec::new();
        while let Some(output) = agent.poll_output() {
            match output {
                Output::Send { .. } => sent += 1,
                Output::Work { session, .. } => works.push(session),
            }
        }
        for session in works {
            let sid = RecordingSid::from_bytes([u8::try_from(session % 251).unwrap_or(0); 16]);
            let outcome = Outcome::Done {
                sdp: Some("c=IN IP4 127.0.0.1\r\nm=audio 20000 RTP/AVP 0\r\n".to_owned()),
                recording: Some(sid),
            };
            agent.handle_outcome(session, outcome, now);
        }
        now = now + std::time::Duration::from_millis(700);
        agent.handle_time(now);
    }
    let _ = agent.keep();
    sent
}
