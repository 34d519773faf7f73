//! What stands where no packet of sound is: concealed losses, comfort noise, quiet.
//!
//! Called by [`crate::timeline`], once for each gap that a packet shows and before places are
//! settled; calls `codec`. A gap is known when the packet behind it has come, which the reorder
//! window makes likely before the gap is settled: so a loss is concealed from both sides.
//!
//! Invariants: a range is made up at most once; what a late packet brings replaces what was made
//! up. Nothing is made up behind the last packet.

use std::collections::VecDeque;

use reeld_codec::comfort::Noise;
use reeld_codec::conceal;
use reeld_model::{MediaPlace, Track};
use serde::{Deserialize, Serialize};

use crate::mix::Mixer;

/// Gaps of a track that wait to be settled. The window is 200 ms and a packet 10 ms at least; past
/// that the oldest is left quiet.
const MOST: usize = 64;

/// Lost time that is concealed, in milliseconds (ITU-T G.711 Appendix I).
pub(crate) const CONCEALED_MS: i64 = 60;

/// How long noise goes on without another packet, in seconds: a sender repeats it or speaks.
const NOISE_S: i64 = 60;

/// Runs of noise that wait to be settled.
const MOST_NOISE: usize = 16;

/// What is looked at before and behind a loss, in milliseconds.
const BEFORE_MS: i64 = 50;
const AFTER_MS: i64 = 20;

/// Why no sound is in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Gap {
    /// Packets are missing.
    Lost,
    /// The sender sent none, or what it sent is not sound.
    Quiet,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Span {
    from: MediaPlace,
    to: MediaPlace,
    gap: Gap,
}

/// The gaps of one track.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Fill {
    spans: VecDeque<Span>,
    /// What a loss is concealed from and with; nothing until the first one.
    #[serde(skip)]
    room: Vec<i16>,
    /// Comfort noise, oldest first; only the last may have no end yet.
    noise: VecDeque<Run>,
}

/// Comfort noise of one level.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    /// Where it goes on.
    from: MediaPlace,
    /// Behind its end: the next packet's place, or as long as one noise packet is believed.
    until: MediaPlace,
    noise: Noise,
}

/// Samples that were made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) concealed: u64,
    pub(crate) filled: u64,
}

impl Made {
    pub(crate) fn add(&mut self, other: Self) {
        self.concealed += other.concealed;
        self.filled += other.filled;
    }
}

impl Fill {
    /// Notes that a packet of sound lies at `to`, the one before it having ended at `from`.
    pub(crate) fn note_gap(&mut self, from: MediaPlace, to: MediaPlace, gap: Gap) {
        if self.spans.len() == MOST {
            self.spans.pop_front();
        }
        self.spans.push_back(Span { from, to, gap });
    }

    /// Notes sound at `from` that was overtaken: what it covers is no gap, and no noise.
    pub(crate) fn note_sound(&mut self, from: MediaPlace, to: MediaPlace) {
        for run in &mut self.noise {
            if (run.from..run.until).contains(&from) {
                run.until = from;
            } else if (from..to).contains(&run.from) {
                run.from = to;
            }
        }
        let Some(at) = self
            .spans
            .iter()
            .position(|span| span.from < to && from < span.to)
        else {
            return;
        };
        let span = self.spans[at].clone();
        self.spans.remove(at);
        for part in [(to, span.to), (span.from, from)] {
            if part.0 < part.1 && self.spans.len() < MOST {
                let (from, to) = part;
                self.spans.insert(at, Span { from, to, ..span });
            }
        }
    }

    /// Begins comfort noise.
    pub(crate) fn begin_noise(&mut self, from: MediaPlace, noise: Noise, rate_hz: u32) {
        self.end_noise(from);
        if self.noise.len() < MOST_NOISE {
            let until = from + NOISE_S * i64::from(rate_hz);
            self.noise.push_back(Run { from, until, noise });
        }
    }

