//! What comes out of a call: the frames of its recordings, in order.

use reeld_model::{Mono, RecordingSid, Summary};

/// One thing for the recorder to do. Outputs of one recording come in order: `Started`, then any
/// number of `Audio` and `Silence`, then `Ended`. A recording that never got a packet has `Ended`
/// alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The first frame of the file lies at this instant.
    Started {
        /// Which recording.
        recording: RecordingSid,
        /// The instant of its first frame.
        at: Mono,
        /// Frames a second of all that follows, in every output of this recording.
        rate_hz: u32,
    },
    /// Frames to append.
    Audio {
        /// Which recording.
        recording: RecordingSid,
        /// Interleaved samples, whole frames.
        samples: Vec<i16>,
        /// Of all frames appended so far, these included: how many stay if it ended now. Less than
        /// all of them only for the trailing silence of a trimmed recording. Never falls.
        keep_frames: u64,
    },
    /// Digital silence to append: a pause, a hold, a gap. Apart from `Audio`, so that a hold of an
    /// hour costs no memory here.
    Silence {
        /// Which recording.
        recording: RecordingSid,
        /// Frames of zeros.
        frames: u64,
        /// As in `Audio`.
        keep_frames: u64,
    },
    /// Nothing follows for this recording.
    Ended {
        /// Which recording.
        recording: RecordingSid,
        /// When it was ended.
        at: Mono,
        /// What is known of it. `summary.frames` equals the last `keep_frames`.
        summary: Box<Summary>,
    },
}

impl Output {
    /// The recording that this is about.
    #[must_use]
    pub const fn recording(&self) -> RecordingSid {
        match self {
            Self::Started { recording, .. }
            | Self::Audio { recording, .. }
            | Self::Silence { recording, .. }
            | Self::Ended { recording, .. } => *recording,
        }
    }
}
