//! A WAV as it was served, read by hound.

use std::io::Cursor;

/// A WAV file's samples, one list a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wav {
    /// The channels; left, which is the inbound track of a dual recording, first.
    pub channels: Vec<Vec<i16>>,
}

impl Wav {
    /// Reads a whole file and holds it to the only shape that reeld serves where `capture.rate` is
    /// narrow: at 8 kHz, beside what [`Wav::read_at`] asks.
    ///
    /// # Panics
    /// When it is not that.
    #[must_use]
    #[track_caller]
    pub fn read(bytes: &[u8]) -> Self {
        Self::read_at(8_000, bytes)
    }

    /// Reads a whole file and holds it to the shape that reeld serves: canonical 44-byte header,
    /// 16-bit PCM, lengths that fit the file; at `rate_hz`.
    ///
    /// # Panics
    /// When it is not that.
    #[must_use]
    #[track_caller]
    pub fn read_at(rate_hz: u32, bytes: &[u8]) -> Self {
        assert!(bytes.len() >= 44, "{} bytes are no WAV", bytes.len());
        let field = |at: usize| {
            let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            u32::from_le_bytes(four) as usize
        };
        assert_eq!(&bytes[36..40], b"data", "the header is 44 bytes long");
        assert_eq!(field(4), bytes.len() - 8, "RIFF's length fits the file");
        assert_eq!(
            field(40),
            bytes.len() - 44,
            "the data's length fits the file"
        );
        let reader = hound::WavReader::new(Cursor::new(bytes))
            .unwrap_or_else(|error| panic!("hound does not read it: {error}"));
        let spec = reader.spec();
        assert_eq!((spec.sample_rate, spec.bits_per_sample), (rate_hz, 16));
        assert_eq!(spec.sample_format, hound::SampleFormat::Int);
        let count = usize::from(spec.channels);
        let mut channels = vec![Vec::new(); count];
        for (place, sample) in reader.into_samples::<i16>().enumerate() {
            let sample = sample.unwrap_or_else(|error| panic!("hound fails in mid-file: {error}"));
            channels[place % count].push(sample);
        }
        Self { channels }
    }

    /// The only channel.
    ///
    /// # Panics
    /// When there are more.
    #[must_use]
    #[track_caller]
    pub fn mono(&self) -> &[i16] {
        assert_eq!(self.channels.len(), 1, "the file is mono");
        &self.channels[0]
    }

    /// Both channels, left then right.
    ///
    /// # Panics
    /// When there are not two.
    #[must_use]
    #[track_caller]
    pub fn dual(&self) -> [&[i16]; 2] {
        assert_eq!(self.channels.len(), 2, "the file is dual");
        [&self.channels[0], &self.channels[1]]
    }

    /// Samples in each channel.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.channels[0].len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(channels: u16, samples: &[i16]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let spec = hound::WavSpec {
            channels,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        for &sample in samples {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn channels_come_apart() {
        let wav = Wav::read(&file(2, &[1, -1, 2, -2]));
        assert_eq!(wav.dual(), [&[1, 2][..], &[-1, -2][..]]);
        assert_eq!(wav.frames(), 2);
    }

    #[test]
    #[should_panic(expected = "length fits")]
    fn a_cut_file_is_refused() {
        let bytes = file(1, &[1, 2, 3]);
        let _ = Wav::read(&bytes[..bytes.len() - 2]);
    }
}
