//! Version 1 of a record's bytes, read and never written: what reeld kept before it told of a
//! recording's quality and rate.
//!
//! Called by [`super::Stored::decode`]. A private copy of the old layout, so that `Record` and
//! `TrackStats` may change; the enums within it only ever grew at their ends.

use reeld_model::{
    AccountSid, CallSid, Channels, EndedBy, RecordingSid, SAMPLE_RATE, TrackSelection, TrackStats,
    Trim,
};
use serde::Deserialize;

use crate::{Origin, Record, Stage};

pub(super) const VERSION: u8 = 1;

#[derive(Deserialize)]
pub(super) struct Stored {
    record: OldRecord,
    token: Option<[u8; 16]>,
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
}

#[derive(Deserialize)]
struct OldStats {
    packets: u64,
    payload_bytes: u64,
    lost: u64,
    duplicates: u64,
    late: u64,
    reordered: u64,
    foreign: u64,
    malformed: u64,
    stun: u64,
    rtcp: u64,
    undecodable: u64,
    events: u64,
    comfort_noise: u64,
    segments: u64,
    kernel_dropped: u64,
}

impl From<Stored> for super::Stored {
    fn from(Stored { record, token }: Stored) -> Self {
        let OldRecord {
            sid,
            account,
            call,
            stage,
            channels,
            track,
            trim,
            origin,
            created_ms,
            updated_ms,
            started_ms,
            frames,
            ended_by,
            recovered,
            blake3,
            digits,
            tracks,
            tags_json,
        } = record;
        let record = Record {
            sid,
            account,
            call,
            stage,
            channels,
            track,
            trim,
            origin,
            created_ms,
            updated_ms,
            started_ms,
            frames,
            ended_by,
            recovered,
            blake3,
            digits,
            tracks: tracks.map(Into::into),
            tags_json,
            quality: Default::default(),
            rate_hz: SAMPLE_RATE,
            parties: Default::default(),
            signalling_json: String::new(),
            marks: Default::default(),
        };
        Self { record, token }
    }
}

impl From<OldStats> for TrackStats {
    fn from(old: OldStats) -> Self {
        let OldStats {
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
        } = old;
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
            concealed: 0,
            filled: 0,
            corrected: 0,
            unauthentic: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::super::{Stored, VERSION};
    use super::*;

    /// What commit 06cb6c9 wrote: the record of [`sample`] as it was then, its 30 counts 50, 100,
    /// 150 and so on.
    const BYTES: &str = "\
        0100000000000000000000000000000001000000000000000000000000000000020000000000000000000000\
        0000000003010102000080a0abfef962c0c9b2fef96201c8a1abfef96280a61d010000010707070707070707\
        0707070707070707070707070707070707070707070707070331322332649601c801fa01ac02de029003c203\
        f403a604d8048a05bc05ee05a006d2068407b607e8079a08cc08fe08b009e209940ac60af80aaa0bdc0b097b\
        2261223a2262227d013ae7d805f6789a6402acb70ad4096a85";

    #[test]
    fn a_record_of_version_1_is_read_and_written_as_the_present_one() {
        let mut wanted = sample();
        let record = &mut wanted.record;
        record.quality = Default::default();
        record.parties = Default::default();
        record.rate_hz = 8_000;
        record.signalling_json.clear();
        for (track, first) in record.tracks.iter_mut().zip([1, 16]) {
            let count = |nth: u64| 50 * (first + nth);
            *track = TrackStats {
                packets: count(0),
                payload_bytes: count(1),
                lost: count(2),
                duplicates: count(3),
                late: count(4),
                reordered: count(5),
                foreign: count(6),
                malformed: count(7),
                stun: count(8),
                rtcp: count(9),
                undecodable: count(10),
                events: count(11),
                comfort_noise: count(12),
                segments: count(13),
                kernel_dropped: count(14),
                ..TrackStats::default()
            };
        }
        let bytes = hex::decode(BYTES).unwrap();
        let read = Stored::decode(&bytes).unwrap();
        assert_eq!(read, wanted);
        let written = read.encode();
        assert_eq!(written[0], VERSION);
        assert_eq!(Stored::decode(&written), Some(wanted));
        assert_eq!(Stored::decode(&bytes[..bytes.len() - 1]), None);
    }
}
