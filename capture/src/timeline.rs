//! The call's timeline with the recordings that take from it.
//!
//! Called by [`crate::call`]; calls [`crate::mix`] and [`crate::recording`].
//!
//! Invariants: the base of the mix never passes the last sample that was written, so a recording is
//! given silence only when sound follows it or when it ends behind it; that is why one that ends for
//! want of packets ends with its last packet. Every recording has taken all that lies before the
//! base.

use std::collections::VecDeque;
use std::time::Duration;

use reeld_codec::dtmf;
use reeld_model::time::{samples_in, time_of};
use reeld_model::{EndedBy, MediaPlace, Mono, RecordingView, Track, TrackStats};
use serde::{Deserialize, Serialize};

use crate::fill::{Fill, Gap, Made};
use crate::mix::Mixer;
use crate::output::Output;
use crate::recording::{Ending, Recording, Report};
use crate::segment::Move;

/// Time that is settled at once while noise is made, in milliseconds.
const NOISY_STEP_MS: i64 = 250;

/// What ties instants to places.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Scale {
    /// The instant of place 0.
    origin: Mono,
    /// Samples a second.
    rate_hz: u32,
}

/// The timeline of an open call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Timeline {
    scale: Scale,
    pub(crate) mixer: Mixer,
    pub(crate) fills: [Fill; 2],
    /// What was made up on each track since it was last asked for.
    made: [Made; 2],
    conceals: bool,
    pub(crate) recordings: Vec<Recording>,
    #[serde(skip)]
    pub(crate) out: VecDeque<Output>,
}

/// Sound to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sound<'a> {
    pub(crate) track: Track,
    pub(crate) place: MediaPlace,
    /// None for what cannot be decoded.
    pub(crate) samples: &'a [i16],
    /// Its time in samples, which silence fills where there are fewer.
    pub(crate) length: i64,
    /// Where the sound before it ended, and why there is none between, if it came in order.
    pub(crate) gap: Option<(MediaPlace, Gap)>,
}

impl Scale {
    /// The place of an instant.
    pub(crate) fn place(self, at: Mono) -> MediaPlace {
        MediaPlace::of(at, self.origin, self.rate_hz)
    }

    /// The instant of a place.
    fn instant(self, place: MediaPlace) -> Mono {
        let time = time_of(place.0.unsigned_abs(), self.rate_hz);
        if place.0 >= 0 {
            self.origin + time
        } else {
            self.origin - time
        }
    }

    /// Samples in `time`, rounded down.
    pub(crate) fn samples_in(self, time: Duration) -> i64 {
        samples_in(time, self.rate_hz)
    }
}

impl Timeline {
    pub(crate) fn new(origin: Mono, rate_hz: u32, conceals: bool) -> Self {
        Self {
            scale: Scale { origin, rate_hz },
            mixer: Mixer::new(rate_hz),
            fills: [Fill::default(), Fill::default()],
            made: [Made::default(); 2],
            conceals,
            recordings: Vec::new(),
            out: VecDeque::new(),
        }
    }

    /// The place of an instant.
    pub(crate) fn place(&self, at: Mono) -> MediaPlace {
        self.scale.place(at)
    }

    /// The instant of a place.
    pub(crate) fn instant(&self, place: MediaPlace) -> Mono {
        self.scale.instant(place)
    }

    /// What ties its places to instants.
    pub(crate) fn scale(&self) -> Scale {
        self.scale
    }

    /// Samples a second.
    pub(crate) fn rate_hz(&self) -> u32 {
        self.scale.rate_hz
    }

    /// Says how many samples a second has, before the first of them is written.
    pub(crate) fn set_rate(&mut self, rate_hz: u32) {
        self.scale.rate_hz = rate_hz;
        self.mixer = Mixer::new(rate_hz);
        for recording in &mut self.recordings {
            recording.set_rate(rate_hz);
        }
    }

    /// Writes sound; returns whether all of it came too late. `open_from` tells the reorder window's
    /// edge: what lies before may be settled. Few packets ask for it.
    pub(crate) fn write(
        &mut self,
        sound: &Sound<'_>,
        now: Mono,
        open_from: &dyn Fn() -> MediaPlace,
        report: &dyn Fn() -> Report,
    ) -> bool {
        let end = sound.place + sound.length;
        if !self.mixer.fits(sound.track, end) {
            // A gap came before: what the window has passed is settled, so that the ring stays small.
            self.settle(open_from().min(sound.place), now, report);
        }
        if let Some(needed) = self.mixer.lacks_room_for(end) {
            self.settle(needed, now, report);
        }
        if end <= self.mixer.base() {
            return true;
        }
        let fill = &mut self.fills[sound.track.index()];
        match sound.gap {
            Some((from, gap)) => {
                fill.end_noise(sound.place);
                if from < sound.place {
                    fill.note_gap(from, sound.place, gap);
                }
            }
            None => fill.note_sound(sound.place, end),
        }
        let begins_at = sound.place.max(self.mixer.base());
        let at = self.instant(begins_at);
        for recording in &mut self.recordings {
            recording.note_sound(sound.track, begins_at, at);
        }
        self.mixer.write(sound.track, sound.place, sound.samples);
        self.mixer.note_end(end);
        false
    }

