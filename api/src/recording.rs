//! A recording as a document: the one place that says which fields it has.
//!
//! Called by `recordings` (lists, instances) and `control` (what start and update answer).
//! Fields are twilio.md §2.1's, the seed's six first, in its order.

use reeld_model::{CallView, LiveStatus, RecordingRef, TrackQuality, TrackStats};
use reeld_store::{Origin, Record, Stage, ms_of};
use serde_json::json;

use crate::call::media_field;
use crate::document::{Document, Field, Value};
use crate::face::{Face, Kind, Version};
use crate::fault::code;
use crate::path::{Resource, path_of};

/// A recording as an answer shows it.
pub(crate) struct RecordingView<'a> {
    pub(crate) record: &'a Record,
    /// What absolute links begin with.
    pub(crate) base_url: &'a str,
    /// The query that makes its `media_url` a signed link.
    pub(crate) media_query: Option<String>,
    /// Whether it is shown as one of its call's.
    pub(crate) of_call: bool,
    /// Whether each concealed range is told: not in lists, of which it would be the most.
    pub(crate) ranges: bool,
    /// What control says of it, in answers to control.
    pub(crate) live: Option<Live<'a>>,
}

/// What only control knows.
pub(crate) struct Live<'a> {
    /// `None`: capture holds it no more, the record says what it is.
    pub(crate) status: Option<LiveStatus>,
    /// Frames so far, and how many a second.
    pub(crate) frames: u64,
    pub(crate) rate_hz: u32,
    /// Its call, where that is open.
    pub(crate) call: Option<&'a CallView>,
}

