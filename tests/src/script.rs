//! What a caller sends and when: RTP packets with their times, and ways to spoil them.
//!
//! Pure data: [`crate::sender`] plays a script against the clock. Each spoiling takes a script and
//! gives a script, so that a test says what its network does in one expression. RFC 3550 §5.1
//! (<https://www.rfc-editor.org/rfc/rfc3550#section-5.1>) is the header, RFC 3551 §6 the payload
//! types.

use std::time::Duration;

/// Samples a second of G.711.
pub const RATE: u64 = 8_000;

/// G.711's two laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Law {
    /// µ-law, PCMU.
    Mu,
    /// A-law, PCMA.
    A,
}

impl Law {
    /// The static payload type (RFC 3551 §6).
    #[must_use]
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Mu => 0,
            Self::A => 8,
        }
    }

    /// The name of ffmpeg's raw format.
    #[must_use]
    pub const fn ffmpeg_format(self) -> &'static str {
        match self {
            Self::Mu => "mulaw",
            Self::A => "alaw",
        }
    }
}

/// An RTP packet without CSRC, extension and padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Payload type, below 128.
    pub payload_type: u8,
    /// The marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// RTP time stamp.
    pub timestamp: u32,
    /// Source.
    pub ssrc: u32,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Packet {
    /// The packet on the wire.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12 + self.payload.len());
        bytes.push(0x80);
        bytes.push(self.payload_type | (u8::from(self.marker) << 7));
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Reads a datagram; `None` when it is no RTP packet of the plain kind above.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [
            0x80,
            second,
            s0,
            s1,
            t0,
            t1,
            t2,
            t3,
            r0,
            r1,
            r2,
            r3,
            payload @ ..,
        ] = bytes
        else {
            return None;
        };
        Some(Self {
            payload_type: second & 0x7f,
            marker: second & 0x80 != 0,
            sequence: u16::from_be_bytes([*s0, *s1]),
            timestamp: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
            ssrc: u32::from_be_bytes([*r0, *r1, *r2, *r3]),
            payload: payload.to_vec(),
        })
    }
}

/// A datagram and when it leaves, from the start of the play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// When.
    pub at: Duration,
    /// What.
    pub bytes: Vec<u8>,
}

/// Datagrams in the order of their times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script(pub Vec<Cue>);

impl Script {
    /// How many datagrams there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The network loses the datagrams at these places.
    #[must_use]
    pub fn losing(self, places: &[usize]) -> Self {
        let kept = self
            .0
            .into_iter()
            .enumerate()
            .filter(|(place, _)| !places.contains(place));
        Self(kept.map(|(_, cue)| cue).collect())
    }

    /// The network delivers the datagrams at these places twice, the copy `later`.
    #[must_use]
    pub fn doubling(mut self, places: &[usize], later: Duration) -> Self {
        let copies: Vec<Cue> = places
            .iter()
            .map(|&place| Cue {
                at: self.0[place].at + later,
                ..self.0[place].clone()
            })
            .collect();
        self.0.extend(copies);
        self.sorted()
    }

    /// The network delivers the datagrams at these places late by this much.
    #[must_use]
    pub fn delaying(mut self, places: &[usize], by: Duration) -> Self {
        for &place in places {
            self.0[place].at += by;
        }
        self.sorted()
    }

    /// This script, and `next` after it: from `gap` after this one's last datagram.
    #[must_use]
    pub fn then(mut self, gap: Duration, next: Self) -> Self {
        let base = self.0.last().map_or(Duration::ZERO, |cue| cue.at) + gap;
        self.0.extend(next.0.into_iter().map(|cue| Cue {
            at: base + cue.at,
            ..cue
        }));
        self
    }

    /// Both scripts, played together.
    #[must_use]
    pub fn beside(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self.sorted()
    }

    fn sorted(mut self) -> Self {
        self.0.sort_by_key(|cue| cue.at);
        self
    }
}

/// One RTP source: where its numbers begin and how it packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voice {
    /// How its payload is coded.
    pub law: Law,
    /// Its SSRC.
    pub ssrc: u32,
    /// Its first sequence number.
    pub sequence: u16,
    /// Its first time stamp.
    pub timestamp: u32,
    /// Samples in a packet: 160 is 20 ms.
    pub samples: usize,
}

