//! WAV files of other recorders: whatever PCM they chose, and G.711.
//!
//! Called by the import; hound reads PCM and floating point. G.711 in WAV, which hound does not
//! know, is read here: what is before the data is chunks, and each code is a sample.

use std::io::{Read, Seek, SeekFrom, Take};

use super::of_hound;
use crate::Error;
use crate::g711::{self, Law};

/// Chunks before the data that are passed over.
const MOST_CHUNKS: usize = 64;

/// Codes that are decoded at once.
const PIECE: usize = 4_096;

/// Reads the samples of a WAV file as 16-bit ones, a piece at a time, in bounded memory.
pub struct AnyReader<R> {
    inner: Inner<R>,
    channels: u16,
    rate_hz: u32,
    kind: &'static str,
}

enum Inner<R> {
    /// With the bits of a sample.
    Integer(hound::WavIntoSamples<R, i32>, u16),
    Float(hound::WavIntoSamples<R, f32>),
    G711(Take<R>, Law),
}

/// What a `fmt ` chunk says.
struct Format {
    tag: u16,
    channels: u16,
    rate_hz: u32,
    bits: u16,
}

impl<R> std::fmt::Debug for AnyReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnyReader")
            .field("channels", &self.channels)
            .field("rate_hz", &self.rate_hz)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl<R: Read + Seek> AnyReader<R> {
    /// Reads the header, up to the first sample.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it is no WAV file, [`Error::Unsupported`] where it is neither PCM of
    /// 8 to 32 bits, 32-bit floating point nor G.711, or has more than two channels, [`Error::Io`]
    /// where reading failed.
    pub fn new(mut reader: R) -> Result<Self, Error> {
        let start = reader.stream_position()?;
        let g711 = find_g711(&mut reader)?;
        if let Some((format, law, bytes)) = g711 {
            return Self::of(format.channels, format.rate_hz, law_name(law), || {
                Inner::G711(reader.take(bytes), law)
            });
        }
        reader.seek(SeekFrom::Start(start))?;
        let reader = hound::WavReader::new(reader).map_err(of_hound)?;
        let spec = reader.spec();
        let kind = match (spec.sample_format, spec.bits_per_sample) {
            (hound::SampleFormat::Float, _) => "PCM float",
            (hound::SampleFormat::Int, 1..=8) => "PCM 8 bit",
            (hound::SampleFormat::Int, 9..=16) => "PCM 16 bit",
            (hound::SampleFormat::Int, 17..=24) => "PCM 24 bit",
            (hound::SampleFormat::Int, _) => "PCM 32 bit",
        };
        Self::of(spec.channels, spec.sample_rate, kind, || {
            match spec.sample_format {
                hound::SampleFormat::Int => {
                    Inner::Integer(reader.into_samples(), spec.bits_per_sample)
                }
                hound::SampleFormat::Float => Inner::Float(reader.into_samples()),
            }
        })
    }

    fn of(
        channels: u16,
        rate_hz: u32,
        kind: &'static str,
        inner: impl FnOnce() -> Inner<R>,
    ) -> Result<Self, Error> {
        if !(1..=2).contains(&channels) || rate_hz == 0 {
            return Err(Error::Unsupported(format!(
                "WAV with {channels} channels at {rate_hz} Hz"
            )));
        }
        Ok(Self {
            inner: inner(),
            channels,
            rate_hz,
            kind,
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

    /// What its samples are, to people.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// Appends at most `most` interleaved samples; false at the end. More than 16 bits are cut off,
    /// fewer are filled up with zeros, floating point is rounded and saturated.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the file ends before its header says, [`Error::Io`] where reading
    /// failed; what was read before is appended.
    pub fn read(&mut self, samples: &mut Vec<i16>, most: usize) -> Result<bool, Error> {
        let full = samples.len() + most;
        while samples.len() < full {
            let sample = match &mut self.inner {
                Inner::Integer(all, bits) => match all.next() {
                    Some(sample) => to_16_bits(sample.map_err(of_hound)?, *bits),
                    None => return Ok(false),
                },
                Inner::Float(all) => match all.next() {
                    Some(sample) => of_float(sample.map_err(of_hound)?),
                    None => return Ok(false),
                },
                Inner::G711(codes, law) => {
                    let mut piece = [0; PIECE];
                    let wanted = PIECE.min(full - samples.len());
                    let read = codes.read(&mut piece[..wanted])?;
                    if read == 0 {
                        return match codes.limit() {
                            0 => Ok(false),
                            left => Err(Error::Damaged(format!("{left} bytes are missing"))),
                        };
                    }
                    let from = samples.len();
                    samples.resize(from + read, 0);
                    g711::decode(*law, &piece[..read], &mut samples[from..]);
                    continue;
                }
            };
            samples.push(sample);
        }
        Ok(true)
    }
}

const fn law_name(law: Law) -> &'static str {
    match law {
        Law::Mu => "PCMU",
        Law::A => "PCMA",
    }
}

fn to_16_bits(sample: i32, bits: u16) -> i16 {
    let sample = match bits {
        0..=16 => sample << (16 - bits),
        bits => sample >> (bits - 16).min(31),
    };
    i16::try_from(sample.clamp(i16::MIN.into(), i16::MAX.into())).unwrap_or(0)
}

fn of_float(sample: f32) -> i16 {
    let scaled = (sample * 32_768.0).round_ties_even();
    // Saturates; no number is silence.
    #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
    let sample = scaled as i16;
    sample
}

/// The format, law and data length of a WAV file of G.711; the reader is at its data then.
fn find_g711<R: Read + Seek>(reader: &mut R) -> Result<Option<(Format, Law, u64)>, Error> {
    let mut riff = [0; 12];
    if !fill(reader, &mut riff)? {
        return Ok(None);
    }
    let mut format: Option<(Format, Law)> = None;
    for _ in 0..MOST_CHUNKS {
        let mut head = [0; 8];
        if !fill(reader, &mut head)? {
            return Ok(None);
        }
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        match (&head[..4], format.take()) {
            (b"data", Some((format, law))) => return Ok(Some((format, law, length.into()))),
            (b"data", None) => return Ok(None),
            (b"fmt ", _) => {
                let mut bytes = [0; 40];
                let kept = usize::try_from(length).unwrap_or(40).min(40);
                if kept < 16 || !fill(reader, &mut bytes[..kept])? {
                    return Ok(None);
                }
                let said = Format::read(&bytes);
                let law = match (said.tag, said.bits) {
                    (6, 8) => Law::A,
                    (7, 8) => Law::Mu,
                    _ => return Ok(None),
                };
                format = Some((said, law));
                let rest = i64::from(length) - kept as i64 + i64::from(length % 2);
                reader.seek(SeekFrom::Current(rest))?;
            }
            (_, kept) => {
                format = kept;
                // Chunks begin at even places.
                let rest = i64::from(length) + i64::from(length % 2);
                reader.seek(SeekFrom::Current(rest))?;
            }
        }
    }
    Ok(None)
}

impl Format {
    fn read(bytes: &[u8; 40]) -> Self {
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let tag = match half(0) {
            // WAVE_FORMAT_EXTENSIBLE: the tag is the first half of the sub-format.
            0xfffe => half(24),
            tag => tag,
        };
        Self {
            tag,
            channels: half(2),
            rate_hz: u32::from(half(4)) | u32::from(half(6)) << 16,
            bits: half(14),
        }
    }
}

/// Fills `buffer`; false where the file ends before.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> Result<bool, Error> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(Error::Io(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn read(bytes: &[u8]) -> Result<(u16, Vec<i16>), Error> {
        let mut reader = AnyReader::new(Cursor::new(bytes))?;
        let mut samples = Vec::new();
        while reader.read(&mut samples, 7)? {}
        Ok((reader.channels(), samples))
    }

    fn of_hound(spec: (u16, u16, hound::SampleFormat), samples: &[f32]) -> Vec<u8> {
        let (channels, bits_per_sample, sample_format) = spec;
        let spec = hound::WavSpec {
            channels,
            sample_rate: 8_000,
            bits_per_sample,
            sample_format,
        };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        for &sample in samples {
            match sample_format {
                hound::SampleFormat::Float => writer.write_sample(sample).unwrap(),
                hound::SampleFormat::Int => {
                    // Quarters of full scale are whole numbers at every width.
                    #[expect(clippy::cast_possible_truncation, reason = "it is -4 to 4")]
                    let quarters = (sample * 4.0) as i32;
                    writer
                        .write_sample(quarters << (bits_per_sample - 3))
                        .unwrap();
                }
            }
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn every_width_comes_to_sixteen_bits() {
        let sound = [0.0, 0.5, -0.5, -1.0];
        for bits in [8, 16, 24, 32] {
            let bytes = of_hound((2, bits, hound::SampleFormat::Int), &sound);
            assert_eq!(
                read(&bytes).unwrap(),
                (2, vec![0, 16_384, -16_384, i16::MIN])
            );
        }
        let bytes = of_hound(
            (1, 32, hound::SampleFormat::Float),
            &[0.5, 1.0, -2.0, f32::NAN],
        );
        assert_eq!(
            read(&bytes).unwrap(),
            (1, vec![16_384, i16::MAX, i16::MIN, 0])
        );
    }

    /// A file of one law, with a chunk of odd length between format and data.
    fn of_g711(tag: u16, codes: &[u8], promised: u32) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt ".to_vec();
        bytes.extend(18_u32.to_le_bytes());
        for half in [tag, 1, 8_000, 0, 8_000, 0, 1, 8, 0] {
            bytes.extend(half.to_le_bytes());
        }
        bytes.extend(b"fact\x03\0\0\0abc\0data");
        bytes.extend(promised.to_le_bytes());
        bytes.extend(codes);
        bytes
    }

    #[test]
    fn both_laws_are_decoded_and_what_is_missing_is_said() {
        for (tag, law) in [(6, Law::A), (7, Law::Mu)] {
            let codes: Vec<u8> = (0..=255).collect();
            let mut expected = vec![0; 256];
            g711::decode(law, &codes, &mut expected);
            assert_eq!(read(&of_g711(tag, &codes, 256)).unwrap(), (1, expected));
            let short = read(&of_g711(tag, &codes, 300)).unwrap_err();
            assert!(
                short.to_string().contains("44 bytes are missing"),
                "{short}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), tag in 0_u16..8, at in 0_usize..60) {
            let _ = read(&bytes);
            let mut made = of_g711(tag, &bytes, 1_000);
            made.truncate(made.len().saturating_sub(at));
            let _ = read(&made);
        }
    }
}
