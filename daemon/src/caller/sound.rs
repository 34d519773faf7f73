//! What the synthetic callers say: sounds that are functions of numbers.
//!
//! Called by [`super::send`](fn@super::send) to say them and by [`super::exact`] to make them
//! again. Integers only, so that both get the same samples, in any build. Voices are in `voice`: of
//! them there are thousands at once.

mod voice;

use reeld_codec::g711::{self, Law};
use reeld_model::Track;

pub use voice::Voice;

/// Samples a second of every sound.
pub const RATE_HZ: u32 = 8_000;

/// A small generator of random-looking numbers from a seed (SplitMix64): for sounds and start
/// values, never for secrets.
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// The sequence that `seed` begins.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number's upper half.
    pub const fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// The next number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        let scaled = u64::from(self.next_u32()) * u64::from(bound);
        (scaled >> 32) as u32
    }
}

/// A sound, at a place in it.
#[derive(Debug, Clone)]
pub enum Sound {
    /// Noise and tone in syllables, different for each call and track: for measurements.
    Voice(Voice),
    /// Something to listen to: for the demonstration.
    Melody(Melody),
}

impl Sound {
    /// The voice of a track of the call with this number.
    #[must_use]
    pub fn voice(seed: u64, call: u64, track: Track) -> Self {
        Self::Voice(Voice::new(seed, call, track))
    }

    /// The melody of a track: the two answer each other.
    #[must_use]
    pub const fn melody(track: Track) -> Self {
        Self::Melody(Melody::new(track))
    }

    /// The next samples, as G.711 bytes.
    pub fn fill(&mut self, law: Law, codes: &mut [u8]) {
        match self {
            Self::Voice(voice) => voice.fill(law, codes),
            Self::Melody(melody) => {
                codes.fill_with(|| g711::encode_sample(law, melody.next_sample()));
            }
        }
    }

    /// The next sample as a listener hears it: through G.711 and back.
    pub fn heard(&mut self, law: Law) -> i16 {
        let mut code = [0];
        self.fill(law, &mut code);
        g711::decode_sample(law, code[0])
    }
}

/// Four bars that two tracks share: one asks in the first half, the other answers in the second.
#[derive(Debug, Clone)]
pub struct Melody {
    notes: &'static [u32],
    position: u32,
    oscillator: Oscillator,
    overtone: Oscillator,
}

/// Samples of one note: a quarter of a second.
const NOTE_SAMPLES: u32 = RATE_HZ / 4;

/// Pitches in Hz, 0 is a rest.
const ASKING: [u32; 16] = [
    392, 440, 494, 523, 587, 587, 659, 587, 0, 0, 0, 0, 0, 0, 0, 0,
];
const ANSWERING: [u32; 16] = [
    0, 0, 0, 0, 0, 0, 0, 0, 294, 330, 294, 262, 247, 220, 196, 196,
];

impl Melody {
    /// The part of a track: the caller asks, the called answers.
    #[must_use]
    pub const fn new(track: Track) -> Self {
        let notes: &[u32] = match track {
            Track::Inbound => &ASKING,
            Track::Outbound => &ANSWERING,
        };
        Self {
            notes,
            position: 0,
            oscillator: Oscillator::new(0),
            overtone: Oscillator::new(0),
        }
    }

    fn next_sample(&mut self) -> i16 {
        let in_note = self.position % NOTE_SAMPLES;
        let note = (self.position / NOTE_SAMPLES) as usize % self.notes.len();
        self.position = self.position.wrapping_add(1);
        if in_note == 0 {
            self.oscillator = Oscillator::new(self.notes[note]);
            self.overtone = Oscillator::new(3 * self.notes[note]);
        }
        // Struck and dying away; 256 at first.
        let left = (NOTE_SAMPLES - in_note) * 256 / NOTE_SAMPLES;
        let loudness = (left * left) as i32 >> 8;
        let sound = self.oscillator.next_sample() / 3 + self.overtone.next_sample() / 12;
        clip((sound * loudness) >> 8)
    }
}

/// A tone of nearly one pitch: two parabolas in place of a sine, which integers do exactly.
#[derive(Debug, Clone)]
struct Oscillator {
    phase: u32,
    step: u32,
}

/// What one hertz adds to the phase at each sample: 2³² phases are one period.
const PHASES_PER_HERTZ: u32 = u32::MAX / RATE_HZ;

impl Oscillator {
    const fn new(hertz: u32) -> Self {
        Self {
            phase: 0,
            step: hertz.wrapping_mul(PHASES_PER_HERTZ),
        }
    }

    /// −32768 to 32767.
    fn next_sample(&mut self) -> i32 {
        // −32768 to 32767 along one period; x (1 − |x|) is a hump a half period.
        let x = (self.phase >> 16).cast_signed() - 32_768;
        self.phase = self.phase.wrapping_add(self.step);
        let hump = (x * (32_768 - x.abs())) >> 13;
        hump.clamp(-32_768, 32_767)
    }
}

fn clip(sample: i32) -> i16 {
    i16::try_from(sample).unwrap_or(if sample < 0 { i16::MIN } else { i16::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(mut sound: Sound, samples: usize) -> Vec<i16> {
        (0..samples).map(|_| sound.heard(Law::Mu)).collect()
    }

    #[test]
    fn each_call_and_track_has_a_voice_of_its_own_that_can_be_made_again() {
        let mut all = Vec::new();
        for call in 0..20 {
            for track in Track::ALL {
                let voice = said(Sound::voice(7, call, track), 400);
                assert_eq!(voice, said(Sound::voice(7, call, track), 400));
                assert!(voice[0].abs() > 7_000, "begins at {}", voice[0]);
                all.push(voice);
            }
        }
        all.push(said(Sound::voice(8, 0, Track::Inbound), 400));
        all.sort();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn bytes_are_what_is_heard() {
        for sound in [
            Sound::voice(1, 2, Track::Outbound),
            Sound::melody(Track::Inbound),
        ] {
            for law in [Law::Mu, Law::A] {
                let (mut saying, mut hearing) = (sound.clone(), sound.clone());
                // No divisor of a syllable, and past the end of several.
                for _ in 0..50 {
                    let mut codes = [0; 333];
                    saying.fill(law, &mut codes);
                    for code in codes {
                        assert_eq!(g711::decode_sample(law, code), hearing.heard(law));
                    }
                }
            }
        }
    }

    #[test]
    fn voices_have_a_level_between_a_whisper_and_clipping() {
        for call in 0..10 {
            let voice = said(Sound::voice(1, call, Track::Inbound), 16_000);
            let level = reeld_codec::level::Level::of(&voice);
            assert!(
                (-30.0..-8.0).contains(&level.dbov()),
                "{} dBov",
                level.dbov()
            );
            assert!(level.peak < 32_000);
        }
    }

    #[test]
    fn the_melodys_tracks_answer_each_other() {
        let asking = said(Sound::melody(Track::Inbound), 32_000);
        let answering = said(Sound::melody(Track::Outbound), 32_000);
        for second in 0..4 {
            let of = |track: &[i16]| {
                !reeld_codec::level::is_silent(&track[second * 8_000..(second + 1) * 8_000])
            };
            assert_eq!((of(&asking), of(&answering)), (second < 2, second >= 2));
        }
    }
}
