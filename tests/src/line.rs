//! A telephone line with somebody on it: speech, pauses and noise, and what was truly said when.
//!
//! Pure: speech is given, everything else follows from a seed. Called by `tests/voice_activity.rs` and,
//! included by its path, by `tests/scores/voice_activity/`, so that both judge the same calls.

/// Samples a second.
pub const RATE: usize = 8_000;

/// Samples of a frame: 20 ms, in which the truth is told.
pub const FRAME: usize = 160;

/// Full scale, as 0 dBov.
const FULL: f64 = 32_768.0;

/// Speech at its nominal level, ITU-T P.56: −26 dBov.
pub const NOMINAL: f64 = -26.0;

/// What is behind the speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// Hiss: all frequencies alike.
    White,
    /// As much in each octave.
    Pink,
    /// Low noise that pulses, and a mains hum with its harmonics.
    Fan,
    /// Pink noise whose level wanders by 3 dB up and down within half a second, as rooms' do.
    Office,
    /// Pink noise that is there while somebody speaks alone: a phone's noise gate.
    Gated,
}

impl Noise {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::White,
        Self::Pink,
        Self::Fan,
        Self::Office,
        Self::Gated,
    ];

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::White => "white",
            Self::Pink => "pink",
            Self::Fan => "hum and fan",
            Self::Office => "office",
            Self::Gated => "pink, gated",
        }
    }
}

/// Numbers from a seed (splitmix64).
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// A sequence of its own for each seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Between two bounds.
    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// One of so many.
    pub fn below(&mut self, count: usize) -> usize {
        whole(self.unit() * count as f64).min(count - 1)
    }

    /// Of a bell curve of deviation 1.
    fn bell(&mut self) -> f64 {
        ((0..4).map(|_| self.unit()).sum::<f64>() - 2.0) * 3.0_f64.sqrt()
    }
}

/// A number of samples.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "samples of some seconds"
)]
fn whole(number: f64) -> usize {
    number.max(0.0) as usize
}

/// Decibels as a factor of samples.
fn factor(db: f64) -> f64 {
    10.0_f64.powf(db / 20.0)
}

fn mean_square(samples: &[f64]) -> f64 {
    samples.iter().map(|sample| sample * sample).sum::<f64>() / samples.len().max(1) as f64
}

/// The level of samples in dBov.
#[must_use]
pub fn dbov(samples: &[f64]) -> f64 {
    10.0 * (mean_square(samples) / FULL / FULL + 1e-12).log10()
}

/// The level of what is active: of the frames no more than 15.9 dB below it (after ITU-T P.56).
#[must_use]
pub fn active(samples: &[f64]) -> f64 {
    let frames: Vec<f64> = samples.chunks(FRAME).map(dbov).collect();
    let mut level = f64::NEG_INFINITY;
    for _ in 0..20 {
        let active: Vec<f64> = frames
            .iter()
            .filter(|frame| **frame >= level - 15.9)
            .map(|frame| 10.0_f64.powf(frame / 10.0))
            .collect();
        level = 10.0 * (active.iter().sum::<f64>() / active.len().max(1) as f64).log10();
    }
    level
}

/// A piece of speech at −26 dBov without the silence around it, in samples. `None` where it has a pause
/// of its own of 0.8 s or more, or nothing to hear.
#[must_use]
pub fn utterance(samples: &[i16]) -> Option<Vec<f64>> {
    let samples: Vec<f64> = samples.iter().map(|sample| f64::from(*sample)).collect();
    let level = active(&samples);
    if level.is_nan() || level < -45.0 {
        return None;
    }
    let heard: Vec<bool> = samples
        .chunks(FRAME)
        .map(|frame| dbov(frame) > level - 25.0)
        .collect();
    let first = heard.iter().position(|heard| *heard)?;
    let last = heard.iter().rposition(|heard| *heard)?;
    if heard[first..=last]
        .split(|heard| *heard)
        .any(|gap| gap.len() >= 40)
    {
        return None;
    }
    let cut = &samples[first * FRAME..((last + 1) * FRAME).min(samples.len())];
    let gain = factor(NOMINAL - level);
    Some(cut.iter().map(|sample| sample * gain).collect())
}

/// So many samples of noise of mean square 1.
#[must_use]
pub fn noise(kind: Noise, length: usize, chance: &mut Chance) -> Vec<f64> {
    let mut sound: Vec<f64> = match kind {
        Noise::White => (0..length).map(|_| chance.bell()).collect(),
        Noise::Pink | Noise::Gated => pink(length, chance),
        Noise::Fan => fan(length, chance),
        Noise::Office => {
            let (mut now, mut target) = (0.0, 0.0);
            let mut sound = pink(length, chance);
            for (at, sample) in sound.iter_mut().enumerate() {
                if at % (RATE / 2) == 0 {
                    target = chance.between(-3.0, 3.0);
                }
                now += (target - now) / 1_600.0;
                *sample *= factor(now);
            }
            sound
        }
    };
    let gain = mean_square(&sound).sqrt();
    for sample in &mut sound {
        *sample /= gain;
    }
    sound
}

