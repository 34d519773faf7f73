//! Which rate a call's timeline has where `capture.rate` is native: the best of what it begins with.
//!
//! Called by [`crate::call`], of which it is a part, with the first packets of sound; calls the
//! tracks' payload maps.
//!
//! The rate is the highest of the first packet's codec and of the codecs that the offer prefers, a
//! track each: so a call has one rate whichever side is heard first, and its first sound is not brought
//! down. Once decided it stays: what has another rate is resampled to it. It is decided by the
//! first packet and not when the call is opened, since nothing has a place before that, and a later
//! offer may still say better.
//!
//! RFC 3264 §5.1: the formats of a line are in order of preference.

use reeld_codec::mp3;
use reeld_model::{SAMPLE_RATE, Track};

use super::Call;

impl Call {
    /// Decides the rate by the first packet of sound, which `track` is about to take; nothing yet by
    /// one that is no sound.
    pub(super) fn decide_rate(&mut self, track: Track, payload_type: u8) {
        let Some(state) = &self.tracks[track.index()] else {
            return;
        };
        let payload = state.payloads.get(payload_type);
        if payload.is_some_and(|payload| !payload.is_audio()) {
            return;
        }
        // What cannot be decoded has a place too, and no rate.
        let heard = state.payloads.rate_hz(payload_type);
        let tracks = self.tracks.iter().flatten();
        let preferred = tracks.filter_map(|track| track.payloads.preferred_rate_hz());
        let best = preferred.chain(heard).max().unwrap_or(SAMPLE_RATE);
        let rate_hz = mp3::rate_for(best);
        self.has_rate = true;
        if rate_hz != self.timeline.rate_hz() {
            self.timeline.set_rate(rate_hz);
            for track in self.tracks.iter_mut().flatten() {
                track.set_rate(rate_hz);
            }
        }
    }
}
