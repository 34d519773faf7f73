//! Against ffmpeg's decoder, there and back, and any bytes at all.

use super::*;
use proptest::prelude::*;

/// A byte every 37 modulo 256, through all codes of both bands.
fn codes() -> Vec<u8> {
    (0..=255u8).map(|i| i.wrapping_mul(37)).collect()
}

#[test]
fn it_decodes_as_ffmpeg_does() {
    let mut samples = [0; 512];
    assert_eq!(Decoder::new().decode(&codes(), &mut samples), 512);
    // `ffmpeg -f g722 -i codes -f s16le -`: its samples 0 to 3, 64 to 71 and 504 to 511.
    assert_eq!(samples[..4], FFMPEG_FIRST);
    assert_eq!(samples[64..72], FFMPEG_MIDDLE);
    assert_eq!(samples[504..], FFMPEG_LAST);
}

const FFMPEG_FIRST: [i16; 4] = [0, 0, 0, -1];
const FFMPEG_MIDDLE: [i16; 8] = [574, 2_493, 873, -2_774, -2_341, 946, 2_257, 226];
const FFMPEG_LAST: [i16; 8] = [
    -32_768, 32_767, 9_537, 15_707, -32_768, -32_768, 32_030, 6_635,
];

#[test]
fn what_was_encoded_sounds_like_it() {
    let tone: Vec<i16> = (0..3_200)
        .map(|i| {
            let angle = std::f64::consts::TAU * 1_000.0 * f64::from(i) / 16_000.0;
            #[expect(clippy::cast_possible_truncation, reason = "a sine made into samples")]
            let sample = (8_000.0 * angle.sin()) as i16;
            sample
        })
        .collect();
    let mut codes = Vec::new();
    Encoder::new().encode(&tone, &mut codes);
    assert_eq!(codes.len(), tone.len() / 2);
    let mut heard = vec![0; tone.len()];
    Decoder::new().decode(&codes, &mut heard);
    // The two filter banks delay by 22 samples.
    let error: f64 = heard[822..]
        .iter()
        .zip(&tone[800..])
        .map(|(heard, said)| f64::from(i32::from(*heard) - i32::from(*said)).powi(2))
        .sum();
    let rms = (error / (heard.len() - 822) as f64).sqrt();
    assert!(rms < 8_000.0 / 50.0, "{rms}");
}

proptest! {
    #[test]
    fn cuts_do_not_matter_and_no_bytes_panic(codes: Vec<u8>, cut in 0usize..64, room in 0usize..200) {
        let mut whole = vec![0; codes.len() * 2];
        Decoder::new().decode(&codes, &mut whole);
        let cut = cut.min(codes.len());
        let mut parts = vec![0; codes.len() * 2];
        let mut decoder = Decoder::new();
        let done = decoder.decode(&codes[..cut], &mut parts);
        decoder.decode(&codes[cut..], &mut parts[done..]);
        prop_assert_eq!(whole, parts);
        prop_assert!(decoder.decode(&codes, &mut vec![0; room]) <= room);
    }
}
