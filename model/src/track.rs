//! Tracks and what a recording takes of them.

use serde::{Deserialize, Serialize};

/// One direction of a call (contract.md, "Words").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Track {
    /// What the caller says.
    Inbound,
    /// What the caller hears.
    Outbound,
}

impl Track {
    /// Both tracks, in the order of the channels of a dual recording: left, then right.
    pub const ALL: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// The track's place in [`Track::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Inbound => 0,
            Self::Outbound => 1,
        }
    }

    /// The name that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// Twilio's `RecordingTrack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackSelection {
    /// The inbound track alone.
    Inbound,
    /// The outbound track alone.
    Outbound,
    /// Both tracks.
    Both,
}

impl TrackSelection {
    /// Whether the selection has this track.
    #[must_use]
    pub const fn has(self, track: Track) -> bool {
        matches!(
            (self, track),
            (Self::Both, _) | (Self::Inbound, Track::Inbound) | (Self::Outbound, Track::Outbound)
        )
    }

    /// The name that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Both => "both",
        }
    }
}

/// Twilio's `RecordingChannels`: how the tracks lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// One channel: the tracks' sum, saturated.
    Mono,
    /// Two channels: left is inbound, right is outbound.
    Dual,
}

impl Channels {
    /// Channels in the file: 1 or 2.
    #[must_use]
    pub const fn count(self) -> u16 {
        match self {
            Self::Mono => 1,
            Self::Dual => 2,
        }
    }

    /// The name that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mono => "mono",
            Self::Dual => "dual",
        }
    }
}
