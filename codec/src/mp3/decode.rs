//! MP3 in, samples out, from files that nobody vouches for.
//!
//! Called by the import; it calls symphonia, which is safe Rust. Memory is bounded: by one packet
//! in [`Decoder`], by the caller's limit in [`decode`]. Resampling to 8 kHz does not belong here.
//!
//! What a tag says of delay and padding is cut off. A frame that cannot be decoded is silence of
//! its length, and counted, so that what follows keeps its place; a file without a frame that can
//! be decoded is damaged.

use std::io::Read;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions, ReadOnlySource};
use symphonia::default::codecs::MpaDecoder;
use symphonia::default::formats::MpaReader;

use crate::Error;

/// The sound of a whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcm {
    /// Channels: 1 or 2.
    pub channels: u16,
    /// Frames a second.
    pub rate_hz: u32,
    /// Interleaved samples.
    pub samples: Vec<i16>,
    /// MP3 frames that could not be decoded; silence stands in their place.
    pub damaged: u64,
}

/// Decodes a whole file of at most `max_frames` frames (one sample of each channel).
///
/// # Errors
/// [`Error::TooLong`] where there is more, else as [`Decoder`].
pub fn decode(reader: impl Read + Send + Sync, max_frames: u64) -> Result<Pcm, Error> {
    let mut decoder = Decoder::new(reader)?;
    let (channels, rate_hz) = (decoder.channels(), decoder.rate_hz());
    let mut samples = Vec::new();
    while decoder.next_into(&mut samples)? {
        if samples.len() as u64 / u64::from(channels) > max_frames {
            return Err(Error::TooLong { limit: max_frames });
        }
    }
    Ok(Pcm {
        channels,
        rate_hz,
        samples,
        damaged: decoder.damaged(),
    })
}

/// Decodes a file packet by packet.
pub struct Decoder<'r> {
    reader: MpaReader<'r>,
    decoder: MpaDecoder,
    channels: u16,
    rate_hz: u32,
    packet: Vec<i16>,
    decoded: u64,
    damaged: u64,
}

impl std::fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("channels", &self.channels)
            .field("rate_hz", &self.rate_hz)
            .field("decoded", &self.decoded)
            .field("damaged", &self.damaged)
            .finish_non_exhaustive()
    }
}

impl<'r> Decoder<'r> {
    /// Finds the first frame, past an ID3 tag or whatever else lies before it.
    ///
    /// # Errors
    /// [`Error::Damaged`] where there is none, [`Error::Unsupported`] where it is MPEG audio of
    /// another layer, [`Error::Io`] where reading failed.
    pub fn new(reader: impl Read + Send + Sync + 'r) -> Result<Self, Error> {
        let source = Box::new(ReadOnlySource::new(reader));
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        let reader = MpaReader::try_new(stream, FormatOptions::default()).map_err(of_symphonia)?;
        let Some(CodecParameters::Audio(params)) = reader
            .tracks()
            .first()
            .and_then(|track| track.codec_params.as_ref())
        else {
            return Err(Error::Damaged("no sound in it".to_owned()));
        };
        let decoder =
            MpaDecoder::try_new(params, &AudioDecoderOptions::default()).map_err(of_symphonia)?;
        let channels = params
            .channels
            .as_ref()
            .map_or(0, |channels| channels.count());
        let (Some(rate_hz), Ok(channels @ 1..=2)) = (params.sample_rate, u16::try_from(channels))
        else {
            return Err(Error::Unsupported(format!("MP3 of {channels} channels")));
        };
        Ok(Self {
            decoder,
            channels,
            rate_hz,
            reader,
            packet: Vec::new(),
            decoded: 0,
            damaged: 0,
        })
    }

    /// Channels: 1 or 2.
    #[must_use]
    pub const fn channels(&self) -> u16 {
        self.channels
    }

    /// Frames a second.
    #[must_use]
    pub const fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// MP3 frames so far that could not be decoded.
    #[must_use]
    pub const fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Appends one MP3 frame's interleaved samples to `samples`; false at the end of the file.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the file ends and no frame could be decoded, [`Error::Io`] where
    /// reading failed.
    pub fn next_into(&mut self, samples: &mut Vec<i16>) -> Result<bool, Error> {
        let Some(packet) = self.reader.next_packet().map_err(of_symphonia)? else {
            return if self.decoded == 0 && self.damaged > 0 {
                Err(Error::Damaged(
                    "none of its frames can be decoded".to_owned(),
                ))
            } else {
                Ok(false)
            };
        };
        match self.decoder.decode(&packet) {
            Ok(sound) => {
                sound.copy_to_vec_interleaved(&mut self.packet);
                samples.extend_from_slice(&self.packet);
                self.decoded += 1;
            }
            Err(_) => {
                // One packet's length, at most 1152 frames by its header.
                let frames = usize::try_from(packet.dur.get().min(1_152)).unwrap_or_default();
                samples.resize(samples.len() + frames * usize::from(self.channels), 0);
                self.damaged += 1;
            }
        }
        Ok(true)
    }
}

fn of_symphonia(error: SymphoniaError) -> Error {
    match error {
        SymphoniaError::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::Io(error)
        }
        SymphoniaError::Unsupported(what) => Error::Unsupported(format!("MP3: {what}")),
        error @ (SymphoniaError::IoError(_)
        | SymphoniaError::DecodeError(_)
        | SymphoniaError::SeekError(_)
        | SymphoniaError::LimitError(_)
        | SymphoniaError::ResetRequired
        | _) => Error::Damaged(error.to_string()),
    }
}
