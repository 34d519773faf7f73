//! One recording of a call: its status and legal steps, its pauses, its keys, its counts.
//!
//! Called by [`crate::call`]; reads [`crate::mix`], calls [`crate::frames`] and [`crate::pause`].
//!
//! A recording begins at its first audio packet, or at the request where audio already flows, and
//! ends where the call says. While it is paused nothing of that time reaches it: sound by its place,
//! keys and counts by their arrival.

use std::collections::VecDeque;
use std::time::Duration;

use reeld_codec::wav;
use reeld_model::quality::MOST_CONCEALED;
use reeld_model::time::samples_in;
use reeld_model::{
    ChangeRecording, ConcealedRange, EndedBy, LiveStatus, MediaPlace, Mono, RecordingView, Refusal,
    StartRecording, Summary, Track, TrackQuality, TrackStats, Trim,
};
use serde::{Deserialize, Serialize};

use crate::call::Given;
use crate::frames::{FrameRules, Frames};
use crate::mix::Mixer;
use crate::output::Output;
use crate::pause::{Pauses, Stretch};
use crate::settings::Settings;
use crate::silence;

/// Keys that a recording remembers: more than anyone presses, less than a flood.
const MOST_DIGITS: usize = 256;

/// The longest frame that is judged, in samples of a channel: 20 ms at 48 kHz.
const MOST_JUDGED: usize = 960;

/// A recording that runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recording {
    start: StartRecording,
    /// Frames a second: the call's.
    rate_hz: u32,
    /// `capture.max_length`.
    max_length: Duration,
    status: LiveStatus,
    /// When it was started, or resumed while it still waited for a packet.
    waiting_since: Mono,
    /// Whether a beep is to be over before it takes anything.
    is_held: bool,
    /// Its time so far; `None` while it waits for its first packet.
    running: Option<Running>,
    pauses: Pauses,
    digits: String,
    /// What was counted in its time, up to the last pause.
    counted: [TrackStats; 2],
    /// The call's counts when it was started or resumed; `None` while it is paused.
    counting_from: Option<[TrackStats; 2]>,
    /// Ranges that were concealed and are not taken yet.
    made_up: Vec<(Track, MediaPlace, MediaPlace)>,
    concealed: [Vec<ConcealedRange>; 2],
    /// Where the last packet of each track lay, and the longest time between two.
    last_sound: [Option<MediaPlace>; 2],
    longest_gap: [i64; 2],
}

#[derive(Debug, Serialize, Deserialize)]
struct Running {
    frames: Frames,
    /// The first place that is not taken yet.
    cursor: MediaPlace,
    /// Whether anything was taken.
    touched: bool,
}

/// How a recording ends.
#[derive(Debug)]
pub(crate) struct Ending {
    /// The place where it ends.
    pub(crate) to: MediaPlace,
    /// What ends it, if no limit does before `to`.
    pub(crate) by: EndedBy,
    /// When that was known.
    pub(crate) at: Mono,
    /// What is known of each track by then.
    pub(crate) report: Report,
}

/// What is known of each track of a call, indexed by [`Track::index`].
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) stats: [TrackStats; 2],
    pub(crate) quality: [TrackQuality; 2],
}

impl Recording {
    pub(crate) fn new(
        start: StartRecording,
        settings: &Settings,
        now: Mono,
        stats: [TrackStats; 2],
        rate_hz: u32,
    ) -> Self {
        let is_held = start.beep.is_some();
        Self {
            start,
            rate_hz,
            max_length: settings.max_length,
            status: LiveStatus::InProgress,
            waiting_since: now,
            is_held,
            running: None,
            pauses: Pauses::default(),
            digits: String::new(),
            counted: [TrackStats::default(); 2],
            counting_from: (!is_held).then_some(stats),
            made_up: Vec::new(),
            concealed: [Vec::new(), Vec::new()],
            last_sound: [None; 2],
            longest_gap: [0; 2],
        }
    }

    /// Says the call's rate, before its first sound.
    pub(crate) fn set_rate(&mut self, rate_hz: u32) {
        debug_assert!(self.running.is_none(), "nothing was taken at another rate");
        self.rate_hz = rate_hz;
    }

