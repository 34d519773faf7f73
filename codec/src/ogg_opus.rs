//! Ogg Opus of recordings: encoding in a stream whose length is known beforehand.
//!
//! Called by `api` (it serves `.opus` while it is encoded). It calls [`crate::opus`] for packets,
//! [`crate::resample`] where Opus has not the sound's rate, and the crate ogg for pages. Caches,
//! pools and files do not belong here.
//!
//! RFC 7845. Each packet is 20 ms and as large as all others, each page but the last has
//! `PAGE_PACKETS`, so the bytes follow from the number of samples alone: [`encoded_len`]. The
//! pre-skip and the granule position of the last page say what to cut, so that a decoder gives back
//! exactly as much as went in.
//!
//! Two channels are two streams of one channel each (channel mapping family 1, RFC 7845
//! §5.1.1.2): the two sides of a call have nothing in common, and what Opus does with a stereo
//! stream lets one be heard in the other.

use std::borrow::Cow;

use ::ogg::{PacketWriteEndInfo, PacketWriter};

use crate::Error;
use crate::opus::{CLOCK_HZ, ConstantEncoder, self_delimit};
use crate::resample::Resampler;

#[cfg(test)]
mod tests;

/// Units of [`CLOCK_HZ`] in a packet: 20 ms.
const PACKET_UNITS: u64 = 960;

/// Units of [`CLOCK_HZ`] that a decoder drops at the beginning: a packet, which is more than any
/// encoder's delay; the rest of it is silence that the encoder starts on.
const PRE_SKIP: u32 = 960;

/// Packets on a page: a second, as other encoders have it, so that a player can begin and seek.
const PAGE_PACKETS: u64 = 50;

/// Bytes of a page's header without its table of segments (RFC 3533 §6).
const PAGE_HEADER: u64 = 27;

/// Who made a file.
const VENDOR: &str = concat!("reeld ", env!("CARGO_PKG_VERSION"), ", libopus");

/// The rates that Opus is made for, with the bytes of a packet: 24 kbit/s of telephone sound to
/// 64 kbit/s of all that can be heard, for each channel.
const RATES: [(u32, u16); 5] = [
    (8_000, 60),
    (12_000, 70),
    (16_000, 80),
    (24_000, 100),
    (48_000, 160),
];

/// How sound of one number of channels and one rate is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    channels: u16,
    /// The sound's rate, and the lowest of Opus' rates that takes nothing from it.
    rate_hz: u32,
    coded_hz: u32,
    /// Bytes of a packet of one stream.
    stream_bytes: u16,
}

impl Layout {
    fn of(channels: u16, rate_hz: u32) -> Result<Self, Error> {
        let coded = RATES.into_iter().find(|(coded_hz, _)| *coded_hz >= rate_hz);
        let (Some((coded_hz, stream_bytes)), 1 | 2) = (coded, channels) else {
            return Err(Error::Unsupported(format!(
                "Opus of {channels} channels at {rate_hz} Hz"
            )));
        };
        // Rates without a common factor cannot be brought to another.
        Resampler::accepts(rate_hz, coded_hz)?;
        Ok(Self {
            channels,
            rate_hz,
            coded_hz,
            stream_bytes,
        })
    }

    /// Samples of each channel in a packet.
    fn packet_samples(self) -> usize {
        usize::try_from(self.coded_hz / 50).unwrap_or_default()
    }

    /// Bytes of a packet: of two streams the first one has its length inside.
    const fn packet_bytes(self) -> u64 {
        let bytes = self.stream_bytes as u64;
        if self.channels == 2 {
            2 * bytes + 1
        } else {
            bytes
        }
    }

    /// Units of [`CLOCK_HZ`] that `frames` frames of sound are.
    const fn units(self, frames: u64) -> u64 {
        let coded = (frames * self.coded_hz as u64).div_ceil(self.rate_hz as u64);
        coded * (CLOCK_HZ / self.coded_hz) as u64
    }

    /// Packets for `frames` frames: with them all of the sound has come out of a decoder.
    const fn packets(self, frames: u64) -> u64 {
        (PRE_SKIP as u64 + self.units(frames)).div_ceil(PACKET_UNITS)
    }

