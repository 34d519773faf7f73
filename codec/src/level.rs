//! How loud a frame is, and what silence is.
//!
//! Called by `capture` for trim and for the `<Record>` verb's timeout. It calls nothing. How long
//! silence must last before something follows from it does not belong here.
//!
//! Levels are in dBov (RFC 6464 §3): 0 is a square wave at full scale, a sine at full scale is
//! −3.01. A constant offset is no sound, so it is taken out. Integers only, one pass, until
//! somebody asks for decibels.

/// Frames at or below this level, in dBov, are silence: 20 dB under the nominal level of active
/// speech, −26 dBov (ITU-T P.56, as networks are aligned to it). G.711's idle noise of ±8 is at
/// −72, comfort noise commonly at −60 to −50 and never meant to be heard as speech; quiet speech
/// at −40 is well above.
pub const SILENCE_DBOV: f64 = -46.0;

/// [`SILENCE_DBOV`] as a mean square of samples: 32768² · 10^(−46/10).
const SILENCE_MEAN_SQUARE: u64 = 26_971;

/// The square of a sample at full scale: 0 dBov.
const FULL_SCALE_SQUARE: f64 = 32_768.0 * 32_768.0;

/// Level of one or more frames of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    /// Samples measured.
    pub samples: u64,
    /// Their sum.
    pub sum: i64,
    /// The sum of their squares.
    pub squares: u64,
    /// The largest magnitude, 0 to 32768.
    pub peak: u16,
}

impl Level {
    /// Measures `samples` of one channel.
    #[must_use]
    pub fn of(samples: &[i16]) -> Self {
        let mut level = Self {
            samples: samples.len() as u64,
            ..Self::default()
        };
        for &sample in samples {
            let wide = i32::from(sample);
            level.sum += i64::from(wide);
            level.squares += u64::from((wide * wide).unsigned_abs());
            level.peak = level.peak.max(sample.unsigned_abs());
        }
        level
    }

    /// The level of both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
            peak: self.peak.max(other.peak),
        }
    }

    /// Whether this is silence: no samples, or none louder together than [`SILENCE_DBOV`].
    #[must_use]
    pub fn is_silent(self) -> bool {
        self.energy() <= u128::from(SILENCE_MEAN_SQUARE) * u128::from(self.samples)
    }

    /// Level in dBov, from 0 down; −∞ where there is no sound at all.
    #[must_use]
    pub fn dbov(self) -> f64 {
        if self.samples == 0 {
            return f64::NEG_INFINITY;
        }
        10.0 * (self.energy() as f64 / self.samples as f64 / FULL_SCALE_SQUARE).log10()
    }

    /// The sum of squares without the constant offset, which is never above the whole sum.
    fn energy(self) -> u128 {
        let count = u128::from(self.samples.max(1));
        let sum = u128::from(self.sum.unsigned_abs());
        u128::from(self.squares).saturating_sub(sum * sum / count)
    }
}

/// Whether a frame of one channel is silence ([`Level::is_silent`]).
#[must_use]
pub fn is_silent(frame: &[i16]) -> bool {
    Level::of(frame).is_silent()
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "decibels made into samples"
)]
mod tests {
    use super::*;

    /// A sine whose level is `dbov`, 20 ms of 8 kHz at 400 Hz: eight whole periods.
    fn sine(dbov: f64) -> Vec<i16> {
        let peak = 32_768.0 * 2.0_f64.sqrt() * 10.0_f64.powf(dbov / 20.0);
        (0..160)
            .map(|i| (peak * (f64::from(i) * std::f64::consts::TAU / 20.0).sin()).round() as i16)
            .collect()
    }

    #[test]
    fn levels_are_in_dbov() {
        let square: Vec<i16> = (0..160)
            .map(|i| if i % 2 == 0 { -32_768 } else { 32_767 })
            .collect();
        assert!(Level::of(&square).dbov().abs() < 0.001);
        assert_eq!(Level::of(&square).peak, 32_768);
        for dbov in [-3.02, -10.0, -26.0, -40.0, -50.0] {
            let measured = Level::of(&sine(dbov)).dbov();
            assert!(
                (measured - dbov).abs() < 0.05,
                "{dbov} measured as {measured}"
            );
        }
        assert_eq!(Level::of(&[0; 160]).dbov(), f64::NEG_INFINITY);
    }

    #[test]
    fn idle_and_comfort_noise_are_silence_and_quiet_speech_is_not() {
        let idle: Vec<i16> = (0..160).map(|i| if i % 3 == 0 { 8 } else { -8 }).collect();
        assert!(is_silent(&idle));
        assert!(is_silent(&[]));
        assert!(is_silent(&sine(-50.0)));
        assert!(is_silent(&sine(SILENCE_DBOV - 0.1)));
        assert!(!is_silent(&sine(SILENCE_DBOV + 0.1)));
        assert!(!is_silent(&sine(-40.0)));
    }

    #[test]
    fn an_offset_is_no_sound() {
        let offset: Vec<i16> = (0..160)
            .map(|i| 2_000 + if i % 2 == 0 { 8 } else { -8 })
            .collect();
        assert!(is_silent(&offset));
        let speech: Vec<i16> = sine(-40.0).iter().map(|sample| sample + 2_000).collect();
        assert!(!is_silent(&speech));
    }

    #[test]
    fn levels_add_up() {
        let frame = sine(-20.0);
        let (a, b) = frame.split_at(77);
        assert_eq!(Level::of(a).and(Level::of(b)), Level::of(&frame));
    }

    #[test]
    fn the_threshold_in_squares_is_the_threshold_in_decibels() {
        let squares = FULL_SCALE_SQUARE * 10.0_f64.powf(SILENCE_DBOV / 10.0);
        assert_eq!(SILENCE_MEAN_SQUARE, squares as u64);
    }
}
