//! Blocks of a recording's samples, and those that are used again.
//!
//! [`crate::frames`] fills one a second and gives it out; who has written it hands its memory back by
//! [`recycle`]. Made by one thread and freed by another each second, thousands of blocks would cost the
//! media threads what half of a decoder does (measured: 15 µs a block in malloc at 2,000 calls), and be
//! cleared once more for nothing.
//!
//! Bounds: [`SPARE`] blocks of at most [`MOST_BYTES`] wait to be used; the rest is freed.

use std::sync::LazyLock;

use crossbeam_queue::ArrayQueue;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Blocks that wait to be used at most: those of 512 calls, 16 MiB.
const SPARE: usize = 512;

/// Bytes of the largest block that is used again: a second of two channels at 16 kHz.
const MOST_BYTES: usize = 64 << 10;

/// The blocks that wait, of the whole process: as an allocator's they belong to nobody.
static WAITING: LazyLock<ArrayQueue<Vec<i16>>> = LazyLock::new(|| ArrayQueue::new(SPARE));

/// Hands a block's memory back, once what it had is written.
pub fn recycle(samples: Vec<i16>) {
    if samples.capacity() * size_of::<i16>() <= MOST_BYTES {
        // Where as many wait as may, it is freed.
        drop(WAITING.push(samples));
    }
}

/// A block that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// As long as the block is when full; what lies from `filled` on is left of another use.
    samples: Vec<i16>,
    filled: usize,
}

impl Block {
    /// Samples so far.
    pub(crate) fn len(&self) -> usize {
        self.filled
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The next `count` samples of a block of `whole`, to be written over: what is there means nothing.
    pub(crate) fn next(&mut self, count: usize, whole: usize) -> &mut [i16] {
        if self.samples.len() < whole && self.filled > 0 {
            // Of a call that was taken over: there is no more of it than was filled.
            self.samples.resize(whole, 0);
        } else if self.samples.len() < whole {
            let spare = WAITING.pop().filter(|spare| spare.capacity() >= whole);
            self.samples = spare.unwrap_or_else(|| vec![0; whole]);
            self.samples.resize(whole, 0);
        }
        let from = self.filled;
        self.filled += count;
        &mut self.samples[from..self.filled]
    }

    /// What was filled; an empty block stays.
    pub(crate) fn take(&mut self) -> Vec<i16> {
        let mut samples = std::mem::take(&mut self.samples);
        samples.truncate(std::mem::take(&mut self.filled));
        samples
    }
}

/// What was filled; the rest means nothing.
impl Serialize for Block {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.samples[..self.filled].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let samples = Vec::deserialize(deserializer)?;
        let filled = samples.len();
        Ok(Self { samples, filled })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_what_was_put_into_it_whatever_it_had_before() {
        for (whole, filled) in [(100, 100), (100, 40), (80, 80), (200, 130)] {
            let mut block = Block::default();
            for part in 0..filled / 10 {
                let value = i16::try_from(part + 1).unwrap();
                block.next(10, whole).fill(value);
            }
            assert_eq!(block.len(), filled);
            let samples = block.take();
            assert!(block.is_empty());
            let expected: Vec<i16> = (0..filled)
                .map(|at| i16::try_from(at / 10 + 1).unwrap())
                .collect();
            assert_eq!(samples, expected);
            recycle(samples);
        }
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        for _ in 0..2 * SPARE {
            recycle(vec![1; 10]);
        }
        recycle(vec![1; MOST_BYTES]);
        assert!(WAITING.len() <= SPARE);
        let kept = std::iter::from_fn(|| WAITING.pop());
        assert!(
            kept.take(SPARE)
                .all(|block| block.capacity() * 2 <= MOST_BYTES)
        );
    }
}
