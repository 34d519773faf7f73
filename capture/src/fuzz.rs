//! The parsers as fuzzers see them: bytes in, nothing kept.
//!
//! Called by `fuzz/` and by `network/tests/fuzz_short.rs`; calls the crate's own parsers, which are
//! nobody else's business. Not an API: hidden in the documentation, and changed with the parsers.
//! The call machine needs no door here, [`crate::Call`] is one.

use crate::event::Events;
use crate::packet::{self, Datagram};
use crate::sdp::{Leg, Offer};

/// Reads a datagram as RTP, and its payload as a key; the payload's length.
pub fn rtp(datagram: &[u8]) -> Option<usize> {
    match packet::read(datagram) {
        Datagram::Rtp(packet) => {
            let _ = Events::default().read(packet.timestamp, packet.payload);
            Some(packet.payload.len())
        }
        Datagram::Rtcp(_) | Datagram::Stun | Datagram::Malformed => None,
    }
}

/// Reads a datagram as an RTCP compound packet; whether it says BYE for the SSRC 1.
pub fn rtcp(datagram: &[u8]) -> bool {
    packet::says_bye(datagram, 1)
}

/// Reads an offer and answers it.
pub fn sdp(offer: &str) -> Option<String> {
    let offer = Offer::read(offer).ok()?;
    let legs = [20_000, 20_002].map(|port| Leg { port, crypto: None });
    Some(offer.answer([127, 0, 0, 1].into(), &legs, 1, true))
}