    const fn total_bytes(self, frames: u64, tags_bytes: usize) -> u64 {
        let packets = self.packets(frames);
        let bytes = self.packet_bytes();
        let pages = packets.div_ceil(PAGE_PACKETS);
        page_bytes(self.head_bytes())
            + page_bytes(tags_bytes as u64)
            + pages * PAGE_HEADER
            + packets * (segments(bytes) + bytes)
    }

    const fn head_bytes(self) -> u64 {
        if self.channels == 2 { 23 } else { 19 }
    }

    /// The identification header (RFC 7845 §5.1).
    fn head(self) -> Vec<u8> {
        let channels: u8 = if self.channels == 2 { 2 } else { 1 };
        let mut head = b"OpusHead".to_vec();
        head.extend([1, channels]);
        head.extend(u16::try_from(PRE_SKIP).unwrap_or_default().to_le_bytes());
        head.extend(self.rate_hz.to_le_bytes());
        head.extend([0, 0]); // no gain
        if channels == 2 {
            // Family 1: two streams, none of them of two channels; left, right.
            head.extend([1, 2, 0, 0, 1]);
        } else {
            head.push(0);
        }
        head
    }
}

/// Entries in the table of segments for a packet (RFC 3533 §5).
const fn segments(packet_bytes: u64) -> u64 {
    packet_bytes / 255 + 1
}

/// Bytes of a page of one packet.
const fn page_bytes(packet_bytes: u64) -> u64 {
    PAGE_HEADER + segments(packet_bytes) + packet_bytes
}

/// The comment header (RFC 7845 §5.2): who made it, and no comments.
fn tags() -> Vec<u8> {
    let mut tags = b"OpusTags".to_vec();
    let length = u32::try_from(VENDOR.len()).unwrap_or_default();
    tags.extend(length.to_le_bytes());
    tags.extend(VENDOR.as_bytes());
    tags.extend([0; 4]);
    tags
}

/// Bytes that [`OggOpusEncoder`] makes of `total_frames` frames (one sample of each channel).
///
/// # Errors
/// [`Error::Unsupported`] where `channels` is not 1 or 2, for rates below 8 kHz or above 48, and
/// for those that share no factor with Opus' own.
pub fn encoded_len(channels: u16, rate_hz: u32, total_frames: u64) -> Result<u64, Error> {
    Ok(Layout::of(channels, rate_hz)?.total_bytes(total_frames, tags().len()))
}

/// Encodes 16-bit PCM to Ogg Opus.
pub struct OggOpusEncoder {
    layout: Layout,
    serial: u32,
    total_frames: u64,
    frames_in: u64,
    bytes_out: u64,
    total_bytes: u64,
    /// One for each channel.
    streams: Vec<Stream>,
    pages: PacketWriter<'static, Vec<u8>>,
    packets_out: u64,
    /// One channel's samples of a call.
    channel: Vec<i16>,
}

/// One channel on its way to packets.
struct Stream {
    encoder: ConstantEncoder,
    resampler: Resampler,
    /// Samples at the coded rate that make no packet yet.
    waiting: Vec<i16>,
}

impl std::fmt::Debug for OggOpusEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OggOpusEncoder")
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

impl OggOpusEncoder {
    /// An encoder for exactly `total_frames` frames (one sample of each channel) at `rate_hz`.
    /// `serial` is the stream's serial number: the same sound with the same one is the same bytes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where [`encoded_len`] has it, [`Error::Opus`] where libopus cannot
    /// start.
    pub fn new(channels: u16, rate_hz: u32, total_frames: u64, serial: u32) -> Result<Self, Error> {
        let layout = Layout::of(channels, rate_hz)?;
        let stream = || Stream::new(layout);
        Ok(Self {
            layout,
            serial,
            total_frames,
            frames_in: 0,
            bytes_out: 0,
            total_bytes: layout.total_bytes(total_frames, tags().len()),
            streams: (0..channels).map(|_| stream()).collect::<Result<_, _>>()?,
            pages: PacketWriter::new(Vec::new()),
            packets_out: 0,
            channel: Vec::new(),
        })
    }

