//! The beep as RTP: encoded in a hearer's codec, a frame at a time, and the stream it goes out as.
//!
//! Called by [`crate::call`], which says to whom and when; calls the codecs. RFC 3550 §5.1 has the
//! header, RFC 3551 §4.1 the marker. No RTCP is sent for half a second of sound.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use reeld_codec::g711::Law;
use reeld_codec::{beep, g711, g722, l16, opus};
use reeld_model::time::samples_in;
use reeld_model::{Beep, Mono, Track};
use serde::{Deserialize, Serialize};

use crate::payload::Payload;

/// The time of a frame: one packet, but for linear sound that would not fit one.
pub(crate) const FRAME: Duration = Duration::from_millis(FRAME_MS as u64);
const FRAME_MS: u32 = 20;

/// Frames of a beep; the last is quiet, since codecs with a delay end their sound in it.
pub(crate) const FRAMES: u32 = beep::LENGTH_MS / FRAME_MS + 1;

/// Bytes of a payload that go through any network in one piece.
const MOST_BYTES: usize = 1_280;

/// A datagram to send, from the RTP port of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// From whose port.
    pub track: Track,
    /// To whom.
    pub to: SocketAddr,
    /// An RTP packet.
    pub datagram: Vec<u8>,
}

/// The beep in one codec.
#[derive(Debug)]
pub(crate) struct Tone {
    payload: Payload,
    coder: Coder,
    samples: Vec<i16>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Coder {
    G711(Law),
    G722(Box<g722::Encoder>),
    L16 { channels: usize },
    Opus(&'static [Vec<u8>]),
}

/// The beep's frames in Opus: the same for every hearer, and too dear to be made again on a media
/// thread for each of them.
static OPUS: LazyLock<Result<Vec<Vec<u8>>, reeld_codec::Error>> = LazyLock::new(|| {
    let mut encoder = opus::Encoder::new(opus::CLOCK_HZ, 0)?;
    let mut samples = vec![0; (opus::CLOCK_HZ * FRAME_MS / 1_000) as usize];
    let frames = (0_u64..).step_by(samples.len()).take(FRAMES as usize);
    frames
        .map(|from| {
            let mut bytes = Vec::new();
            beep::samples(opus::CLOCK_HZ, from, &mut samples);
            encoder.encode(&samples, &mut bytes)?;
            Ok(bytes)
        })
        .collect()
});

impl Tone {
    /// The beep as `payload`; the error says why there is none.
    pub(crate) fn new(payload: Payload) -> Result<Self, String> {
        let coder = match payload {
            Payload::G711(law) => Coder::G711(law),
            Payload::G722 => Coder::G722(Box::new(g722::Encoder::new())),
            Payload::L16 { channels, .. } => Coder::L16 {
                channels: usize::from(channels),
            },
            Payload::Opus => Coder::Opus(OPUS.as_deref().map_err(|error| error.to_string())?),
            Payload::ComfortNoise | Payload::TelephoneEvent => {
                return Err(format!("{} carries no sound", payload.name()));
            }
        };
        Ok(Self {
            payload,
            coder,
            samples: Vec::new(),
            bytes: Vec::new(),
        })
    }

    pub(crate) const fn clock_hz(&self) -> u32 {
        self.payload.clock_hz()
    }

    /// Encodes frame number `frame`, which come in their order: `each` gets, for each packet of it, the
    /// units of the RTP clock since the beep's begin, and the payload.
    pub(crate) fn frame(&mut self, frame: u32, mut each: impl FnMut(u32, &[u8])) {
        let rate_hz = self.payload.natural_rate_hz();
        let clock_hz = self.payload.clock_hz();
        let begin =
            |frame: u32| u64::from(frame) * u64::from(FRAME_MS) * u64::from(rate_hz) / 1_000;
        let (from, to) = (begin(frame), begin(frame + 1));
        // A frame of 48 kHz has 960 samples.
        self.samples
            .resize(usize::try_from(to - from).unwrap_or(0), 0);
        beep::samples(rate_hz, from, &mut self.samples);
        let stamp = |sample: u64| {
            // A beep of half a second is far below 2^32 units.
            u32::try_from(sample * u64::from(clock_hz) / u64::from(rate_hz)).unwrap_or(0)
        };
        self.bytes.clear();
        match &mut self.coder {
            Coder::G711(law) => g711::encode(*law, &self.samples, &mut self.bytes),
            Coder::G722(encoder) => encoder.encode(&self.samples, &mut self.bytes),
            Coder::Opus(frames) => {
                let encoded = usize::try_from(frame)
                    .ok()
                    .and_then(|frame| frames.get(frame));
                self.bytes.extend(encoded.into_iter().flatten());
            }
            Coder::L16 { channels } => {
                let at_once = MOST_BYTES / size_of::<i16>() / *channels;
                let mut at = from;
                for part in self.samples.chunks(at_once) {
                    self.bytes.clear();
                    for sample in part {
                        for _ in 0..*channels {
                            l16::encode(&[*sample], &mut self.bytes);
                        }
                    }
                    each(stamp(at), &self.bytes);
                    at += part.len() as u64;
                }
                return;
            }
        }
        each(stamp(from), &self.bytes);
    }
}

/// The RTP stream that a call's beeps go out as: one after another, with the silence between them in
/// their stamps.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Stream {
    ssrc: u32,
    sequence: u16,
    clock_hz: u32,
    /// The stamp of the beep that it has last begun, and when that was.
    stamp: u32,
    begun: Mono,
}

impl Stream {
    /// The stream of a call's first beep, or of one in another clock (RFC 7160 §4.1), which begins at
    /// `begun` and which `heard` will not take for its own.
    pub(crate) fn new(seed: Beep, clock_hz: u32, begun: Mono, heard: u32) -> Self {
        Self {
            ssrc: seed.ssrc.wrapping_add(u32::from(seed.ssrc == heard)),
            sequence: seed.sequence,
            clock_hz,
            stamp: seed.timestamp,
            begun,
        }
    }

