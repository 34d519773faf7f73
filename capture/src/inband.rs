//! Keys in the sound itself, for senders that have no RFC 4733 events.
//!
//! Called by [`crate::call`] with a track's sound in order, while a recording is to end by a key;
//! calls `codec::dtmf`. A gap is silence to it, so that a key that a loss cuts in two is heard once
//! or twice as the loss is shorter or longer than a pause between keys.

use reeld_codec::dtmf;
use reeld_model::MediaPlace;

/// Of a gap, what ends a key: 100 ms at 8 kHz.
const PAUSE: usize = 800;

/// Listens to one track.
#[derive(Debug)]
pub(crate) struct Detector(dtmf::Detector);

impl Detector {
    pub(crate) fn new(rate_hz: u32) -> Self {
        Self(dtmf::Detector::new(rate_hz))
    }

    /// Takes a packet's sound, the one before it having ended at `behind`; the last key that was
    /// heard in it.
    pub(crate) fn note(
        &mut self,
        behind: MediaPlace,
        place: MediaPlace,
        samples: &[i16],
    ) -> Option<char> {
        let mut key = None;
        let gap = usize::try_from(place - behind).unwrap_or(0).min(PAUSE);
        self.0
            .process(&[0; PAUSE][..gap], |heard, _| key = Some(heard));
        // What belongs in front of the packet may have been heard before.
        let again = usize::try_from(behind - place).unwrap_or(0);
        let samples = &samples[again.min(samples.len())..];
        self.0.process(samples, |heard, _| key = Some(heard));
        key
    }
}
