//! The messages of a connection, told apart (RFC 3261 §18.3).
//!
//! Called by the daemon for each connection; calls `message`. Holds one message at most, [`MOST_BYTES`] of it. Lines that
//! begin none, such as the rest of a body that was longer than its message said, are passed over, as many bytes of
//! them.

use super::message::{MOST_BYTES, framed, is_start};

/// A stream that is no SIP, or whose messages are too long: its connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream has no SIP messages that can be told apart")]
pub struct Unframed;

/// What came of a connection and is no whole message yet.
#[derive(Debug, Default)]
pub struct Framer {
    bytes: Vec<u8>,
    /// How much was passed over since the last message.
    passed_over: usize,
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
            let end = rest.iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.filter(|end| !is_start(&rest[..*end])) {
                at += end + 1;
                self.passed_over += end + 1;
                if self.passed_over > MOST_BYTES {
                    break Err(Unframed);
                }
                continue;
            }
            match framed(rest) {
                Ok(Some(whole)) => {
                    message(&rest[..whole]);
                    self.passed_over = 0;
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
    fn a_length_that_is_wrong_or_missing_costs_no_other_message() {
        let sdp = "v=0\r\ns=-\r\nm=audio 4000 RTP/AVP 0\r\n";
        let parts = format!("--b\r\n\r\n{sdp}\r\n--b--\r\n");
        for (kind, length, body) in [
            ("application/sdp", "Content-Length: 5\r\n", sdp),
            ("application/sdp", "", sdp),
            ("multipart/mixed;boundary=b", "", &parts),
        ] {
            let stream = format!(
                "INVITE sip:a SIP/2.0\r\nContent-Type: {kind}\r\n{length}\r\n{body}ACK sip:a SIP/2.0\r\nl: 0\r\n\r\n"
            );
            let (mut framer, mut found) = (Framer::default(), Vec::new());
            let take = |message: &[u8]| found.push(String::from_utf8_lossy(message).into_owned());
            framer.take(stream.as_bytes(), take).unwrap();
            assert_eq!(found.len(), 2, "{found:?}");
            assert!(found[1].starts_with("ACK "), "{found:?}");
            assert_eq!(found[0].ends_with(body), length.is_empty(), "{found:?}");
        }
        // Several parts are waited for, and what is not SIP at all is not for ever.
        let mut framer = Framer::default();
        let head =
            "INVITE sip:a SIP/2.0\r\nc: multipart/mixed;boundary=b\r\n\r\n--b\r\n\r\nv=0\r\n";
        framer
            .take(head.as_bytes(), |_| panic!("not whole yet"))
            .unwrap();
        let mut whole = 0;
        framer.take(b"--b--\r\n", |_| whole += 1).unwrap();
        assert_eq!(whole, 1);
        let ended = (0..10_000).any(|_| framer.take(b"GET / HTTP/1.1\r\n", |_| panic!()).is_err());
        assert!(ended);
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
