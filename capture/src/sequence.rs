//! Sequence numbers of one stream: extended over the wrap, duplicates seen, losses counted.
//!
//! Called by [`crate::track`]. RFC 3550 §A.1 and §A.3.

use serde::{Deserialize, Serialize};

/// How many numbers back a duplicate is still recognised: 20 s of 20 ms packets.
const SEEN: i64 = 64 * WORDS as i64;

/// The memory, in words of 64 bits.
const WORDS: usize = 16;

/// What a packet's sequence number says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is the highest so far.
    Newest,
    /// It was overtaken by a later one.
    Reordered,
    /// It came before.
    Duplicate,
}

/// The sequence numbers of one SSRC.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sequence {
    /// The lowest number so far, extended.
    lowest: i64,
    /// The highest number so far, extended.
    highest: i64,
    /// Packets with a number of their own.
    unique: u64,
    /// Which of the last [`SEEN`] numbers came: bit `n % SEEN`.
    seen: [u64; WORDS],
}

impl Sequence {
    /// A stream that begins at `first`; the first packet itself is still to be noted.
    pub(crate) fn new(first: u16) -> Self {
        let first = i64::from(first);
        Self {
            lowest: first,
            highest: first - 1,
            unique: 0,
            seen: [0; WORDS],
        }
    }

    /// Steps from the highest number so far to `sequence`, by the shorter way round.
    pub(crate) fn steps_to(&self, sequence: u16) -> i64 {
        // The low 16 bits are what the difference is about.
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^16 is meant")]
        let difference = sequence.wrapping_sub(self.highest as u16);
        #[expect(clippy::cast_possible_wrap, reason = "a half turn back is negative")]
        let steps = difference as i16;
        i64::from(steps)
    }

    /// The extended number of `sequence`, by the shorter way from the highest so far.
    pub(crate) fn extended(&self, sequence: u16) -> i64 {
        self.highest + self.steps_to(sequence)
    }

    /// Notes a packet.
    pub(crate) fn note(&mut self, sequence: u16) -> Arrival {
        let number = self.highest + self.steps_to(sequence);
        if number > self.highest {
            // Numbers that are stepped over have not come.
            for missing in (self.highest + 1).max(number - SEEN + 1)..number {
                self.mark(missing, false);
            }
            self.highest = number;
            self.mark(number, true);
            self.unique += 1;
            return Arrival::Newest;
        }
        // What is older than the memory cannot be told from a duplicate; a place on the timeline
        // that long ago is written anyway.
        if number <= self.highest - SEEN || self.has(number) {
            return Arrival::Duplicate;
        }
        self.mark(number, true);
        self.lowest = self.lowest.min(number);
        self.unique += 1;
        Arrival::Reordered
    }

    /// Packets that have not come, of those between the lowest and the highest.
    pub(crate) fn lost(&self) -> u64 {
        u64::try_from(self.highest - self.lowest + 1)
            .unwrap_or(0)
            .saturating_sub(self.unique)
    }

    fn bit(number: i64) -> (usize, u64) {
        let bit = usize::try_from(number.rem_euclid(SEEN)).expect("0 <= bit < SEEN");
        (bit / 64, 1 << (bit % 64))
    }

    fn has(&self, number: i64) -> bool {
        let (word, mask) = Self::bit(number);
        self.seen[word] & mask != 0
    }

    fn mark(&mut self, number: i64, seen: bool) {
        let (word, mask) = Self::bit(number);
        if seen {
            self.seen[word] |= mask;
        } else {
            self.seen[word] &= !mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_wrap_is_no_event() {
        let mut sequence = Sequence::new(65_534);
        for number in [65_534, 65_535, 0, 1] {
            assert_eq!(sequence.note(number), Arrival::Newest);
        }
        assert_eq!(sequence.lost(), 0);
        assert_eq!(sequence.note(65_535), Arrival::Duplicate);
        assert_eq!(sequence.steps_to(5), 4);
    }

    #[test]
    fn a_packet_before_the_first_is_reordered_not_lost() {
        let mut sequence = Sequence::new(10);
        assert_eq!(sequence.note(10), Arrival::Newest);
        assert_eq!(sequence.note(9), Arrival::Reordered);
        assert_eq!(sequence.note(9), Arrival::Duplicate);
        assert_eq!(sequence.lost(), 0);
    }

    proptest! {
        /// Against a set of all numbers that came: within the memory, every duplicate is seen, every
        /// loss counted.
        #[test]
        fn agrees_with_a_set(start: u16, steps in proptest::collection::vec(-20i64..40, 1..300)) {
            let mut sequence = Sequence::new(start);
            let mut came = std::collections::BTreeSet::new();
            let mut position = i64::from(start);
            for step in std::iter::once(0).chain(steps) {
                position = (position + step).max(came.last().copied().unwrap_or(position) - 900);
                let arrival = sequence.note(u16::try_from(position.rem_euclid(65_536)).unwrap());
                prop_assert_eq!(arrival == Arrival::Duplicate, !came.insert(position));
                let span = came.last().unwrap() - came.first().unwrap() + 1;
                prop_assert_eq!(sequence.lost(), span as u64 - came.len() as u64);
            }
        }
    }
}
