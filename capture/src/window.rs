//! The reorder window: decoded samples of one track, waiting for their place to be settled.
//!
//! Called by [`crate::mix`]. A ring of samples over places `base ..`; what was not written is
//! silence. Beside it, a mark for each cell of 64 samples says whether a packet covered it, since
//! received silence and no packet at all are different things to the `<Record>` verb.
//!
//! Places are made silent when the ring is first written behind them, and not when they are settled:
//! what was settled a tick ago is in no cache any more, what is about to be written is wanted there.
//!
//! Invariants: samples from the floor (the first place that is still shown) up to `ready` are what was
//! written or zero, and their marks are right from a cell behind the floor on; what lies beyond is left
//! of an earlier lap, and nobody reads it; the ring grows by doubling to [`Window::most`] and no
//! further, and is made small again when it is not needed large.

use reeld_model::{MediaPlace, SAMPLE_RATE};
use serde::{Deserialize, Serialize};

/// Samples of a new ring at 8 kHz: 512 ms, room for the default reorder window and a tick.
const FIRST: usize = 4_096;

/// Samples of the largest ring at 8 kHz: 8 s, more than a trusted RTCP BYE may be in doubt.
const MOST: usize = 65_536;

/// Samples of a cell of the coverage.
const CELL: usize = 64;

/// How often in turn a small ring must have been enough before a large one is made small: 3 s of ticks. Where
/// ticks come late a large one is needed each time, and to make it anew each time makes them later.
const ENOUGH: u8 = 30;

/// One track's ring.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Window {
    samples: Box<[i16]>,
    covered: Box<[bool]>,
    /// Behind the last place that can be read.
    ready: MediaPlace,
    /// Samples of a new ring, and of the largest.
    first: usize,
    most: usize,
    /// How often in turn a small ring has been enough.
    #[serde(default)]
    enough: u8,
    /// Whether it was made small before: what its first half second needs is needed once.
    #[serde(default)]
    was_shrunk: bool,
}

