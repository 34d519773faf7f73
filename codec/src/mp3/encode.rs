//! The streaming encoder: an Info frame, then frames while samples come in.
//!
//! Called by `api`'s encoding pool; it calls [`super::lame`] and [`super::info`]. The promise that
//! it keeps: [`encoded_len`] bytes come out of the frames that were announced, no more, no fewer,
//! or an error says which side broke it.

use super::lame::Lame;
use super::{Layout, info};
use crate::Error;

/// Encodes 16-bit PCM to MP3.
#[derive(Debug)]
pub struct Mp3Encoder {
    lame: Lame,
    layout: Layout,
    total_frames: u64,
    frames_in: u64,
    bytes_out: u64,
    total_bytes: u64,
}

impl Mp3Encoder {
    /// An encoder for exactly `total_frames` frames (one sample of each channel) at `rate_hz`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where [`super::encoded_len`] has it, [`Error::TooLong`] where the Info
    /// frame's 32 bits cannot count the bytes (over a week of sound), [`Error::Encoder`] where
    /// LAME cannot start.
    pub fn new(channels: u16, rate_hz: u32, total_frames: u64) -> Result<Self, Error> {
        let layout = Layout::supported(channels, rate_hz)?;
        let total_bytes = layout.total_bytes(total_frames);
        if u32::try_from(total_bytes).is_err() {
            let limit = u64::from(u32::MAX) / layout.frame_bytes() * layout.frame_samples();
            return Err(Error::TooLong { limit });
        }
        let lame = Lame::new(layout)?;
        Ok(Self {
            lame,
            layout,
            total_frames,
            frames_in: 0,
            bytes_out: 0,
            total_bytes,
        })
    }

    /// Bytes that will have come out in all.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Encodes `interleaved`, whole frames, and appends the bytes that are ready to `out`.
    ///
    /// # Errors
    /// [`Error::Encoder`] where these are more frames than announced, half a frame, or LAME fails;
    /// what has come out so far is then all there is.
    pub fn encode(&mut self, interleaved: &[i16], out: &mut Vec<u8>) -> Result<(), Error> {
        if !interleaved.len().is_multiple_of(self.layout.channels()) {
            return Err(Error::Encoder("samples end inside a frame"));
        }
        self.frames_in += (interleaved.len() / self.layout.channels()) as u64;
        if self.frames_in > self.total_frames {
            return Err(Error::Encoder("more samples than were announced"));
        }
        let before = out.len();
        self.begin(out);
        self.lame.encode(interleaved, out)?;
        self.bytes_out += (out.len() - before) as u64;
        Ok(())
    }

    /// Ends the stream: appends what LAME still holds to `out`.
    ///
    /// # Errors
    /// [`Error::Encoder`] where there were fewer frames than announced, or LAME fails.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.frames_in < self.total_frames {
            return Err(Error::Encoder("fewer samples than were announced"));
        }
        let before = out.len();
        self.begin(out);
        self.lame.flush(out)?;
        self.bytes_out += (out.len() - before) as u64;
        if self.bytes_out == self.total_bytes {
            Ok(())
        } else {
            Err(Error::Encoder(
                "LAME made another number of bytes than was computed",
            ))
        }
    }

    /// The Info frame, ahead of all else.
    fn begin(&self, out: &mut Vec<u8>) {
        if self.bytes_out == 0 {
            let (version, lowpass_hz) = (super::lame::version(), self.lame.lowpass_hz());
            out.extend(info::frame(
                self.layout,
                self.total_frames,
                version,
                lowpass_hz,
            ));
        }
    }
}