    pub(crate) fn start(&self) -> &StartRecording {
        &self.start
    }

    /// Since when it waits for its first packet; `None` if it does not wait.
    pub(crate) fn waits_since(&self) -> Option<Mono> {
        let waits = self.running.is_none() && self.status == LiveStatus::InProgress;
        waits.then_some(self.waiting_since)
    }

    /// Whether it takes what comes.
    pub(crate) fn is_in_progress(&self) -> bool {
        self.status == LiveStatus::InProgress && !self.is_held
    }

    /// Whether it waits for a beep to be over.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Its beep is over at `now`; whether it takes what comes from then on, which it does not where it
    /// was not held or was paused meanwhile.
    pub(crate) fn let_begin(&mut self, now: Mono, stats: [TrackStats; 2]) -> bool {
        let begins = std::mem::take(&mut self.is_held) && self.is_in_progress();
        if begins {
            self.counting_from = Some(stats);
            self.waiting_since = now;
        }
        begins
    }

    /// Begins its time at `place`, which is at `at`.
    pub(crate) fn begin(&mut self, place: MediaPlace, at: Mono) {
        if self.running.is_none() {
            let channels = usize::from(self.start.channels.count());
            let rules = frame_rules(&self.start, self.max_length, self.rate_hz);
            let frames = Frames::new(self.start.sid, channels, rules, at);
            self.running = Some(Running {
                frames,
                cursor: place,
                touched: false,
            });
        }
    }

    /// Notes a packet of sound of one of its tracks: the first one begins it, and one that was
    /// overtaken by the first one moves the beginning back.
    pub(crate) fn note_sound(&mut self, track: Track, place: MediaPlace, at: Mono) {
        if !self.start.track.has(track) || !self.is_in_progress() {
            return;
        }
        if let Some(last) = self.last_sound[track.index()].replace(place) {
            let longest = &mut self.longest_gap[track.index()];
            *longest = (*longest).max(place - last);
        }
        let begins = match &self.running {
            None => true,
            Some(running) => !running.touched && place < running.cursor,
        };
        // A recording that was begun by the request has `touched` set, so that it is never moved.
        if begins {
            self.running = None;
            self.begin(place, at);
        }
    }

    /// Notes a range that is made up for lost packets.
    pub(crate) fn note_concealed(&mut self, track: Track, from: MediaPlace, samples: i64) {
        let many = self.concealed[track.index()].len() + self.made_up.len();
        if self.running.is_some() && self.start.track.has(track) && many < MOST_CONCEALED {
            self.made_up.push((track, from, from + samples));
        }
    }

    /// Follows sound of a track that was moved from `from` to `place`, which is at `at`.
    pub(crate) fn follow(&mut self, track: Track, from: MediaPlace, place: MediaPlace, at: Mono) {
        let begins = self.running.as_ref().is_some_and(|running| {
            !running.touched && (place < running.cursor || running.cursor == from)
        });
        if begins && self.start.track.has(track) {
            self.running = None;
            self.begin(place, at);
        }
    }

    /// Begins its time at the request, where audio flows already.
    pub(crate) fn begin_at_request(&mut self, place: MediaPlace, at: Mono) {
        self.begin(place, at);
        if let Some(running) = &mut self.running {
            running.touched = true;
        }
    }

    /// Takes what lies before `to`; says so when that ends it.
    pub(crate) fn take(
        &mut self,
        mixer: &Mixer,
        to: MediaPlace,
        out: &mut VecDeque<Output>,
    ) -> Option<EndedBy> {
        let running = self.running.as_mut()?;
        while running.cursor < to {
            running.touched = true;
            let (stretch, end) = self.pauses.stretch(running.cursor, to);
            if stretch == Stretch::Running {
                let first = running.frames.next_frame();
                for (track, from, to) in &self.made_up {
                    let (from, to) = ((*from).max(running.cursor), (*to).min(end));
                    if from < to {
                        self.concealed[track.index()].push(ConcealedRange {
                            from_frame: first + distance(running.cursor, from),
                            frames: distance(from, to),
                        });
                    }
                }
            }
            self.made_up.retain(|(_, _, to)| *to > end);
            let ended = match stretch {
                Stretch::Running => running.read(mixer, &self.start, self.rate_hz, end, out),
                Stretch::Paused(reeld_model::PauseBehavior::Skip) => None,
                Stretch::Paused(reeld_model::PauseBehavior::Silence) => running
                    .frames
                    .append_silence(distance(running.cursor, end), out),
            };
            running.cursor = end;
            if ended.is_some() {
                return ended;
            }
        }
        self.pauses.forget(running.cursor);
        None
    }

