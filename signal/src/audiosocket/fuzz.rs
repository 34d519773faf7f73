//! The parser and the player as a fuzzer sees them: bytes in, nothing kept.
//!
//! Called by `fuzz/`. Not an API: hidden in the documentation, and changed with the parsers.

use std::time::Duration;

use reeld_model::Mono;

use super::{Output, Seed, Session};

/// A connection that brings these bytes: a byte says how many come next, and after how long. Returns what it has put
/// out, in packets and in samples of stamps.
#[must_use]
pub fn session(mut bytes: &[u8]) -> (usize, usize) {
    let mut session = Session::new(Seed {
        ssrc: 1,
        sequence: 65_530,
        stamp: u32::MAX - 1_000,
    });
    let (mut packets, mut sound) = (0, 0);
    let mut now = Mono(1 << 40);
    let mut drain = |session: &mut Session, now: Mono| {
        while let Some(output) = session.poll_output(now) {
            match output {
                Output::Open(_) => session.handle_opened(now),
                Output::Packet(packet) => {
                    assert!(packet.len() <= 2_048, "as long as a datagram may be");
                    packets += 1;
                    sound += packet.len() - 12;
                }
                Output::Heard(..) | Output::Warning(_) | Output::Over(_) => {}
            }
        }
    };
    while let Some((step, rest)) = bytes.split_first() {
        let (now_read, later) = rest.split_at(rest.len().min(usize::from(*step)));
        bytes = later;
        if session.wants_bytes() {
            session.handle_bytes(now_read, now);
        }
        drain(&mut session, now);
        now = now + Duration::from_millis(u64::from(*step));
        if let Some(due) = session.due().filter(|due| *due < now) {
            drain(&mut session, due);
        }
    }
    session.handle_end();
    session.hurry();
    drain(&mut session, now);
    assert!(session.is_drained(), "nothing stays behind");
    (packets, sound)
}
