//! Keys: events of RFC 4733, and tones that are heard in the sound.
//!
//! Called by [`crate::call`], of which it is a part. A key that comes as an event and as a sound is
//! one key; one that ends a recording ends it where it was pressed.

use std::time::Duration;

use reeld_model::{EndedBy, MediaPlace, Mono, Track};

use super::Call;
use crate::event::Event;
use crate::settings::Dtmf;

/// A key that is heard this soon after the same one came as an event is that one.
const SAME_KEY: Duration = Duration::from_secs(1);

impl Call {
    /// A key that was heard in the sound, unless it came as an event as well.
    pub(super) fn hear_key(&mut self, track: Track, key: char, arrival: Mono) {
        let last = self.last_key[track.index()].replace((key, arrival));
        let is_known = last.is_some_and(|(last, at)| last == key && arrival.since(at) < SAME_KEY);
        if !is_known {
            self.press(track, key, arrival);
        }
    }

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
            self.last_key[track.index()] = Some((event.key, arrival));
            self.press(track, event.key, arrival);
        }
    }

    /// A key of the caller's or the callee's.
    fn press(&mut self, track: Track, key: char, arrival: Mono) {
        self.decide(None);
        self.note_quality();
        let stats = self.stats();
        let mut at = 0;
        while at < self.timeline.recordings.len() {
            if self.timeline.recordings[at].note_key(track, key) {
                let to = self.timeline.place(arrival);
                self.timeline.finish(at, to, EndedBy::Key, arrival, stats);
            } else {
                at += 1;
            }
        }
    }
}