    /// Gives out what has waited long enough at `now`, which is at `place`; `most` is in samples.
    pub(crate) fn handle_tick(
        &mut self,
        now: Mono,
        place: MediaPlace,
        most: u64,
        out: &mut VecDeque<Output>,
    ) {
        if let Some(running) = &mut self.running {
            let behind = distance(running.cursor, place);
            running.frames.handle_tick(now, behind, most, out);
        }
    }

    /// Pauses or resumes at `place`, which nothing that was received before `now` lies beyond when
    /// it resumes. A stop is the call's to carry out.
    pub(crate) fn change(
        &mut self,
        change: ChangeRecording,
        place: MediaPlace,
        now: Mono,
        stats: [TrackStats; 2],
    ) -> Result<(), Refusal> {
        let to = change.target();
        if !self.status.allows(to) {
            return Err(Refusal::IllegalStep {
                from: self.status,
                to,
            });
        }
        match (self.status, change) {
            (LiveStatus::InProgress, ChangeRecording::Pause(behavior)) => {
                self.stop_counting(stats);
                if self.running.is_some() {
                    self.pauses.begin(place, behavior);
                }
            }
            (LiveStatus::Paused, ChangeRecording::Resume) => {
                self.counting_from = (!self.is_held).then_some(stats);
                self.pauses.end(place);
                self.waiting_since = now;
            }
            _ => {}
        }
        self.status = to;
        Ok(())
    }

    /// Whether keys of a track can end it.
    pub(crate) fn listens_for_keys(&self, track: Track) -> bool {
        !self.start.rules.finish_on_key.is_empty()
            && self.is_in_progress()
            && self.start.track.has(track)
    }

    /// Notes a key; whether it is one that ends the recording.
    pub(crate) fn note_key(&mut self, track: Track, key: char) -> bool {
        if !self.is_in_progress() || !self.start.track.has(track) {
            return false;
        }
        let ends = self.ends_by_key(track, key);
        if ends && self.digits.len() == MOST_DIGITS {
            // The key that ends it is its last one, whatever came before.
            self.digits.pop();
        }
        if self.digits.len() < MOST_DIGITS {
            self.digits.push(key);
        }
        ends
    }

    /// Whether a key on a track ends it.
    pub(crate) fn ends_by_key(&self, track: Track, key: char) -> bool {
        self.listens_for_keys(track) && self.start.rules.finish_on_key.contains(key)
    }

    /// Ends it; nothing follows.
    pub(crate) fn finish(
        mut self,
        mixer: &Mixer,
        ending: &Ending,
        out: &mut VecDeque<Output>,
    ) -> RecordingView {
        // Where the last stretch reaches a limit, the limit is why it ended.
        let ended_by = self.take(mixer, ending.to, out).unwrap_or(ending.by);
        self.stop_counting(ending.report.stats);
        let frames = self
            .running
            .as_mut()
            .map_or(0, |running| running.frames.finish(out));
        self.status = LiveStatus::Stopped;
        let quality = self.quality(&ending.report.quality);
        let view = RecordingView {
            frames,
            ..self.view()
        };
        out.push_back(Output::Ended {
            recording: self.start.sid,
            at: ending.at,
            summary: Box::new(Summary {
                ended_by,
                frames,
                digits: self.digits,
                tracks: self.counted,
                quality,
                rate_hz: self.rate_hz,
            }),
        });
        view
    }

    /// What has come out of it.
    pub(crate) fn given(&self) -> Given {
        let running = self.running.as_ref().map(|running| &running.frames);
        let (frames, keep_frames) = running.map_or((0, 0), Frames::given);
        Given {
            recording: self.start.sid,
            channels: self.start.channels,
            frames,
            keep_frames,
            rate_hz: self.rate_hz,
            started: running.and_then(Frames::started),
        }
    }

