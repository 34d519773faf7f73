//! A track's decoders: payloads in, samples at the timeline's rate out.
//!
//! Called by [`crate::track`] for each packet of sound; calls `codec`. The order of packets
//! ([`crate::order`]) and the place of what comes out do not belong here.
//!
//! G.711 and L16, at the timeline's own rate, need no state: they cost a table and a copy. For the
//! others a decoder and a resampler are made when their payload type is first heard, [`MOST`] at a
//! time, so that a call of G.711 has no memory for them.
//!
//! Invariant: a packet's samples fill its time, to the sample. Where sound is resampled its end can
//! only be guessed until the next packet, so it is given as if silence followed, and what was
//! guessed comes again in front of the next packet's samples. So does what Opus knows of a packet
//! that was lost.

use reeld_codec::g711::Law;
use reeld_codec::opus;
use reeld_codec::resample::Resampler;
use reeld_codec::{g711, g722, l16};
use serde::{Deserialize, Serialize};

use crate::payload::Payload;

/// Samples of a packet at most, before and after resampling: 120 ms at 48 kHz, and more for what
/// comes in front of it. Longer payloads are cut.
pub(crate) const MAX_SAMPLES: usize = 8_192;

/// Decoders that are kept at once: a sender goes back and forth between few.
const MOST: usize = 4;

/// The longest loss that Opus is asked to fill, in units of its clock: 60 ms. Beyond it there is
/// nothing to go on.
const MOST_RECOVERED: u32 = 2_880;

/// Opus durations are multiples of this, in units of its clock: 2.5 ms.
const OPUS_STEP: u32 = 120;

/// The decoders of one track. Where a call is handed over, its decoders begin anew: what the next packet
/// leans on is some milliseconds of sound for those that have a memory, nothing for G.711 and L16.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Decoders {
    rate_hz: u32,
    #[serde(skip)]
    streams: Vec<Stream>,
    /// A packet's samples at their own rate.
    #[serde(skip)]
    natural: Vec<i16>,
}

/// What is known of one payload type's sound.
#[derive(Debug)]
struct Stream {
    payload: Payload,
    codec: Codec,
    resampler: Option<Box<Resampler>>,
    /// The stamp that follows on the last packet.
    next: Option<u32>,
    /// Samples of the last packet that were guessed.
    guessed: usize,
}

#[derive(Debug)]
enum Codec {
    G711(Law),
    G722(Box<g722::Decoder>),
    Opus(opus::Decoder),
    L16 { channels: u8 },
}

impl Decoders {
    /// Decoders for a timeline of `rate_hz`.
    pub(crate) const fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz,
            streams: Vec::new(),
            natural: Vec::new(),
        }
    }

    /// Whether packets must come in order.
    pub(crate) fn needs_order(&self, payload: Payload) -> bool {
        payload.is_stateful() || (payload.is_audio() && payload.natural_rate_hz() != self.rate_hz)
    }

    /// Begins anew: the next packet is the first of another stream.
    pub(crate) fn begin(&mut self) {
        for stream in &mut self.streams {
            match &mut stream.codec {
                Codec::G722(decoder) => **decoder = g722::Decoder::new(),
                Codec::Opus(decoder) => decoder.reset(),
                Codec::G711(_) | Codec::L16 { .. } => {}
            }
            stream.next = None;
        }
    }

    /// Decodes a packet into `out`, whose content it replaces. Its time begins after the samples
    /// whose number is returned: those before it belong in front of it. `None` for a packet that is
    /// damaged, or whose codec could not be made ready. `lost` says that packets are missing before
    /// this one.
    pub(crate) fn decode(
        &mut self,
        payload: Payload,
        bytes: &[u8],
        stamp: u32,
        lost: bool,
        out: &mut Vec<i16>,
    ) -> Option<usize> {
        out.clear();
        match payload {
            Payload::ComfortNoise | Payload::TelephoneEvent => return Some(0),
            Payload::G711(law) if self.rate_hz == g711::RATE_HZ => {
                g711::decode_to(law, &bytes[..bytes.len().min(MAX_SAMPLES)], out);
                return Some(0);
            }
            Payload::L16 { rate_hz, channels } if rate_hz == self.rate_hz => {
                append(out, |room| Some(l16::decode(bytes, channels, room)))?;
                return Some(0);
            }
            Payload::G711(_) | Payload::L16 { .. } | Payload::G722 | Payload::Opus => {}
        }
        self.natural.clear();
        let at = self.stream(payload)?;
        self.streams[at].decode(bytes, stamp, lost, &mut self.natural, out)
    }

    /// Where the stream of `payload` is in the list: the one that was made last takes the place of
    /// another where there are too many.
    fn stream(&mut self, payload: Payload) -> Option<usize> {
        let known = |stream: &Stream| stream.payload == payload;
        if let Some(at) = self.streams.iter().position(known) {
            return Some(at);
        }
        let stream = Stream::new(payload, self.rate_hz)?;
        if self.streams.len() == MOST {
            self.streams.remove(0);
        }
        self.streams.push(stream);
        Some(self.streams.len() - 1)
    }
}

