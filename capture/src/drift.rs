//! Drift: how the sender's clock runs against ours, and what has to be corrected for it.
//!
//! Called by [`crate::segment`] with the lateness of each packet: how long after its place it
//! arrived. The least lateness in a stretch of time is the path's minimum delay, which no jitter
//! moves; where that minimum wanders steadily, the clocks differ.
//!
//! Invariants: a step of the minimum (another route, a sender that lost its pace) is delay and not
//! drift, and corrects nothing; a sender whose clock is ours is never corrected, so that its sound
//! stays exact.

use serde::{Deserialize, Serialize};

/// A stretch over which the least lateness is taken, in milliseconds.
const STRETCH_MS: i64 = 4_000;

/// Packets that a stretch needs: a network delivers one in 25 at its minimum delay.
const ENOUGH: u32 = 50;

/// Steps of the minimum from one stretch to the next that are drift: so many parts of a thousand of the
/// stretch, and in microseconds what the minimum of a stretch may err.
const STEADY_PER_MILLE: i64 = 1;
const STEADY_US: i64 = 3_000;

/// The error at which correction begins, in microseconds.
const TOLERATED_US: i64 = 3_000;

/// A step from one stretch to the next that, twice in a row, is drift before that, in microseconds:
/// 375 ppm.
const STEEP_US: i64 = 1_500;

/// A drift that is known from the stream before is looked for from here on, in microseconds a stretch:
/// 150 ppm.
const HINTED_US: i64 = 600;

/// How late the least late packet of a stretch is, in microseconds.
const IN_TIME_US: i64 = 1_500;

/// Pauses over which a drift is reckoned with, in milliseconds: over a longer one arrival tells more.
const MOST_RECKONED_MS: i64 = 10_000;

/// Once corrected, this much of an error is corrected each stretch, beside what the drift will be.
const SHARE: i64 = 2;

/// Stretches before the first correction and the first estimate.
const SETTLED: u32 = 2;

/// The drift of one segment. Times are samples of the timeline; `rate_hz` makes them milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Drift {
    rate_hz: i64,
    /// Where the running stretch began.
    since: Option<i64>,
    count: u32,
    /// Samples in the last stretch.
    length: i64,
    /// The least lateness of the running stretch.
    least: i64,
    /// The least lateness and the count of packets about whose clock there is a doubt.
    doubtful: (i64, u32),
    /// The last stretch's least lateness and its place.
    last: Option<(i64, i64)>,
    /// What the lateness is without error, and how much of that another route or a report said.
    reference: i64,
    rerouted: i64,
    stretches: u32,
    /// The step to the last stretch.
    step: i64,
    /// Stretches in a row that were beyond what is tolerated.
    beyond: u32,
    /// Whether the clocks are known to differ: then each stretch is corrected.
    follows: bool,
    /// Samples by which places were moved so far for drift: later is positive.
    moved: i64,
    /// First stretch's place, and the steps that were not drift.
    first: Option<(i64, i64)>,
    steps: i64,
    /// Whether the next stretch says what the lateness is without error.
    is_anew: bool,
    /// The estimate of the segment before this one, of the same sender.
    known_ppb: Option<i64>,
}

