//! MP3 of telephone sound: encoding in a stream whose length is known beforehand, and decoding of
//! files that nobody vouches for.
//!
//! Called by `api` (it serves `.mp3` while it is encoded) and the import. It calls LAME in the
//! module `lame`, the only one of the crate with `unsafe`, and symphonia in [`Decoder`]. Caches,
//! pools and files do not belong here.
//!
//! MPEG-2.5 layer III at 8 kHz and a constant bit rate: 32 kbit/s for one channel, 48 kbit/s for
//! two, without padding bytes, so that each frame of 576 samples has one size. With the number of
//! samples known, so are the number of frames and [`encoded_len`], before the first byte. The
//! stream begins with an Info frame (module `info`) that tells players the duration, and the
//! delay and padding to cut, so that a decoder gives back exactly as many samples as went in.

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

/// Frames a second of what is encoded: G.711's rate.
pub const RATE_HZ: u32 = 8_000;

/// Samples of each channel in one MP3 frame (MPEG-2.5 layer III has one granule).
const FRAME_SAMPLES: u64 = 576;

/// Samples that LAME puts before the first one (`ENCDELAY`, the overlap of its transform).
const DELAY: u64 = 576;

/// How each number of channels is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Mono,
    /// Two channels that share bits and nothing else: the two sides of a call have nothing in
    /// common, and joint stereo's middle and side leak one into the other.
    Stereo,
}

impl Layout {
    const fn of(channels: u16) -> Option<Self> {
        match channels {
            1 => Some(Self::Mono),
            2 => Some(Self::Stereo),
            _ => None,
        }
    }

    const fn channels(self) -> usize {
        match self {
            Self::Mono => 1,
            Self::Stereo => 2,
        }
    }

    const fn kbps(self) -> u8 {
        match self {
            Self::Mono => 32,
            Self::Stereo => 48,
        }
    }

    /// Bytes of one MP3 frame: its bits at the bit rate, which 8 kHz divides without rest.
    const fn frame_bytes(self) -> u64 {
        self.kbps() as u64 * 1_000 / 8 * FRAME_SAMPLES / RATE_HZ as u64
    }
}

/// MP3 frames, beside the Info frame, for `total_frames` samples of each channel: delay, samples,
/// and padding of at least one frame, so that the last samples come through the transform whole.
const fn mp3_frames(total_frames: u64) -> u64 {
    (DELAY + FRAME_SAMPLES).div_ceil(FRAME_SAMPLES) + total_frames.div_ceil(FRAME_SAMPLES)
}

/// Samples after the last one: what fills the last frame, and one more.
const fn padding(total_frames: u64) -> u64 {
    mp3_frames(total_frames) * FRAME_SAMPLES - DELAY - total_frames
}

/// Bytes that [`Mp3Encoder`] makes of `total_frames` frames (one sample of each channel) of sound.
/// Any number of channels but 1 is taken as 2.
#[must_use]
pub const fn encoded_len(channels: u16, total_frames: u64) -> u64 {
    let layout = if channels == 1 {
        Layout::Mono
    } else {
        Layout::Stereo
    };
    (1 + mp3_frames(total_frames)) * layout.frame_bytes()
}
