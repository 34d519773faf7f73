//! Keys in the sound itself, for senders that have no RFC 4733 events.
//!
//! Called by [`crate::call`] with a track's sound in order, while a recording is to end by a key;
//! calls `codec::dtmf`. A gap is silence to it, so that a key that a loss cuts in two is heard once
//! or twice as the loss is shorter or longer than a pause between keys.

use reeld_codec::dtmf;
use reeld_model::MediaPlace;
use serde::{Deserialize, Serialize};

/// Of a gap, what ends a key: 100 ms, in parts of a second; and its samples at the highest rate.
const PAUSE: usize = 10;
const LONGEST_PAUSE: usize = 48_000 / PAUSE;

/// Listens to one track.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Detector {
    keys: dtmf::Detector,
    /// Samples of a gap that end a key.
    pause: usize,
}

impl Detector {
    pub(crate) fn new(rate_hz: u32) -> Self {
        Self {
            keys: dtmf::Detector::new(rate_hz),
            pause: (rate_hz as usize / PAUSE).min(LONGEST_PAUSE),
        }
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
        let gap = usize::try_from(place - behind).unwrap_or(0).min(self.pause);
        self.keys
            .process(&[0; LONGEST_PAUSE][..gap], |heard, _| key = Some(heard));
        // What belongs in front of the packet may have been heard before.
        let again = usize::try_from(behind - place).unwrap_or(0);
        let samples = &samples[again.min(samples.len())..];
        self.keys.process(samples, |heard, _| key = Some(heard));
        key
    }
}
