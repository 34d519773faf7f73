//! One RTP stream as it will be sent.
//!
//! Called by who plans a call; [`super::send`](fn@super::send) sends it, [`super::exact`] compares
//! what became of it.

use std::net::SocketAddr;

use reeld_codec::g711::Law;

use super::exact::{self, Difference, Exact};
use super::rtp::{HEADER_BYTES, Header};
use super::sound::{Seeded, Sound};

/// Samples in a millisecond.
const SAMPLES_PER_MS: u16 = 8;

/// The longest packet, in milliseconds of sound: the largest that audio profiles allow
/// (RFC 3551 §4.2).
pub(super) const MAX_PTIME_MS: u16 = 200;

/// One direction of a call: a sound, cut into packets, for one destination.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Where it goes.
    pub to: SocketAddr,
    /// How it is encoded; it decides the payload type.
    pub law: Law,
    /// Milliseconds of sound in a packet, 1 to 200; others are taken as the nearest.
    pub ptime_ms: u16,
    /// Packets to send.
    pub packets: u64,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Sequence number of the first packet.
    pub sequence: u16,
    /// Time stamp of the first packet.
    pub timestamp: u32,
    /// What is said, from its beginning.
    pub sound: Sound,
}

impl Stream {
    /// A stream of µ-law in packets of 20 ms, whose SSRC and start values come from `seed`
    /// (RFC 3550 §5.1 wants them random).
    #[must_use]
    pub fn new(to: SocketAddr, sound: Sound, packets: u64, seed: u64) -> Self {
        let mut seeded = Seeded::new(seed);
        let [low, high, ..] = seeded.next_u64().to_le_bytes();
        Self {
            to,
            law: Law::Mu,
            ptime_ms: 20,
            packets,
            ssrc: seeded.next_u32(),
            sequence: u16::from_le_bytes([low, high]),
            timestamp: seeded.next_u32(),
            sound,
        }
    }

    /// Samples in one packet, which are bytes too.
    #[must_use]
    pub fn samples_per_packet(&self) -> usize {
        usize::from(self.ptime() * SAMPLES_PER_MS)
    }

    /// Bytes of each of its packets.
    pub(super) fn bytes(&self) -> usize {
        HEADER_BYTES + self.samples_per_packet()
    }

    /// Holds one channel of a recording against all that this stream says.
    ///
    /// # Errors
    /// The first [`Difference`].
    pub fn compare(&self, channel: impl IntoIterator<Item = i16>) -> Result<Exact, Difference> {
        let samples = self.packets * self.samples_per_packet() as u64;
        exact::compare(self.sound.clone(), self.law, samples, channel)
    }

    pub(super) fn ptime(&self) -> u16 {
        self.ptime_ms.clamp(1, MAX_PTIME_MS)
    }

    /// The header of the packet with this number, counted from 0.
    pub(super) fn header(&self, number: u64) -> Header {
        let [b0, b1, b2, b3, ..] = number.to_le_bytes();
        let samples = u32::from(self.ptime() * SAMPLES_PER_MS);
        Header {
            marker: number == 0,
            payload_type: match self.law {
                Law::Mu => 0,
                Law::A => 8,
            },
            sequence: self.sequence.wrapping_add(u16::from_le_bytes([b0, b1])),
            timestamp: self
                .timestamp
                .wrapping_add(u32::from_le_bytes([b0, b1, b2, b3]).wrapping_mul(samples)),
            ssrc: self.ssrc,
        }
    }
}

#[cfg(test)]
mod tests {
    use reeld_model::Track;

    use super::*;

    #[test]
    fn numbers_wrap_as_rtp_wants() {
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut stream = Stream::new(to, Sound::melody(Track::Inbound), 10, 3);
        stream.sequence = 0xffff;
        stream.timestamp = 0xffff_ffff;
        let (first, second) = (stream.header(0), stream.header(1));
        assert!(first.marker && !second.marker);
        assert_eq!((first.sequence, second.sequence), (0xffff, 0));
        assert_eq!((first.timestamp, second.timestamp), (0xffff_ffff, 159));
        let far = stream.header((1 << 32) + 2);
        assert_eq!((far.sequence, far.timestamp), (1, 319));
    }
}
