//! The call's timeline: both tracks' windows over one base, and their mix.
//!
//! Called by [`crate::call`], which writes and settles, and by [`crate::recording`], which reads;
//! calls [`crate::window`]. Reading changes nothing, so that recordings that overlap take from the
//! same samples, and one that is stopped can be read to its end without closing the others' places.
//!
//! Invariants: every place below `base` is settled, and nothing is written there any more; nothing
//! was written at or above `written_end`.

use reeld_model::{Channels, MediaPlace, Track, TrackSelection};
use serde::{Deserialize, Serialize};

use crate::window::Window;

/// Settled time that a window still shows, in milliseconds: what a loss is concealed from.
const HISTORY_MS: i64 = 64;

/// Time before the call was opened that a packet may carry, in milliseconds: more than the longest
/// ptime.
const BEFORE_MS: i64 = 1_000;

/// Both tracks on one timeline.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mixer {
    base: MediaPlace,
    written_end: MediaPlace,
    windows: [Window; 2],
    /// Settled samples that a window still shows.
    history: i64,
}

impl Mixer {
    /// The windows of a new call at `rate_hz`.
    pub(crate) fn new(rate_hz: u32) -> Self {
        let samples = |ms: i64| ms * i64::from(rate_hz) / 1_000;
        let (base, history) = (MediaPlace(-samples(BEFORE_MS)), samples(HISTORY_MS));
        Self {
            base,
            written_end: base,
            windows: [
                Window::new(rate_hz, base + -history),
                Window::new(rate_hz, base + -history),
            ],
            history,
        }
    }

    /// The first place that is not settled.
    pub(crate) fn base(&self) -> MediaPlace {
        self.base
    }

    /// Behind the last sample of either track.
    pub(crate) fn written_end(&self) -> MediaPlace {
        self.written_end
    }

    /// How far must be settled before samples can be written up to `end`: `None` if there is room.
    pub(crate) fn lacks_room_for(&self, end: MediaPlace) -> Option<MediaPlace> {
        let most = self.most();
        (end - self.floor() > most).then(|| end + (self.history - most))
    }

    /// Whether samples up to `end` fit into the largest window.
    pub(crate) fn fits_window(&self, end: MediaPlace) -> bool {
        self.lacks_room_for(end).is_none()
    }

    /// Whether samples up to `end` fit without a window growing.
    pub(crate) fn fits(&self, track: Track, end: MediaPlace) -> bool {
        let capacity = self.windows[track.index()].capacity();
        end - self.floor() <= i64::try_from(capacity).expect("at most MOST")
    }

    /// Writes what of `samples`, which belong at `place`, is not settled yet; returns how many
    /// samples came too late.
    pub(crate) fn write(&mut self, track: Track, place: MediaPlace, samples: &[i16]) -> usize {
        let late = usize::try_from(self.base - place)
            .unwrap_or(0)
            .min(samples.len());
        let samples = self.fitting(place.max(self.base), &samples[late..]);
        if !samples.is_empty() {
            let place = place.max(self.base);
            let floor = self.floor();
            self.windows[track.index()].write(floor, place, samples, true);
            self.note_end(place + i64::try_from(samples.len()).expect("a packet"));
        }
        late
    }

    /// Notes that a track's time is used up to `end`, although nothing was written there.
    pub(crate) fn note_end(&mut self, end: MediaPlace) {
        self.written_end = self.written_end.max(end);
    }

    /// Mixes the samples from `place` on into `into`, whose content it replaces: whole frames of
    /// `channels`. Mono is the saturated sum of the selected tracks; dual has inbound on the left and
    /// outbound on the right. All of it is ready ([`Self::make_ready`]). Returns whether any packet
    /// covered them.
    pub(crate) fn read(
        &self,
        mut place: MediaPlace,
        mut into: &mut [i16],
        channels: Channels,
        selection: TrackSelection,
    ) -> bool {
        let step = usize::from(channels.count());
        let most = self.windows.each_ref().map(Window::capacity);
        let most = most[0].min(most[1]);
        let mut covered = false;
        while !into.is_empty() {
            let frames = (into.len() / step).min(most);
            let (part, rest) = into.split_at_mut(frames * step);
            let tracks = Track::ALL.map(|track| {
                let is_wanted = selection.has(track);
                is_wanted.then(|| self.windows[track.index()].read(place, frames))
            });
            covered |= tracks.iter().flatten().any(|(_, covered)| *covered);
            match (tracks.map(|track| track.map(|(parts, _)| parts)), channels) {
                ([Some(one), Some(other)], Channels::Dual) => interleave(part, one, other),
                ([Some(one), Some(other)], Channels::Mono) => {
                    copy(part, one);
                    add(part, other);
                }
                ([Some(one), None] | [None, Some(one)], Channels::Mono) => copy(part, one),
                (tracks, Channels::Dual) => {
                    for (offset, parts) in tracks.into_iter().enumerate() {
                        let samples = parts.unwrap_or_default().into_iter().flatten();
                        let samples = samples.copied().chain(std::iter::repeat(0));
                        for (frame, sample) in part.chunks_exact_mut(2).zip(samples) {
                            frame[offset] = sample;
                        }
                    }
                }
                ([None, None], Channels::Mono) => part.fill(0),
            }
            place = place + i64::try_from(frames).expect("a ring's");
            into = rest;
        }
        covered
    }

