//! WAV: the 44-byte header of 16-bit PCM, and reading such files.
//!
//! Called by `store` (it keeps samples and puts the header before them), `api` (it serves header
//! and samples, or a range of both) and the import. Reading is hound's; the header is built here,
//! since it must come out of three numbers alone, for any length, without the samples. A test
//! holds it byte for byte to hound's own file.
//!
//! Sample data is little-endian and interleaved, left before right. Nothing else but `fmt ` and
//! `data` is ever written, so that served bytes are header + data.

use std::borrow::Cow;
use std::io::Read;

use crate::Error;

mod any;
#[cfg(test)]
mod tests;

pub use any::AnyReader;

/// Length of the header that [`header`] makes.
pub const HEADER_BYTES: usize = 44;

/// Bytes of one sample of one channel.
pub const SAMPLE_BYTES: u16 = 2;

/// What RIFF's size counts beside the data: the header without its first eight bytes.
const RIFF_OVERHEAD: u32 = 36;

/// The most data that one file may hold, in bytes: RIFF counts all that follows its first eight
/// bytes in 32 bits, rounded down to whole frames of two channels.
pub const MAX_DATA_BYTES: u32 = (u32::MAX - RIFF_OVERHEAD) / 4 * 4;

/// The header of a file of 16-bit PCM with `data_bytes` of samples after it (at most
/// [`MAX_DATA_BYTES`]; above that its sizes saturate, as readers of endless files expect).
#[must_use]
pub const fn header(channels: u16, rate_hz: u32, data_bytes: u32) -> [u8; HEADER_BYTES] {
    let frame_bytes = channels.saturating_mul(SAMPLE_BYTES);
    let mut header = [0; HEADER_BYTES];
    put(&mut header, 0, b"RIFF");
    put(
        &mut header,
        4,
        &data_bytes.saturating_add(RIFF_OVERHEAD).to_le_bytes(),
    );
    put(&mut header, 8, b"WAVEfmt ");
    put(&mut header, 16, &16_u32.to_le_bytes()); // bytes of the format that follow
    put(&mut header, 20, &1_u16.to_le_bytes()); // WAVE_FORMAT_PCM
    put(&mut header, 22, &channels.to_le_bytes());
    put(&mut header, 24, &rate_hz.to_le_bytes());
    put(
        &mut header,
        28,
        &rate_hz.saturating_mul(frame_bytes as u32).to_le_bytes(),
    );
    put(&mut header, 32, &frame_bytes.to_le_bytes());
    put(&mut header, 34, &(8 * SAMPLE_BYTES).to_le_bytes());
    put(&mut header, 36, b"data");
    put(&mut header, 40, &data_bytes.to_le_bytes());
    header
}

const fn put(header: &mut [u8; HEADER_BYTES], at: usize, bytes: &[u8]) {
    let mut i = 0;
    while i < bytes.len() {
        header[at + i] = bytes[i];
        i += 1;
    }
}

/// `samples` as they lie in the file: the same memory where the machine is little-endian as the file is.
#[must_use]
pub fn sample_bytes(samples: &[i16]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(samples))
    } else {
        let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
        Cow::Owned(bytes.collect())
    }
}

/// Appends `samples` to `bytes` as they lie in the file.
pub fn samples_to_bytes(samples: &[i16], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&sample_bytes(samples));
}

/// Appends the samples in `bytes` to `samples`; an odd last byte is left out.
pub fn bytes_to_samples(bytes: &[u8], samples: &mut Vec<i16>) {
    samples.extend(
        bytes
            .as_chunks()
            .0
            .iter()
            .map(|&pair| i16::from_le_bytes(pair)),
    );
}

/// Reads the samples of a WAV file, a piece at a time, in bounded memory.
pub struct Reader<R> {
    samples: hound::WavIntoSamples<R, i16>,
    channels: u16,
    rate_hz: u32,
    frames: u64,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("channels", &self.channels)
            .field("rate_hz", &self.rate_hz)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header, up to the first sample.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it is no WAV file, [`Error::Unsupported`] where it is not 16-bit
    /// PCM of one or two channels, [`Error::Io`] where reading failed.
    pub fn new(reader: R) -> Result<Self, Error> {
        let reader = hound::WavReader::new(reader).map_err(of_hound)?;
        let spec = reader.spec();
        if (spec.sample_format, spec.bits_per_sample) != (hound::SampleFormat::Int, 16) {
            return Err(Error::Unsupported(format!(
                "WAV with {} bits a sample, {:?}; 16-bit PCM is read",
                spec.bits_per_sample, spec.sample_format
            )));
        }
        if !(1..=2).contains(&spec.channels) || spec.sample_rate == 0 {
            return Err(Error::Unsupported(format!(
                "WAV with {} channels at {} Hz",
                spec.channels, spec.sample_rate
            )));
        }
        Ok(Self {
            channels: spec.channels,
            rate_hz: spec.sample_rate,
            frames: u64::from(reader.duration()),
            samples: reader.into_samples(),
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

    /// Frames that the header promises.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// Reads interleaved samples into the start of `samples`; returns how many, 0 at the end.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the file ends before its header says, [`Error::Io`] where reading
    /// failed.
    pub fn read(&mut self, samples: &mut [i16]) -> Result<usize, Error> {
        let mut done = 0;
        for sample in &mut *samples {
            match self.samples.next() {
                Some(next) => *sample = next.map_err(of_hound)?,
                None => break,
            }
            done += 1;
        }
        Ok(done)
    }
}

fn of_hound(error: hound::Error) -> Error {
    match error {
        // hound makes an error of its own, without a system's number, where bytes are missing.
        hound::Error::IoError(error)
            if error.raw_os_error().is_some()
                && error.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            Error::Io(error)
        }
        hound::Error::IoError(error) => Error::Damaged(error.to_string()),
        hound::Error::Unsupported => Error::Unsupported("this kind of WAV".to_owned()),
        error @ (hound::Error::FormatError(_)
        | hound::Error::TooWide
        | hound::Error::UnfinishedSample
        | hound::Error::InvalidSampleFormat) => Error::Damaged(error.to_string()),
    }
}
