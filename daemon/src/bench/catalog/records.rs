//! The records that the catalog is filled with: of a real one's size, told by a seed.
//!
//! Called by `catalog` and its parts; it calls nobody. Nothing is kept of them: record N is made anew
//! whenever it is asked for.

use std::ops::Range;

use reeld_model::{
    AccountSid, CallSid, Channels, EndedBy, RecordingSid, SAMPLE_RATE, TrackQuality,
    TrackSelection, TrackStats, Trim,
};
use reeld_store::{Origin, Parties, Record, Stage};

use crate::caller::Seeded;

/// Just behind the last recording: the start of a day (UTC), milliseconds since the Unix epoch.
pub(super) const END_MS: i64 = 1_790_035_200_000;

const DAY_MS: i64 = 86_400_000;

/// Recordings of one call.
const OF_A_CALL: u32 = 4;

/// How the recordings lie in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Year,
    Day,
}

impl Shape {
    /// Days that have recordings.
    pub(super) const fn days(self) -> u32 {
        match self {
            Self::Year => 365,
            Self::Day => 1,
        }
    }
}

/// All of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Records {
    pub(super) account: AccountSid,
    pub(super) count: u32,
    pub(super) shape: Shape,
    pub(super) seed: u64,
}

impl Records {
    /// Those with these numbers, from older to newer, as a recorder would have made them.
    pub(super) fn each(self, numbers: Range<u32>) -> impl Iterator<Item = Record> {
        numbers.map(move |number| self.record(number))
    }

    /// The call of recording `number`.
    pub(super) fn call(self, number: u32) -> CallSid {
        CallSid::from_bytes(self.bytes(number / OF_A_CALL, 1))
    }

    pub(super) fn sid(self, number: u32) -> RecordingSid {
        RecordingSid::from_bytes(self.bytes(number, 2))
    }

    /// When recording `number` was created.
    pub(super) fn created_ms(self, number: u32) -> i64 {
        let span = i64::from(self.shape.days()) * DAY_MS;
        END_MS - span + i64::from(number) * span / i64::from(self.count)
    }

    /// A day (UTC) that has recordings, as `YYYY-MM-DD`, by its number from the oldest.
    pub(super) fn day(self, number: u32) -> anyhow::Result<String> {
        let before = i64::from(self.shape.days() - number) * DAY_MS;
        let day = jiff::Timestamp::from_millisecond(END_MS - before)?;
        Ok(day.strftime("%Y-%m-%d").to_string())
    }

    fn bytes(self, number: u32, kind: u64) -> [u8; 16] {
        let mut seeds = Seeded::new(self.seed ^ (u64::from(number) << 8) ^ (kind << 48));
        let mut bytes = [0; 16];
        for half in bytes.as_chunks_mut::<8>().0 {
            *half = seeds.next_u64().to_le_bytes();
        }
        bytes
    }

    /// Recording `number`.
    pub(super) fn record(self, number: u32) -> Record {
        let created_ms = self.created_ms(number);
        let frames = 8_000 * u64::from(10 + number % 600);
        let stats = TrackStats {
            packets: frames / 160,
            ..TrackStats::default()
        };
        let quality = TrackQuality {
            longest_gap_ms: 20,
            jitter_us: 1_200,
            codecs: vec!["PCMU".to_owned()],
            sources: vec!["192.0.2.17:40012".to_owned()],
            ..TrackQuality::default()
        };
        let mut blake3 = [0; 32];
        blake3[..16].copy_from_slice(&self.bytes(number, 3));
        blake3[16..].copy_from_slice(&self.bytes(number, 4));
        Record {
            sid: self.sid(number),
            account: self.account,
            call: self.call(number),
            stage: Stage::Completed,
            channels: Channels::Dual,
            track: TrackSelection::Both,
            trim: Trim::DoNotTrim,
            origin: Origin::ControlApi,
            created_ms,
            updated_ms: created_ms + 600_000,
            started_ms: Some(created_ms + 40),
            frames,
            ended_by: Some(EndedBy::Stopped),
            recovered: false,
            blake3: Some(blake3),
            digits: String::new(),
            tracks: [stats; 2],
            tags_json: String::new(),
            quality: [quality.clone(), quality],
            rate_hz: SAMPLE_RATE,
            parties: Parties {
                from: Some("+15551234567".to_owned()),
                to: Some("+15557654321".to_owned()),
                external_id: None,
            },
            signalling_json: String::new(),
            marks: Default::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_differ_and_times_are_inside_their_days() {
        for (shape, first, last) in [
            (Shape::Year, "2025-09-22", "2026-09-21"),
            (Shape::Day, "2026-09-21", "2026-09-21"),
        ] {
            let records = Records {
                account: AccountSid::from_bytes([1; 16]),
                count: 5_000,
                shape,
                seed: 1,
            };
            let all: Vec<_> = records.each(0..5_000).collect();
            assert!(all.is_sorted_by_key(|record| record.created_ms));
            assert!(all.iter().all(|record| record.created_ms < END_MS));
            let sids: BTreeSet<_> = all.iter().map(|record| record.sid).collect();
            let calls: BTreeSet<_> = all.iter().map(|record| record.call).collect();
            assert_eq!((sids.len(), calls.len()), (5_000, 1_250));
            let days = [
                records.day(0).unwrap(),
                records.day(shape.days() - 1).unwrap(),
            ];
            assert_eq!(days, [first, last]);
        }
    }
}
