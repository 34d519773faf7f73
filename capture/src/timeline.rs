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

use reeld_model::{EndedBy, MediaPlace, Mono, RecordingView, SAMPLE_RATE, Track, TrackStats};

use crate::mix::Mixer;
use crate::output::Output;
use crate::recording::Recording;

/// Samples before the call was opened that a packet may carry: 1 s, more than the longest ptime.
const BEFORE: i64 = SAMPLE_RATE as i64;

/// The timeline of an open call.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// The instant of place 0.
    origin: Mono,
    pub(crate) mixer: Mixer,
    pub(crate) recordings: Vec<Recording>,
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
    /// The reorder window's edge when it was received: what lies before may be settled.
    pub(crate) open_from: MediaPlace,
}

impl Timeline {
    pub(crate) fn new(origin: Mono) -> Self {
        Self {
            origin,
            mixer: Mixer::new(MediaPlace(-BEFORE)),
            recordings: Vec::new(),
            out: VecDeque::new(),
        }
    }

    /// The place of an instant.
    pub(crate) fn place(&self, at: Mono) -> MediaPlace {
        MediaPlace::of(at, self.origin)
    }

    /// The instant of a place.
    pub(crate) fn instant(&self, place: MediaPlace) -> Mono {
        let time = Duration::from_nanos(
            place
                .0
                .unsigned_abs()
                .saturating_mul(1_000_000_000 / u64::from(SAMPLE_RATE)),
        );
        if place.0 >= 0 {
            self.origin + time
        } else {
            self.origin - time
        }
    }

    /// Writes sound; returns whether all of it came too late.
    pub(crate) fn write(
        &mut self,
        sound: &Sound<'_>,
        now: Mono,
        stats: &dyn Fn() -> [TrackStats; 2],
    ) -> bool {
        let end = sound.place + sound.length;
        if !self.mixer.fits(sound.track, end) {
            // A gap came before: what the window has passed is settled, so that the ring stays small.
            self.settle(sound.open_from.min(sound.place), now, stats);
        }
        if let Some(needed) = self.mixer.lacks_room_for(end) {
            self.settle(needed, now, stats);
        }
        if end <= self.mixer.base() {
            return true;
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
    pub(crate) fn settle(
        &mut self,
        to: MediaPlace,
        now: Mono,
        stats: &dyn Fn() -> [TrackStats; 2],
    ) {
        if to <= self.mixer.base() {
            return;
        }
        let mut at = 0;
        while at < self.recordings.len() {
            match self.recordings[at].take(&self.mixer, to, &mut self.out) {
                Some(ended_by) => {
                    self.finish(at, self.mixer.base(), ended_by, now, stats());
                }
                None => at += 1,
            }
        }
        self.mixer.settle(to);
    }

    /// Ends the recording at index `at` of the list at the place `to`.
    pub(crate) fn finish(
        &mut self,
        at: usize,
        to: MediaPlace,
        ended_by: EndedBy,
        now: Mono,
        stats: [TrackStats; 2],
    ) -> RecordingView {
        let recording = self.recordings.remove(at);
        recording.finish(&self.mixer, to, ended_by, now, stats, &mut self.out)
    }

    /// Ends every recording at the place `to`.
    pub(crate) fn finish_all(
        &mut self,
        to: MediaPlace,
        ended_by: EndedBy,
        now: Mono,
        stats: [TrackStats; 2],
    ) {
        while !self.recordings.is_empty() {
            self.finish(0, to, ended_by, now, stats);
        }
    }
}
