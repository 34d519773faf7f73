//! Opus: packets of 2.5 to 120 ms to samples of 8, 16 or 48 kHz, one channel, and back.
//!
//! Called by `capture` for each packet in the order of its sequence, by [`crate::ogg_opus`] for
//! files, and by what makes Opus for tests; it calls libopus through audiopus. This file alone names audiopus, so that another
//! binding can take its place (RUSTSEC-2026-0150). Order and places do not belong here.
//!
//! RTP's clock is 48000 whatever is inside (RFC 7587 §4.1), and so are durations here. Stereo
//! packets come out as the decoder's own mono. Nothing is allocated after creation.
//!
//! RFC 6716 (§3.1: the first byte of a packet), RFC 7587.

use audiopus::coder::{Decoder as OpusDecoder, Encoder as OpusEncoder, GenericCtl};
use audiopus::{Application, Bitrate, Channels, SampleRate};

use crate::Error;

/// The RTP clock in Hz, and the unit of durations.
pub const CLOCK_HZ: u32 = 48_000;

/// Units of [`CLOCK_HZ`] in a packet at most: 120 ms (RFC 6716 §3.2.5).
pub const MOST_UNITS: u32 = 5_760;

/// How long a packet's sound is, in units of [`CLOCK_HZ`], by its first bytes and without decoding;
/// `None` for what is no Opus packet.
#[must_use]
pub fn duration(packet: &[u8]) -> Option<u32> {
    let (&toc, rest) = packet.split_first()?;
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3f),
    };
    // RFC 6716 table 2: SILK, hybrid, CELT.
    let frame = match (toc >> 3, (toc >> 3) & 3) {
        (0..=11, size @ 0..=2) => 480 << size,
        (0..=11, _) => 2_880,
        (12..=15, size) => 480 << (size & 1),
        (_, size) => 120 << size,
    };
    let whole = frame * frames;
    (1..=MOST_UNITS).contains(&whole).then_some(whole)
}

/// Decodes one stream.
#[derive(Debug)]
pub struct Decoder {
    decoder: OpusDecoder,
    rate_hz: u32,
}

impl Decoder {
    /// A decoder that gives `rate_hz`: 8000, 12000, 16000, 24000 or 48000.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another rate, [`Error::Opus`] where libopus has no memory.
    pub fn new(rate_hz: u32) -> Result<Self, Error> {
        let decoder = OpusDecoder::new(rate(rate_hz)?, Channels::Mono)
            .map_err(|_| Error::Opus("no decoder"))?;
        Ok(Self { decoder, rate_hz })
    }

    /// Samples a second of what comes out.
    #[must_use]
    pub const fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Decodes `packet` into the start of `samples`; returns how many.
    ///
    /// # Errors
    /// [`Error::Opus`] for what is no Opus packet, or longer than `samples`.
    pub fn decode(&mut self, packet: &[u8], samples: &mut [i16]) -> Result<usize, Error> {
        if packet.is_empty() {
            return Err(Error::Opus("an empty packet"));
        }
        self.run(Some(packet), samples, false)
    }

    /// Fills `samples` with what was lost before `next`: by the copy that `next` has of it (in-band
    /// FEC, RFC 6716 §2.1.7) where it has one, else made up. Its length must be a multiple of
    /// 2.5 ms; returns how many were filled.
    ///
    /// # Errors
    /// [`Error::Opus`] where the length is none that Opus knows.
    pub fn recover(&mut self, next: &[u8], samples: &mut [i16]) -> Result<usize, Error> {
        if next.is_empty() {
            return self.conceal(samples);
        }
        self.run(Some(next), samples, true)
    }

    /// Fills `samples` with what libopus makes up for a loss. Its length must be a multiple of
    /// 2.5 ms; returns how many were filled.
    ///
    /// # Errors
    /// [`Error::Opus`] where the length is none that Opus knows.
    pub fn conceal(&mut self, samples: &mut [i16]) -> Result<usize, Error> {
        self.run(None, samples, false)
    }

    /// Back to the initial state, as for a new stream.
    pub fn reset(&mut self) {
        // The only error is an unknown request.
        let _known = self.decoder.reset_state();
    }

    fn run(
        &mut self,
        packet: Option<&[u8]>,
        samples: &mut [i16],
        recover: bool,
    ) -> Result<usize, Error> {
        if samples.is_empty() {
            return Ok(0);
        }
        self.decoder
            .decode(packet, samples, recover)
            .map_err(|_| Error::Opus("a damaged packet"))
    }
}

/// Encodes one stream of one channel.
#[derive(Debug)]
pub struct Encoder(OpusEncoder);

