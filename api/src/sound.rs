//! A recording's WAV as it is served: as it was made, or its two channels summed to one.
//!
//! `media` reads it for `.wav`, `encode` for `.mp3` and `.opus`. The sum is the mixer's, saturated, so that a
//! dual recording asked for in one channel sounds as a mono one would have.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use reeld_codec::wav;
use reeld_store::{MediaReader, Record};

/// Bytes of a stereo frame: two samples.
const PAIR_BYTES: u64 = 2 * wav::SAMPLE_BYTES as u64;

/// An open WAV, at its beginning or where it was sought to.
pub(crate) struct Sound {
    reader: MediaReader,
    frames: u64,
    rate_hz: u32,
    /// Where the sum is read, if it is one: the place in the file that is served.
    sum_at: Option<u64>,
}

/// Bytes of the WAV of `record` in `channels` channels.
pub(crate) fn wav_length(record: &Record, channels: u16) -> u64 {
    wav::HEADER_BYTES as u64 + record.frames * u64::from(channels) * u64::from(wav::SAMPLE_BYTES)
}

impl Sound {
    /// `reader` as `channels` channels: as many as `record` has, or one.
    pub(crate) fn new(reader: MediaReader, record: &Record, channels: u16) -> Self {
        Self {
            reader,
            frames: record.frames,
            rate_hz: record.rate_hz,
            sum_at: (channels < record.channels.count()).then_some(0),
        }
    }

    /// The open file, where it begins with the very bytes that are served; else the sound again.
    pub(crate) fn into_file(self) -> Result<File, Box<Self>> {
        if self.sum_at.is_some() {
            return Err(Box::new(self));
        }
        let of_reader = |reader| Box::new(Self { reader, ..self });
        self.reader.into_file().map_err(of_reader)
    }

    /// Goes to byte `at` of the file.
    pub(crate) fn seek_to(&mut self, at: u64) -> io::Result<()> {
        if let Some(place) = &mut self.sum_at {
            *place = at;
        } else {
            self.reader.seek(SeekFrom::Start(at))?;
        }
        Ok(())
    }

    /// Reads from the sum at `at`, whole samples but at the edges.
    fn read_sum(&mut self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let header_bytes = wav::HEADER_BYTES as u64;
        let data_bytes = self.frames * u64::from(wav::SAMPLE_BYTES);
        if at < header_bytes {
            let header = wav::header(
                1,
                self.rate_hz,
                u32::try_from(data_bytes).unwrap_or(u32::MAX),
            );
            let rest = usize::try_from(at).map_or(&header[..0], |at| &header[at..]);
            let count = rest.len().min(buf.len());
            buf[..count].copy_from_slice(&rest[..count]);
            return Ok(count);
        }
        let data_at = at - header_bytes;
        let (frame, odd) = (data_at / 2, data_at % 2);
        let wanted = (buf.len() as u64 + odd)
            .div_ceil(2)
            .min(self.frames.saturating_sub(frame));
        let mut pairs = vec![0; usize::try_from(wanted * PAIR_BYTES).map_err(io::Error::other)?];
        self.reader
            .seek(SeekFrom::Start(header_bytes + frame * PAIR_BYTES))?;
        self.reader.read_exact(&mut pairs)?;
        let mut samples = Vec::new();
        wav::bytes_to_samples(&pairs, &mut samples);
        let sums: Vec<i16> = samples
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[left, right]| left.saturating_add(*right))
            .collect();
        let mut bytes = Vec::new();
        wav::samples_to_bytes(&sums, &mut bytes);
        let rest = bytes.get(usize::from(odd == 1)..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl Read for Sound {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(at) = self.sum_at else {
            return self.reader.read(buf);
        };
        let count = self.read_sum(buf, at)?;
        self.sum_at = Some(at + count as u64);
        Ok(count)
    }
}