    /// Writes made-up samples at `place`: they are heard, and nothing was received.
    pub(crate) fn write_made(&mut self, track: Track, place: MediaPlace, samples: &[i16]) {
        let late = usize::try_from(self.base - place)
            .unwrap_or(0)
            .min(samples.len());
        let (floor, place) = (self.floor(), place.max(self.base));
        let samples = self.fitting(place, &samples[late..]);
        self.windows[track.index()].write(floor, place, samples, false);
    }

    /// Of `samples` at `place`, what the largest window has room for.
    fn fitting<'a>(&self, place: MediaPlace, samples: &'a [i16]) -> &'a [i16] {
        let room = self.most() - (place - self.floor());
        let room = usize::try_from(room).unwrap_or(0);
        &samples[..samples.len().min(room)]
    }

    /// Copies a track's samples from `place` on, those that were settled lately included, into `into`;
    /// how many of its last samples there are: fewer where the windows do not reach back so far.
    pub(crate) fn copy(&self, track: Track, place: MediaPlace, into: &mut [i16]) -> usize {
        let missing = usize::try_from(self.floor() - place).unwrap_or(0);
        let there = into.len().saturating_sub(missing);
        let (unknown, known) = into.split_at_mut(into.len() - there);
        unknown.fill(0);
        let window = &self.windows[track.index()];
        let place = place.max(self.floor());
        let within = usize::try_from(window.ready() - place).unwrap_or(0);
        let within = there.min(within);
        copy(&mut known[..within], window.read(place, within).0);
        known[within..].fill(0);
        there
    }

    /// Moves what a track has from `from` up to `to` by `by` samples; `written_end` is where the
    /// tracks then end. What would come to lie before the base is gone.
    pub(crate) fn move_sound(&mut self, track: Track, from: MediaPlace, to: MediaPlace, by: i64) {
        let (from, floor) = (from.max(self.base), self.floor());
        let Ok(length) = usize::try_from(to - from) else {
            return;
        };
        let most = self.most();
        let window = &mut self.windows[track.index()];
        let length = length.min(usize::try_from(most - (from - floor)).unwrap_or(0));
        window.make_ready(floor, from + i64::try_from(length).unwrap_or(0));
        let samples = window.read(from, length).0.concat();
        let covered = window.take_marks(from, length);
        let zeros = vec![0; length];
        let zeros = self.fitting(from, &zeros);
        self.windows[track.index()].write(floor, from, zeros, false);
        let first = usize::try_from(self.base - (from + by))
            .unwrap_or(0)
            .min(length);
        let place = (from + by).max(self.base);
        let samples = self.fitting(place, &samples[first..]);
        let window = &mut self.windows[track.index()];
        window.write(floor, place, samples, false);
        let end = place + i64::try_from(samples.len()).unwrap_or(0);
        for (at, run) in covered {
            let at = (from + by + at).max(self.base);
            if at < end {
                window.mark(at, run);
            }
        }
    }

    /// States where the tracks end, after a move: within what the windows hold, as all is that was written.
    pub(crate) fn set_end(&mut self, end: MediaPlace) {
        let held = self.floor() + self.most();
        self.written_end = end.max(self.base).min(held);
    }

    /// The first place that the windows still show.
    fn floor(&self) -> MediaPlace {
        self.base + -self.history
    }

    /// Samples of the largest window.
    fn most(&self) -> i64 {
        i64::try_from(self.windows[0].most()).expect("some hundred thousand")
    }

    /// Makes what was written before `to`, and the silence between, ready to be read.
    pub(crate) fn make_ready(&mut self, to: MediaPlace) {
        let (floor, to) = (self.floor(), to.min(self.written_end));
        for window in &mut self.windows {
            window.make_ready(floor, to);
        }
    }

    /// Settles every place below `to`.
    pub(crate) fn settle(&mut self, to: MediaPlace) {
        if to <= self.base {
            return;
        }
        self.base = to;
        self.written_end = self.written_end.max(to);
        let floor = self.floor();
        for window in &mut self.windows {
            // What is settled stays to be read for a while, whether anything was written there or not.
            window.make_ready(floor, to);
            window.shrink(floor);
        }
    }
}

/// Puts a window's samples into `into`, which has as many.
fn copy(into: &mut [i16], parts: [&[i16]; 2]) {
    let (first, second) = into.split_at_mut(parts[0].len());
    first.copy_from_slice(parts[0]);
    second.copy_from_slice(parts[1]);
}

/// Adds them, with saturation.
fn add(into: &mut [i16], parts: [&[i16]; 2]) {
    let (first, second) = into.split_at_mut(parts[0].len());
    for (mixed, samples) in [(first, parts[0]), (second, parts[1])] {
        for (mixed, sample) in mixed.iter_mut().zip(samples) {
            *mixed = mixed.saturating_add(*sample);
        }
    }
}

/// Puts those of two windows side by side. The windows may wrap at different places.
fn interleave(into: &mut [i16], left: [&[i16]; 2], right: [&[i16]; 2]) {
    let wraps = left[0].len().min(right[0].len());
    let later = left[0].len().max(right[0].len());
    let frames = into.len() / 2;
    for (from, to) in [(0, wraps), (wraps, later), (later, frames)] {
        let left = within(left, from, to);
        let right = within(right, from, to);
        let frames = into[2 * from..2 * to].chunks_exact_mut(2);
        for ((frame, left), right) in frames.zip(left).zip(right) {
            frame[0] = *left;
            frame[1] = *right;
        }
    }
}

/// The samples from `from` up to `to` of a window's, which lie in one part.
fn within([first, second]: [&[i16]; 2], from: usize, to: usize) -> &[i16] {
    if to <= first.len() {
        &first[from..to]
    } else {
        &second[from - first.len()..to - first.len()]
    }
}
