//! An event as its receiver reads it: Twilio's parameters of `recordingStatusCallback`, and of the
//! `<Record>` verb's `action`.
//!
//! Called by `round`. twilio.md §3 has the names; `RecordingDuration` comes with `completed` alone,
//! `ErrorCode` with an end without sound.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reeld_store::{Dialect, Event, EventStatus, Origin, VerbEnd};

/// Without sound: too short to be a recording. What the record of an absent or lost one says too.
const TOO_SHORT: &str = "16101";

/// The parameters of an event.
pub(crate) fn form(event: &Event) -> Vec<(&'static str, String)> {
    match &event.verb {
        Some(verb) => action(event, verb),
        None => status(event),
    }
}

/// What an action is told. Whose number is not known is left out.
fn action(event: &Event, verb: &VerbEnd) -> Vec<(&'static str, String)> {
    let (from, to, duration) = match verb.dialect {
        Dialect::V2008 => ("Caller", "Called", "Duration"),
        Dialect::V2010 => ("From", "To", "RecordingDuration"),
    };
    let mut form = vec![
        ("AccountSid", event.account.to_string()),
        ("CallSid", event.call.to_string()),
        ("RecordingSid", event.sid.to_string()),
        ("RecordingUrl", event.subscription.recording_url.clone()),
        (duration, event.duration_seconds.to_string()),
        ("Digits", verb.digits.clone()),
    ];
    let numbers = [(from, &verb.parties.from), (to, &verb.parties.to)];
    form.extend(
        numbers
            .into_iter()
            .filter_map(|(name, number)| Some((name, number.clone()?))),
    );
    form
}

fn status(event: &Event) -> Vec<(&'static str, String)> {
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
        EventStatus::InProgress => {}
        EventStatus::Completed => {
            form.push(("RecordingDuration", event.duration_seconds.to_string()));
        }
        EventStatus::Absent | EventStatus::Failed => {
            form.push(("ErrorCode", TOO_SHORT.to_owned()));
        }
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
        Origin::Siprec | Origin::Rtpengine | Origin::AudioSocket | Origin::OpenPort => "Trunking",
    }
}

#[cfg(test)]
mod tests {
    use reeld_model::{Channels, TrackSelection};
    use reeld_store::{EventMethod, Parties, Subscription};

    use super::*;

    fn event(status: EventStatus, verb: Option<VerbEnd>) -> Event {
        Event {
            sid: "RE00000000000000000000000000000001".parse().unwrap(),
            account: "AC00000000000000000000000000000002".parse().unwrap(),
            call: "CA00000000000000000000000000000003".parse().unwrap(),
            status,
            made_ms: 0,
            duration_seconds: 7,
            channels: Channels::Mono,
            track: TrackSelection::Inbound,
            origin: Origin::RecordVerb,
            started_ms: 0,
            subscription: Subscription {
                url: "http://h/".to_owned(),
                method: EventMethod::Post,
                events: vec![EventStatus::Completed],
                recording_url: "http://r/RE".to_owned(),
            },
            attempts: 0,
            first_ms: None,
            next_ms: 0,
            last_error: String::new(),
            verb,
        }
    }

    #[test]
    fn an_action_is_told_in_the_words_of_its_version() {
        let told = |dialect, from: Option<&str>| {
            let verb = VerbEnd {
                digits: "#".to_owned(),
                parties: Parties {
                    from: from.map(str::to_owned),
                    to: Some("+2".to_owned()),
                    external_id: None,
                },
                dialect,
            };
            form(&event(EventStatus::Completed, Some(verb)))
        };
        let has = |form: &[(&str, String)], name: &str| {
            let found = form.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| value.clone())
        };
        let old = told(Dialect::V2008, Some("+1"));
        let new = told(Dialect::V2010, None);
        for (form, name, value) in [
            (&old, "Duration", Some("7")),
            (&old, "Caller", Some("+1")),
            (&old, "Called", Some("+2")),
            (&old, "RecordingDuration", None),
            (&old, "From", None),
            (&old, "Digits", Some("#")),
            (&new, "RecordingDuration", Some("7")),
            (&new, "Duration", None),
            (&new, "From", None),
            (&new, "To", Some("+2")),
            (&new, "RecordingUrl", Some("http://r/RE")),
            (&new, "RecordingStatus", None),
        ] {
            assert_eq!(has(form, name).as_deref(), value, "{name} of {form:?}");
        }
    }

    #[test]
    fn what_has_no_sound_says_why() {
        for (status, code) in [
            (EventStatus::InProgress, None),
            (EventStatus::Completed, None),
            (EventStatus::Absent, Some(TOO_SHORT)),
            (EventStatus::Failed, Some(TOO_SHORT)),
        ] {
            let form = form(&event(status, None));
            let found = form.iter().find(|(name, _)| *name == "ErrorCode");
            assert_eq!(found.map(|(_, value)| value.as_str()), code, "{status:?}");
        }
    }
}