impl RecordingView<'_> {
    /// The resource that the recording is shown as.
    pub(crate) fn resource(&self) -> Resource {
        let Record { sid, call, .. } = *self.record;
        if self.of_call {
            Resource::CallRecording(call, RecordingRef::Sid(sid))
        } else {
            Resource::Recording(sid)
        }
    }

    /// The fields that `face` shows, and maybe others: what no part of has a place in it is not
    /// made, since in 2008's XML that would be nine tenths of a list's work.
    pub(crate) fn document(&self, face: Face) -> Document {
        let mut fields = self.seed_fields();
        if face.shows(Kind::New) {
            fields.extend(self.new_fields());
        }
        if face.shows(Kind::Own) {
            fields.extend(self.own_fields());
        }
        fields.extend(self.control_fields());
        Document {
            name: "Recording",
            fields,
        }
    }

    fn seed_fields(&self) -> Vec<Field> {
        let record = self.record;
        let duration = match record.stage {
            Stage::Live => Value::Null,
            Stage::Completed | Stage::Absent | Stage::Deleted => {
                Value::Text(record.duration_seconds().to_string())
            }
        };
        vec![
            Field::seed("Sid", Value::Text(record.sid.to_string())),
            Field::seed("AccountSid", Value::Text(record.account.to_string())),
            Field::seed("CallSid", Value::Text(record.call.to_string())),
            Field::seed("Duration", duration),
            Field::seed("DateCreated", Value::Date(record.created_ms)),
            Field::seed("DateUpdated", Value::Date(record.updated_ms)),
        ]
    }

    /// Every documented field, null if unknown, or old SDKs fail (twilio.md §0.3).
    fn new_fields(&self) -> Vec<Field> {
        let record = self.record;
        let path = |resource| path_of(Version::V2010, record.account, &resource);
        let instance = path(Resource::Recording(record.sid));
        let too_short = || Value::Number(u64::from(code::TOO_SHORT));
        let mut media_url = format!("{}{instance}", self.base_url);
        if let Some(query) = &self.media_query {
            media_url.push('?');
            media_url.push_str(query);
        }
        let error_code = match record.stage {
            Stage::Absent => too_short(),
            // What has no sound was absent when it was deleted.
            Stage::Deleted if record.frames == 0 => too_short(),
            Stage::Live | Stage::Completed | Stage::Deleted => Value::Null,
        };
        let started_ms = record
            .started_ms
            .or((record.stage == Stage::Live).then_some(record.created_ms));
        vec![
            Field::new("ApiVersion", Value::Text(Version::V2010.as_str().into())),
            Field::new("ConferenceSid", Value::Null),
            Field::new("StartTime", Value::date(started_ms)),
            Field::new("Price", Value::Null),
            Field::new("PriceUnit", Value::Null),
            Field::new("Channels", Value::Number(record.channels.count().into())),
            Field::new("Source", Value::Text(source(record.origin).into())),
            Field::new("ErrorCode", error_code),
            Field::new("Track", Value::Text(record.track.as_str().into())),
            Field::new("Uri", Value::Uri(path(self.resource()))),
            Field::new("EncryptionDetails", Value::Null),
            Field::new(
                "SubresourceUris",
                Value::Group(
                    ["AddOnResults", "Transcriptions"]
                        .map(|name| Field::new(name, Value::Uri(format!("{instance}/{name}"))))
                        .into(),
                ),
            ),
            Field::new("MediaUrl", Value::Text(media_url)),
        ]
    }

    fn own_fields(&self) -> Vec<Field> {
        let record = self.record;
        let duration_ms = match record.stage {
            Stage::Live => self.live.as_ref().map_or(Value::Null, |live| {
                Value::Number(whole_ms(live.frames, live.rate_hz))
            }),
            Stage::Completed | Stage::Absent | Stage::Deleted => {
                Value::Number(record.duration_ms())
            }
        };
        // The record of a live one does not know either.
        let rate_hz = match record.stage {
            Stage::Live => self
                .live
                .as_ref()
                .map_or(Value::Null, |live| Value::Number(live.rate_hz.into())),
            Stage::Completed | Stage::Absent | Stage::Deleted => {
                Value::Number(record.rate_hz.into())
            }
        };
        // Written by us as JSON; were it ever damaged, its text would still be shown.
        let tags = match record.tags_json.as_str() {
            "" => Value::Json(serde_json::Map::new().into()),
            text => Value::Json(serde_json::from_str(text).unwrap_or_else(|_| text.into())),
        };
        let mut fields = vec![
            Field::own("DurationMs", duration_ms),
            Field::own(
                "EndedBy",
                Value::text(record.ended_by.map(|by| by.as_str())),
            ),
            Field::own("RateHz", rate_hz),
            Field::own("Digits", Value::Text(record.digits.clone())),
            Field::own("Recovered", Value::Flag(record.recovered)),
            Field::own("HeldSince", Value::date(record.marks.held_ms)),
            Field::own("Damaged", Value::text(record.marks.damage.as_deref())),
            Field::own("Tags", tags),
            Field::own(
                "Tracks",
                Value::Group(
                    [("Inbound", 0), ("Outbound", 1)]
                        .map(|(name, i)| Field::own(name, self.track(i)))
                        .into(),
                ),
            ),
        ];
        fields.extend(signalling_fields(&record.signalling_json, self.ranges));
        fields
    }

    /// What happened to a track, by its index.
    fn track(&self, index: usize) -> Value {
        let record = self.record;
        // Destructured, so that what is new cannot be forgotten.
        let TrackQuality {
            longest_gap_ms,
            jitter_us,
            drift_ppb,
            codecs,
            undecodable,
            sources,
            concealed,
            srtp,
        } = &record.quality[index];
        let mut fields = stats_fields(&record.tracks[index], record.rate_hz);
        fields.extend([
            Field::own("LongestGapMs", Value::Number(*longest_gap_ms)),
            Field::own("JitterMs", thousandths(i128::from(*jitter_us))),
            Field::own(
                "DriftPpm",
                drift_ppb.map_or(Value::Null, |ppb| thousandths(ppb.into())),
            ),
            Field::own("Codecs", Value::Names(codecs.clone())),
            Field::own("UndecodableTypes", Value::Names(undecodable.clone())),
            Field::own("Sources", Value::Names(sources.clone())),
            Field::own("Srtp", Value::text(srtp.as_deref())),
        ]);
        if self.ranges {
            let ranges = concealed.iter().map(|range| {
                let end = range.from_frame.saturating_add(range.frames);
                [record.ms_of(range.from_frame), record.ms_of(end)]
            });
            let ranges = Value::Json(ranges.map(|range| json!(range)).collect());
            fields.push(Field::own_json("ConcealedRanges", ranges));
        }
        Value::Group(fields)
    }

    /// The status: in 2008 only where control answers, which has no other word for it.
    fn control_fields(&self) -> Vec<Field> {
        let Some(live) = &self.live else {
            return vec![Field::own(
                "Status",
                Value::Text(status(self.record.stage).into()),
            )];
        };
        let status = live
            .status
            .map_or_else(|| status(self.record.stage), LiveStatus::as_str);
        let mut fields = vec![Field::control("Status", Value::Text(status.into()))];
        if let Some(call) = live.call {
            fields.push(media_field(call));
            if let Some(sdp) = &call.sdp {
                fields.push(Field::control("Sdp", Value::Text(sdp.clone())));
            }
        }
        fields
    }
}

