//! The messages of a connection, told apart (RFC 3261 §18.3).
//!
//! Called by the daemon for each connection; calls `message`. Holds one message at most, [`MOST_BYTES`] of it.

use super::message::{MOST_BYTES, framed};

/// A stream that is no SIP, or whose messages are too long: its connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream has no SIP messages that can be told apart")]
pub struct Unframed;

/// What came of a connection and is no whole message yet.
#[derive(Debug, Default)]
pub struct Framer {
    bytes: Vec<u8>,
}

impl Framer {
    /// Whether no message has begun.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes bytes in, and gives each whole message out; a keep-alive as its two line ends.
    ///
    /// # Errors
    /// [`Unframed`]; what was whole before it has been given out.
    pub fn take(&mut self, bytes: &[u8], mut message: impl FnMut(&[u8])) -> Result<(), Unframed> {
        self.bytes.extend_from_slice(bytes);
        let mut at = 0;
        let result = loop {
            let rest = &self.bytes[at..];
            let white = rest.len() - rest.trim_ascii_start().len();
            if rest[..white].starts_with(b"\r\n\r\n") {
                message(b"\r\n\r\n");
            }
            at += white;
            let rest = &self.bytes[at..];
            if rest.is_empty() {
                break Ok(());
            }
            match framed(rest) {
                Ok(Some(whole)) => {
                    message(&rest[..whole]);
                    at += whole;
                }
                Ok(None) => break Ok(()),
                Err(_) => break Err(Unframed),
            }
        };
        self.bytes.drain(..at);
        if self.bytes.len() > MOST_BYTES {
            return Err(Unframed);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = "\r\n\r\nINVITE sip:a SIP/2.0\r\nVia: x\r\nl: 5\r\n\r\nbody!OPTIONS sip:a SIP/2.0\nContent-Length : 0\n\n\
        BYE sip:a SIP/2.0\r\n\r\nACK sip:a SIP/2.0\r\nContent-Length: 9\r\n\r\nnot yet";

    #[test]
    fn messages_are_told_apart_however_they_come() {
        for step in 1..STREAM.len() {
            let (mut framer, mut found) = (Framer::default(), Vec::new());
            for piece in STREAM.as_bytes().chunks(step) {
                let take =
                    |message: &[u8]| found.push(String::from_utf8_lossy(message).into_owned());
                framer.take(piece, take).unwrap();
            }
            found.retain(|message| message != "\r\n\r\n");
            let starts: Vec<&str> = found.iter().map(|one| &one[..3]).collect();
            assert_eq!(starts, ["INV", "OPT", "BYE"], "in steps of {step}");
            assert!(found[0].ends_with("\r\n\r\nbody!"));
        }
    }

    #[test]
    fn what_has_no_end_is_bounded() {
        let mut framer = Framer::default();
        let mut ended = false;
        for _ in 0..100 {
            ended |= framer
                .take(&[b'x'; 1_024], |_| panic!("no message"))
                .is_err();
        }
        assert!(ended);
        let long = b"INVITE sip:a SIP/2.0\r\nContent-Length: 99999999999\r\n\r\n";
        assert_eq!(Framer::default().take(long, |_| {}), Err(Unframed));
        let none = b"INVITE sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n";
        assert_eq!(Framer::default().take(none, |_| {}), Err(Unframed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(pieces in proptest::collection::vec("(INVITE a\r?\n|l: [0-9]{0,3}\r?\n|\r?\n|[ -~]{0,9})", 0..20)) {
            let mut framer = Framer::default();
            for piece in &pieces {
                let _ = framer.take(piece.as_bytes(), |message| assert!(!message.is_empty()));
            }
        }
    }
}
