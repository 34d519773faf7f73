//! A record as it lies on disk: its bytes in the catalog, and the frame around them in a file.
//!
//! Called by the catalog, the spool (start files), the media (trailers), recovery and verify. It
//! calls postcard and BLAKE3. Where bytes are kept does not belong here.
//!
//! Bytes: a version, then postcard (older versions are read by `v1` and `v4`). Frame, so that it can be found at the end of a file and a torn
//! one told apart: `HEAD`, bytes, their length (u32, little-endian), the first 16 bytes of their
//! BLAKE3, `TAIL`. `docs/ref/storage.md` is the reference.

use serde::Deserialize;

use crate::{Marks, Record, Stage};

mod v1;
mod v4;

/// The version of [`Stored`]'s bytes: record, token, [`Marks`], what signalled its call says. Another layout is
/// another version, read beside this one.
const VERSION: u8 = 5;

/// Opens a frame. It is not sound by accident: no 16 bytes of a call are these.
const HEAD: &[u8; 16] = b"\0\xffreeld\xff\0record\0";

/// Closes a frame.
const TAIL: &[u8; 8] = b"reeldEND";

const CHECK_BYTES: usize = 16;

/// What follows the bytes in a frame.
const FOOT_BYTES: usize = 4 + CHECK_BYTES + TAIL.len();

/// How far from a file's end a frame may begin; a record with its tags is far smaller.
pub(crate) const MAX_FRAME_BYTES: u64 = 1 << 18;

/// What the store keeps of a recording: its record, and what only the store needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    /// What callers see.
    pub(crate) record: Record,
    /// The idempotency token that began it, as [`token_hash`] has it.
    pub(crate) token: Option<[u8; 16]>,
}

/// A token as it is kept: of one length, and not to be read back.
pub(crate) fn token_hash(token: &str) -> [u8; 16] {
    let mut hash = [0; 16];
    blake3::Hasher::new()
        .update(token.as_bytes())
        .finalize_xof()
        .fill(&mut hash);
    hash
}

impl Stored {
    /// The bytes that [`Stored::decode`] reads.
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(
            &(
                &self.record,
                self.token,
                &self.record.marks,
                &self.record.signalling_json,
            ),
            vec![VERSION],
        )
        .expect("a record has no part that postcard refuses, and a Vec takes every byte")
    }

    /// `None` where the bytes are damaged or of an unknown version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, body) = bytes.split_first()?;
        match *version {
            VERSION => whole(body).map(
                |(record, token, marks, signalling_json): (Record, _, Marks, String)| Self {
                    record: Record {
                        marks,
                        signalling_json,
                        ..record
                    },
                    token,
                },
            ),
            v4::VERSION | v4::UNSIGNALLED | v4::UNMARKED => v4::decode(*version, body),
            v1::VERSION => whole::<v1::Stored>(body).map(Into::into),
            _ => None,
        }
    }

    /// What is kept of it once it has been deleted. Its token is free for another recording.
    pub(crate) fn deleted(&self, deleted_ms: i64) -> Self {
        let mut record = self.record.clone();
        record.stage = Stage::Deleted;
        record.marks = Marks::default();
        record.updated_ms = deleted_ms;
        Self {
            record,
            token: None,
        }
    }

    /// Whether its media are marked as damaged.
    pub(crate) const fn is_damaged(&self) -> bool {
        self.record.marks.damage.is_some()
    }

    /// Whether it is what `other` is, but for marks, which do not lie with the media.
    pub(crate) fn is_but_for_marks(&self, other: &Self) -> bool {
        let unmarked = |stored: &Self| {
            let mut stored = stored.clone();
            stored.record.marks = Marks::default();
            stored
        };
        self == other || unmarked(self) == unmarked(other)
    }

    /// The frame that [`Stored::from_frame`] reads.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let bytes = self.encode();
        let length = u32::try_from(bytes.len()).expect("a record is far below 4 GiB");
        [
            HEAD.as_slice(),
            &bytes,
            &length.to_le_bytes(),
            &check(&bytes),
            TAIL,
        ]
        .concat()
    }

    /// The record in the frame at the end of `bytes`, which may have anything before it.
    pub(crate) fn from_frame(bytes: &[u8]) -> Option<Self> {
        let (rest, foot) = bytes.split_at(bytes.len().checked_sub(FOOT_BYTES)?);
        let (length, foot) = foot.split_first_chunk::<4>()?;
        let (sum, tail) = foot.split_at(CHECK_BYTES);
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (rest, body) = rest.split_at(rest.len().checked_sub(length)?);
        (tail == TAIL && rest.ends_with(HEAD) && sum == check(body))
            .then(|| Self::decode(body))
            .flatten()
    }
}