impl Window {
    /// A ring for `rate_hz` that shows places from `floor` on: as many times larger as that is than
    /// 8 kHz, rounded up, so that it has whole cells.
    pub(crate) fn new(rate_hz: u32, floor: MediaPlace) -> Self {
        let times = rate_hz.div_ceil(SAMPLE_RATE).max(1) as usize;
        let first = FIRST * times;
        Self {
            samples: vec![0; first].into_boxed_slice(),
            covered: vec![false; first / CELL].into_boxed_slice(),
            ready: floor,
            first,
            most: MOST * times,
            enough: 0,
            was_shrunk: false,
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

    /// Behind the last place that can be read.
    pub(crate) fn ready(&self) -> MediaPlace {
        self.ready
    }

    /// Writes `samples` at `place`. The caller has seen to it that the ring, which shows places from
    /// `floor` on, has room.
    pub(crate) fn write(
        &mut self,
        floor: MediaPlace,
        place: MediaPlace,
        samples: &[i16],
        received: bool,
    ) {
        if samples.is_empty() {
            return;
        }
        debug_assert!(place >= floor, "a place below the floor has been written");
        let end = place + signed(samples.len());
        self.make_room(floor, end);
        self.make_ready(floor, place);
        if end > self.ready {
            self.unmark(self.ready, end);
            self.ready = end;
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

    /// Makes every place before `to` readable: silence where nothing was written.
    pub(crate) fn make_ready(&mut self, floor: MediaPlace, to: MediaPlace) {
        if self.ready < floor {
            // What was never made ready is below the floor by now, and the cell there is of another lap.
            self.ready = floor;
            let at = self.index(floor);
            self.covered[at / CELL] = false;
        }
        if to <= self.ready {
            return;
        }
        self.make_room(floor, to);
        let mut at = self.index(self.ready);
        let mut left = usize::try_from(to - self.ready).unwrap_or(0);
        while left > 0 {
            let run = (self.capacity() - at).min(left);
            self.samples[at..at + run].fill(0);
            left -= run;
            at = 0;
        }
        self.unmark(self.ready, to);
        self.ready = to;
    }

    /// Takes the marks of the cells away that begin from `from` on and before `to`.
    fn unmark(&mut self, from: MediaPlace, to: MediaPlace) {
        let cell = signed(CELL);
        let (first, last) = (
            (from.0 + cell - 1).div_euclid(cell),
            (to.0 - 1).div_euclid(cell),
        );
        for number in first..=last {
            let at = self.index(MediaPlace(number * cell));
            self.covered[at / CELL] = false;
        }
    }

    fn make_room(&mut self, floor: MediaPlace, end: MediaPlace) {
        let needed = usize::try_from(end - floor).unwrap_or(0);
        debug_assert!(
            needed <= self.most,
            "the caller settles before the ring overflows"
        );
        if needed > self.first {
            self.enough = 0;
        }
        let mut capacity = self.capacity();
        while needed > capacity && capacity < self.most {
            capacity *= 2;
        }
        if capacity > self.capacity() {
            self.resize(floor, capacity);
        }
    }

    /// Makes the ring as small as a new one where what it shows from `floor` on takes no more than three
    /// quarters of that: a stream's first half second is held and needs a large one, the hours behind it do not. From
    /// then on only if it has for a while.
    pub(crate) fn shrink(&mut self, floor: MediaPlace) {
        if self.capacity() == self.first {
            return;
        }
        let shown = usize::try_from(self.ready - floor).unwrap_or(0);
        if shown > self.first / 4 * 3 {
            self.enough = 0;
            return;
        }
        self.enough += 1;
        if !self.was_shrunk || self.enough >= ENOUGH {
            (self.enough, self.was_shrunk) = (0, true);
            self.resize(floor, self.first);
        }
    }

    /// The `length` samples from `place` on, all of them ready, in two parts of which the second may be
    /// empty; and whether any packet covered them.
    pub(crate) fn read(&self, place: MediaPlace, length: usize) -> ([&[i16]; 2], bool) {
        debug_assert!(length <= self.capacity(), "the ring has no more");
        debug_assert!(
            place + signed(length) <= self.ready,
            "what lies beyond is not ready"
        );
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

    fn index(&self, place: MediaPlace) -> usize {
        index(place, self.capacity())
    }

    /// Gives the ring, which shows places from `floor` on, room for `capacity` samples: as many as it
    /// shows, or more.
    fn resize(&mut self, floor: MediaPlace, capacity: usize) {
        let mut samples = vec![0; capacity].into_boxed_slice();
        let mut covered = vec![false; capacity / CELL].into_boxed_slice();
        let shown = usize::try_from(self.ready - floor).unwrap_or(0);
        let (from, mut to) = (self.index(floor), index(floor, capacity));
        let first = shown.min(self.capacity() - from);
        for part in [
            &self.samples[from..from + first],
            &self.samples[..shown - first],
        ] {
            for part in split(part, capacity - to) {
                samples[to..to + part.len()].copy_from_slice(part);
                to = (to + part.len()) % capacity;
            }
        }
        let cell = signed(CELL);
        for number in floor.0.div_euclid(cell)..=(self.ready.0 - 1).div_euclid(cell) {
            let place = MediaPlace(number * cell);
            covered[index(place, capacity) / CELL] = self.covered[self.index(place) / CELL];
        }
        (self.samples, self.covered) = (samples, covered);
    }
}

/// Where a place lies in a ring of `capacity` samples.
fn index(place: MediaPlace, capacity: usize) -> usize {
    usize::try_from(place.0.rem_euclid(signed(capacity))).expect("not negative")
}

fn signed(samples: usize) -> i64 {
    i64::try_from(samples).expect("a ring's")
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
        /// shrinking lose nothing.
        #[test]
        fn agrees_with_a_map(
            rate_hz in proptest::sample::select(vec![8_000, 11_025, 16_000, 44_100, 48_000]),
            start in -100_000i64..100_000,
            steps in proptest::collection::vec((0i64..9_000, 1usize..400, 0usize..600), 1..40),
        ) {
            let mut window = Window::new(rate_hz, MediaPlace(start));
            let mut map = HashMap::new();
            let mut base = MediaPlace(start);
            for (number, (ahead, length, settle)) in steps.into_iter().enumerate() {
                let value = i16::try_from(number + 1).unwrap();
                let place = base + ahead;
                window.write(base, place, &vec![value; length], true);
                for step in 0..length {
                    map.insert(place.0 + step as i64, value);
                }
                if settle % 3 == 0 {
                    window.make_ready(base, base + ahead + 500);
                }
                let shown = usize::try_from(window.ready() - base).unwrap();
                let (read, _) = window.read(base, shown);
                for (step, sample) in read.concat().into_iter().enumerate() {
                    let expected = map.get(&(base.0 + step as i64)).copied().unwrap_or(0);
                    prop_assert_eq!(sample, expected);
                    // Marks are right from a cell behind the floor on.
                    if step < CELL || step % 61 != 0 {
                        continue;
                    }
                    let (_, covered) = window.read(base + step as i64, 1);
                    let near = |place: &i64| (place - base.0 - step as i64).abs() < CELL as i64;
                    // A mark is of a whole cell, so it may reach as far as one.
                    let marked = map.keys().any(near);
                    let was_written = map.contains_key(&(base.0 + step as i64));
                    prop_assert!(covered || !was_written);
                    prop_assert!(!covered || marked);
                }
                base = base + settle as i64;
                for _ in 0..if settle % 5 == 0 { ENOUGH } else { 1 } {
                    window.shrink(base);
                }
                map.retain(|place, _| *place >= base.0);
            }
        }
    }

    #[test]
    fn a_large_ring_is_kept_while_it_is_needed_now_and_then_and_made_small_after() {
        let mut window = Window::new(SAMPLE_RATE, MediaPlace(0));
        let mut base = MediaPlace(0);
        let reach = |window: &mut Window, base: MediaPlace, samples: i64| {
            window.write(base, base + samples, &[1; 160], true);
        };
        // The first half second.
        reach(&mut window, base, 5_000);
        base = window.ready() + -2_000;
        window.shrink(base);
        assert_eq!(window.capacity(), FIRST);
        reach(&mut window, base, 5_000);
        let large = window.capacity();
        assert!(large > FIRST);
        for _ in 0..10 {
            // Late once in two seconds.
            for _ in 0..ENOUGH - 1 {
                base = window.ready() + -2_000;
                window.shrink(base);
                assert_eq!(window.capacity(), large);
                reach(&mut window, base, 2_100);
            }
            reach(&mut window, base, 5_000);
        }
        for _ in 0..ENOUGH {
            assert_eq!(window.capacity(), large);
            base = window.ready() + -2_000;
            window.shrink(base);
        }
        assert_eq!(window.capacity(), FIRST);
        assert_eq!(window.read(base, 2_000).0.concat()[1_840..], [1; 160]);
    }

    #[test]
    fn coverage_tells_silence_that_was_sent_from_none() {
        let base = MediaPlace(7);
        let mut window = Window::new(SAMPLE_RATE, base);
        window.write(base, base + 640, &[0; 160], true);
        assert!(!window.read(base, 160).1);
        assert!(window.read(base + 640, 160).1);
        let behind = 800 + i64::try_from(CELL).unwrap();
        window.make_ready(base, base + behind + 160);
        assert!(!window.read(base + behind, 160).1);
        // A lap later the cells are others.
        let lap = base + i64::try_from(FIRST).unwrap();
        window.make_ready(lap, lap + behind);
        assert!(!window.read(lap + 640, 160).1);
    }
}