impl Encoder {
    /// An encoder for speech of `rate_hz`: 8000, 12000, 16000, 24000 or 48000. Where `loss_percent`
    /// is above 0, packets carry a copy of the one before them.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another rate, [`Error::Opus`] where libopus refuses.
    pub fn new(rate_hz: u32, loss_percent: u8) -> Result<Self, Error> {
        let refused = |_| Error::Opus("no encoder");
        let mut encoder =
            OpusEncoder::new(rate(rate_hz)?, Channels::Mono, Application::Voip).map_err(refused)?;
        if loss_percent > 0 {
            encoder.enable_inband_fec().map_err(refused)?;
            encoder
                .set_packet_loss_perc(loss_percent)
                .map_err(refused)?;
        }
        Ok(Self(encoder))
    }

    /// Encodes one packet's `samples` (2.5, 5, 10, 20, 40 or 60 ms) onto the end of `packet`.
    ///
    /// # Errors
    /// [`Error::Opus`] for another length.
    pub fn encode(&mut self, samples: &[i16], packet: &mut Vec<u8>) -> Result<(), Error> {
        // More than Opus needs at its highest rate (RFC 6716 §3.4).
        const ROOM: usize = 1_500;
        let before = packet.len();
        packet.resize(before + ROOM, 0);
        let written = self.0.encode(samples, &mut packet[before..]);
        packet.truncate(before + written.as_ref().copied().unwrap_or(0));
        written.map_err(|_| Error::Opus("samples of no packet's length"))?;
        Ok(())
    }
}

/// Encodes one channel to packets of 20 ms that all have one size, so that a file's length is known
/// before it is made: hard CBR.
#[derive(Debug)]
pub struct ConstantEncoder {
    encoder: OpusEncoder,
    packet_bytes: usize,
    delay_units: u32,
}

impl ConstantEncoder {
    /// An encoder for sound of `rate_hz` (8000, 12000, 16000, 24000 or 48000) to packets of
    /// `packet_bytes` each.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another rate, [`Error::Opus`] where libopus refuses.
    pub fn new(rate_hz: u32, packet_bytes: u16) -> Result<Self, Error> {
        let refused = |_| Error::Opus("no encoder");
        let mut encoder = OpusEncoder::new(rate(rate_hz)?, Channels::Mono, Application::Audio)
            .map_err(refused)?;
        let bits_per_second = i32::from(packet_bytes) * 8 * 50;
        encoder
            .set_bitrate(Bitrate::BitsPerSecond(bits_per_second))
            .map_err(refused)?;
        encoder.disable_vbr().map_err(refused)?;
        let delay = encoder.lookahead().map_err(refused)?;
        Ok(Self {
            encoder,
            packet_bytes: packet_bytes.into(),
            delay_units: delay * (CLOCK_HZ / rate_hz),
        })
    }

    /// How much later the sound comes out of a decoder, in units of [`CLOCK_HZ`].
    #[must_use]
    pub const fn delay_units(&self) -> u32 {
        self.delay_units
    }

    /// Encodes 20 ms of `samples` onto the end of `packets`.
    ///
    /// # Errors
    /// [`Error::Opus`] for another length.
    pub fn encode(&mut self, samples: &[i16], packets: &mut Vec<u8>) -> Result<(), Error> {
        let before = packets.len();
        packets.resize(before + self.packet_bytes, 0);
        match self.encoder.encode(samples, &mut packets[before..]) {
            Ok(written) if written == self.packet_bytes => Ok(()),
            Ok(_) => Err(Error::Opus("a packet of another size than the rest")),
            Err(_) => Err(Error::Opus("samples of no packet's length")),
        }
    }
}

/// Appends `packet`, of one frame, with its length inside (RFC 6716 appendix B), as all but the
/// last stream of a packet of several have it.
///
/// # Errors
/// [`Error::Opus`] for a packet of several frames, or of a frame of more than 251 bytes.
pub fn self_delimit(packet: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let refused = Error::Opus("no packet of one short frame");
    let Some((&toc, rest)) = packet.split_first() else {
        return Err(refused);
    };
    // What comes before the length, the frame, and padding behind it.
    let (head, frame) = match (toc & 3, rest.first()) {
        (0, _) => (0, rest.len()),
        // Code 3 (§3.2.5) with one frame: a byte that says whether padding follows, whose length
        // is a sum of bytes as long as they are 255, each of which stands for 254.
        (3, Some(&count)) if count & 0x3f == 1 => {
            let (mut head, mut padding) = (1, 0);
            let mut more = count & 0x40 != 0;
            while more {
                let byte = usize::from(*rest.get(head).ok_or(refused_padding())?);
                head += 1;
                more = byte == 255;
                padding += if more { 254 } else { byte };
            }
            let frame = (rest.len() - head).checked_sub(padding);
            (head, frame.ok_or(refused_padding())?)
        }
        _ => return Err(refused),
    };
    // §3.2.1: longer ones take two bytes.
    let Some(length) = u8::try_from(frame).ok().filter(|length| *length < 252) else {
        return Err(refused);
    };
    out.push(toc);
    out.extend(&rest[..head]);
    out.push(length);
    out.extend(&rest[head..]);
    Ok(())
}

const fn refused_padding() -> Error {
    Error::Opus("a packet with more padding than bytes")
}

