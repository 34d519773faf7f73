//! Keeping pace: what a sender's clock is off by is made up for, a little in each packet.
//!
//! Called by [`crate::track`] with packets that follow each other; calls `codec`. How much is owed is
//! [`crate::segment`]'s to say.

use reeld_codec::{level, warp};
use serde::{Deserialize, Serialize};

use crate::decode::MAX_SAMPLES;

/// The most by which a packet of silence is made longer or shorter for drift, in milliseconds.
const SILENT_STEP_MS: i64 = 5;

/// Samples of voice in which one is added or left out for drift: 0.2 %, four times the worst clock.
const VOICED_EVERY: i64 = 500;

/// What one track is behind or ahead by.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// Samples by which what follows belongs later.
    owed: i64,
    /// Samples of sound since voice was last changed.
    since: i64,
}

impl Pace {
    /// From here on so many samples are owed, in place of what was.
    pub(crate) fn owe(&mut self, by: i64) {
        self.owed = by;
    }

    /// All that is owed, for who makes up for it where there is no sound.
    pub(crate) fn take_owed(&mut self) -> i64 {
        std::mem::take(&mut self.owed)
    }

    /// Makes a packet longer or shorter by what is owed, silence by some milliseconds and voice by 0.2 %:
    /// of `samples`, which are `rate_hz` a second, those behind the first `before`. By how many; those
    /// behind it belong so much later.
    pub(crate) fn keep(&mut self, rate_hz: u32, before: usize, samples: &mut Vec<i16>) -> i64 {
        if self.owed == 0 {
            return 0;
        }
        let length = i64::try_from(samples.len() - before).unwrap_or(0);
        let most = if level::is_silent(&samples[before..]) {
            (SILENT_STEP_MS * i64::from(rate_hz) / 1_000).min(length / 4)
        } else {
            self.since = (self.since + length).min(VOICED_EVERY + length);
            self.since / VOICED_EVERY
        };
        let step = self.owed.clamp(-most, most);
        if step == 0 {
            return 0;
        }
        let mut sound = [0; MAX_SAMPLES];
        let (Some(sound), Ok(changed)) = (
            sound.get_mut(..samples.len() - before),
            usize::try_from(length + step),
        ) else {
            return 0;
        };
        self.since %= VOICED_EVERY;
        self.owed -= step;
        sound.copy_from_slice(&samples[before..]);
        samples.resize(before + changed, 0);
        warp::warp(sound, &mut samples[before..]);
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice() -> Vec<i16> {
        (0..160)
            .map(|at| if at % 16 < 8 { 9_000 } else { -9_000 })
            .collect()
    }

    #[test]
    fn voice_changes_slowly_and_silence_at_once() {
        let mut pace = Pace::default();
        assert_eq!(pace.keep(8_000, 0, &mut voice()), 0);
        pace.owe(-3);
        let steps: Vec<i64> = (0..16).map(|_| pace.keep(8_000, 0, &mut voice())).collect();
        assert_eq!(steps.iter().sum::<i64>(), -3);
        assert!(
            steps
                .windows(3)
                .all(|steps| steps.iter().sum::<i64>() >= -1),
            "{steps:?}"
        );
        pace.owe(100);
        let mut samples = vec![0; 170];
        assert_eq!(pace.keep(8_000, 10, &mut samples), 40);
        assert_eq!(samples.len(), 210);
    }
}
