//! How well silence was judged: what timeouts and trimming made of calls whose truth is known.
//!
//! Called by `tests/voice_activity.rs` and, included by its path, by `tests/scores/voice_activity/`.

use std::time::Duration;

use crate::line::{FRAME, RATE, Take};
use crate::virtual_call::Outcome;

/// Counts over some calls.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Recordings with a timeout.
    pub timed: usize,
    /// Of them: ended before the speaker's last word was over.
    pub early: usize,
    /// Of them: not ended 12 s after it.
    pub never: usize,
    /// How much later than the timeout after the last word the others ended, in milliseconds; negative
    /// where the word's end was taken for silence.
    pub late_ms: Vec<i64>,
    /// Recordings that were trimmed.
    pub trimmed: usize,
    /// Active speech that trimming cut off, of each of them of which it did, in milliseconds.
    pub clipped_ms: Vec<i64>,
    /// What trimming left before and behind the speech together, in milliseconds.
    pub left_ms: Vec<i64>,
}

impl Tally {
    /// Notes what came of a take.
    pub fn note(&mut self, take: &Take, timeouts: &[Duration], outcome: &Outcome) {
        let samples = |frame: usize| (frame * FRAME) as u64;
        let (first, end) = (samples(take.first()), samples(take.last() + 1));
        for (timeout, ended) in timeouts.iter().zip(&outcome.ended) {
            self.timed += 1;
            match ended {
                None => self.never += 1,
                Some(at) if *at < end => self.early += 1,
                Some(at) => {
                    let due = ms(end) + i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
                    self.late_ms.push(ms(*at) - due);
                }
            }
        }
        let (from, to) = outcome.kept;
        self.trimmed += 1;
        let clipped = ms(from.saturating_sub(first).min(end - first))
            + ms(end.saturating_sub(to).min(end - first));
        if clipped > 0 {
            self.clipped_ms.push(clipped);
        }
        self.left_ms
            .push(ms(first.saturating_sub(from)) + ms(to.saturating_sub(end)));
    }

    /// The number that so many percent of some are below, 0 where there are none.
    #[must_use]
    pub fn quantile(numbers: &[i64], percent: usize) -> i64 {
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get(last * percent / 100).copied().unwrap_or(0)
    }

    /// One row of a Markdown table: early and late ends, clipped words, what was left.
    #[must_use]
    pub fn row(&self) -> String {
        let late = |percent| Self::quantile(&self.late_ms, percent);
        format!(
            "{} / {} | {} | {} / {} / {} | {} / {} | {} | {}",
            self.early,
            self.timed,
            self.never,
            late(5),
            late(50),
            late(95),
            self.clipped_ms.len(),
            self.trimmed,
            self.clipped_ms.iter().max().unwrap_or(&0),
            Self::quantile(&self.left_ms, 50),
        )
    }
}

/// Samples as milliseconds.
fn ms(samples: u64) -> i64 {
    i64::try_from(samples).unwrap_or(i64::MAX) * 1_000 / RATE as i64
}
