//! Where a segment's clock was put right: what was said before such a turn keeps the place it had.
//!
//! Called by [`crate::segment`]. A turn is a loss that a fork squeezed out of the stamps, or a step of
//! drift. Packets that were overtaken and sender reports may be of a time before it.

use std::collections::VecDeque;

/// Turns that are remembered: at one each 62 ms, those of the last two seconds.
const MOST: usize = 32;

/// One turn. Stamps are extended ones, in units of the clock.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// Stamps before this are of the time before it.
    low: i64,
    /// Stamps behind this are of the time after it; between them are those that may be either.
    high: i64,
    /// By how many samples what came after it was put later.
    by: i64,
    /// Where a loss was squeezed out: the sequence number and the stamp of the last packet before.
    squeezed: Option<(i64, i64)>,
}

/// The last turns of a segment.
#[derive(Debug, Clone, Default)]
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
            squeezed: None,
        });
    }

    /// Notes a squeezed loss between a packet, by its number, its stamp and the end of its stamps, and
    /// the stamp `high`.
    pub(super) fn note_squeezed(&mut self, last: (i64, i64), end: i64, high: i64, by: i64) {
        self.push(Turn {
            low: end,
            high,
            by,
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
    /// Of a squeezed loss the sequence number tells on which side it lies; a packet is `units` long.
    pub(super) fn since_packet(&mut self, number: i64, extended: i64, units: i64) -> i64 {
        let mut by = 0;
        for turn in self.0.iter_mut().rev() {
            let is_between = (turn.low..=turn.high).contains(&extended);
            match turn.squeezed.filter(|_| is_between) {
                Some((last, stamp)) if extended - stamp >= (number - last) * units => {
                    turn.low = turn.low.max(extended + units);
                }
                Some(_) => {
                    turn.high = turn.high.min(extended);
                    break;
                }
                None if extended >= turn.low => break,
                None => {}
            }
            by += turn.by;
        }
        by
    }

    /// By how many samples what was said at a stamp may lie before the place that the stamp has by now:
    /// more than one number where that is not known.
    pub(super) fn since_stamp(&self, extended: i64) -> impl Iterator<Item = i64> {
        let mut by = 0;
        let mut turns = self.0.iter().rev();
        let mut is_over = false;
        std::iter::from_fn(move || {
            while !is_over {
                let Some(turn) = turns.next() else {
                    is_over = true;
                    return Some(by);
                };
                if extended > turn.high {
                    is_over = true;
                    return Some(by);
                }
                let after = by;
                by += turn.by;
                if extended >= turn.low {
                    return Some(after);
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(turns: &Turns, extended: i64) -> Vec<i64> {
        turns.since_stamp(extended).collect()
    }

    #[test]
    fn a_stamp_near_a_squeezed_loss_may_be_of_either_side() {
        let mut turns = Turns::default();
        assert_eq!(since(&turns, 5), [0]);
        turns.note_drift(480, -1);
        // Number 7 was at 1,000 to 1,160; of 8 to 10, one is lost and one is squeezed out.
        turns.note_squeezed((7, 1_000), 1_160, 1_320, 160);
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
}
