//! Versions 2 to 4 of a record's bytes, read and never written: what reeld kept before it told of SRTP. They have
//! one layout of the record; 3 has marks behind the token, and 4 what signalled the call behind these.
//!
//! Called by [`super::Stored::decode`]. A private copy of the old layout, as `v1` is.

use reeld_model::{
    AccountSid, CallSid, Channels, ConcealedRange, EndedBy, RecordingSid, TrackQuality,
    TrackSelection, TrackStats, Trim,
};
use serde::Deserialize;

use super::{Stored, whole};
use crate::{Marks, Origin, Parties, Record, Stage};

pub(super) const VERSION: u8 = 4;
/// Without what signalled the call.
pub(super) const UNSIGNALLED: u8 = 3;
/// And without marks.
pub(super) const UNMARKED: u8 = 2;

/// `None` where the bytes are damaged.
pub(super) fn decode(version: u8, body: &[u8]) -> Option<Stored> {
    let (record, token, marks, signalling_json): (OldRecord, _, Marks, String) = match version {
        UNMARKED => {
            let (record, token) = whole(body)?;
            (record, token, Marks::default(), String::new())
        }
        UNSIGNALLED => {
            let (record, token, marks) = whole(body)?;
            (record, token, marks, String::new())
        }
        _ => whole(body)?,
    };
    let record = Record {
        marks,
        signalling_json,
        ..record.into()
    };
    Some(Stored { record, token })
}

#[derive(Deserialize)]
struct OldRecord {
    sid: RecordingSid,
    account: AccountSid,
    call: CallSid,
    stage: Stage,
    channels: Channels,
    track: TrackSelection,
    trim: Trim,
    origin: Origin,
    created_ms: i64,
    updated_ms: i64,
    started_ms: Option<i64>,
    frames: u64,
    ended_by: Option<EndedBy>,
    recovered: bool,
    blake3: Option<[u8; 32]>,
    digits: String,
    tracks: [OldStats; 2],
    tags_json: String,
    quality: [OldQuality; 2],
    rate_hz: u32,
    parties: Parties,
}

/// The counts, in the order of `TrackStats`, without its last.
#[derive(Deserialize)]
struct OldStats([u64; 18]);

#[derive(Deserialize)]
struct OldQuality {
    longest_gap_ms: u64,
    jitter_us: u64,
    drift_ppb: Option<i64>,
    codecs: Vec<String>,
    undecodable: Vec<String>,
    sources: Vec<String>,
    concealed: Vec<ConcealedRange>,
}

impl From<OldRecord> for Record {
    fn from(old: OldRecord) -> Self {
        Self {
            sid: old.sid,
            account: old.account,
            call: old.call,
            stage: old.stage,
            channels: old.channels,
            track: old.track,
            trim: old.trim,
            origin: old.origin,
            created_ms: old.created_ms,
            updated_ms: old.updated_ms,
            started_ms: old.started_ms,
            frames: old.frames,
            ended_by: old.ended_by,
            recovered: old.recovered,
            blake3: old.blake3,
            digits: old.digits,
            tracks: old.tracks.map(Into::into),
            tags_json: old.tags_json,
            quality: old.quality.map(Into::into),
            rate_hz: old.rate_hz,
            parties: old.parties,
            signalling_json: String::new(),
            marks: Marks::default(),
        }
    }
}

impl From<OldStats> for TrackStats {
    fn from(OldStats(counts): OldStats) -> Self {
        let [
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
        ] = counts;
        Self {
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
            unauthentic: 0,
        }
    }
}

impl From<OldQuality> for TrackQuality {
    fn from(old: OldQuality) -> Self {
        Self {
            longest_gap_ms: old.longest_gap_ms,
            jitter_us: old.jitter_us,
            drift_ppb: old.drift_ppb,
            codecs: old.codecs,
            undecodable: old.undecodable,
            sources: old.sources,
            concealed: old.concealed,
            srtp: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::super::{Stored, VERSION as PRESENT};
    use super::*;

    /// The record of [`sample`] in version 4, but for what that has not: put together from what commit 06cb6c9
    /// wrote of it in version 1 (`v1`) and the fields that came behind.
    const BYTES: &str = "\
        0400000000000000000000000000000001000000000000000000000000000000020000000000000000000000\
        0000000003010102000080a0abfef962c0c9b2fef96201c8a1abfef96280a61d010000010707070707070707\
        07070707070707070707070707070707070707070707070703313223b8170000000000000000000000000000\
        000000b8170000000000000000000000000000000000097b2261223a2262227d9227d20901cfc41801045043\
        4d55010731382047373239010e3132372e302e302e313a3430303001807dc00200000000000000807d010c2b\
        31353535313233343536370000013ae7d805f6789a6402acb70ad4096a850000137b22706172746963697061\
        6e7473223a5b5d7d";

    #[test]
    fn records_of_versions_2_to_4_are_read_and_written_as_the_present_one() {
        let mut wanted = sample();
        wanted.record.quality[0].srtp = None;
        let bytes = hex::decode(BYTES).unwrap();
        assert_eq!(Stored::decode(&bytes), Some(wanted.clone()));
        assert_eq!(Stored::decode(&bytes[..bytes.len() - 1]), None);
        let written = wanted.encode();
        assert_eq!(written[0], PRESENT);
        assert_eq!(Stored::decode(&written), Some(wanted.clone()));

        // The one before had nothing behind the marks, which are two zeros here, and the first not these.
        let signalling = wanted.record.signalling_json.len() + 1;
        wanted.record.signalling_json.clear();
        for (version, cut) in [(UNSIGNALLED, signalling), (UNMARKED, signalling + 2)] {
            let mut old = bytes[..bytes.len() - cut].to_vec();
            old[0] = version;
            assert_eq!(Stored::decode(&old), Some(wanted.clone()), "{version}");
            old.push(0);
            assert_eq!(Stored::decode(&old), None);
        }
    }
}
