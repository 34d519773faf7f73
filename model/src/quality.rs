//! What happened to a track's sound beyond its counts: what goes with each recording as `quality`.

use serde::{Deserialize, Serialize};

/// Concealed ranges that a record names for each track; what is beyond is counted only.
pub const MOST_CONCEALED: usize = 256;

/// Names (codecs, sources) that a record keeps for each track.
pub const MOST_NAMES: usize = 16;

/// What happened to one track in one recording.
///
/// A record on disk holds this in postcard's order: a new field is another version of the record
/// (`store/src/stored.rs`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrackQuality {
    /// The longest time between two packets of sound, in milliseconds.
    pub longest_gap_ms: u64,
    /// Interarrival jitter at the recording's end (RFC 3550 §6.4.1), in microseconds.
    pub jitter_us: u64,
    /// How much faster the sender's clock runs than ours, in parts per billion; `None` where the
    /// track was too short to say.
    pub drift_ppb: Option<i64>,
    /// Codecs that were heard, by their SDP names, in the order of their coming.
    pub codecs: Vec<String>,
    /// Payload types that could not be decoded, each with its name if an SDP gave one: `18 G729`.
    pub undecodable: Vec<String>,
    /// Sources that were listened to, in the order of their coming: `address:port`.
    pub sources: Vec<String>,
    /// Ranges of the file that were concealed, in order; at most [`MOST_CONCEALED`].
    pub concealed: Vec<ConcealedRange>,
    /// The SRTP crypto suite that its sound came under, by its name in SDP (`AES_CM_128_HMAC_SHA1_80`), the last
    /// one of several; `None` where it came as RTP.
    #[serde(default)]
    pub srtp: Option<String>,
}

/// A range of a recording's file that stands for lost packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConcealedRange {
    /// Its first frame in the file.
    pub from_frame: u64,
    /// Its length in frames.
    pub frames: u64,
}
