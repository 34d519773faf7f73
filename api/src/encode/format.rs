//! What sound is encoded to, and the encoders of `codec` behind one shape.
//!
//! `encode` and `worker` call it. A format says how long its file will be before it is made.

use reeld_codec::Error;
use reeld_codec::mp3::{self, Mp3Encoder};
use reeld_codec::ogg_opus::{self, OggOpusEncoder};

use super::Key;

/// A format that is made on demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `.mp3`.
    Mp3,
    /// `.opus`: Ogg Opus.
    Opus,
}

impl Format {
    const ALL: [Self; 2] = [Self::Mp3, Self::Opus];

    /// Of URLs and of the cache's files.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Mp3 => "mp3",
            Self::Opus => "opus",
        }
    }

    pub(super) fn of_extension(extension: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.extension() == extension)
    }

    /// Bytes of its file.
    ///
    /// # Errors
    /// Where the format has not the rate.
    pub(crate) fn encoded_len(
        self,
        channels: u16,
        rate_hz: u32,
        frames: u64,
    ) -> Result<u64, Error> {
        match self {
            Self::Mp3 => mp3::encoded_len(channels, rate_hz, frames),
            Self::Opus => ogg_opus::encoded_len(channels, rate_hz, frames),
        }
    }
}

/// An encoder at work.
pub(super) enum Coder {
    Mp3(Mp3Encoder),
    Opus(Box<OggOpusEncoder>),
}

impl Coder {
    pub(super) fn new(key: Key, rate_hz: u32, frames: u64) -> Result<Self, Error> {
        Ok(match key.format {
            Format::Mp3 => Self::Mp3(Mp3Encoder::new(key.channels, rate_hz, frames)?),
            Format::Opus => {
                // Of the recording alone, so that its file is the same whenever it is made.
                let [a, b, c, d, ..] = *key.sid.as_bytes();
                let serial = u32::from_be_bytes([a, b, c, d]);
                let encoder = OggOpusEncoder::new(key.channels, rate_hz, frames, serial)?;
                Self::Opus(Box::new(encoder))
            }
        })
    }

    pub(super) fn encode(&mut self, interleaved: &[i16], out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Mp3(encoder) => encoder.encode(interleaved, out),
            Self::Opus(encoder) => encoder.encode(interleaved, out),
        }
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Mp3(encoder) => encoder.finish(out),
            Self::Opus(encoder) => encoder.finish(out),
        }
    }
}