fn rate(rate_hz: u32) -> Result<SampleRate, Error> {
    match rate_hz {
        8_000 => Ok(SampleRate::Hz8000),
        12_000 => Ok(SampleRate::Hz12000),
        16_000 => Ok(SampleRate::Hz16000),
        24_000 => Ok(SampleRate::Hz24000),
        48_000 => Ok(SampleRate::Hz48000),
        _ => Err(Error::Unsupported(format!("Opus at {rate_hz} Hz"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Something like a voice: a fundamental that glides, with harmonics, in syllables.
    fn voice(rate_hz: u32, samples: usize) -> Vec<i16> {
        let mut angle = 0.0;
        (0..samples)
            .map(|i| {
                let time = i as f64 / f64::from(rate_hz);
                angle += std::f64::consts::TAU * (140.0 + 30.0 * (time * 3.0).sin())
                    / f64::from(rate_hz);
                let sum: f64 = (1..12)
                    .map(|k| (angle * f64::from(k)).sin() / f64::from(k))
                    .sum();
                let loud = (time * 12.0).sin().max(0.0).sqrt();
                #[expect(clippy::cast_possible_truncation, reason = "a sum made into samples")]
                let sample = (6_000.0 * loud * sum) as i16;
                sample
            })
            .collect()
    }

    fn packets(said: &[i16], size: usize, loss_percent: u8) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new(48_000, loss_percent).unwrap();
        said.chunks_exact(size)
            .map(|part| {
                let mut packet = Vec::new();
                encoder.encode(part, &mut packet).unwrap();
                packet
            })
            .collect()
    }

    fn distance(a: &[i16], b: &[i16]) -> f64 {
        let sum: f64 = a
            .iter()
            .zip(b)
            .map(|(a, b)| f64::from(i32::from(*a) - i32::from(*b)).powi(2))
            .sum();
        (sum / a.len() as f64).sqrt()
    }

    #[test]
    fn the_first_byte_says_how_long_it_is() {
        let said = voice(48_000, 48_000);
        for size in [120, 240, 480, 960, 1_920, 2_880] {
            for packet in packets(&said, size, 0) {
                assert_eq!(duration(&packet), u32::try_from(size).ok());
            }
        }
        assert_eq!(duration(&[]), None);
        assert_eq!(duration(&[3]), None);
        assert_eq!(duration(&[0x1b, 2]), Some(5_760));
        assert_eq!(duration(&[0x1b, 3]), None, "180 ms");
        assert_eq!(duration(&[0xe3, 0]), None, "no frame");
    }

    #[test]
    fn every_rate_has_its_number_of_samples() {
        let packets = packets(&voice(48_000, 9_600), 960, 0);
        for rate_hz in [8_000, 12_000, 16_000, 24_000, 48_000] {
            let mut decoder = Decoder::new(rate_hz).unwrap();
            let mut samples = [0; 5_760];
            for packet in &packets {
                let count = decoder.decode(packet, &mut samples).unwrap();
                assert_eq!(count, rate_hz as usize / 50);
            }
            let count = rate_hz as usize / 25;
            assert_eq!(decoder.conceal(&mut samples[..count]).unwrap(), count);
        }
        assert!(Decoder::new(44_100).is_err());
    }

    #[test]
    fn a_copy_in_the_next_packet_stands_in_for_a_lost_one() {
        let packets = packets(&voice(48_000, 96_000), 960, 20);
        let mut whole = Decoder::new(16_000).unwrap();
        let mut expected = [0; 320];
        let (mut recovered, mut made_up) = (0.0, 0.0);
        for lost in (20..packets.len() - 1).step_by(7) {
            let [mut with, mut without] = [(); 2].map(|()| Decoder::new(16_000).unwrap());
            let mut samples = [0; 320];
            for packet in &packets[lost - 20..lost] {
                with.decode(packet, &mut samples).unwrap();
                without.decode(packet, &mut samples).unwrap();
            }
            whole.reset();
            for packet in &packets[lost - 20..=lost] {
                whole.decode(packet, &mut expected).unwrap();
            }
            assert_eq!(with.recover(&packets[lost + 1], &mut samples).unwrap(), 320);
            recovered += distance(&samples, &expected);
            assert_eq!(without.conceal(&mut samples).unwrap(), 320);
            made_up += distance(&samples, &expected);
        }
        assert!(
            recovered < made_up / 1.5,
            "{recovered} with, {made_up} without"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(packets in proptest::collection::vec(any::<Vec<u8>>(), 1..8)) {
            let mut decoder = Decoder::new(8_000).unwrap();
            let mut samples = [0; 960];
            for packet in packets {
                let said = duration(&packet);
                if let Ok(count) = decoder.decode(&packet, &mut samples) {
                    prop_assert_eq!(said, u32::try_from(count * 6).ok());
                }
                let _maybe = decoder.recover(&packet, &mut samples[..160]);
            }
        }
    }
}
