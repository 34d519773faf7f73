//! The call's timeline: both tracks' windows over one base, and their mix.
//!
//! Called by [`crate::call`], which writes and settles, and by [`crate::recording`], which reads;
//! calls [`crate::window`]. Reading changes nothing, so that recordings that overlap take from the
//! same samples, and one that is stopped can be read to its end without closing the others' places.
//!
//! Invariants: every place below `base` is settled, and nothing is written there any more; nothing
//! was written at or above `written_end`.

use reeld_model::{Channels, MediaPlace, Track, TrackSelection};

use crate::window::{MOST, Window};

/// Both tracks on one timeline.
#[derive(Debug)]
pub(crate) struct Mixer {
    base: MediaPlace,
    written_end: MediaPlace,
    windows: [Window; 2],
}

impl Mixer {
    pub(crate) fn new(base: MediaPlace) -> Self {
        Self {
            base,
            written_end: base,
            windows: [Window::new(), Window::new()],
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
        let most = i64::try_from(MOST).expect("fits");
        (end - self.base > most).then(|| end + -most)
    }

    /// Whether samples up to `end` fit without a window growing.
    pub(crate) fn fits(&self, track: Track, end: MediaPlace) -> bool {
        let capacity = self.windows[track.index()].capacity();
        end - self.base <= i64::try_from(capacity).expect("at most MOST")
    }

    /// Writes what of `samples`, which belong at `place`, is not settled yet; returns how many
    /// samples came too late.
    pub(crate) fn write(&mut self, track: Track, place: MediaPlace, samples: &[i16]) -> usize {
        let late = usize::try_from(self.base - place)
            .unwrap_or(0)
            .min(samples.len());
        let samples = &samples[late..];
        if !samples.is_empty() {
            let place = place.max(self.base);
            self.windows[track.index()].write(self.base, place, samples);
            self.note_end(place + i64::try_from(samples.len()).expect("a packet"));
        }
        late
    }

    /// Notes that a track's time is used up to `end`, although nothing was written there.
    pub(crate) fn note_end(&mut self, end: MediaPlace) {
        self.written_end = self.written_end.max(end);
    }

    /// Mixes the samples from `place` on into `into`: whole frames of `channels`, which must be
    /// zero. Mono is the saturated sum of the selected tracks; dual has inbound on the left and
    /// outbound on the right. Returns whether any packet covered them.
    pub(crate) fn read(
        &self,
        place: MediaPlace,
        into: &mut [i16],
        channels: Channels,
        selection: TrackSelection,
    ) -> bool {
        let mut covered = false;
        for track in Track::ALL.into_iter().filter(|track| selection.has(*track)) {
            let (step, offset) = match channels {
                Channels::Mono => (1, 0),
                Channels::Dual => (2, track.index()),
            };
            covered |= self.windows[track.index()].add_into(place, into, step, offset);
        }
        covered
    }

    /// Settles every place below `to`.
    pub(crate) fn settle(&mut self, to: MediaPlace) {
        let Ok(samples) = usize::try_from(to - self.base) else {
            return;
        };
        for window in &mut self.windows {
            window.clear(self.base, samples);
        }
        self.base = to;
        self.written_end = self.written_end.max(to);
    }
}
