//! Our header is hound's; hound reads it; and bytes that are no WAV are refused, never a panic.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn by_hound(channels: u16, rate_hz: u32, samples: &[i16]) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    for &sample in samples {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
    file.into_inner()
}

fn by_us(channels: u16, rate_hz: u32, samples: &[i16]) -> Vec<u8> {
    let data_bytes = u32::try_from(2 * samples.len()).unwrap();
    let mut file = header(channels, rate_hz, data_bytes).to_vec();
    samples_to_bytes(samples, &mut file);
    file
}

fn read_all(file: &[u8]) -> Result<(u16, u32, Vec<i16>), Error> {
    let mut reader = Reader::new(file)?;
    let (mut all, mut piece) = (Vec::new(), [0; 100]);
    loop {
        let done = reader.read(&mut piece)?;
        if done == 0 {
            return Ok((reader.channels(), reader.rate_hz(), all));
        }
        all.extend_from_slice(&piece[..done]);
    }
}

#[test]
fn the_largest_file_still_counts_in_32_bits() {
    assert_eq!(MAX_DATA_BYTES % 4, 0);
    let header = header(2, 8_000, MAX_DATA_BYTES);
    let riff = u32::from_le_bytes(header[4..8].try_into().unwrap());
    assert_eq!(u64::from(riff), u64::from(MAX_DATA_BYTES) + 36);
    assert!(u64::from(MAX_DATA_BYTES) + 36 + 4 > u64::from(u32::MAX));
}

#[test]
fn a_cut_file_is_damaged_and_not_an_end() {
    let file = by_us(1, 8_000, &[1, 2, 3, 4]);
    assert!(matches!(
        read_all(&file[..file.len() - 3]),
        Err(Error::Damaged(_))
    ));
    assert!(matches!(read_all(&file[..20]), Err(Error::Damaged(_))));
    assert!(matches!(
        read_all(b"not a wave file at all"),
        Err(Error::Damaged(_))
    ));
}

#[test]
fn other_kinds_are_refused_by_name() {
    for (channels, bits, format, name) in [
        (1, 8, hound::SampleFormat::Int, "8 bits"),
        (2, 32, hound::SampleFormat::Float, "Float"),
        (3, 16, hound::SampleFormat::Int, "3 channels"),
    ] {
        let spec = hound::WavSpec {
            channels,
            sample_rate: 8_000,
            bits_per_sample: bits,
            sample_format: format,
        };
        let mut file = Cursor::new(Vec::new());
        hound::WavWriter::new(&mut file, spec)
            .unwrap()
            .finalize()
            .unwrap();
        let refusal = Reader::new(&file.into_inner()[..]).unwrap_err();
        assert!(
            matches!(&refusal, Error::Unsupported(why) if why.contains(name)),
            "{refusal}"
        );
    }
}

proptest! {
    #[test]
    fn file_equals_hounds_and_reads_back(
        stereo: bool,
        rate_hz in 1_u32..200_000,
        samples in prop::collection::vec(any::<i16>(), 0..300),
    ) {
        let channels = if stereo { 2 } else { 1 };
        let whole = samples.len() / usize::from(channels) * usize::from(channels);
        let file = by_us(channels, rate_hz, &samples[..whole]);
        prop_assert_eq!(&file, &by_hound(channels, rate_hz, &samples[..whole]));
        prop_assert_eq!(
            read_all(&file).unwrap(),
            (channels, rate_hz, samples[..whole].to_vec())
        );
        let mut back = Vec::new();
        bytes_to_samples(&file[HEADER_BYTES..], &mut back);
        prop_assert_eq!(&back, &samples[..whole]);
    }

    #[test]
    fn no_bytes_make_it_panic(at in 0_usize..48, noise in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut file = by_us(2, 8_000, &[5; 8]);
        let at = at.min(file.len());
        file.splice(at..(at + noise.len()).min(60), noise);
        // Either answer is right; what counts is that there is one.
        drop(read_all(&file));
        let mut endless = header(1, 8_000, u32::MAX).to_vec();
        endless.extend_from_slice(&[0; 6]);
        prop_assert!(matches!(read_all(&endless), Err(Error::Damaged(_))));
    }
}