    /// Ends comfort noise at `at`, where something else comes.
    pub(crate) fn end_noise(&mut self, at: MediaPlace) {
        if let Some(run) = self.noise.back_mut() {
            run.until = run.until.min(at);
        }
    }

    /// Whether comfort noise is to be made before `to`.
    pub(crate) fn is_noisy(&self, to: MediaPlace) -> bool {
        self.noise.front().is_some_and(|run| run.from < to)
    }

    /// Follows sound that was moved.
    pub(crate) fn follow(&mut self, moved_from: MediaPlace, by: i64) {
        for span in &mut self.spans {
            if span.from >= moved_from {
                span.from = span.from + by;
            }
            if span.to >= moved_from {
                span.to = span.to + by;
            }
        }
        self.spans.retain(|span| span.from < span.to);
        for run in &mut self.noise {
            if run.until >= moved_from {
                run.until = run.until + by;
            }
        }
    }

    /// Makes up what lies before `to`. `conceal_losses` is `capture.conceal`.
    pub(crate) fn make(
        &mut self,
        to: MediaPlace,
        track: Track,
        rate_hz: u32,
        conceal_losses: bool,
        mixer: &mut Mixer,
        mut note_concealed: impl FnMut(MediaPlace, i64),
    ) -> Made {
        let mut made = Made {
            concealed: 0,
            filled: 0,
        };
        let samples = |ms: i64| ms * i64::from(rate_hz) / 1_000;
        while let Some(span) = self.spans.front().filter(|span| span.from < to).cloned() {
            self.spans.pop_front();
            let length = span.to - span.from;
            let concealed = match span.gap {
                Gap::Lost if conceal_losses => length.min(samples(CONCEALED_MS)),
                Gap::Lost | Gap::Quiet => 0,
            };
            let is_heard = concealed > 0 && self.conceal(&span, concealed, track, rate_hz, mixer);
            if is_heard {
                note_concealed(span.from, concealed);
            }
            let concealed = if is_heard { concealed } else { 0 };
            made.concealed += u64::try_from(concealed).unwrap_or(0);
            made.filled += u64::try_from(length - concealed).unwrap_or(0);
        }
        let mut noisy = [0; 160];
        while let Some(run) = self.noise.front_mut() {
            let end = run.until.min(to);
            // What is settled already stays as it is.
            run.from = run.from.max(mixer.base());
            while run.from < end {
                let length = (end - run.from).min(160);
                let part = &mut noisy[..usize::try_from(length).unwrap_or(0)];
                run.noise.fill(part);
                mixer.write(track, run.from, part);
                run.from = run.from + length;
            }
            if run.until > to {
                break;
            }
            self.noise.pop_front();
        }
        made
    }

    /// Conceals the first `length` samples of a loss; false where nothing was to be carried on.
    fn conceal(
        &mut self,
        span: &Span,
        length: i64,
        track: Track,
        rate_hz: u32,
        mixer: &mut Mixer,
    ) -> bool {
        let samples = |ms: i64| usize::try_from(ms * i64::from(rate_hz) / 1_000).unwrap_or(0);
        let room = &mut self.room;
        room.resize(samples(BEFORE_MS + AFTER_MS + CONCEALED_MS), 0);
        let (before, rest) = room.split_at_mut(samples(BEFORE_MS));
        let (after, made_up) = rest.split_at_mut(samples(AFTER_MS));
        let made_up = &mut made_up[..usize::try_from(length).unwrap_or(0)];
        let back = i64::try_from(before.len()).unwrap_or(0);
        let known = mixer.copy(track, span.from + -back, before);
        let before = &before[before.len() - known..];
        // What is behind a longer loss is too far away to tell.
        let after = if span.from + length == span.to {
            let known = mixer.copy(track, span.to, after);
            &after[..known]
        } else {
            &[]
        };
        let is_heard = conceal::conceal(before, after, rate_hz, made_up);
        if is_heard {
            mixer.write_made(track, span.from, made_up);
        }
        is_heard
    }
}