/// Where a frame, whole or torn, begins in `bytes`, if one does.
pub(crate) fn find_frame(bytes: &[u8]) -> Option<usize> {
    bytes.windows(HEAD.len()).position(|window| window == HEAD)
}

/// What all of the bytes mean, and not a part of them.
fn whole<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(value)
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let mut sum = [0; CHECK_BYTES];
    blake3::Hasher::new()
        .update(bytes)
        .finalize_xof()
        .fill(&mut sum);
    sum
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use reeld_model::{
        Channels, ConcealedRange, EndedBy, TrackQuality, TrackSelection, TrackStats, Trim,
    };

    use super::*;
    use crate::{Origin, Parties};

    pub(crate) fn sample() -> Stored {
        let record = Record {
            sid: "RE00000000000000000000000000000001".parse().unwrap(),
            account: "AC00000000000000000000000000000002".parse().unwrap(),
            call: "CA00000000000000000000000000000003".parse().unwrap(),
            stage: Stage::Completed,
            channels: Channels::Dual,
            track: TrackSelection::Both,
            trim: Trim::TrimSilence,
            origin: Origin::ControlApi,
            created_ms: 1_700_000_000_000,
            updated_ms: 1_700_000_060_000,
            started_ms: Some(1_700_000_000_100),
            frames: 480_000,
            ended_by: Some(EndedBy::Stopped),
            recovered: false,
            blake3: Some([7; 32]),
            digits: "12#".to_owned(),
            tracks: [TrackStats {
                packets: 3_000,
                ..TrackStats::default()
            }; 2],
            tags_json: r#"{"a":"b"}"#.to_owned(),
            quality: [
                TrackQuality {
                    longest_gap_ms: 5_010,
                    jitter_us: 1_234,
                    drift_ppb: Some(-201_000),
                    codecs: vec!["PCMU".to_owned()],
                    undecodable: vec!["18 G729".to_owned()],
                    sources: vec!["127.0.0.1:4000".to_owned()],
                    concealed: vec![ConcealedRange {
                        from_frame: 16_000,
                        frames: 320,
                    }],
                    srtp: Some("AES_CM_128_HMAC_SHA1_80".to_owned()),
                },
                TrackQuality::default(),
            ],
            rate_hz: 16_000,
            parties: Parties {
                from: Some("+15551234567".to_owned()),
                to: None,
                external_id: None,
            },
            signalling_json: r#"{"participants":[]}"#.to_owned(),
            marks: Marks::default(),
        };
        Stored {
            record,
            token: Some(token_hash("x")),
        }
    }

    #[test]
    fn a_record_comes_back_and_is_small() {
        let stored = sample();
        let bytes = stored.encode();
        assert_eq!(Stored::decode(&bytes), Some(stored.clone()));
        assert!(bytes.len() < 332, "{} bytes", bytes.len());
        let mut file = b"any sound before it".to_vec();
        file.extend(stored.frame());
        assert_eq!(Stored::from_frame(&file), Some(stored));
        assert_eq!(find_frame(&file), Some(19));
    }

    #[test]
    fn marks_come_back() {
        let mut stored = sample();
        stored.record.signalling_json.clear();
        stored.record.marks = Marks {
            held_ms: Some(7),
            damage: Some("its samples have another checksum".to_owned()),
        };
        let back = Stored::decode(&stored.encode()).unwrap();
        assert_eq!(back, stored);
        assert_ne!(back, sample());
        stored.record.marks = Marks::default();
        assert!(back.is_but_for_marks(&stored));
        assert!(!back.is_but_for_marks(&sample()), "signalling is no mark");
        assert_eq!(back.deleted(1).record.marks, Marks::default());
    }

    #[test]
    fn another_version_and_cut_bytes_are_refused() {
        let mut bytes = sample().encode();
        assert_eq!(Stored::decode(&bytes[..bytes.len() - 1]), None);
        bytes[0] = VERSION + 1;
        assert_eq!(Stored::decode(&bytes), None);
        assert_eq!(Stored::decode(&[]), None);
    }

    proptest! {
        #[test]
        fn a_changed_frame_is_refused(at in 0_usize..400, bit in 0_u8..8) {
            let mut frame = sample().frame();
            let at = at % frame.len();
            frame[at] ^= 1 << bit;
            prop_assert_eq!(Stored::from_frame(&frame), None);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Stored::decode(&bytes);
            let _ = Stored::from_frame(&bytes);
        }
    }
}
