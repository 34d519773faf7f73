//! A recording's rules, its live status with the legal steps, and what its end says.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Channels, RecordingSid, TrackQuality, TrackSelection, TrackStats};

/// What capture needs to know to start a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRecording {
    /// The recording's name, made by the API.
    pub sid: RecordingSid,
    /// How the tracks lie in the file.
    pub channels: Channels,
    /// Which tracks are in it.
    pub track: TrackSelection,
    /// Whether leading and trailing silence goes.
    pub trim: Trim,
    /// When it ends by itself.
    pub rules: Rules,
    /// A beep that the caller hears before it begins, if there is one.
    pub beep: Option<Beep>,
}

impl StartRecording {
    /// A recording that is merely started: not trimmed, no rules, no beep.
    #[must_use]
    pub fn new(sid: RecordingSid, channels: Channels, track: TrackSelection) -> Self {
        Self {
            sid,
            channels,
            track,
            trim: Trim::DoNotTrim,
            rules: Rules::default(),
            beep: None,
        }
    }
}

/// `PlayBeep`: from what the RTP stream of a beep starts, which is random (RFC 3550 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beep {
    /// Its SSRC.
    pub ssrc: u32,
    /// Its first sequence number.
    pub sequence: u16,
    /// Its first time stamp.
    pub timestamp: u32,
}

/// When a recording ends by itself: the `<Record>` verb's parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rules {
    /// End after this much *received* silence; `None` is off. It never fires where no RTP came
    /// (twilio.md §3).
    pub timeout: Option<Duration>,
    /// End when one of these keys is pressed; empty is off.
    pub finish_on_key: String,
    /// End when the file has this length; `None` leaves `capture.max_length` alone.
    pub max_length: Option<Duration>,
}

/// Twilio's `Trim`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trim {
    /// Leading and trailing silence is cut off.
    TrimSilence,
    /// The file has all of the recording's time.
    DoNotTrim,
}

/// Twilio's `PauseBehavior`: what a pause leaves in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PauseBehavior {
    /// Nothing: the time is cut out.
    Skip,
    /// Silence of the pause's length.
    #[default]
    Silence,
}

/// The status of a recording that capture still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LiveStatus {
    /// It takes what comes.
    InProgress,
    /// It takes nothing until it is resumed.
    Paused,
    /// It has ended; its file is being finished or is finished.
    Stopped,
}

impl LiveStatus {
    /// Whether the API may ask for `to` while this is the status. Asking for the status that is
    /// there already is legal and changes nothing; nothing follows a stop but another stop.
    #[must_use]
    pub const fn allows(self, to: Self) -> bool {
        match self {
            Self::InProgress | Self::Paused => true,
            Self::Stopped => matches!(to, Self::Stopped),
        }
    }

    /// The name that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in-progress",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a recording ended: `ended_by` in its record.
///
/// A record on disk holds this by its position: add at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// `Status=stopped`.
    Stopped,
    /// Received silence for `Timeout` seconds.
    Timeout,
    /// A key of `FinishOnKey`.
    Key,
    /// `MaxLength`, or `capture.max_length`.
    MaxLength,
    /// The file came near RIFF's 4 GiB.
    MaxSize,
    /// A trusted RTCP BYE.
    Bye,
    /// No packet for `capture.inactivity`.
    Inactivity,
    /// No packet at all within `capture.first_packet`.
    NoPackets,
    /// The call was ended.
    CallCompleted,
    /// The daemon was stopped.
    Shutdown,
    /// The daemon died; start-up finished the file with what had been written.
    Recovered,
    /// The disk took no more.
    DiskFull,
    /// It came from a file (`reeld import`).
    Imported,
    /// The disk failed.
    DiskFailed,
}

impl EndedBy {
    /// The name that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Timeout => "timeout",
            Self::Key => "key",
            Self::MaxLength => "max-length",
            Self::MaxSize => "max-size",
            Self::Bye => "bye",
            Self::Inactivity => "inactivity",
            Self::NoPackets => "no-packets",
            Self::CallCompleted => "call-completed",
            Self::Shutdown => "shutdown",
            Self::Recovered => "recovered",
            Self::DiskFull => "disk-full",
            Self::Imported => "imported",
            Self::DiskFailed => "disk-failed",
        }
    }
}

/// What is known of a recording at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Why it ended.
    pub ended_by: EndedBy,
    /// The file's length in frames (one sample a channel) at `rate_hz`, trimmed if it is trimmed.
    /// Zero frames and no packet: the recording is absent.
    pub frames: u64,
    /// Keys pressed while it ran, in order.
    pub digits: String,
    /// Counts of each track, indexed by [`crate::Track::index`], from start to end of the recording.
    pub tracks: [TrackStats; 2],
    /// What else happened to each track, indexed likewise.
    pub quality: [TrackQuality; 2],
    /// Frames a second: 8,000, or the codec's own with `capture.rate = "native"`.
    pub rate_hz: u32,
}