    /// Settles every place before `to`: the recordings take what lies there; those that this ends
    /// are finished.
    pub(crate) fn settle(&mut self, to: MediaPlace, now: Mono, report: &dyn Fn() -> Report) {
        while self.mixer.base() < to {
            // Noise is made into the window, so no more of it at once than the window has room for.
            let noisy = self.fills.iter().any(|fill| fill.is_noisy(to));
            let step = if noisy {
                to.min(self.mixer.base() + NOISY_STEP_MS * i64::from(self.rate_hz()) / 1_000)
            } else {
                to
            };
            self.make_up(step);
            let mut at = 0;
            while at < self.recordings.len() {
                match self.recordings[at].take(&self.mixer, step, &mut self.out) {
                    Some(ended_by) => {
                        self.finish(at, self.mixer.base(), ended_by, now, report());
                    }
                    None => at += 1,
                }
            }
            self.mixer.settle(step);
        }
    }

    /// Makes up what is missing before `to`, and all before it ready to be read.
    pub(crate) fn make_up(&mut self, to: MediaPlace) {
        let rate_hz = self.rate_hz();
        for track in Track::ALL {
            let recordings = &mut self.recordings;
            let made = self.fills[track.index()].make(
                to,
                track,
                rate_hz,
                self.conceals,
                &mut self.mixer,
                |from, length| {
                    for recording in recordings.iter_mut() {
                        recording.note_concealed(track, from, length);
                    }
                },
            );
            self.made[track.index()].add(made);
        }
        self.mixer.make_ready(to);
    }

    /// Puts what stands for an event where it is: silence, or the tone of a key at a volume.
    pub(crate) fn stand_for(
        &mut self,
        track: Track,
        from: MediaPlace,
        to: MediaPlace,
        tone: Option<(char, u8)>,
    ) {
        let most = from + i64::from(self.rate_hz());
        let end = match tone {
            // Long tones come in parts; what is beyond the ring's reach is left.
            Some(_) => to.min(most.max(self.mixer.written_end())),
            None => to.min(self.mixer.written_end()),
        };
        let begin = from.max(self.mixer.base());
        if !self.mixer.fits_window(end) {
            return;
        }
        let Ok(length) = usize::try_from(end - begin) else {
            return;
        };
        let mut samples = vec![0; length];
        if let Some((key, volume)) = tone {
            let skipped = u64::try_from(begin - from).unwrap_or(0);
            dtmf::tone(key, volume, self.rate_hz(), skipped, &mut samples);
            self.mixer.write(track, begin, &samples);
        } else {
            self.mixer.write_made(track, begin, &samples);
        }
    }

    /// Whether a recording of a track ends by a key.
    pub(crate) fn listens_for_keys(&self, track: Track) -> bool {
        self.recordings
            .iter()
            .any(|recording| recording.listens_for_keys(track))
    }

    /// The tracks' own counts with what was made up.
    pub(crate) fn with_made(&self, mut stats: [TrackStats; 2]) -> [TrackStats; 2] {
        for (stats, made) in stats.iter_mut().zip(self.made) {
            stats.concealed = made.concealed;
            stats.filled = made.filled;
        }
        stats
    }

    /// Moves a track's sound from `moved.from` up to `to`; the tracks end at `end` then.
    pub(crate) fn move_sound(
        &mut self,
        track: Track,
        moved: Move,
        to: MediaPlace,
        end: MediaPlace,
    ) {
        self.mixer.move_sound(track, moved.from, to, moved.by);
        self.mixer.set_end(end);
        self.fills[track.index()].follow(moved.from, moved.by);
        let place = (moved.from + moved.by).max(self.mixer.base());
        let at = self.instant(place);
        for recording in &mut self.recordings {
            recording.follow(track, moved.from, place, at);
        }
    }

    /// Ends the recording at index `at` of the list at the place `to`.
    pub(crate) fn finish(
        &mut self,
        at: usize,
        to: MediaPlace,
        ended_by: EndedBy,
        now: Mono,
        mut report: Report,
    ) -> RecordingView {
        self.make_up(to);
        report.stats = self.with_made(report.stats);
        let ending = Ending {
            to,
            by: ended_by,
            at: now,
            report,
        };
        let recording = self.recordings.remove(at);
        recording.finish(&self.mixer, &ending, &mut self.out)
    }

    /// Ends every recording at the place `to`.
    pub(crate) fn finish_all(
        &mut self,
        to: MediaPlace,
        ended_by: EndedBy,
        now: Mono,
        report: &Report,
    ) {
        while !self.recordings.is_empty() {
            self.finish(0, to, ended_by, now, report.clone());
        }
    }
}
