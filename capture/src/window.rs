//! The reorder window: decoded samples of one track, waiting for their place to be settled.
//!
//! Called by [`crate::mix`]. A ring of samples over places `base ..`; what was not written is
//! silence. Beside it, a mark for each cell of 64 samples says whether a packet covered it, since
//! received silence and no packet at all are different things to the `<Record>` verb.
//!
//! Invariants: what lies outside the ring reads as silence; every sample of the ring that was not
//! written is zero; the ring grows by doubling to [`Window::most`] and no further.

use reeld_model::{MediaPlace, SAMPLE_RATE};

/// Samples of a new ring at 8 kHz: 512 ms, room for the default reorder window and a tick.
const FIRST: usize = 4_096;

/// Samples of the largest ring at 8 kHz: 8 s, more than a trusted RTCP BYE may be in doubt.
const MOST: usize = 65_536;

/// Samples of a cell of the coverage.
const CELL: usize = 64;

/// One track's ring.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    samples: Box<[i16]>,
    covered: Box<[bool]>,
    /// Samples of the largest ring.
    most: usize,
}

impl Window {
    /// A ring for `rate_hz`: as many times larger as that is than 8 kHz, rounded up, so that it
    /// has whole cells.
    pub(crate) fn new(rate_hz: u32) -> Self {
        let times = rate_hz.div_ceil(SAMPLE_RATE).max(1) as usize;
        Self {
            samples: vec![0; FIRST * times].into_boxed_slice(),
            covered: vec![false; FIRST * times / CELL].into_boxed_slice(),
            most: MOST * times,
        }
    }

    /// Samples of the largest ring.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Samples that the ring holds.
    pub(crate) fn capacity(&self) -> usize {
        self.samples.len()
    }

    /// Writes `samples` at `place`. The caller has seen to it that the ring, which begins at `base`,
    /// has room.
    pub(crate) fn write(
        &mut self,
        base: MediaPlace,
        place: MediaPlace,
        samples: &[i16],
        received: bool,
    ) {
        if samples.is_empty() {
            return;
        }
        debug_assert!(place >= base, "a place below the base has been written");
        let needed = usize::try_from(place - base)
            .unwrap_or(usize::MAX)
            .saturating_add(samples.len());
        debug_assert!(
            needed <= self.most,
            "the caller settles before the ring overflows"
        );
        while needed > self.capacity() && self.capacity() < self.most {
            self.grow(base);
        }
        let mut at = self.index(place);
        for part in split(samples, self.capacity() - at) {
            self.samples[at..at + part.len()].copy_from_slice(part);
            if received && !part.is_empty() {
                self.covered[at / CELL..=(at + part.len() - 1) / CELL].fill(true);
            }
            at = 0;
        }
    }

    /// The `length` samples from `place` on, at most the ring's, in two parts of which the second may
    /// be empty; and whether any packet covered them.
    pub(crate) fn read(&self, place: MediaPlace, length: usize) -> ([&[i16]; 2], bool) {
        debug_assert!(length <= self.capacity(), "the ring has no more");
        let at = self.index(place);
        let first = length.min(self.capacity() - at);
        let parts = [
            &self.samples[at..at + first],
            &self.samples[..length - first],
        ];
        let is_marked = |from: usize, to: usize| {
            from < to
                && self.covered[from / CELL..=(to - 1) / CELL]
                    .iter()
                    .any(|cell| *cell)
        };
        let covered = is_marked(at, at + first) || is_marked(0, length - first);
        (parts, covered)
    }

    /// Takes the marks of `samples` samples from `place` on away; runs of places against `place` that
    /// had them, with their lengths.
    pub(crate) fn take_marks(&mut self, place: MediaPlace, samples: usize) -> Vec<(i64, usize)> {
        let mut runs = Vec::new();
        let mut done = 0;
        while done < samples {
            let at = self.index(place + i64::try_from(done).unwrap_or(i64::MAX));
            let run = (CELL - at % CELL).min(samples - done);
            if self.covered[at / CELL] {
                runs.push((i64::try_from(done).unwrap_or(i64::MAX), run));
                // A cell that reaches beyond the range is another packet's too.
                if run == CELL {
                    self.covered[at / CELL] = false;
                }
            }
            done += run;
        }
        runs
    }

