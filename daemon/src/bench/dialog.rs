//! Two who talk over the telephone, as a recording of them: turns of some seconds, one speaks while the
//! other's line is all but still.
//!
//! Called by `encode`; it calls the synthetic [`crate::caller`] for the voices and `codec` for the WAV.
//! All of it is a function of the seed.

use reeld_codec::g711::Law;
use reeld_codec::wav;
use reeld_model::Track;

use crate::caller::{Seeded, Sound, sound};

/// Samples a second of each channel.
pub(super) const RATE_HZ: u32 = sound::RATE_HZ;

/// A turn, in milliseconds: from the least, so many more by chance.
const TURN_MS: (u32, u32) = (1_000, 6_000);

/// A line on which nobody speaks has so many levels, around 0: G.711's finest steps.
const HISS: u8 = 33;

/// The recording as a WAV: two channels, or their sum.
pub(super) fn wav(seed: u64, channels: u16, seconds: u32) -> Vec<u8> {
    let samples = samples(seed, channels, seconds);
    let data_bytes = samples.len() * usize::from(wav::SAMPLE_BYTES);
    let data_bytes = u32::try_from(data_bytes).expect("two hours of two channels are 230 MB");
    let mut file = wav::header(channels, RATE_HZ, data_bytes).to_vec();
    wav::samples_to_bytes(&samples, &mut file);
    file
}

fn samples(seed: u64, channels: u16, seconds: u32) -> Vec<i16> {
    let mut chance = Seeded::new(seed);
    let mut voices = Track::ALL.map(|track| Sound::voice(seed, 0, track));
    let (mut speaker, mut turn) = (0, 0_u32);
    let mut samples = Vec::new();
    for _ in 0..seconds * RATE_HZ {
        if turn == 0 {
            speaker = 1 - speaker;
            turn = (TURN_MS.0 + chance.below(TURN_MS.1)) * (RATE_HZ / 1_000);
        }
        turn -= 1;
        let mut frame = [0; 2];
        for (number, (sample, voice)) in frame.iter_mut().zip(&mut voices).enumerate() {
            *sample = if number == speaker {
                voice.heard(Law::Mu)
            } else {
                let [any, ..] = chance.next_u64().to_le_bytes();
                i16::from(any % HISS) - i16::from(HISS / 2)
            };
        }
        match channels {
            1 => samples.push(frame[0].saturating_add(frame[1])),
            _ => samples.extend(frame),
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_speaks_while_the_other_is_still_and_both_have_their_turn() {
        let dual = samples(7, 2, 30);
        let mono = samples(7, 1, 30);
        assert_eq!((dual.len(), mono.len()), (30 * 16_000, 30 * 8_000));
        let mut spoke = [0; 2];
        for (frame, sum) in dual.chunks(2).zip(mono) {
            let loud = [frame[0], frame[1]].map(|sample| sample.unsigned_abs() > 16);
            assert!(loud != [true, true], "both speak: {frame:?}");
            assert_eq!(sum, frame[0].saturating_add(frame[1]));
            (0..2).for_each(|side| spoke[side] += u32::from(loud[side]));
        }
        assert!(spoke.iter().all(|samples| *samples > 30_000), "{spoke:?}");
    }

    #[test]
    fn the_file_is_as_long_as_it_is_to_be() {
        let file = wav(1, 2, 3);
        let reader = wav::Reader::new(&file[..]).unwrap();
        assert_eq!((reader.channels(), reader.rate_hz()), (2, RATE_HZ));
        assert_eq!(reader.frames(), 24_000);
    }
}