    /// The same stream at another beep's begin; `None` where its clock is another.
    pub(crate) fn again(self, clock_hz: u32, begun: Mono) -> Option<Self> {
        let passed = samples_in(begun.since(self.begun), clock_hz);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "stamps wrap (RFC 3550 §5.1)"
        )]
        let passed = passed as u32;
        (clock_hz == self.clock_hz).then_some(Self {
            stamp: self.stamp.wrapping_add(passed),
            begun,
            ..self
        })
    }

    /// The next packet, `since` units of its clock after the beep's begin.
    pub(crate) fn packet(
        &mut self,
        payload_type: u8,
        since: u32,
        first: bool,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(12 + payload.len());
        // Version 2; the marker says that a talkspurt begins.
        datagram.extend([0x80, payload_type & 0x7F | u8::from(first) << 7]);
        datagram.extend(self.sequence.to_be_bytes());
        datagram.extend(self.stamp.wrapping_add(since).to_be_bytes());
        datagram.extend(self.ssrc.to_be_bytes());
        datagram.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        datagram
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Decoders;
    use crate::packet::{self, Datagram};

    /// All of a beep in a codec, as its hearer decodes it to `rate_hz`.
    fn heard(payload: Payload, rate_hz: u32) -> Vec<i16> {
        let mut tone = Tone::new(payload).unwrap();
        let mut decoders = Decoders::new(rate_hz);
        let (mut samples, mut scratch) = (Vec::new(), Vec::new());
        for frame in 0..FRAMES {
            tone.frame(frame, |since, bytes| {
                assert!(!bytes.is_empty() && bytes.len() <= MOST_BYTES);
                let read = decoders.decode(payload, bytes, since, false, &mut scratch);
                // What was guessed of the frame before is put right by this one.
                samples.truncate(samples.len() - read.expect("it can be decoded"));
                samples.extend(&scratch);
            });
        }
        samples
    }

    #[test]
    fn every_codec_carries_it() {
        let l16 = |rate_hz, channels| Payload::L16 { rate_hz, channels };
        for payload in [
            Payload::G711(Law::Mu),
            Payload::G711(Law::A),
            Payload::G722,
            Payload::Opus,
            l16(8_000, 1),
            l16(11_025, 1),
            l16(16_000, 1),
            l16(44_100, 2),
            l16(48_000, 2),
        ] {
            let samples = heard(payload, 8_000);
            // 26 frames, but for what a resampler has not given out yet.
            assert!(
                (4_000..=4_160).contains(&samples.len()),
                "{payload:?} {}",
                samples.len()
            );
            let middle = &samples[800..3_200];
            let rises = middle.windows(2).filter(|two| two[0] < 0 && two[1] >= 0);
            let rises = rises.count();
            assert!(
                (298..=302).contains(&rises),
                "{payload:?}: {rises} periods in 300 ms"
            );
            let peak = middle.iter().map(|sample| sample.unsigned_abs()).max();
            assert!(
                (6_500..=9_500).contains(&peak.unwrap()),
                "{payload:?}: {peak:?}"
            );
        }
        assert!(Tone::new(Payload::ComfortNoise).is_err());
    }

    #[test]
    fn a_second_beep_goes_on_in_the_streams_own_time() {
        let seed = Beep {
            ssrc: 7,
            sequence: u16::MAX,
            timestamp: u32::MAX,
        };
        let begun = Mono(5_000_000_000);
        let mut stream = Stream::new(seed, 8_000, begun, 7);
        let read = |datagram: Vec<u8>| match packet::read(&datagram) {
            Datagram::Rtp(packet) => (packet.ssrc, packet.sequence, packet.timestamp, datagram[1]),
            Datagram::Rtcp(_) | Datagram::Stun | Datagram::Malformed => panic!("{datagram:?}"),
        };
        let first = read(stream.packet(8, 0, true, &[1]));
        assert_eq!(
            first,
            (8, u16::MAX, u32::MAX, 0x88),
            "its hearer has SSRC 7"
        );
        assert_eq!(read(stream.packet(8, 160, false, &[1])), (8, 0, 159, 8));
        let later = begun + Duration::from_secs(10);
        let mut again = stream.again(8_000, later).unwrap();
        assert_eq!(read(again.packet(8, 0, true, &[1])), (8, 1, 79_999, 0x88));
        assert!(stream.again(48_000, later).is_none());
    }
}
