//! A recording as `reeld show` has it: what its record says, under the names of the API's JSON
//! (`docs/ref/api.md`), with `quality` for what the API has in `tracks`.
//!
//! `work` makes it, `message` carries it, `cli::show` prints it. Nothing is read here.

use jiff::Timestamp;
use reeld_model::{
    AccountSid, CallSid, EndedBy, RecordingSid, TrackQuality, TrackSelection, TrackStats,
};
use reeld_store::{Record, Stage, ms_of};
use serde::{Deserialize, Serialize};

/// A recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its name.
    pub sid: RecordingSid,
    /// The call it is of.
    pub call_sid: CallSid,
    /// Whose it is.
    pub account_sid: AccountSid,
    /// `processing`, `completed` or `absent`.
    pub status: String,
    /// Who called.
    pub from: Option<String>,
    /// Who was called.
    pub to: Option<String>,
    /// The call's name elsewhere.
    pub external_id: Option<String>,
    /// When it was asked for, RFC 3339.
    pub date_created: Option<Timestamp>,
    /// When its record last changed.
    pub date_updated: Option<Timestamp>,
    /// When its first frame was.
    pub start_time: Option<Timestamp>,
    /// Its length in milliseconds.
    pub duration_ms: u64,
    /// Its length in frames at `rate_hz`.
    pub frames: u64,
    /// 1 or 2.
    pub channels: u16,
    /// Its tracks.
    pub track: TrackSelection,
    /// Frames a second.
    pub rate_hz: u32,
    /// Why it ended; none while it runs.
    pub ended_by: Option<EndedBy>,
    /// Whether it was finished by recovery.
    pub recovered: bool,
    /// Keys pressed while it ran.
    pub digits: String,
    /// BLAKE3 of its samples (what follows the WAV's 44 bytes of header), hexadecimal.
    pub blake3: Option<String>,
    /// Since when it is on legal hold.
    #[serde(default)]
    pub held_since: Option<Timestamp>,
    /// What is wrong with its media, which are not served.
    #[serde(default)]
    pub damaged: Option<String>,
    /// The user's tags.
    pub tags: serde_json::Value,
    /// What happened to each track.
    pub quality: Quality,
}

/// What happened to each track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// To what the caller says.
    pub inbound: Track,
    /// To what the caller hears.
    pub outbound: Track,
}

/// What happened to a track: [`TrackStats`] and [`TrackQuality`] in units for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/ref/api.md has each, under these names")]
pub struct Track {
    pub packets: u64,
    pub payload_bytes: u64,
    pub lost: u64,
    pub reordered: u64,
    pub duplicates: u64,
    pub late: u64,
    pub foreign: u64,
    #[serde(default)]
    pub unauthentic: u64,
    pub malformed: u64,
    pub stun: u64,
    pub rtcp: u64,
    pub undecodable: u64,
    pub events: u64,
    pub comfort_noise: u64,
    pub segments: u64,
    pub kernel_dropped: u64,
    pub concealed_ms: u64,
    pub filled_ms: u64,
    pub corrected_ms: u64,
    pub longest_gap_ms: u64,
    pub jitter_ms: f64,
    pub drift_ppm: Option<f64>,
    pub codecs: Vec<String>,
    pub undecodable_types: Vec<String>,
    pub sources: Vec<String>,
    pub concealed_ranges: Vec<[u64; 2]>,
    #[serde(default)]
    pub srtp: Option<String>,
}

impl From<Record> for Shown {
    fn from(record: Record) -> Self {
        let [inbound, outbound] =
            [0, 1].map(|i| Track::of(&record.tracks[i], &record.quality[i], record.rate_hz));
        // Written by the API as JSON; were it ever damaged, its text would still be shown.
        let tags = match record.tags_json.as_str() {
            "" => serde_json::Map::new().into(),
            text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        };
        let status = match record.stage {
            Stage::Live => "processing",
            Stage::Completed => "completed",
            Stage::Absent => "absent",
            Stage::Deleted => "deleted",
        };
        let instant = |ms| Timestamp::from_millisecond(ms).ok();
        Self {
            sid: record.sid,
            call_sid: record.call,
            account_sid: record.account,
            status: status.to_owned(),
            date_created: instant(record.created_ms),
            date_updated: instant(record.updated_ms),
            start_time: record.started_ms.and_then(instant),
            duration_ms: record.duration_ms(),
            frames: record.frames,
            channels: record.channels.count(),
            track: record.track,
            rate_hz: record.rate_hz,
            ended_by: record.ended_by,
            recovered: record.recovered,
            digits: record.digits,
            blake3: record.blake3.map(hex::encode),
            held_since: record.marks.held_ms.and_then(instant),
            damaged: record.marks.damage,
            tags,
            quality: Quality { inbound, outbound },
            from: record.parties.from,
            to: record.parties.to,
            external_id: record.parties.external_id,
        }
    }
}

impl Track {
    fn of(stats: &TrackStats, quality: &TrackQuality, rate_hz: u32) -> Self {
        // Destructured, so that what is new cannot be forgotten.
        let TrackStats {
            packets,
            payload_bytes,
            lost,
            duplicates,
            late,
            reordered,
            foreign,
            malformed,
            stun,
            rtcp,
            undecodable,
            events,
            comfort_noise,
            segments,
            kernel_dropped,
            concealed,
            filled,
            corrected,
            unauthentic,
        } = *stats;
        let TrackQuality {
            longest_gap_ms,
            jitter_us,
            drift_ppb,
            codecs,
            undecodable: undecodable_types,
            sources,
            concealed: ranges,
            srtp,
        } = quality;
        #[expect(clippy::cast_precision_loss, reason = "it is shown with three places")]
        let (jitter_ms, drift_ppm) = (
            *jitter_us as f64 / 1_000.0,
            drift_ppb.map(|ppb| ppb as f64 / 1_000.0),
        );
        let ranges = ranges.iter().map(|range| {
            let end = range.from_frame.saturating_add(range.frames);
            [range.from_frame, end].map(|frame| ms_of(frame, rate_hz))
        });
        Self {
            packets,
            payload_bytes,
            lost,
            reordered,
            duplicates,
            late,
            foreign,
            unauthentic,
            malformed,
            stun,
            rtcp,
            undecodable,
            events,
            comfort_noise,
            segments,
            kernel_dropped,
            concealed_ms: ms_of(concealed, rate_hz),
            filled_ms: ms_of(filled, rate_hz),
            corrected_ms: ms_of(corrected, rate_hz),
            longest_gap_ms: *longest_gap_ms,
            jitter_ms,
            drift_ppm,
            codecs: codecs.clone(),
            undecodable_types: undecodable_types.clone(),
            sources: sources.clone(),
            concealed_ranges: ranges.collect(),
            srtp: srtp.clone(),
        }
    }
}