    pub(crate) fn view(&self) -> RecordingView {
        RecordingView {
            sid: self.start.sid,
            status: self.status,
            channels: self.start.channels,
            track: self.start.track,
            frames: self
                .running
                .as_ref()
                .map_or(0, |running| running.frames.total()),
            rate_hz: self.rate_hz,
        }
    }

    /// What happened to its tracks, of what is known of the call's.
    fn quality(&mut self, call: &[TrackQuality; 2]) -> [TrackQuality; 2] {
        Track::ALL.map(|track| {
            if !self.start.track.has(track) {
                return TrackQuality::default();
            }
            let at = track.index();
            TrackQuality {
                longest_gap_ms: u64::try_from(self.longest_gap[at]).unwrap_or(0) * 1_000
                    / u64::from(self.rate_hz),
                concealed: std::mem::take(&mut self.concealed[at]),
                ..call[at].clone()
            }
        })
    }

    fn stop_counting(&mut self, stats: [TrackStats; 2]) {
        if let Some(from) = self.counting_from.take() {
            for track in Track::ALL
                .into_iter()
                .filter(|track| self.start.track.has(*track))
            {
                let at = track.index();
                self.counted[at].add(&stats[at].since(&from[at]));
            }
        }
    }
}

impl Running {
    /// Takes the mix from the cursor to `end`.
    fn read(
        &mut self,
        mixer: &Mixer,
        start: &StartRecording,
        rate_hz: u32,
        end: MediaPlace,
        out: &mut VecDeque<Output>,
    ) -> Option<EndedBy> {
        let channels = usize::from(start.channels.count());
        let mut place = self.cursor;
        let sound_end = end.min(mixer.written_end());
        let left = |place| usize::try_from(sound_end - place).unwrap_or(0);
        if !self.frames.judges() {
            let frames = left(place);
            let ended = self.frames.append_from(frames, out, |done, samples| {
                let place = place + i64::try_from(done).unwrap_or(i64::MAX);
                mixer.read(place, samples, start.channels, start.track);
            });
            let silence = distance(place.max(sound_end), end);
            return ended.or_else(|| self.frames.append_silence(silence, out));
        }
        let judged = silence::frame(rate_hz).min(MOST_JUDGED);
        let mut samples = [0; 2 * MOST_JUDGED];
        while place < sound_end {
            let frames = left(place).min(judged);
            let samples = &mut samples[..frames * channels];
            let covered = mixer.read(place, samples, start.channels, start.track);
            let ended = self.frames.append(samples, covered, out);
            if ended.is_some() {
                return ended;
            }
            place = place + i64::try_from(frames).expect("at most MOST_JUDGED");
        }
        self.frames.append_silence(distance(place, end), out)
    }
}

/// Samples from `from` to `to`, none if `to` is not behind it.
fn distance(from: MediaPlace, to: MediaPlace) -> u64 {
    u64::try_from(to - from).unwrap_or(0)
}

/// The rules of the file: the nearest of the verb's maximum length, the configuration's and RIFF's.
fn frame_rules(start: &StartRecording, max_length: Duration, rate_hz: u32) -> FrameRules {
    let length = start.rules.max_length.unwrap_or(max_length).min(max_length);
    let by_length = (frames_in(length, rate_hz), EndedBy::MaxLength);
    let by_size = (
        u64::from(wav::MAX_DATA_BYTES) / (2 * u64::from(start.channels.count())),
        EndedBy::MaxSize,
    );
    FrameRules {
        rate_hz,
        limit: if by_length.0 <= by_size.0 {
            by_length
        } else {
            by_size
        },
        timeout: start.rules.timeout.map(|time| frames_in(time, rate_hz)),
        trim: start.trim == Trim::TrimSilence,
    }
}

fn frames_in(time: Duration, rate_hz: u32) -> u64 {
    u64::try_from(samples_in(time, rate_hz))
        .unwrap_or(u64::MAX)
        .max(u64::from(rate_hz) / 1_000)
}