impl Stream {
    fn new(payload: Payload, rate_hz: u32) -> Option<Self> {
        let (codec, natural_hz) = match payload {
            Payload::G711(law) => (Codec::G711(law), g711::RATE_HZ),
            Payload::G722 => (Codec::G722(Box::default()), g722::RATE_HZ),
            Payload::L16 { rate_hz, channels } => (Codec::L16 { channels }, rate_hz),
            // libopus gives 8 and 16 kHz too, but with filters that leave 19 and 12 dB of speech
            // between that and its own 48 kHz brought there (measured at 48 kbit/s).
            Payload::Opus => {
                let decoder = opus::Decoder::new(opus::CLOCK_HZ).ok()?;
                (Codec::Opus(decoder), opus::CLOCK_HZ)
            }
            Payload::ComfortNoise | Payload::TelephoneEvent => return None,
        };
        let resampler = if natural_hz == rate_hz {
            None
        } else {
            Some(Box::new(Resampler::new(natural_hz, rate_hz).ok()?))
        };
        Some(Self {
            payload,
            codec,
            resampler,
            next: None,
            guessed: 0,
        })
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        stamp: u32,
        lost: bool,
        natural: &mut Vec<i16>,
        out: &mut Vec<i16>,
    ) -> Option<usize> {
        let mut missing = self.next.map(|next| stamp.wrapping_sub(next));
        let mut recovered = 0;
        let units = match &mut self.codec {
            Codec::G711(law) => {
                g711::decode_to(*law, &bytes[..bytes.len().min(MAX_SAMPLES)], natural);
                natural.len()
            }
            Codec::G722(decoder) => {
                append(natural, |room| Some(decoder.decode(bytes, room)))? / g722::SAMPLES_OF_BYTE
            }
            Codec::L16 { channels } => {
                append(natural, |room| Some(l16::decode(bytes, *channels, room)))?
            }
            Codec::Opus(decoder) => {
                let units = opus::duration(bytes)?;
                if let Some(gap @ 1..=MOST_RECOVERED) = missing
                    && lost
                    && gap.is_multiple_of(OPUS_STEP)
                {
                    let samples = usize::try_from(gap).ok()?;
                    let mut recover =
                        |room: &mut [i16]| decoder.recover(bytes, &mut room[..samples]);
                    if let Some(count) = append(natural, |room| recover(room).ok()) {
                        (recovered, missing) = (count, Some(0));
                    }
                }
                append(natural, |room| decoder.decode(bytes, room).ok())?;
                usize::try_from(units).ok()?
            }
        };
        self.next = Some(stamp.wrapping_add(u32::try_from(units).unwrap_or_default()));
        let Some(resampler) = &mut self.resampler else {
            out.extend_from_slice(natural);
            return Some(recovered);
        };
        if missing != Some(0) {
            resampler.reset();
            self.guessed = 0;
        }
        let mut before = self.guessed;
        if recovered > 0 {
            resampler.process(&natural[..recovered], out);
            // Its end will come, but not before what follows it.
            before = out.len() + resampler.tail(&mut Vec::new());
        }
        resampler.process(&natural[recovered..], out);
        self.guessed = resampler.tail(out);
        Some(before)
    }
}

/// Lets `decode` write behind what `samples` has; how many samples that were.
fn append(
    samples: &mut Vec<i16>,
    decode: impl FnOnce(&mut [i16]) -> Option<usize>,
) -> Option<usize> {
    let before = samples.len();
    samples.resize(before + MAX_SAMPLES, 0);
    let count = decode(&mut samples[before..]);
    samples.truncate(before + count.unwrap_or(0));
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Payload; 7] = [
        Payload::G711(Law::Mu),
        Payload::G711(Law::A),
        Payload::G722,
        Payload::Opus,
        Payload::L16 {
            rate_hz: 8_000,
            channels: 1,
        },
        Payload::L16 {
            rate_hz: 44_100,
            channels: 2,
        },
        Payload::L16 {
            rate_hz: 12_000,
            channels: 1,
        },
    ];

    proptest! {
        #[test]
        fn no_bytes_panic_or_grow(
            rate_hz in proptest::sample::select(vec![8_000, 16_000, 48_000]),
            packets in proptest::collection::vec(
                (
                    proptest::sample::select(ALL.to_vec()),
                    proptest::collection::vec(any::<u8>(), 0..1_500),
                    0u32..6_000,
                    any::<bool>(),
                ),
                1..20,
            ),
        ) {
            let mut decoders = Decoders::new(rate_hz);
            let mut out = Vec::new();
            let mut stamp = u32::MAX - 20_000;
            for (payload, bytes, step, lost) in packets {
                let before = decoders.decode(payload, &bytes, stamp, lost, &mut out);
                prop_assert!(before.unwrap_or(0) <= out.len());
                prop_assert!(out.len() <= 6 * MAX_SAMPLES);
                prop_assert!(decoders.streams.len() <= MOST);
                stamp = stamp.wrapping_add(step);
            }
        }

        #[test]
        fn packets_fill_their_time(sizes in proptest::collection::vec(1usize..900, 1..40)) {
            let mut decoders = Decoders::new(8_000);
            let payload = Payload::L16 { rate_hz: 44_100, channels: 1 };
            let (mut out, mut heard, mut stamp) = (Vec::new(), 0, 7_u32);
            for size in &sizes {
                let before = decoders.decode(payload, &vec![1; size * 2], stamp, false, &mut out);
                stamp += u32::try_from(*size).unwrap();
                heard += out.len() - before.unwrap();
            }
            let all: usize = sizes.iter().sum();
            prop_assert_eq!(heard, (all * 8_000).div_ceil(44_100));
        }
    }

    #[test]
    fn a_call_of_g711_has_no_memory_for_others() {
        let mut decoders = Decoders::new(8_000);
        let mut out = Vec::new();
        for law in [Law::Mu, Law::A] {
            decoders.decode(Payload::G711(law), &[0; 160], 0, false, &mut out);
            assert_eq!(out.len(), 160);
        }
        assert_eq!(
            (decoders.streams.capacity(), decoders.natural.capacity()),
            (0, 0)
        );
        assert!(!decoders.needs_order(Payload::G711(Law::Mu)));
        assert!(decoders.needs_order(Payload::G722));
    }
}
