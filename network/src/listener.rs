//! The judge: hears a recording as it comes out and holds each marker to its place.
//!
//! Called by [`mod@crate::play`]; calls [`crate::sound`]. It keeps seconds of sound, not hours. What is
//! held, and by how much, is the issue's: [`Rule`]. A marker is passed over only if samples of it
//! never came to us; how many were judged is counted, so that nothing passes by being silent.

use std::collections::BTreeMap;

use reeld_model::Track;

use crate::sound::{MARK, mark, template};

/// A frame is 125 µs.
const FRAME_NS: f64 = 125_000.0;

/// 20 ms in frames.
const CLOSE: f64 = 160.0;

/// A marker is judged when so many frames behind it are there: 400 ms, so that one that is far from
/// its place is found and its error told.
const BEHIND: u64 = 3_200;

/// How far from its place a marker is looked for, in frames: first, and before it counts as missing.
/// Its neighbours are 4,880 frames away at least.
const NEAR: i64 = 80;
const FAR: i64 = 2_400;

/// A marker that was torn apart is looked for in pieces of so many frames, and so far from its place:
/// 100 ms.
const PIECE: usize = 80;
const NEAR_TORN: i64 = 800;

/// A marker correlates so well at least, and one in full view so well. The tone gives 0.2.
const ALIKE: f64 = 0.4;
const SURE: f64 = 0.8;

/// Of one play no more failures are told than this.
const MOST_TOLD: usize = 1_000;

/// What can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The recording ended as it was asked to, by itself never.
    Ended,
    /// Its first frame lies at its first audio packet, or at the request where audio flowed, to
    /// 20 ms.
    Start,
    /// It is as long as from there to its stop, to 20 ms.
    Length,
    /// Each marker that came is in the file.
    Missing,
    /// It is at its place to max(20 ms, one ptime).
    Place,
    /// The tracks are within 20 ms of each other.
    Apart,
    /// Enough markers were there to be judged.
    Few,
    /// Without loss and skew each sample is the reference decode's.
    Exact,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Which rule.
    pub rule: Rule,
    /// On which track, if it is about one.
    pub track: Option<Track>,
    /// When, in seconds of the call.
    pub at: f64,
    /// By how much, in milliseconds.
    pub error_ms: f64,
    /// What had last befallen the sender.
    pub after: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    samples: u64,
    came: u64,
    /// Frames that it may be off.
    tolerance: f64,
    after: &'static str,
}

#[derive(Debug, Default)]
struct Channel {
    /// Delay of the path, in nanoseconds.
    base: u64,
    sound: Vec<i16>,
    marks: BTreeMap<u64, Mark>,
    /// Errors in frames of markers that the other track has not shown yet.
    errors: BTreeMap<u64, f64>,
}

/// The judge of one dual recording.
#[derive(Debug, Default)]
pub struct Listener {
    channels: [Channel; 2],
    /// Position of the first frame of `sound`.
    first: u64,
    frames: u64,
    /// When the file's first frame should be, in nanoseconds since the call was opened.
    begins: Option<u64>,
    /// Failures so far.
    pub failures: Vec<Failure>,
    /// Markers that were judged.
    pub checked: u64,
    /// Markers that did not come whole.
    pub skipped: u64,
    /// The largest errors seen of a marker that was found, in milliseconds.
    pub worst_place_ms: f64,
    /// The largest difference between the tracks, in milliseconds.
    pub worst_apart_ms: f64,
}

impl Listener {
    /// A listener of paths with these least delays in nanoseconds.
    #[must_use]
    pub fn new(bases: [u64; 2]) -> Self {
        let mut listener = Self::default();
        for (channel, base) in listener.channels.iter_mut().zip(bases) {
            channel.base = base;
        }
        listener
    }

    /// Frames so far.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// When the file's first frame should be, in nanoseconds since the call was opened.
    #[must_use]
    pub fn begins(&self) -> Option<u64> {
        self.begins
    }