/// Paul Kellet's filter, above 100 Hz.
fn pink(length: usize, chance: &mut Chance) -> Vec<f64> {
    const POLES: [(f64, f64); 6] = [
        (0.998_86, 0.055_517_9),
        (0.993_32, 0.075_075_9),
        (0.969_00, 0.153_852_0),
        (0.866_50, 0.310_485_6),
        (0.550_00, 0.532_952_2),
        (-0.761_6, -0.016_898_0),
    ];
    let mut states = [0.0; 6];
    let (mut before, mut passed) = (0.0, 0.0);
    (0..length)
        .map(|_| {
            let white = chance.bell();
            for (state, (pole, gain)) in states.iter_mut().zip(POLES) {
                *state = pole * *state + gain * white;
            }
            let pink = states.iter().sum::<f64>() + 0.536_2 * white;
            passed = 0.92 * (passed + pink - before);
            before = pink;
            passed
        })
        .collect()
}

fn fan(length: usize, chance: &mut Chance) -> Vec<f64> {
    const HUM: [(f64, f64); 5] = [
        (50.0, 0.20),
        (100.0, 0.25),
        (150.0, 0.08),
        (200.0, 0.06),
        (300.0, 0.02),
    ];
    let (mut first, mut second) = (0.0, 0.0);
    (0..length)
        .map(|at| {
            let turn = at as f64 / RATE as f64 * std::f64::consts::TAU;
            first += 0.25 * (chance.bell() - first);
            second += 0.4 * (first - second);
            let hum: f64 = HUM.iter().map(|(hz, peak)| peak * (turn * hz).sin()).sum();
            second * (1.0 + 0.25 * (turn * 23.0).sin()) + hum
        })
        .collect()
}

/// How a take is to be.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What is behind the speaker.
    pub noise: Noise,
    /// How loud the speaker is, in dBov.
    pub level: f64,
    /// How far below him the noise is, in dB.
    pub snr: f64,
    /// A constant offset, in samples' units.
    pub offset: f64,
    /// The longest pause, in seconds.
    pub pause: f64,
}

/// A call of one speaker.
#[derive(Debug)]
pub struct Take {
    /// What is on the line.
    pub samples: Vec<f64>,
    /// Whether each frame is active speech: no more than 15.9 dB below the speaker's level.
    pub speech: Vec<bool>,
}

impl Take {
    /// Up to 2 s of lead, two to four of the utterances with pauses between, and 12 s behind.
    #[must_use]
    pub fn make(plan: &Plan, utterances: &[Vec<f64>], seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let silence = |seconds: f64| vec![0.0; whole(seconds * RATE as f64)];
        let mut clean = silence(chance.between(0.0, 2.0));
        for number in 0..2 + chance.below(3) {
            if number > 0 {
                clean.extend(silence(chance.between(0.3, plan.pause)));
            }
            clean.extend(&utterances[chance.below(utterances.len())]);
        }
        clean.extend(silence(12.0));
        clean.truncate(clean.len() / FRAME * FRAME);
        let gain = factor(plan.level - NOMINAL);
        for sample in &mut clean {
            *sample *= gain;
        }
        let speech: Vec<bool> = clean
            .chunks(FRAME)
            .map(|frame| dbov(frame) > plan.level - 15.9)
            .collect();
        let behind = FULL * factor(plan.level - plan.snr);
        let noise = noise(plan.noise, clean.len(), &mut chance);
        let is_open = |frame: usize| {
            let near = frame.saturating_sub(4)..(frame + 3).min(speech.len());
            plan.noise != Noise::Gated || speech[near].contains(&true)
        };
        let samples = clean.iter().zip(noise).enumerate();
        let samples = samples.map(|(at, (clean, noise))| {
            if is_open(at / FRAME) {
                clean + behind * noise + plan.offset
            } else {
                0.0
            }
        });
        Self {
            samples: samples.collect(),
            speech,
        }
    }

    /// The first frame of speech.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn first(&self) -> usize {
        let first = self.speech.iter().position(|speech| *speech);
        first.expect("somebody speaks")
    }

    /// The last frame of speech.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn last(&self) -> usize {
        let last = self.speech.iter().rposition(|speech| *speech);
        last.expect("somebody speaks")
    }
}

/// Samples as 16 bits, limited.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "limited to 16 bits")]
pub fn linear(samples: &[f64]) -> Vec<i16> {
    samples
        .iter()
        .map(|sample| sample.round().clamp(-32_768.0, 32_767.0) as i16)
        .collect()
}

/// The µ-law codes of samples (ITU-T G.711): the nearest of the table.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "a code is a byte")]
pub fn mu_law(samples: &[f64]) -> Vec<u8> {
    linear(samples)
        .iter()
        .map(|sample| {
            let magnitude = i32::from(*sample).abs().min(32_635) + 132;
            let exponent = 24 - magnitude.leading_zeros();
            let mantissa = (magnitude >> (exponent + 3)) & 15;
            let sign = if *sample < 0 { 0x80 } else { 0 };
            !((sign | (exponent << 4).cast_signed() | mantissa) as u8)
        })
        .collect()
}