/// What a GET shows (twilio.md §2.1): a live recording is `processing`.
const fn status(stage: Stage) -> &'static str {
    match stage {
        Stage::Live => "processing",
        Stage::Completed => "completed",
        Stage::Absent => "absent",
        Stage::Deleted => "deleted",
    }
}

const fn source(origin: Origin) -> &'static str {
    match origin {
        Origin::ControlApi | Origin::Import => "StartCallRecordingAPI",
        Origin::RecordVerb => "RecordVerb",
        Origin::Siprec | Origin::Rtpengine | Origin::AudioSocket | Origin::OpenPort => "Trunking",
    }
}

/// What signalled a call says of it: who took part, what was wrong, and, with `whole`, the rest.
pub(crate) fn signalling_fields(json: &str, whole: bool) -> Vec<Field> {
    let mut said = match serde_json::from_str(json) {
        Ok(serde_json::Value::Object(said)) => said,
        // Nothing did, or the text is damaged: the record is shown all the same.
        Ok(_) | Err(_) => serde_json::Map::new(),
    };
    let mut list = |name| Value::Json(said.remove(name).unwrap_or_else(|| json!([])));
    let mut fields = vec![
        Field::own_json("Participants", list("participants")),
        Field::own_json("Warnings", list("warnings")),
    ];
    if whole {
        let rest = if said.is_empty() {
            Value::Null
        } else {
            Value::Json(said.into())
        };
        fields.push(Field::own_json("Signalling", rest));
    }
    fields
}

/// Whole milliseconds of a live recording's `frames`, of which the last is not over.
pub(crate) fn whole_ms(frames: u64, rate_hz: u32) -> u64 {
    frames.saturating_mul(1_000) / u64::from(rate_hz.max(1))
}

/// The counts of a track whose timeline has `rate_hz` samples a second.
pub(crate) fn stats_fields(stats: &TrackStats, rate_hz: u32) -> Vec<Field> {
    // Destructured, so that a new count cannot be forgotten.
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
    [
        ("Packets", packets),
        ("PayloadBytes", payload_bytes),
        ("Lost", lost),
        ("Duplicates", duplicates),
        ("Late", late),
        ("Reordered", reordered),
        ("Foreign", foreign),
        ("Unauthentic", unauthentic),
        ("Malformed", malformed),
        ("Stun", stun),
        ("Rtcp", rtcp),
        ("Undecodable", undecodable),
        ("Events", events),
        ("ComfortNoise", comfort_noise),
        ("Segments", segments),
        ("KernelDropped", kernel_dropped),
        ("ConcealedMs", ms_of(concealed, rate_hz)),
        ("FilledMs", ms_of(filled, rate_hz)),
        ("CorrectedMs", ms_of(corrected, rate_hz)),
    ]
    .map(|(name, count)| Field::own(name, Value::Number(count)))
    .into()
}

/// A number of thousandths, with its fraction.
fn thousandths(number: i128) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "it is shown with three places")]
    let number = number as f64 / 1_000.0;
    Value::Json(json!(number))
}
