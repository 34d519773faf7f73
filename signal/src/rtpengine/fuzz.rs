//! The follower as fuzzers see it: an rtpengine that answers with any bytes.
//!
//! Called by `fuzz/`. Not an API: hidden in the documentation, and changed with the readers.

use std::time::Duration;

use reeld_model::{AccountSid, Channels, Mono, RecordingSid};

use super::{Follower, Output, Settings};
use crate::work::Outcome;

/// A follower whose requests are answered with these texts, each ended by a NUL; what it has sent.
pub fn answers(bytes: &[u8]) -> usize {
    let mut number = 0;
    let random = Box::new(move || {
        number += 1;
        number
    });
    let settings = Settings {
        account: Some(AccountSid::from_bytes([1; 16])),
        follow: true,
        channels: Channels::Dual,
        delete_delay: Duration::from_secs(30),
        media_is_local: true,
        address: [127, 0, 0, 1].into(),
        incoming: Default::default(),
    };
    let mut now = Mono(0);
    let mut follower = Follower::new(settings, random, now);
    let (mut sent, mut answers) = (0, bytes.split(|byte| *byte == 0));
    // As many steps as there are answers, and some beyond, for what is never answered.
    for _ in 0..bytes.len().min(256) + 16 {
        follower.handle_time(now);
        while let Some(output) = follower.poll_output() {
            match output {
                Output::Send(datagram) => {
                    sent += 1;
                    let cookie = datagram.split(|byte| *byte == b' ').next();
                    if let Some(answer) = answers.next() {
                        let datagram = [cookie.unwrap_or_default(), b" ", answer].concat();
                        follower.handle_datagram(&datagram, now);
                    }
                }
                Output::Work { call, .. } => {
                    let outcome = Outcome::Done {
                        sdp: Some("c=IN IP4 127.0.0.1\r\nm=audio 20000 RTP/AVP 0\r\n".to_owned()),
                        recording: Some(RecordingSid::from_bytes([1; 16])),
                    };
                    follower.handle_outcome(call, outcome, now);
                }
                Output::Warning { .. } | Output::Attached { .. } => {}
            }
        }
        now = now + Duration::from_millis(400);
    }
    let kept = follower.keep(true).unwrap_or_default();
    let _ = follower.take_up(&kept, |_, _| true);
    sent
}
