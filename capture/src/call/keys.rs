//! Keys: events of RFC 4733, and tones that are heard in the sound.
//!
//! Called by [`crate::call`], of which it is a part. A key that comes as an event and as a sound is
//! one key; one that ends a recording ends it where it was pressed.

use std::time::Duration;

use reeld_model::{EndedBy, MediaPlace, Mono, Track};
use serde::{Deserialize, Serialize};

use super::Call;
use crate::event::Event;
use crate::settings::Dtmf;

/// A key that comes by the other way this soon after the same one is that one.
const SAME_KEY: Duration = Duration::from_secs(1);

/// How a key came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum By {
    /// As an event.
    Event,
    /// In the sound.
    Sound,
}

/// A key that was pressed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Pressed {
    key: char,
    by: By,
    at: Mono,
}

impl Call {
    /// A part of an event: a key once, and what stands in its place.
    pub(super) fn note_event(
        &mut self,
        track: Track,
        event: Event,
        place: Option<MediaPlace>,
        arrival: Mono,
    ) {
        if let Some(from) = place
            && let Some(state) = &mut self.tracks[track.index()]
        {
            let to = from + event.length;
            self.timeline.fills[track.index()].end_noise(from);
            state.mute(from, to);
            let tone = (self.settings.dtmf == Dtmf::Tone).then_some((event.key, event.volume));
            self.timeline.stand_for(track, from, to, tone);
        }
        if event.is_new {
            self.press(track, event.key, By::Event, arrival);
        }
    }

    /// A key of the caller's or the callee's. The same one by the other way as well is no other, but
    /// twice by one way is twice.
    pub(super) fn press(&mut self, track: Track, key: char, by: By, arrival: Mono) {
        let last = &mut self.last_key[track.index()];
        let is_same = |last: &mut Pressed| {
            last.key == key && last.by != by && arrival.since(last.at) < SAME_KEY
        };
        if last.take_if(is_same).is_some() {
            return;
        }
        *last = Some(Pressed {
            key,
            by,
            at: arrival,
        });
        let recordings = &self.timeline.recordings;
        if recordings
            .iter()
            .any(|recording| recording.ends_by_key(track, key))
        {
            self.decide(None);
        }
        let report = super::report(&self.tracks);
        let mut at = 0;
        while at < self.timeline.recordings.len() {
            if self.timeline.recordings[at].note_key(track, key) {
                let to = self.timeline.place(arrival);
                self.timeline
                    .finish(at, to, EndedBy::Key, arrival, report.clone());
            } else {
                at += 1;
            }
        }
    }
}
