//! A recording as the catalog knows it.

use reeld_model::control::Tags;
use reeld_model::{
    AccountSid, CallSid, Channels, EndedBy, RecordingSid, SAMPLE_RATE, TrackSelection, TrackStats,
    Trim,
};
use serde::{Deserialize, Serialize};

/// What the API knows of a recording when it starts one.
#[derive(Debug, Clone)]
pub struct NewRecording {
    /// Its name, from the system's CSPRNG.
    pub sid: RecordingSid,
    /// Whose it is.
    pub account: AccountSid,
    /// The call it is of.
    pub call: CallSid,
    /// Its channels.
    pub channels: Channels,
    /// Its tracks.
    pub track: TrackSelection,
    /// Whether it is trimmed.
    pub trim: Trim,
    /// What started it.
    pub origin: Origin,
    /// When it was asked for, milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// The user's tags.
    pub tags: Tags,
    /// `I-Twilio-Idempotency-Token`, if given.
    pub idempotency_token: Option<String>,
}

/// What started a recording: Twilio's `source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Started by the control API: `StartCallRecordingAPI`.
    ControlApi,
    /// With a `<Record>` parameter: `RecordVerb`.
    RecordVerb,
    /// From a file (`reeld import`): `StartCallRecordingAPI` to Twilio's clients.
    Import,
}

/// Where a recording is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Being recorded, or its file being finished: a take is in the spool.
    Live,
    /// Its media can be fetched.
    Completed,
    /// It ended without a packet: no media.
    Absent,
}

/// A recording's record. Held by postcard behind a version byte: add fields at the end only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub sid: RecordingSid,
    /// Whose it is.
    pub account: AccountSid,
    /// The call it is of.
    pub call: CallSid,
    /// Where it is in its life.
    pub stage: Stage,
    /// Its channels.
    pub channels: Channels,
    /// Its tracks.
    pub track: TrackSelection,
    /// Whether it is trimmed.
    pub trim: Trim,
    /// What started it.
    pub origin: Origin,
    /// When it was asked for, milliseconds since the Unix epoch. Lists are ordered by it.
    pub created_ms: i64,
    /// When the record last changed, milliseconds since the Unix epoch.
    pub updated_ms: i64,
    /// The wall-clock time of the file's first frame, milliseconds since the Unix epoch.
    pub started_ms: Option<i64>,
    /// Length in frames at 8 kHz; 0 while live.
    pub frames: u64,
    /// Why it ended; `None` while live.
    pub ended_by: Option<EndedBy>,
    /// Whether it was finished by recovery after the daemon died.
    pub recovered: bool,
    /// BLAKE3 of the sample data (what follows the WAV's 44-byte header), once completed.
    pub blake3: Option<[u8; 32]>,
    /// Keys pressed while it ran.
    pub digits: String,
    /// Counts of each track, indexed by `Track::index`.
    pub tracks: [TrackStats; 2],
    /// The user's tags: a JSON object as text, empty for none.
    pub tags_json: String,
}

impl Record {
    /// Length in milliseconds, rounded half up.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        (self.frames * 1_000 + u64::from(SAMPLE_RATE) / 2) / u64::from(SAMPLE_RATE)
    }

    /// Twilio's `Duration`: whole seconds, rounded half up, at least 1 where there is audio
    /// (contract.md, "Words").
    #[must_use]
    pub fn duration_seconds(&self) -> u64 {
        let rate = u64::from(SAMPLE_RATE);
        let rounded = (self.frames + rate / 2) / rate;
        if self.frames > 0 { rounded.max(1) } else { 0 }
    }

    /// Bytes of sample data: frames × channels × 2.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.frames * u64::from(self.channels.count()) * 2
    }
}
