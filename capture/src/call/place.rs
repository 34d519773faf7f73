//! Where an instant lies on a call's timeline: where recordings begin, pause, resume and end, and
//! from where on places stay open.
//!
//! Called by [`crate::call`], of which it is a part; calls the timeline and the tracks. It changes
//! nothing.

use std::time::Duration;

use reeld_model::{MediaPlace, Mono};

use super::{Call, FLOWING};
use crate::timeline::Scale;
use crate::track::TrackState;

/// The longest packet: none in use has more.
const LONGEST_PACKET: Duration = Duration::from_millis(120);

/// How long a packet may be held for its source to be trusted before its place is settled.
const MOST_HELD: Duration = Duration::from_secs(3);

impl Call {
    /// The first place that stays open at `now`.
    pub(super) fn open_from(&self, now: Mono) -> MediaPlace {
        let window = self.settings.reorder_window;
        open_from(&self.tracks, self.timeline.scale(), window, now)
    }

    /// Where an instant lies by the senders' own time: a track whose packets come is as far behind
    /// its places as the least late of its last packets was. So a sender that lost its pace is cut
    /// where it was, and not ahead of it, and jitter cuts nobody. With `reported`, one whose reports
    /// tell that it has not lost its pace is in time, and the way is what takes longer.
    fn by_senders(&self, at: Mono, reported: bool) -> impl Iterator<Item = MediaPlace> {
        let place = self.timeline.place(at);
        self.tracks
            .iter()
            .zip(self.last_sound)
            .filter_map(move |(track, last)| {
                let flows = at.since(last?) < FLOWING;
                let track = track.as_ref().filter(|_| flows)?;
                let lag = if reported && track.is_reported() {
                    0
                } else {
                    track.lag()
                };
                Some(place + -lag)
            })
    }

    /// The first place that was not yet heard of at `at`: where a pause begins, and a recording
    /// that is started while audio flows.
    pub(super) fn earliest(&self, at: Mono) -> MediaPlace {
        let place = self.by_senders(at, false).min();
        let place = place.unwrap_or_else(|| self.timeline.place(at));
        place.max(self.timeline.mixer.base())
    }

    /// Where a recording ends that ends at `at`: with a sender that is ahead of its first packet it
    /// needs no time beyond what was received.
    pub(super) fn end(&self, at: Mono) -> MediaPlace {
        let place = self.timeline.place(at);
        // What is held may seem far ahead of time where a sender catches up.
        let most = place
            + self
                .timeline
                .scale()
                .samples_in(self.settings.reorder_window);
        let written = self.timeline.mixer.written_end().min(most);
        let base = self.timeline.mixer.base();
        self.latest_of(at, true).min(place.max(written)).max(base)
    }

    /// The place before which all lies that was said by `at`: where a pause ends.
    pub(super) fn latest(&self, at: Mono) -> MediaPlace {
        self.latest_of(at, false)
    }

    fn latest_of(&self, at: Mono, reported: bool) -> MediaPlace {
        let place = self.by_senders(at, reported).max();
        let place = place.unwrap_or_else(|| self.timeline.place(at));
        place.max(self.timeline.mixer.written_end())
    }
}

/// The first place that stays open at `now`: for what is late by `window` at most, for what is held
/// until its source is trusted, and for sound that may still belong earlier.
pub(super) fn open_from(
    tracks: &[Option<TrackState>; 2],
    scale: Scale,
    window: Duration,
    now: Mono,
) -> MediaPlace {
    let tracks = || tracks.iter().flatten();
    let held = tracks().filter_map(|track| track.source.oldest_held());
    let oldest = held.filter(|held| now.since(*held) < MOST_HELD).min();
    // Whoever is not trusted yet may turn out to have been late, as below.
    let oldest = oldest.map_or(now, |oldest| oldest.min(now) - LONGEST_PACKET - window);
    // A packet that is late by the whole window has its first sample a packet's length before.
    let longest = tracks().map(TrackState::longest).max().unwrap_or(0);
    let waiting = tracks().filter_map(|track| track.order.oldest()).min();
    let waiting = waiting.map_or(now, |waiting| waiting.min(now));
    let open = scale.place(oldest.min(waiting - window)) + -longest;
    let movable = tracks().filter_map(TrackState::held_from).min();
    movable.map_or(open, |from| open.min(from + -scale.samples_in(window)))
}