impl Voice {
    /// A source of µ-law in packets of 20 ms, its numbers all drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = crate::tape::Dice::new(seed ^ 0x7265_656c_6400);
        let [a, b, c, d, e, f, g, h] = dice.roll().to_le_bytes();
        let [s0, s1, ..] = dice.roll().to_le_bytes();
        Self {
            law: Law::Mu,
            ssrc: u32::from_le_bytes([a, b, c, d]),
            sequence: u16::from_le_bytes([s0, s1]),
            timestamp: u32::from_le_bytes([e, f, g, h]),
            samples: 160,
        }
    }

    /// This source with this law.
    #[must_use]
    pub const fn with_law(self, law: Law) -> Self {
        Self { law, ..self }
    }

    /// The packets of these codes, one each packet time from 0 on; a last short packet is sent short.
    #[must_use]
    pub fn say(&self, codes: &[u8]) -> Script {
        let step = u32::try_from(self.samples).expect("a packet has few samples");
        let cues = codes
            .chunks(self.samples)
            .zip(0_u32..)
            .map(|(payload, place)| {
                let packet = Packet {
                    payload_type: self.law.payload_type(),
                    marker: place == 0,
                    sequence: self.sequence.wrapping_add((place & 0xffff) as u16),
                    timestamp: self.timestamp.wrapping_add(place.wrapping_mul(step)),
                    ssrc: self.ssrc,
                    payload: payload.to_vec(),
                };
                Cue {
                    at: duration_of(u64::from(place) * u64::from(step)),
                    bytes: packet.bytes(),
                }
            });
        Script(cues.collect())
    }

    /// The time of one packet.
    #[must_use]
    pub fn packet_time(&self) -> Duration {
        duration_of(self.samples as u64)
    }

    /// An RTCP compound packet, SR then BYE, of this source (RFC 3550 §6.4.1, §6.6).
    #[must_use]
    pub fn bye(&self) -> Vec<u8> {
        let mut bytes = vec![0x80, 200, 0, 6];
        bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        bytes.extend_from_slice(&[0; 20]);
        bytes.extend_from_slice(&[0x81, 203, 0, 1]);
        bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        bytes
    }
}

/// The time that so many samples of G.711 take.
#[must_use]
pub const fn duration_of(samples: u64) -> Duration {
    Duration::from_micros(samples * (1_000_000 / RATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences(script: &Script) -> Vec<u16> {
        script
            .0
            .iter()
            .map(|cue| Packet::parse(&cue.bytes).unwrap().sequence)
            .collect()
    }

    #[test]
    fn a_voice_counts_and_wraps() {
        let voice = Voice {
            sequence: 65_535,
            timestamp: u32::MAX - 159,
            ..Voice::new(1)
        };
        let script = voice.say(&[1; 400]);
        let packets: Vec<_> = script
            .0
            .iter()
            .map(|cue| Packet::parse(&cue.bytes).unwrap())
            .collect();
        assert_eq!(sequences(&script), [65_535, 0, 1]);
        assert_eq!(packets[1].timestamp, 0);
        assert_eq!(packets[2].payload.len(), 80);
        assert!(packets[0].marker && !packets[1].marker);
        assert_eq!(script.0[2].at, Duration::from_millis(40));
    }

    #[test]
    fn a_bad_network_is_an_expression() {
        let voice = Voice {
            sequence: 0,
            ..Voice::new(1)
        };
        let script = voice.say(&[1; 1_600]);
        assert_eq!(
            sequences(&script.clone().losing(&[1, 9])),
            [0, 2, 3, 4, 5, 6, 7, 8]
        );
        let late = script.clone().delaying(&[2], Duration::from_millis(50));
        assert_eq!(sequences(&late), [0, 1, 3, 4, 2, 5, 6, 7, 8, 9]);
        let twice = script.clone().doubling(&[0], Duration::from_millis(10));
        assert_eq!(sequences(&twice)[..3], [0, 0, 1]);
        let both = script.clone().then(Duration::from_secs(1), script);
        assert_eq!(both.len(), 20);
        assert_eq!(both.0[10].at, Duration::from_millis(1_180));
    }
}
