//! A recording as the catalog knows it.

use reeld_model::control::Tags;
use reeld_model::{
    AccountSid, CallSid, Channels, EndedBy, RecordingSid, SAMPLE_RATE, TrackQuality,
    TrackSelection, TrackStats, Trim,
};
use serde::{Deserialize, Serialize};

use crate::{Action, Subscription};

/// What the API knows of a recording when it starts one.
#[derive(Debug, Clone)]
pub struct NewRecording {
    /// Its name, from the system's CSPRNG.
    pub sid: RecordingSid,
    /// Whose it is.
    pub account: AccountSid,
    /// The call it is of.
    pub call: CallSid,
    /// What the call was opened with.
    pub parties: Parties,
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
    /// What signalled its call says of it: a JSON object as text, empty where nothing did.
    pub signalling_json: String,
    /// `I-Twilio-Idempotency-Token`, if given.
    pub idempotency_token: Option<String>,
    /// Who is to be told of it.
    pub subscription: Option<Subscription>,
    /// Who is asked what to do next when it has ended.
    pub action: Option<Action>,
}

/// What a call was opened with beside its name, kept with its recordings so that it outlives the
/// call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Parties {
    /// Who calls.
    pub from: Option<String>,
    /// Who is called.
    pub to: Option<String>,
    /// The call's name elsewhere, if its CallSid was made from one.
    pub external_id: Option<String>,
}

/// What started a recording: Twilio's `source`.
///
/// A record on disk holds this by its position: add at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Started by the control API: `StartCallRecordingAPI`.
    ControlApi,
    /// With a `<Record>` parameter: `RecordVerb`.
    RecordVerb,
    /// From a file (`reeld import`): `StartCallRecordingAPI` to Twilio's clients.
    Import,
    /// By a recording client's call (SIPREC): `Trunking` to Twilio's clients.
    Siprec,
    /// By a call of an rtpengine that is followed: `Trunking` to Twilio's clients.
    Rtpengine,
    /// By an AudioSocket connection (Asterisk): `Trunking` to Twilio's clients.
    AudioSocket,
    /// By RTP that came to an open port: `Trunking` to Twilio's clients.
    OpenPort,
}

/// Where a recording is in its life.
///
/// A record on disk holds this by its position: add at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Being recorded, or its file being finished: a take is in the spool.
    Live,
    /// Its media can be fetched.
    Completed,
    /// It ended without a packet: no media.
    Absent,
    /// It was deleted: its media are gone, its record is kept for a while.
    Deleted,
}

/// What is known of a recording beside what was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marks {
    /// Since when it is on legal hold, milliseconds since the Unix epoch: nothing deletes it.
    pub held_ms: Option<i64>,
    /// What is wrong with its media, which are not served while it is.
    pub damage: Option<String>,
}

/// A recording's record. Held by postcard behind a version byte: a change of its fields, or of
/// those of what it holds, is another version (`stored`).
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
    /// When the record last changed, milliseconds since the Unix epoch; of a deleted recording, when
    /// it was deleted.
    pub updated_ms: i64,
    /// The wall-clock time of the file's first frame, milliseconds since the Unix epoch.
    pub started_ms: Option<i64>,
    /// Length in frames at `rate_hz`; 0 while live.
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
    /// What else happened to each track, indexed by `Track::index`; empty for a recording that was
    /// finished by recovery.
    pub quality: [TrackQuality; 2],
    /// Frames a second; [`SAMPLE_RATE`] while live, since only its first sound decides.
    pub rate_hz: u32,
    /// What its call was opened with.
    pub parties: Parties,
    /// What signalled its call says of it: a JSON object as text, empty where nothing did. It changes for as
    /// long as the recording is live.
    #[serde(skip)]
    pub signalling_json: String,
    /// Its marks; they change after its end, and are not in what lies with its media.
    #[serde(skip)]
    pub marks: Marks,
}

impl Record {
    /// Length in milliseconds, rounded half up.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        self.ms_of(self.frames)
    }

    /// Milliseconds of `frames` of its file, or of samples of its timeline, rounded half up.
    #[must_use]
    pub fn ms_of(&self, frames: u64) -> u64 {
        ms_of(frames, self.rate_hz)
    }

    /// Twilio's `Duration`: whole seconds, rounded half up, at least 1 where there is audio
    /// (contract.md, "Words").
    #[must_use]
    pub fn duration_seconds(&self) -> u64 {
        let rate = divisor(self.rate_hz);
        let rounded = (self.frames + rate / 2) / rate;
        if self.frames > 0 { rounded.max(1) } else { 0 }
    }

    /// Bytes of sample data: frames × channels × 2.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.frames * u64::from(self.channels.count()) * 2
    }
}

/// Milliseconds of `frames` at `rate_hz`, rounded half up.
#[must_use]
pub fn ms_of(frames: u64, rate_hz: u32) -> u64 {
    let rate = u128::from(divisor(rate_hz));
    let ms = (u128::from(frames) * 1_000 + rate / 2) / rate;
    u64::try_from(ms).unwrap_or(u64::MAX)
}

/// A rate to divide by.
fn divisor(rate_hz: u32) -> u64 {
    u64::from(if rate_hz == 0 { SAMPLE_RATE } else { rate_hz })
}
