//! Where a segment's clock was put right: what was said before such a turn keeps the place it had.
//!
//! Called by [`crate::segment`]. A turn is a loss that a fork squeezed out of the stamps, or a step of
//! drift. Packets that were overtaken and sender reports may be of a time before it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Turns that are remembered: at one each 62 ms, those of the last two seconds.
const MOST: usize = 32;

/// One turn. Stamps are extended ones, in units of the clock.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Turn {
    /// Stamps before this are of the time before it.
    low: i64,
    /// Stamps behind this are of the time after it; between them are those that may be either.
    high: i64,
    /// By how many samples what came after it was put later; in steps of so many, which may lie apart.
    by: i64,
    each: i64,
    /// Where a loss was squeezed out: the sequence number and the stamp of the last packet before.
    squeezed: Option<(i64, i64)>,
}

/// The last turns of a segment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Turns(VecDeque<Turn>);

impl Turns {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Notes a step of drift behind all that was said before `end`.
    pub(super) fn note_drift(&mut self, end: i64, by: i64) {
        self.push(Turn {
            low: end,
            high: end,
            by,
            each: by,
            squeezed: None,
        });
    }

    /// Notes a squeezed loss between a packet, by its number, its stamp and the end of its stamps, and
    /// the stamp `high`: packets of `each` samples, `by` samples in all.
    pub(super) fn note_squeezed(
        &mut self,
        last: (i64, i64),
        (end, high): (i64, i64),
        (by, each): (i64, i64),
    ) {
        self.push(Turn {
            low: end,
            high,
            by,
            each,
            squeezed: Some(last),
        });
    }

    fn push(&mut self, turn: Turn) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(turn);
    }

    /// By how many samples a packet that was overtaken lies before the place that its stamp has by now.
    /// Of squeezed losses the sequence number tells on which side of how many it lies; a packet is `units`
    /// long.
    pub(super) fn since_packet(&mut self, number: i64, extended: i64, units: i64) -> i64 {
        let mut by = 0;
        for at in (0..self.0.len()).rev() {
            let turn = &mut self.0[at];
            let is_between = (turn.low..=turn.high).contains(&extended);
            let Some((last, stamp)) = turn.squeezed.filter(|_| is_between) else {
                if turn.squeezed.is_none() && extended >= turn.low || extended > turn.high {
                    break;
                }
                by += turn.by;
                continue;
            };
            // Squeezed out before it: numbers that its stamp does not know of.
            let packets = number - last - (extended - stamp) / units.max(1);
            let before = (packets * turn.each).clamp(0, turn.by);
            let after = turn.by - before;
            if before == 0 {
                turn.low = turn.low.max(extended + units);
            } else if after == 0 {
                turn.high = turn.high.min(extended);
            } else {
                let later = Turn {
                    low: extended + units,
                    by: after,
                    squeezed: Some((number, extended)),
                    ..*turn
                };
                (turn.high, turn.by) = (extended, before);
                self.0.insert(at + 1, later);
                if self.0.len() > MOST {
                    self.0.pop_front();
                }
            }
            by += after;
            if before > 0 {
                break;
            }
        }
        by
    }

    /// By how many samples what was said at a stamp may lie before the place that the stamp has by now, at
    /// most.
    pub(super) fn most_since_stamp(&self, extended: i64) -> i64 {
        let turns = self.0.iter().rev();
        let turns = turns.take_while(|turn| extended <= turn.high);
        turns.map(|turn| turn.by).sum()
    }

    /// By how many samples what was said at a stamp may lie before the place that the stamp has by now:
    /// more than one number where that is not known.
    pub(super) fn since_stamp(&self, extended: i64) -> Vec<i64> {
        let mut by = 0;
        let mut all = Vec::new();
        for turn in self.0.iter().rev().take_while(|turn| extended <= turn.high) {
            if extended >= turn.low {
                let steps = turn.by / turn.each;
                all.extend((0..steps).map(|step| by + step * turn.each));
            }
            by += turn.by;
        }
        all.push(by);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(turns: &Turns, extended: i64) -> Vec<i64> {
        turns.since_stamp(extended)
    }

    #[test]
    fn a_stamp_near_a_squeezed_loss_may_be_of_either_side() {
        let mut turns = Turns::default();
        assert_eq!(since(&turns, 5), [0]);
        turns.note_drift(480, -1);
        // Number 7 was at 1,000 to 1,160; of 8 to 10, one is lost and one is squeezed out.
        turns.note_squeezed((7, 1_000), (1_160, 1_320), (160, 160));
        turns.note_drift(2_000, 3);
        assert_eq!(since(&turns, 2_001), [0]);
        assert_eq!(since(&turns, 2_000), [0, 3]);
        assert_eq!(since(&turns, 1_400), [3]);
        assert_eq!(since(&turns, 1_200), [3, 163]);
        assert_eq!(since(&turns, 1_000), [163]);
        assert_eq!(since(&turns, 100), [162]);
        // Number 9 comes late and has the next stamp: 8 was squeezed out.
        assert_eq!(turns.since_packet(9, 1_160, 160), 3);
        assert_eq!(since(&turns, 1_200), [3]);
        assert_eq!(turns.since_packet(6, 840, 160), 163);
    }

    #[test]
    fn of_two_squeezed_losses_a_packet_may_lie_between() {
        // Of 8 to 12, two are squeezed out.
        let mut turns = Turns::default();
        turns.note_squeezed((7, 1_000), (1_160, 1_480), (320, 160));
        assert_eq!(since(&turns, 1_320), [0, 160, 320]);
        // 8 was squeezed out before 9; of 10 to 12, one more.
        assert_eq!(turns.since_packet(9, 1_160, 160), 160);
        assert_eq!(since(&turns, 1_160), [160, 320]);
        assert_eq!(since(&turns, 1_320), [0, 160]);
        assert_eq!(turns.since_packet(11, 1_320, 160), 0);
        assert_eq!(since(&turns, 1_480), [0]);
    }
}