    /// Marks `samples` samples (at most a cell's) from `place` on.
    pub(crate) fn mark(&mut self, place: MediaPlace, samples: usize) {
        let last = place + i64::try_from(samples.saturating_sub(1)).unwrap_or(0);
        for place in [place, last] {
            let at = self.index(place);
            self.covered[at / CELL] = true;
        }
    }

    /// Forgets `samples` samples from `base` on, which has been settled.
    pub(crate) fn clear(&mut self, base: MediaPlace, samples: usize) {
        if samples >= self.capacity() {
            self.samples.fill(0);
            self.covered.fill(false);
            return;
        }
        let mut at = self.index(base);
        let mut left = samples;
        while left > 0 {
            let run = (self.capacity() - at).min(left);
            self.samples[at..at + run].fill(0);
            // A cell keeps its mark until its last sample is settled: what stays may be covered.
            self.covered[at / CELL..(at + run) / CELL].fill(false);
            left -= run;
            at = 0;
        }
    }

    fn index(&self, place: MediaPlace) -> usize {
        let capacity = i64::try_from(self.capacity()).expect("at most MOST");
        usize::try_from(place.0.rem_euclid(capacity)).expect("not negative")
    }

    /// Doubles the ring, whose content begins at `base`.
    fn grow(&mut self, base: MediaPlace) {
        let old = self.clone();
        let capacity = old.capacity() * 2;
        self.samples = vec![0; capacity].into_boxed_slice();
        self.covered = vec![false; capacity / CELL].into_boxed_slice();
        for step in 0..old.capacity() {
            let place = base + i64::try_from(step).expect("at most MOST");
            let (from, to) = (old.index(place), self.index(place));
            self.samples[to] = old.samples[from];
            self.covered[to / CELL] |= old.covered[from / CELL];
        }
    }
}

/// `samples` cut after `first` samples, if it is that long.
fn split(samples: &[i16], first: usize) -> [&[i16]; 2] {
    let (head, tail) = samples.split_at(first.min(samples.len()));
    [head, tail]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Against a map of places: what is written is read, what is not is silence, growing and
        /// clearing lose nothing.
        #[test]
        fn agrees_with_a_map(
            rate_hz in proptest::sample::select(vec![8_000, 11_025, 16_000, 44_100, 48_000]),
            start in -100_000i64..100_000,
            steps in proptest::collection::vec((0i64..9_000, 1usize..400, 0usize..600), 1..40),
        ) {
            let mut window = Window::new(rate_hz);
            let mut map = HashMap::new();
            let mut base = MediaPlace(start);
            for (number, (ahead, length, settle)) in steps.into_iter().enumerate() {
                let value = i16::try_from(number + 1).unwrap();
                let place = base + ahead;
                window.write(base, place, &vec![value; length], true);
                for step in 0..length {
                    map.insert(place.0 + step as i64, value);
                }
                let read = window.read(base, window.capacity()).0.concat();
                for (step, sample) in read.into_iter().enumerate() {
                    let expected = map.get(&(base.0 + step as i64)).copied().unwrap_or(0);
                    prop_assert_eq!(sample, expected);
                }
                window.clear(base, settle);
                base = base + settle as i64;
                map.retain(|place, _| *place >= base.0);
            }
        }
    }

    #[test]
    fn coverage_tells_silence_that_was_sent_from_none() {
        let mut window = Window::new(SAMPLE_RATE);
        let base = MediaPlace(7);
        window.write(base, base + 640, &[0; 160], true);
        assert!(!window.read(base, 160).1);
        assert!(window.read(base + 640, 160).1);
        let behind = 800 + i64::try_from(CELL).unwrap();
        window.clear(base, 800 + CELL);
        assert!(!window.read(base + behind, 160).1);
    }
}