impl Drift {
    pub(crate) fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz: i64::from(rate_hz),
            since: None,
            count: 0,
            length: i64::from(rate_hz) * STRETCH_MS / 1_000,
            least: i64::MAX,
            doubtful: (i64::MAX, 0),
            last: None,
            reference: 0,
            rerouted: 0,
            stretches: 0,
            step: 0,
            beyond: 0,
            follows: false,
            moved: 0,
            first: None,
            steps: 0,
            is_anew: false,
            known_ppb: None,
        }
    }

    /// The same of a new stream of the same track, if its sender is the same: that is to be seen.
    pub(crate) fn hinted(rate_hz: u32, known_ppb: Option<i64>) -> Self {
        Self {
            known_ppb,
            ..Self::new(rate_hz)
        }
    }

    /// Notes that the places are put right by what is better known than the delay.
    pub(crate) fn begin_anew(&mut self) {
        self.is_anew = true;
        self.beyond = 0;
    }

    /// The drift of the next segment of the same sender.
    pub(crate) fn next(&self) -> Self {
        Self {
            known_ppb: self.ppb(),
            follows: self.follows,
            ..Self::new(u32::try_from(self.rate_hz).unwrap_or(u32::MAX))
        }
    }

    /// Notes a packet that may be late because its sender paused.
    pub(crate) fn note_doubtful(&mut self, lateness: i64) {
        let (least, count) = self.doubtful;
        self.doubtful = (least.min(lateness), count + 1);
    }

    /// The doubt is over: they were late by the clock that holds, or by one that does not.
    pub(crate) fn decide_doubtful(&mut self, holds: bool) {
        let (least, count) = std::mem::replace(&mut self.doubtful, (i64::MAX, 0));
        if holds {
            self.least = self.least.min(least);
            self.count += count;
        }
    }

    /// Notes a packet that arrived at the place `arrived`, `lateness` samples after its end's place.
    /// Returns by how many samples what follows should be placed later (negative: earlier) to be
    /// right, if it should be.
    pub(crate) fn note(&mut self, arrived: i64, lateness: i64) -> Option<i64> {
        self.least = self.least.min(lateness);
        self.count += 1;
        let since = *self.since.get_or_insert(arrived);
        if arrived - since < STRETCH_MS * self.rate_hz / 1_000 || self.count < ENOUGH {
            return None;
        }
        let least = std::mem::replace(&mut self.least, i64::MAX);
        self.since = Some(arrived);
        self.count = 0;
        self.length = arrived - since;
        self.close_stretch(arrived, least)
    }

    fn close_stretch(&mut self, arrived: i64, least: i64) -> Option<i64> {
        self.stretches += 1;
        let Some((last, _)) = self.last.replace((least, arrived)) else {
            self.reference = least;
            self.first = Some((least, arrived));
            return if self.follows {
                self.follow(least)
            } else {
                None
            };
        };
        if std::mem::take(&mut self.is_anew) {
            (self.reference, self.rerouted) = (least, least);
            return None;
        }
        let step = least - last;
        if step.abs() > self.samples(STEADY_US) + STEADY_PER_MILLE * self.length / 1_000 {
            self.reference += step;
            self.rerouted += step;
            self.steps += step;
            self.beyond = 0;
            if self.rerouted >= 0 {
                return None;
            }
            // No way is shorter than the shortest: its places were too late.
            self.reference -= std::mem::take(&mut self.rerouted);
        }
        if self.follows {
            return self.follow(least);
        }
        let error = least - self.reference;
        let before = std::mem::replace(&mut self.step, step);
        let steep = self.samples(STEEP_US);
        let is_steep = step.min(before) >= steep || step.max(before) <= -steep;
        if !is_steep && !self.is_as_hinted(step) {
            if error.abs() < self.samples(TOLERATED_US) {
                self.beyond = 0;
                return None;
            }
            self.beyond += 1;
            if self.beyond < 2 || self.stretches <= SETTLED {
                return None;
            }
        }
        self.follows = true;
        // The places are those of before the first stretch. The least of a fast sender's is its last,
        // of a slow one's its first, which is old by now.
        let late = self.late_in_a_stretch();
        if late < 0 {
            self.reference -= late;
        }
        Some(least - self.reference + late.max(0) + late / 2)
    }

    /// What to correct for a stretch of a clock that is known to differ.
    fn follow(&mut self, least: i64) -> Option<i64> {
        // A segment's first packets may have been as late as the network makes the least late of 25; of
        // those in a stretch one is in time.
        let own = self.reference - self.rerouted;
        self.reference = self.rerouted + own.clamp(0, self.samples(IN_TIME_US));
        let by = self.late_in_a_stretch() + (least - self.reference) / SHARE;
        (by != 0).then_some(by)
    }

    /// Whether a step is the drift that the stream before had.
    fn is_as_hinted(&self, step: i64) -> bool {
        let expected = Self::late_over(self.known_ppb, self.length);
        let is_like = step.signum() == expected.signum() && 2 * step.abs() >= expected.abs();
        expected.abs() >= self.samples(HINTED_US) && is_like
    }

    /// By how many samples the sender falls behind in a stretch as long as the last one.
    fn late_in_a_stretch(&self) -> i64 {
        Self::late_over(self.ppb(), self.length)
    }

    fn late_over(ppb: Option<i64>, samples: i64) -> i64 {
        -ppb.unwrap_or(0) * samples / 1_000_000_000
    }

    /// By how many samples the sender has fallen behind at `arrived`, beyond the stretch that was
    /// reckoned with, if its drift is known.
    pub(crate) fn over_pause(&mut self, arrived: i64) -> i64 {
        let (ppb, stretch) = (self.ppb(), self.length);
        let Some(since) = self.since.as_mut().filter(|_| self.follows) else {
            return 0;
        };
        let beyond = arrived - *since - stretch;
        if !(0..=MOST_RECKONED_MS * self.rate_hz / 1_000).contains(&beyond) {
            return 0;
        }
        *since = arrived - stretch;
        Self::late_over(ppb, beyond)
    }

    /// Notes that what follows was placed `by` samples later for drift.
    pub(crate) fn note_moved(&mut self, by: i64) {
        self.moved += by;
        // What is late by the old places is not by the new ones.
        if let Some((last, _)) = &mut self.last {
            *last -= by;
        }
        self.least = self.least.saturating_sub(by);
    }

    /// How much faster the sender's clock is than ours, in parts per billion.
    pub(crate) fn ppb(&self) -> Option<i64> {
        let (Some((first, from)), Some((last, to))) = (self.first, self.last) else {
            return self.known_ppb;
        };
        if self.stretches <= SETTLED || to <= from {
            return self.known_ppb;
        }
        // A fast sender's packets come ever earlier by its stamps.
        let late = i128::from(last + self.moved - first - self.steps);
        i64::try_from(-late * 1_000_000_000 / i128::from(to - from)).ok()
    }

    fn samples(&self, us: i64) -> i64 {
        us * self.rate_hz / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a sender of 20 ms packets for `seconds`; returns the worst error in samples and the
    /// estimate.
    fn run(ppm: f64, seconds: i64, jitter: i64) -> (i64, Option<i64>) {
        let mut drift = Drift::new(8_000);
        let (mut shift, mut worst, mut state) = (0, 0, 1_u32);
        for packet in 0..seconds * 50 {
            let place = packet * 160 + shift;
            #[expect(clippy::cast_possible_truncation, reason = "far below 2^53")]
            let truth = (packet as f64 * 160.0 * (1.0 - ppm / 1e6)) as i64;
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let late = if packet % 25 == 7 {
                0
            } else {
                i64::from(state >> 16) % (jitter + 1)
            };
            worst = worst.max((truth - place).abs());
            if let Some(by) = drift.note(truth + late, truth + late - place) {
                shift += by;
                drift.note_moved(by);
            }
        }
        (worst, drift.ppb())
    }

    #[test]
    fn a_clock_that_differs_is_followed_for_hours() {
        for ppm in [-500.0, -200.0, 200.0, 500.0] {
            for jitter in [0, 1_200] {
                let (worst, ppb) = run(ppm, 7_200, jitter);
                assert!(worst <= 80, "{ppm} ppm: {worst} samples");
                let error = ppb.unwrap() as f64 / 1_000.0 - ppm;
                assert!(error.abs() < 20.0, "{ppm} ppm: {ppb:?}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_ours_is_never_corrected() {
        let mut drift = Drift::new(8_000);
        for packet in 0..500_000 {
            let late = if packet % 25 == 0 {
                packet % 40
            } else {
                packet % 1_200
            };
            assert_eq!(drift.note(packet * 160 + late, late), None);
        }
    }

    #[test]
    fn a_step_of_the_delay_is_not_drift() {
        let mut drift = Drift::new(8_000);
        for packet in 0..100_000 {
            let late = if packet > 5_000 { 300 } else { 0 };
            assert_eq!(drift.note(packet * 160 + late, late), None);
        }
        assert_eq!(drift.ppb(), Some(0));
    }

    #[test]
    fn no_way_is_shorter_than_the_shortest() {
        let mut drift = Drift::new(8_000);
        let mut shift = 0;
        for packet in 0..20_000 {
            let late = if packet > 5_000 { -200 - shift } else { 0 };
            if let Some(by) = drift.note(packet * 160 + late, late) {
                shift += by;
                drift.note_moved(by);
            }
        }
        assert!((-204..=-190).contains(&shift), "{shift}");
    }

    #[test]
    fn a_known_drift_is_reckoned_over_a_pause_and_not_over_hours() {
        let (pause, hours) = (5 * 8_000, 3_600 * 8_000);
        for (pause, expected) in [(pause, -20), (hours, 0)] {
            let mut drift = Drift::new(8_000);
            let mut shift = 0;
            for packet in 0..6_000 {
                let place = packet * 160 + shift;
                let truth = packet * 160 - packet * 160 / 2_000;
                if let Some(by) = drift.note(truth, truth - place) {
                    shift += by;
                    drift.note_moved(by);
                }
            }
            // 500 ppm of what is beyond the running stretch.
            let by = drift.over_pause(6_000 * 160 + pause);
            assert!((by - expected).abs() <= 18, "{pause}: {by}");
            assert_eq!(drift.over_pause(6_000 * 160 + pause), 0);
        }
    }
}
