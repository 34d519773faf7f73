//! A call as a document: open, as control shows it, or ended, as its recordings tell.
//!
//! Called by `calls`; [`media_field`] also by `recording`, since starting a recording answers
//! with where to send RTP (contract.md, "Calls").

use reeld_model::{AccountSid, CallSid, CallState, CallView, StreamView};
use reeld_store::Parties;

use crate::document::{Document, Field, Value};
use crate::face::Version;
use crate::path::{Resource, path_of};
use crate::recording::{signalling_fields, stats_fields, whole_ms};

/// What is left of a call that is not open: its recordings'.
#[derive(Debug, Clone)]
pub(crate) struct EndedCall {
    pub(crate) account: AccountSid,
    pub(crate) call: CallSid,
    /// What its last recording kept of how it was opened.
    pub(crate) parties: Parties,
    /// When its first recording was asked for, milliseconds since the Unix epoch.
    pub(crate) first_ms: i64,
    /// When its last recording changed last.
    pub(crate) last_ms: i64,
    /// What its last recording kept of its signalling.
    pub(crate) signalling_json: String,
}

/// What both kinds of call say of themselves.
struct Facts<'a> {
    account: AccountSid,
    call: CallSid,
    from: Option<&'a str>,
    to: Option<&'a str>,
    external_id: Option<&'a str>,
    created_ms: i64,
    updated_ms: i64,
    state: CallState,
}

/// A call that control knows; `signalling_json` is what a recording of it that runs has of its signalling.
pub(crate) fn open_document(view: &CallView, now_ms: i64, signalling_json: &str) -> Document {
    let mut fields = facts_fields(&Facts {
        account: view.account,
        call: view.call,
        from: view.from.as_deref(),
        to: view.to.as_deref(),
        external_id: view.external_id.as_deref(),
        created_ms: view.opened_at_ms,
        updated_ms: now_ms.max(view.opened_at_ms),
        state: view.state,
    });
    let running = view
        .recordings
        .iter()
        .map(|recording| {
            vec![
                Field::own("Sid", Value::Text(recording.sid.to_string())),
                Field::own("Status", Value::Text(recording.status.as_str().into())),
                Field::own("Channels", Value::Number(recording.channels.count().into())),
                Field::own("Track", Value::Text(recording.track.as_str().into())),
                Field::own(
                    "DurationMs",
                    Value::Number(whole_ms(recording.frames, recording.rate_hz)),
                ),
            ]
        })
        .collect();
    let streams = view.streams.iter();
    fields.extend([
        media_field(view),
        Field::control("Sdp", Value::text(view.sdp.as_deref())),
        Field::own(
            "Streams",
            Value::Rows {
                item: "Stream",
                rows: streams
                    .map(|stream| stream_row(stream, view.rate_hz))
                    .collect(),
            },
        ),
        Field::own(
            "Recordings",
            Value::Rows {
                item: "Recording",
                rows: running,
            },
        ),
    ]);
    fields.extend(signalling_fields(signalling_json, true));
    Document {
        name: "Call",
        fields,
    }
}

/// A call that has ended.
pub(crate) fn ended_document(ended: &EndedCall) -> Document {
    let mut fields = facts_fields(&Facts {
        account: ended.account,
        call: ended.call,
        from: ended.parties.from.as_deref(),
        to: ended.parties.to.as_deref(),
        external_id: ended.parties.external_id.as_deref(),
        created_ms: ended.first_ms,
        updated_ms: ended.last_ms,
        state: CallState::Completed,
    });
    fields.extend(signalling_fields(&ended.signalling_json, true));
    Document {
        name: "Call",
        fields,
    }
}

/// Where to send RTP, a row a track.
pub(crate) fn media_field(view: &CallView) -> Field {
    let rows = view
        .streams
        .iter()
        .map(|stream| {
            vec![
                Field::control("Track", Value::Text(stream.track.as_str().into())),
                Field::control("Address", Value::Text(stream.address.to_string())),
                Field::control("Port", Value::Number(stream.port.into())),
            ]
        })
        .collect();
    Field::control(
        "Media",
        Value::Rows {
            item: "Stream",
            rows,
        },
    )
}

fn stream_row(stream: &StreamView, rate_hz: u32) -> Vec<Field> {
    vec![
        Field::own("Track", Value::Text(stream.track.as_str().into())),
        Field::own("Address", Value::Text(stream.address.to_string())),
        Field::own("Port", Value::Number(stream.port.into())),
        Field::own(
            "Source",
            Value::text(stream.source.map(|source| source.to_string())),
        ),
        Field::own(
            "Ssrc",
            stream
                .ssrc
                .map_or(Value::Null, |ssrc| Value::Number(ssrc.into())),
        ),
        Field::own("Codec", Value::text(stream.codec)),
        Field::own("Stats", Value::Group(stats_fields(&stream.stats, rate_hz))),
    ]
}

/// The fields of twilio.md §1 (2008) and of today's Call, null where reeld cannot know.
fn facts_fields(facts: &Facts<'_>) -> Vec<Field> {
    let text = Value::Text;
    let (status, old_status) = match facts.state {
        CallState::InProgress => ("in-progress", 1),
        CallState::Completed => ("completed", 2),
    };
    let ended_ms = (facts.state == CallState::Completed).then_some(facts.updated_ms);
    let duration = || {
        ended_ms.map_or(Value::Null, |ended_ms| {
            text(((ended_ms - facts.created_ms).max(0) / 1_000).to_string())
        })
    };
    let uri = path_of(Version::V2010, facts.account, &Resource::Call(facts.call));
    vec![
        Field::seed("Sid", text(facts.call.to_string())),
        Field::old("CallSegmentSid", Value::Null),
        Field::seed("DateCreated", Value::Date(facts.created_ms)),
        Field::seed("DateUpdated", Value::Date(facts.updated_ms)),
        Field::new("ParentCallSid", Value::Null),
        Field::seed("AccountSid", text(facts.account.to_string())),
        Field::old("Called", Value::text(facts.to)),
        Field::old("Caller", Value::text(facts.from)),
        Field::new("To", Value::text(facts.to)),
        Field::new("From", Value::text(facts.from)),
        Field::seed("PhoneNumberSid", Value::Null),
        Field::old("Status", Value::Number(old_status)),
        Field::old("StatusText", text(status.into())),
        Field::new("Status", text(status.into())),
        Field::seed("StartTime", Value::Date(facts.created_ms)),
        Field::seed("EndTime", Value::date(ended_ms)),
        Field::seed("Duration", duration()),
        Field::seed("Price", Value::Null),
        Field::new("PriceUnit", Value::Null),
        Field::old("Flags", Value::Null),
        Field::new("Direction", text("inbound".into())),
        Field::new("AnsweredBy", Value::Null),
        Field::new("ApiVersion", text(Version::V2010.as_str().into())),
        Field::new("ForwardedFrom", Value::Null),
        Field::new("GroupSid", Value::Null),
        Field::new("CallerName", Value::Null),
        Field::new("QueueTime", Value::Null),
        Field::new("TrunkSid", Value::Null),
        Field::new("Uri", Value::Uri(uri.clone())),
        Field::new(
            "SubresourceUris",
            Value::Group(vec![Field::new(
                "Recordings",
                Value::Uri(format!("{uri}/Recordings")),
            )]),
        ),
        Field::own("ExternalId", Value::text(facts.external_id)),
    ]
}
