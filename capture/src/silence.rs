//! Silence in a recording: what trimming cuts, and what the `<Record>` verb's timeout counts.
//!
//! Called by [`crate::recording`] with the mixed samples in order; calls `codec::level`. Judged in
//! frames of 20 ms, which is what silence means in the field.

use reeld_codec::level;

/// Samples of a channel that are judged at once: 20 ms.
pub(crate) const fn frame(rate_hz: u32) -> usize {
    rate_hz as usize / 50
}

/// Frames kept before the first and after the last that is not silent, so that a soft onset and a
/// dying tone stay: 10 × 20 ms.
pub(crate) const HANGOVER: usize = 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Somebody is heard.
    Voice,
    /// Packets came, and nobody is heard.
    Silence,
    /// No packet came.
    Nothing,
}

/// Judges frame after frame.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// Samples of silence received since the last voice, or since the start.
    silent: u64,
}

impl Judge {
    /// Judges one frame of interleaved samples, which lasts `length` samples.
    pub(crate) fn judge(&mut self, frame: &[i16], length: usize, covered: bool) -> Verdict {
        if !level::is_silent(frame) {
            self.silent = 0;
            Verdict::Voice
        } else if covered {
            self.silent += length as u64;
            Verdict::Silence
        } else {
            Verdict::Nothing
        }
    }

    /// Samples of silence that were received since the last voice, or since the start.
    pub(crate) fn silent_samples(&self) -> u64 {
        self.silent
    }
}