    /// Bytes that will have come out in all.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Encodes `interleaved`, whole frames, and appends the pages that are ready to `out`.
    ///
    /// # Errors
    /// [`Error::Opus`] where these are more frames than announced, half a frame, or libopus fails;
    /// what has come out so far is then all there is.
    pub fn encode(&mut self, interleaved: &[i16], out: &mut Vec<u8>) -> Result<(), Error> {
        let channels = self.streams.len();
        if !interleaved.len().is_multiple_of(channels) {
            return Err(Error::Opus("samples end inside a frame"));
        }
        self.frames_in += (interleaved.len() / channels) as u64;
        if self.frames_in > self.total_frames {
            return Err(Error::Opus("more samples than were announced"));
        }
        for (number, stream) in self.streams.iter_mut().enumerate() {
            let samples = interleaved.iter().skip(number).step_by(channels);
            self.channel.clear();
            self.channel.extend(samples);
            stream.resampler.process(&self.channel, &mut stream.waiting);
        }
        self.drain(out)
    }

    /// Ends the stream: appends the rest to `out`.
    ///
    /// # Errors
    /// [`Error::Opus`] where there were fewer frames than announced, or libopus fails.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.frames_in < self.total_frames {
            return Err(Error::Opus("fewer samples than were announced"));
        }
        // Silence behind the sound until all of it has come through the encoder.
        let all = self.layout.packets(self.total_frames) - self.packets_out;
        let all = usize::try_from(all).map_err(|_| Error::Opus("too many packets"))?;
        let samples = all * self.layout.packet_samples();
        for stream in &mut self.streams {
            stream.resampler.flush(&mut stream.waiting);
            stream.waiting.resize(samples, 0);
        }
        self.drain(out)?;
        if self.bytes_out == self.total_bytes {
            Ok(())
        } else {
            Err(Error::Opus("another number of bytes than was computed"))
        }
    }

    /// Makes packets of what waits, and appends the pages that are full to `out`.
    fn drain(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.bytes_out == 0 {
            for header in [self.layout.head(), tags()] {
                self.page(header, PacketWriteEndInfo::EndPage, 0)?;
            }
        }
        let size = self.layout.packet_samples();
        // All channels have as many samples.
        let ready = self
            .streams
            .iter()
            .map(|stream| stream.waiting.len() / size);
        let ready = ready.min().unwrap_or_default();
        for number in 0..ready {
            let packet = self.packet(number * size..(number + 1) * size)?;
            self.packets_out += 1;
            let units = self.layout.units(self.total_frames) + u64::from(PRE_SKIP);
            let granule = (self.packets_out * PACKET_UNITS).min(units);
            let end = if self.packets_out == self.layout.packets(self.total_frames) {
                PacketWriteEndInfo::EndStream
            } else if self.packets_out.is_multiple_of(PAGE_PACKETS) {
                PacketWriteEndInfo::EndPage
            } else {
                PacketWriteEndInfo::NormalPacket
            };
            self.page(packet, end, granule)?;
        }
        for stream in &mut self.streams {
            stream.waiting.drain(..ready * size);
        }
        let pages = self.pages.inner_mut();
        self.bytes_out += pages.len() as u64;
        out.append(pages);
        Ok(())
    }

    /// The packet of all channels' samples in `range`.
    fn packet(&mut self, range: std::ops::Range<usize>) -> Result<Vec<u8>, Error> {
        let last = self.streams.len() - 1;
        let mut packet = Vec::new();
        for (number, stream) in self.streams.iter_mut().enumerate() {
            let samples = &stream.waiting[range.clone()];
            if number == last {
                stream.encoder.encode(samples, &mut packet)?;
            } else {
                let mut bare = Vec::new();
                stream.encoder.encode(samples, &mut bare)?;
                self_delimit(&bare, &mut packet)?;
            }
        }
        Ok(packet)
    }

    fn page(&mut self, packet: Vec<u8>, end: PacketWriteEndInfo, at: u64) -> Result<(), Error> {
        let packet = Cow::<'static, [u8]>::Owned(packet);
        Ok(self.pages.write_packet(packet, self.serial, end, at)?)
    }
}

impl Stream {
    fn new(layout: Layout) -> Result<Self, Error> {
        let encoder = ConstantEncoder::new(layout.coded_hz, layout.stream_bytes)?;
        let lead = PRE_SKIP
            .checked_sub(encoder.delay_units())
            .ok_or(Error::Opus("an encoder slower than a packet"))?;
        let lead = lead / (CLOCK_HZ / layout.coded_hz);
        Ok(Self {
            encoder,
            resampler: Resampler::new(layout.rate_hz, layout.coded_hz)?,
            waiting: vec![0; usize::try_from(lead).unwrap_or_default()],
        })
    }
}
