//! The indices of one SSRC under one key: which index a sequence number has, and which ones have come.
//!
//! Called by [`super`]; calls nobody. RFC 3711 §3.3.1 (index and rollover counter) and §3.3.2 (replays).

use reeld_model::Mono;
use serde::{Deserialize, Serialize};

/// Packets back that are told from replays: 20 s of G.711 in 20 ms, far beyond any reorder window.
const WINDOW: u64 = 1_024;
const WORDS: usize = 1_024 / 64;

/// One more than the highest index (RFC 3711 §3.3.1: 48 bits; of RTCP 31).
const INDICES: u64 = 1 << 48;

/// What is known of the indices of one SSRC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) ssrc: u32,
    highest: u64,
    /// Which of the [`WINDOW`] indices up to the highest have come, each at its index modulo that.
    come: [u64; WORDS],
    /// When a packet of it last came.
    pub(super) last: Mono,
}

impl Stream {
    /// A stream whose first authentic packet has this index.
    pub(super) fn new(ssrc: u32, index: u64, arrival: Mono) -> Self {
        let mut stream = Self {
            ssrc,
            highest: index,
            come: [0; WORDS],
            last: arrival,
        };
        stream.mark(index);
        stream
    }

    /// The index of a sequence number: the nearest to the highest that came, of those that there are.
    pub(super) fn index(&self, sequence: u16) -> u64 {
        let [.., high, low] = self.highest.to_be_bytes();
        #[expect(clippy::cast_possible_wrap, reason = "a half turn back is negative")]
        let step = sequence.wrapping_sub(u16::from_be_bytes([high, low])) as i16;
        let nearest = self.highest.checked_add_signed(step.into());
        // Before the first index there is none: then it is a long step ahead.
        nearest.unwrap_or_else(|| u64::from(sequence)) % INDICES
    }

    /// Whether an index may be new: it has not come yet, and is not too far back to know.
    pub(super) fn may_be_new(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(back) => back < WINDOW && !self.has_come(index),
        }
    }

    /// Takes an authentic packet's index.
    pub(super) fn note(&mut self, index: u64, arrival: Mono) {
        self.last = self.last.max(arrival);
        if index > self.highest {
            let steps = index - self.highest;
            if steps >= WINDOW {
                self.come = [0; WORDS];
            } else {
                for skipped in self.highest + 1..index {
                    self.come[Self::word(skipped)] &= !Self::bit(skipped);
                }
            }
            self.highest = index;
        }
        self.mark(index);
    }

    fn mark(&mut self, index: u64) {
        self.come[Self::word(index)] |= Self::bit(index);
    }

    fn has_come(&self, index: u64) -> bool {
        self.come[Self::word(index)] & Self::bit(index) != 0
    }

    fn word(index: u64) -> usize {
        usize::try_from(index % WINDOW / 64).unwrap_or(0)
    }

    const fn bit(index: u64) -> u64 {
        1 << (index % 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn stream(index: u64) -> Stream {
        Stream::new(1, index, Mono(0))
    }

    #[test]
    fn the_index_is_the_nearest_one() {
        for (highest, sequence, index) in [
            (10, 11, 11),
            (65_530, 3, 65_539),
            (65_539, 65_530, 65_530),
            (32_768, 0, 0),
            (0x1_0000, 0xFFFF, 0xFFFF),
            (0x2_8001, 0, 0x3_0000),
            // Before the first index there is none.
            (10, 40_000, 40_000),
            (0, 0xFFFF, 0xFFFF),
            (INDICES - 1, 0, 0),
        ] {
            assert_eq!(
                stream(highest).index(sequence),
                index,
                "{highest} {sequence}"
            );
        }
    }

    proptest! {
        /// What has come is known, whatever the order; what is too far back counts as come.
        #[test]
        fn no_index_is_new_twice(
            start in 0_u64..200_000,
            steps in proptest::collection::vec(-1_500_i64..1_500, 1..200),
        ) {
            let mut stream = stream(start);
            let mut come = BTreeSet::from([start]);
            let mut at = start;
            for step in steps {
                at = at.saturating_add_signed(step);
                let highest = *come.last().unwrap();
                let is_new = !come.contains(&at) && at + WINDOW > highest;
                prop_assert_eq!(stream.may_be_new(at), is_new);
                if is_new {
                    stream.note(at, Mono(1));
                    come.insert(at);
                }
                at = *come.last().unwrap();
            }
        }

        /// Whatever is lost or out of order by less than half a turn, the index is the sender's.
        #[test]
        fn the_index_is_the_senders(
            start in 0_u64..1 << 20,
            steps in proptest::collection::vec(-1_000_i64..30_000, 1..300),
        ) {
            let mut stream = stream(start);
            let mut at = start;
            for step in steps {
                let index = at.saturating_add_signed(step);
                let sequence = u16::try_from(index & 0xFFFF).unwrap();
                prop_assert_eq!(stream.index(sequence), index);
                if stream.may_be_new(index) {
                    stream.note(index, Mono(1));
                    at = at.max(index);
                }
            }
        }
    }
}
