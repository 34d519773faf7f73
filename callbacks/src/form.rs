//! An event as its receiver reads it: Twilio's parameters of `recordingStatusCallback`.
//!
//! Called by `send`. twilio.md §3 has the names; `RecordingDuration` comes with `completed` alone,
//! `ErrorCode` with an end without sound.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reeld_store::{Event, EventStatus, Origin};

/// Absent: too short to be a recording.
const TOO_SHORT: &str = "16101";

/// The parameters of an event.
pub(crate) fn form(event: &Event) -> Vec<(&'static str, String)> {
    let mut form = vec![
        ("AccountSid", event.account.to_string()),
        ("CallSid", event.call.to_string()),
        ("RecordingSid", event.sid.to_string()),
        ("RecordingUrl", event.subscription.recording_url.clone()),
        ("RecordingStatus", event.status.as_str().to_owned()),
        ("RecordingChannels", event.channels.count().to_string()),
        ("RecordingStartTime", start_time(event.started_ms)),
        ("RecordingSource", source(event.origin).to_owned()),
        ("RecordingTrack", event.track.as_str().to_owned()),
    ];
    match event.status {
        EventStatus::InProgress | EventStatus::Failed => {}
        EventStatus::Completed => {
            form.push(("RecordingDuration", event.duration_seconds.to_string()));
        }
        EventStatus::Absent => form.push(("ErrorCode", TOO_SHORT.to_owned())),
    }
    form
}

/// As Twilio's dates are: RFC 2822, in UTC.
fn start_time(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .ok()
        .and_then(|at| {
            rfc2822::DateTimePrinter::new()
                .timestamp_to_string(&at)
                .ok()
        })
        .unwrap_or_default()
}

const fn source(origin: Origin) -> &'static str {
    match origin {
        Origin::ControlApi | Origin::Import => "StartCallRecordingAPI",
        Origin::RecordVerb => "RecordVerb",
    }
}
