//! MP3 of telephone sound: encoding in a stream whose length is known beforehand, and decoding of
//! files that nobody vouches for.
//!
//! Called by `api` (it serves `.mp3` while it is encoded), the import and the bench. It calls LAME in the
//! module `lame`, the only one of the crate with `unsafe`, and symphonia in [`Decoder`]. Caches,
//! pools and files do not belong here.
//!
//! Layer III at a constant bit rate, of the version that has the sound's rate: MPEG-2.5 up to
//! 12 kHz (telephone sound: 32 kbit/s for one channel, 48 kbit/s for two), MPEG-2 up to 24 kHz,
//! MPEG-1 above. With the number of samples known, so are the number of frames, which of them have
//! a padding byte, and [`encoded_len`], before the first byte. The stream begins with an Info frame
//! (module `info`) that tells players the duration, and the delay and padding to cut, so that a
//! decoder gives back exactly as many samples as went in.

mod decode;
mod encode;
mod info;
#[expect(
    unsafe_code,
    reason = "LAME is a C library; this is the crate's one wrapper of it"
)]
mod lame;

#[cfg(test)]
mod tests;

pub use decode::{Decoder, Pcm, decode};
pub use encode::Mp3Encoder;

use crate::Error;

/// Samples that LAME puts before the first one (`ENCDELAY`, the overlap of its transform).
const DELAY: u64 = 576;

/// Samples that follow the last one at the least, so that it comes through the transform whole.
const LEAST_PADDING: u64 = 576;

/// The versions of layer III, each with three rates of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Mpeg1,
    Mpeg2,
    /// The low rates, an extension by Fraunhofer IIS.
    Mpeg25,
}

/// How sound of one number of channels and one rate is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// Two channels that share bits and nothing else: the two sides of a call have nothing in
    /// common, and joint stereo's middle and side leak one into the other.
    stereo: bool,
    rate_hz: u32,
    version: Version,
    kbps: u8,
}

impl Layout {
    /// Speech needs about 4 bits a sample at 8 kHz and, as it has less to say up there, fewer at
    /// higher rates. Each rate's frame has room for the Info frame's tag.
    const fn of(channels: u16, rate_hz: u32) -> Option<Self> {
        let (version, mono, stereo) = match rate_hz {
            8_000 => (Version::Mpeg25, 32, 48),
            11_025 | 12_000 => (Version::Mpeg25, 40, 64),
            16_000 => (Version::Mpeg2, 48, 80),
            22_050 | 24_000 => (Version::Mpeg2, 64, 96),
            32_000 | 44_100 | 48_000 => (Version::Mpeg1, 64, 112),
            _ => return None,
        };
        let kbps = match channels {
            1 => mono,
            2 => stereo,
            _ => return None,
        };
        Some(Self {
            stereo: channels == 2,
            rate_hz,
            version,
            kbps,
        })
    }

    fn supported(channels: u16, rate_hz: u32) -> Result<Self, Error> {
        Self::of(channels, rate_hz).ok_or_else(|| {
            Error::Unsupported(format!("MP3 of {channels} channels at {rate_hz} Hz"))
        })
    }

    const fn channels(self) -> usize {
        if self.stereo { 2 } else { 1 }
    }

    /// Samples of each channel in one MP3 frame: granules of 576, two in MPEG-1.
    const fn frame_samples(self) -> u64 {
        match self.version {
            Version::Mpeg1 => 1_152,
            Version::Mpeg2 | Version::Mpeg25 => 576,
        }
    }

    /// Bytes of one MP3 frame without a padding byte, and what is left of the division.
    const fn frame_division(self) -> (u64, u64) {
        let bytes = self.kbps as u64 * 125 * self.frame_samples();
        (bytes / self.rate_hz as u64, bytes % self.rate_hz as u64)
    }

    /// Bytes of one MP3 frame without a padding byte.
    const fn frame_bytes(self) -> u64 {
        self.frame_division().0
    }

    /// MP3 frames, beside the Info frame, for `total_frames` samples of each channel.
    const fn mp3_frames(self, total_frames: u64) -> u64 {
        (DELAY + total_frames + LEAST_PADDING).div_ceil(self.frame_samples())
    }

    /// Samples after the last one: what fills the last MP3 frame, and [`LEAST_PADDING`].
    const fn padding(self, total_frames: u64) -> u64 {
        self.mp3_frames(total_frames) * self.frame_samples() - DELAY - total_frames
    }

    /// Bytes of the Info frame and all that follow. Where the rate does not divide a frame's bits,
    /// LAME saves the rest up: a frame has a padding byte when what is saved would run out
    /// (`lame_encode_mp3_frame`), the first one never.
    const fn total_bytes(self, total_frames: u64) -> u64 {
        let (bytes, rest) = self.frame_division();
        let frames = self.mp3_frames(total_frames);
        let padded = ((frames - 1) * rest).div_ceil(self.rate_hz as u64);
        (1 + frames) * bytes + padded
    }
}

/// The rates that sound in an MP3 can have, in Hz.
pub const RATES: [u32; 9] = [
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
];

/// The lowest of [`RATES`] that takes nothing from sound of `rate_hz`; the highest where none does.
#[must_use]
pub fn rate_for(rate_hz: u32) -> u32 {
    let fits = |rate: &u32| *rate >= rate_hz;
    let highest = RATES[RATES.len() - 1];
    RATES.into_iter().find(fits).unwrap_or(highest)
}

/// Bytes that [`Mp3Encoder`] makes of `total_frames` frames (one sample of each channel) of sound.
///
/// # Errors
/// [`Error::Unsupported`] where `channels` is not 1 or 2 or no MP3 has frames at `rate_hz`: it has
/// them at 8, 11.025, 12, 16, 22.05, 24, 32, 44.1 and 48 kHz.
pub fn encoded_len(channels: u16, rate_hz: u32, total_frames: u64) -> Result<u64, Error> {
    Ok(Layout::supported(channels, rate_hz)?.total_bytes(total_frames))
}

/// What the `lame` command is told, before the names of a WAV and an MP3, to make the frames that
/// [`Mp3Encoder`] makes behind its Info frame: `-m m --resample 8 -b 32 …`.
///
/// # Errors
/// As [`encoded_len`].
pub fn lame_arguments(channels: u16, rate_hz: u32) -> Result<Vec<String>, Error> {
    Ok(lame::Lame::arguments(Layout::supported(channels, rate_hz)?))
}

/// Bytes of the Info frame, which is all that [`Mp3Encoder`] makes beside what the `lame` command
/// makes with [`lame_arguments`].
///
/// # Errors
/// As [`encoded_len`].
pub fn info_frame_len(channels: u16, rate_hz: u32) -> Result<u64, Error> {
    Ok(Layout::supported(channels, rate_hz)?.frame_bytes())
}