    /// A packet with a piece of a marker was sent: the marker has so many samples in all.
    pub fn note_sent(
        &mut self,
        track: Track,
        number: u64,
        samples: u64,
        ptime: u64,
        after: &'static str,
    ) {
        let tolerance = CLOSE.max(ptime as f64);
        let marks = &mut self.channels[track.index()].marks;
        let mark = marks.entry(number).or_insert(Mark {
            samples,
            came: 0,
            tolerance,
            after,
        });
        mark.tolerance = mark.tolerance.max(tolerance);
    }

    /// So many samples of a marker came.
    pub fn note_came(&mut self, track: Track, number: u64, samples: u64) {
        if let Some(mark) = self.channels[track.index()].marks.get_mut(&number) {
            mark.came += samples;
        }
    }

    /// The file begins, by its own word, at `at`; it should at one of `should`.
    pub fn begin(&mut self, at: u64, should: &[u64]) {
        let nearest = should
            .iter()
            .copied()
            .min_by_key(|should| should.abs_diff(at))
            .unwrap_or(at);
        self.begins = Some(nearest);
        let error_ms = (at as f64 - nearest as f64) / 1e6;
        if error_ms.abs() > 20.0 {
            self.fail(Rule::Start, None, at as f64 / 1e9, error_ms, "begin");
        }
    }

    /// Takes frames, interleaved.
    pub fn hear(&mut self, samples: &[i16]) {
        for part in samples.chunks(8_192) {
            let [left, right] = &mut self.channels;
            left.sound.extend(part.iter().step_by(2));
            right.sound.extend(part.iter().skip(1).step_by(2));
            self.frames += part.len() as u64 / 2;
            self.judge(false);
        }
    }

    /// Takes frames of digital silence.
    pub fn hear_silence(&mut self, mut frames: u64) {
        let zeros = [0; 8_192];
        while frames > 0 {
            let part = frames.min(4_096);
            self.hear(&zeros[..2 * part as usize]);
            frames -= part;
        }
    }

    /// The file has ended; it should at `stop`.
    pub fn end(&mut self, stop: u64) {
        self.judge(true);
        let Some(begins) = self.begins else {
            self.fail(Rule::Length, None, stop as f64 / 1e9, f64::NAN, "no sound");
            return;
        };
        let should = (stop as f64 - begins as f64) / FRAME_NS;
        let error = self.frames as f64 - should;
        if error.abs() > CLOSE {
            self.fail(Rule::Length, None, stop as f64 / 1e9, error / 8.0, "end");
        }
    }

    /// States a failure.
    pub fn fail(
        &mut self,
        rule: Rule,
        track: Option<Track>,
        at: f64,
        error_ms: f64,
        after: &'static str,
    ) {
        if self.failures.len() < MOST_TOLD {
            self.failures.push(Failure {
                rule,
                track,
                at,
                error_ms,
                after,
            });
        }
    }

    fn judge(&mut self, all: bool) {
        let Some(begins) = self.begins else { return };
        let mut keep = self.frames.saturating_sub(16_000);
        for track in Track::ALL {
            while let Some((&number, &mark_of)) =
                self.channels[track.index()].marks.first_key_value()
            {
                let at_ns = (mark(number) >> 32) * 125_000 + self.channels[track.index()].base;
                let place = (at_ns as f64 - begins as f64) / FRAME_NS;
                if !all && place + (MARK as f64) + BEHIND as f64 > self.frames as f64 {
                    keep = keep.min((place.max(0.0) as u64).saturating_sub(FAR as u64 + 100));
                    break;
                }
                self.channels[track.index()].marks.pop_first();
                // At the very ends the file may be 20 ms short.
                let inside = place >= CLOSE && place + MARK as f64 + CLOSE <= self.frames as f64;
                if !inside || mark_of.came < mark_of.samples {
                    self.skipped += 1;
                    continue;
                }
                self.checked += 1;
                self.judge_one(track, number, mark_of, place, at_ns as f64 / 1e9);
            }
        }
        if keep > self.first + 32_768 {
            let drop = (keep - self.first) as usize;
            for channel in &mut self.channels {
                channel.sound.drain(..drop.min(channel.sound.len()));
            }
            self.first = keep;
        }
    }

