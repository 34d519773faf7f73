//! What each parameter may be, in JSON Schema and in a line. The names that a resource knows are in
//! its own table (`params::Known`); what is said of a name here is the same wherever it is known.

use serde_json::{Value as Json, json};

use reeld_callbacks::Target;
use reeld_store::EventStatus;

use crate::callback::METHODS;
use crate::calls::SELECTIONS;
use crate::media::peaks;
use crate::params::{Known, Use};
use crate::{calls, filter, link, start, twiml};

/// A parameter's schema and its line.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) schema: Json,
    pub(super) what: &'static str,
}

/// Those of `known` that are taken, described.
pub(super) fn described(known: &[Known]) -> Vec<Parameter> {
    known
        .iter()
        .filter(|(_, use_)| matches!(use_, Use::Read | Use::Accepted))
        .map(|(name, _)| {
            let (schema, what) = describe(name).unwrap_or((json!({ "type": "string" }), ""));
            Parameter { name, schema, what }
        })
        .collect()
}

fn describe(name: &str) -> Option<(Json, &'static str)> {
    let one_of = |values: &[&str]| json!({ "type": "string", "enum": values });
    let text = |max: usize| json!({ "type": "string", "minLength": 1, "maxLength": max });
    let number = |min: u64, max: u64| json!({ "type": "integer", "minimum": min, "maximum": max });
    let day = || {
        json!({ "type": "string",
        "anyOf": [{ "format": "date" }, { "format": "date-time" }] })
    };
    let methods = METHODS.map(|(name, _)| name);
    let url = || json!({ "type": "string", "maxLength": Target::MOST_BYTES });
    let tracks = SELECTIONS.map(|(name, _)| name);
    Some(match name {
        "DateCreated" => (day(), "Created on this day, or on the day of this instant."),
        "DateCreated>" => (
            day(),
            "Created from the start of this day, or from this instant, on.",
        ),
        "DateCreated<" => (
            day(),
            "Created before the start of this day, or before this instant.",
        ),
        "CallSid" => (json!({ "type": "string", "pattern": CALL }), "The call."),
        "Participant" => (
            json!({ "type": "string", "minLength": 1, "maxLength": 512 }),
            "Who took part, as the call was signalled: an address of record, its user part or a name. Not with `CallSid` or `SessionId`.",
        ),
        "SessionId" => (
            json!({ "type": "string", "minLength": 1, "maxLength": 512 }),
            "A session of the call's signalling: its id, a communication session's, or the recording session's Call-ID. Not with `CallSid` or `Participant`.",
        ),
        "ConferenceSid" => (
            json!({ "type": "string" }),
            "Matches nothing: there are no conferences.",
        ),
        "IncludeSoftDeleted" => (one_of(&["true", "false"]), "Deleted recordings, too."),
        "num" | "PageSize" => (
            number(1, filter::MAX_PAGE_SIZE),
            "Items on a page; 50 without it.",
        ),
        "page" | "Page" => (
            json!({ "type": "integer", "minimum": 0 }),
            "The page, from 0.",
        ),
        "PageToken" => (json!({ "type": "string" }), "From a link to another page."),
        "ExternalId" => (
            text(calls::MAX_NAME),
            "The call's name in another system, for a CallSid made from it.",
        ),
        "From" => (text(calls::MAX_NAME), "Who calls."),
        "To" => (text(calls::MAX_NAME), "Who is called."),
        "Sdp" => (
            json!({ "type": "string", "minLength": 1, "maxLength": calls::MAX_SDP }),
            "The sender's offer (RFC 4566); the answer comes back as sdp.",
        ),
        "RemoteAddress" => (
            json!({ "type": "string", "examples": ["192.0.2.1", "192.0.2.1:4000"] }),
            "Where RTP comes from.",
        ),
        "Tracks" => (
            one_of(&tracks),
            "The tracks that get ports; both without it.",
        ),
        "Status" => (json!({ "type": "string" }), "The state to go to."),
        "PauseBehavior" => (
            one_of(&["silence", "skip"]),
            "What a pause leaves in the file.",
        ),
        "RecordingChannels" => (
            one_of(&["mono", "dual"]),
            "Channels of the file; mono without it.",
        ),
        "RecordingTrack" => (one_of(&tracks), "The tracks that are recorded."),
        "Trim" => (
            one_of(&["trim-silence", "do-not-trim"]),
            "Whether silence at both ends is cut.",
        ),
        "Timeout" => (
            number(0, start::DAY_SECONDS),
            "Seconds of received silence that end it; 0 is off.",
        ),
        "FinishOnKey" => (
            json!({ "type": "string", "pattern": "^[0-9*#]{0,16}$" }),
            "Keys that end it; empty is none.",
        ),
        "MaxLength" => (
            number(2, start::DAY_SECONDS),
            "Seconds after which it ends.",
        ),
        "PlayBeep" => (
            one_of(&["true", "false"]),
            "A beep to the caller before it begins.",
        ),
        "Action" => (url(), "Who is told of its end by the verb's action."),
        "Method" => (one_of(&methods), "How; POST without it."),
        "Twiml" => (
            json!({ "type": "string", "maxLength": twiml::MOST_BYTES,
                "contentMediaType": "application/xml" }),
            "A <Response> with one <Record>, in place of the verb's parameters.",
        ),
        "Source" => (
            one_of(&["rtp", "rtpengine"]),
            "Where its media come from; an rtpengine forks those of SipCallId.",
        ),
        "SipCallId" => (text(calls::MAX_NAME), "The call that an rtpengine forks."),
        "Tags" => (
            json!({ "type": "string", "maxLength": start::MAX_TAGS, "contentMediaType": "application/json" }),
            "A JSON object that is kept with it.",
        ),
        "RecordingStatusCallback" => (url(), "Who is told of it."),
        "RecordingStatusCallbackMethod" => (one_of(&methods), "How; POST without it."),
        "RecordingStatusCallbackEvent" => (
            json!({ "type": "array", "items":
                one_of(&EventStatus::ALL.map(EventStatus::as_str)) }),
            "Of what; completed without it.",
        ),
        "RecordingConfigurationId" | "Transcribe" | "TranscribeCallback" => {
            (json!({ "type": "string" }), "Accepted and unused.")
        }
        "RequestedChannels" => (number(1, 2), "1 of a dual recording is its sum."),
        "ExpiresIn" => (
            number(1, link::MOST_SECONDS),
            "Seconds that the link lasts; an hour without it.",
        ),
        "Format" => (
            one_of(&link::FORMATS),
            "What it opens; the sound without it, as WAV where no extension is put on.",
        ),
        "samples_per_pixel" => (
            number(1, u64::from(u32::MAX)),
            "Frames that a point stands for.",
        ),
        "width" => (
            number(1, peaks::MOST_POINTS),
            "Points, in place of samples_per_pixel.",
        ),
        "bits" => (
            json!({ "type": "integer", "enum": [8, 16] }),
            "Of each number; 16 without it.",
        ),
        _ => return None,
    })
}

const CALL: &str = "^CA[0-9a-fA-F]{32}$";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_that_is_known_is_described() {
        for known in [
            crate::filter::KNOWN,
            crate::calls::KNOWN_TO_OPEN,
            crate::calls::KNOWN_TO_UPDATE,
            crate::start::KNOWN,
            crate::control::KNOWN_TO_UPDATE,
            &crate::link::KNOWN,
            super::super::OF_AUDIO,
            super::super::OF_METADATA,
            &crate::media::peaks::KNOWN,
        ] {
            for (name, _) in known
                .iter()
                .filter(|(_, used)| !matches!(used, Use::Unbuilt(_)))
            {
                assert!(describe(name).is_some(), "{name}");
            }
        }
    }
}