    fn judge_one(&mut self, track: Track, number: u64, mark: Mark, place: f64, at: f64) {
        let channel = &self.channels[track.index()];
        let expected = place - self.first as f64;
        let found = find(&channel.sound, template(track), expected, NEAR, SURE)
            .or_else(|| find(&channel.sound, template(track), expected, FAR, ALIKE))
            .or_else(|| find_torn(&channel.sound, template(track), expected));
        let Some(found) = found else {
            self.fail(Rule::Missing, Some(track), at, f64::NAN, mark.after);
            return;
        };
        let error = found as f64 - expected;
        self.worst_place_ms = self.worst_place_ms.max(error.abs() / 8.0);
        if error.abs() > mark.tolerance {
            self.fail(Rule::Place, Some(track), at, error / 8.0, mark.after);
        }
        let other = &mut self.channels[1 - track.index()].errors;
        *other = other.split_off(&number.saturating_sub(8));
        if let Some(other) = other.remove(&number) {
            let apart = error - other;
            self.worst_apart_ms = self.worst_apart_ms.max(apart.abs() / 8.0);
            if apart.abs() > CLOSE {
                self.fail(Rule::Apart, None, at, apart / 8.0, mark.after);
            }
        } else {
            self.channels[track.index()].errors.insert(number, error);
        }
    }
}

/// Where in `sound` a marker lies that a break in mid-marker tore apart: each side is where its own
/// clock puts it. Half of it must be found at least, and what is furthest off counts.
fn find_torn(sound: &[i16], template: &[i16], expected: f64) -> Option<usize> {
    let pieces = template.chunks_exact(PIECE).enumerate();
    let found: Vec<f64> = pieces
        .filter_map(|(number, piece)| {
            let at = (number * PIECE) as f64;
            let found = find(sound, piece, expected + at, NEAR_TORN, SURE)?;
            Some(found as f64 - at)
        })
        .collect();
    if 2 * found.len() < template.len() / PIECE {
        return None;
    }
    let furthest = found
        .into_iter()
        .max_by(|one, other| (one - expected).abs().total_cmp(&(other - expected).abs()))?;
    (furthest >= 0.0).then_some(furthest as usize)
}

/// Where in `sound` the marker lies: the best place within `reach` frames of `expected`, if it is
/// as much `alike` as that and not at the edge.
fn find(sound: &[i16], template: &[i16], expected: f64, reach: i64, alike: f64) -> Option<usize> {
    let middle = expected.round() as i64;
    let length = template.len() as i64;
    let last = sound.len() as i64 - length;
    let (from, to) = ((middle - reach).max(0), (middle + reach).min(last));
    if from > to {
        return None;
    }
    let power: i64 = template.iter().map(|at| i64::from(*at).pow(2)).sum();
    let square = |at: i64| i64::from(sound[at as usize]).pow(2);
    let mut energy: i64 = (from..from + length).map(square).sum();
    let mut best = (0.0, from);
    for at in from..=to {
        let window = &sound[at as usize..][..template.len()];
        let product: i32 = window
            .iter()
            .zip(template)
            .map(|(sound, mark)| i32::from(*sound) * i32::from(*mark))
            .sum();
        let likeness = f64::from(product) / (energy.max(1) as f64 * power as f64).sqrt();
        if likeness > best.0 {
            best = (likeness, at);
        }
        if at < to {
            energy += square(at + length) - square(at);
        }
    }
    let edge = best.1 == middle - reach || best.1 == middle + reach;
    (best.0 >= alike && !edge).then_some(best.1 as usize)
}
