//! The parameters that start a recording, from a form to what store and capture are told.
//!
//! Called by `control`; calls `twiml` for what a document says. Contract.md, "Control", has the names
//! and the defaults: a recording that is merely started is do-not-trim, mono, both tracks and ends by
//! no rule; one with any `<Record>` parameter has the verb's defaults (`record.*`) for the others and
//! the inbound track alone.

use std::time::Duration;

use reeld_callbacks::Allow;
use reeld_model::control::Tags;
use reeld_model::{Channels, Rules, TrackSelection, Trim};
use reeld_store::Origin;

use crate::callback::{ActionTo, Callback};
use crate::calls::{MAX_NAME, SELECTIONS};
use crate::fault::{Fault, code};
use crate::params::{Known, Params, Use};
use crate::settings::RecordDefaults;
use crate::twiml::{self, Twiml, Verb};

#[cfg(test)]
mod tests;

/// Bytes of tags: a record stays small (design.md, "Nothing lost").
pub(crate) const MAX_TAGS: usize = 4 * 1024;

/// A day: no silence is awaited longer, and Twilio's longest recording is one too.
pub(crate) const DAY_SECONDS: u64 = 24 * 60 * 60;

/// What starting a recording knows; the call's own parameters are read by `calls`.
pub(crate) const KNOWN: &[Known] = &[
    ("RecordingChannels", Use::Read),
    ("RecordingTrack", Use::Read),
    ("Trim", Use::Read),
    ("Timeout", Use::Read),
    ("FinishOnKey", Use::Read),
    ("MaxLength", Use::Read),
    ("PlayBeep", Use::Read),
    ("Source", Use::Read),
    ("Tags", Use::Read),
    ("From", Use::Read),
    ("To", Use::Read),
    ("Sdp", Use::Read),
    ("RemoteAddress", Use::Read),
    ("RecordingConfigurationId", Use::Accepted),
    ("Transcribe", Use::Accepted),
    ("TranscribeCallback", Use::Accepted),
    ("RecordingStatusCallback", Use::Read),
    ("RecordingStatusCallbackMethod", Use::Read),
    ("RecordingStatusCallbackEvent", Use::Read),
    ("Action", Use::Read),
    ("Method", Use::Read),
    (twiml::PARAMETER, Use::Read),
    ("SipCallId", Use::Read),
];

/// A recording as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StartForm {
    pub(crate) channels: Channels,
    pub(crate) track: TrackSelection,
    pub(crate) trim: Trim,
    pub(crate) rules: Rules,
    pub(crate) origin: Origin,
    pub(crate) tags: Tags,
    pub(crate) callback: Option<Callback>,
    pub(crate) action: Option<ActionTo>,
    /// Whether the caller hears a beep before it begins.
    pub(crate) beep: bool,
    /// The SIP Call-ID of a call whose media an rtpengine is to fork, with `Source=rtpengine`.
    pub(crate) sip_call_id: Option<String>,
}

impl StartForm {
    /// Takes the recording's parameters out of `form`; every name in it is known after that.
    pub(crate) fn read(
        form: &mut Params,
        defaults: &RecordDefaults,
        allow: &Allow,
    ) -> Result<Self, Fault> {
        form.check(KNOWN)?;
        let Some(text) = form.take(twiml::PARAMETER)? else {
            return Self::read_as(form, None, defaults, allow);
        };
        let twiml = Twiml::parse(&text)?;
        twiml.enter(form)?;
        Self::read_as(form, Some(twiml.verb), defaults, allow).map_err(|fault| twiml.explain(fault))
    }

    /// Takes them out, with the defaults of `verb` where a document says which one it is.
    fn read_as(
        form: &mut Params,
        verb: Option<Verb>,
        defaults: &RecordDefaults,
        allow: &Allow,
    ) -> Result<Self, Fault> {
        let sip_call_id = read_source(form)?;
        let channels = form.choice(
            "RecordingChannels",
            code::INVALID,
            &[("mono", Channels::Mono), ("dual", Channels::Dual)],
        )?;
        let track = form.choice("RecordingTrack", code::TRACK, &SELECTIONS)?;
        let trim = form.choice(
            "Trim",
            code::INVALID,
            &[
                ("trim-silence", Trim::TrimSilence),
                ("do-not-trim", Trim::DoNotTrim),
            ],
        )?;
        let tags = form
            .read("Tags", code::INVALID, parse_tags)?
            .unwrap_or_default();
        let callback = Callback::read(form, allow)?;
        let has_method = form.names("Method");
        let action = ActionTo::read(form, allow)?;
        let flags = [("true", true), ("false", false)];
        let beep = form.choice("PlayBeep", code::PLAY_BEEP, &flags)?;
        let timeout = form.number("Timeout", code::TIMEOUT, 0..=DAY_SECONDS)?;
        let max_length = form.number("MaxLength", code::MAX_LENGTH, 2..=DAY_SECONDS)?;
        let finish_on_key = form.read("FinishOnKey", code::FINISH_ON_KEY, parse_keys)?;

        let is_verb = verb == Some(Verb::Record)
            || beep.is_some()
            || timeout.is_some()
            || max_length.is_some()
            || finish_on_key.is_some()
            || action.is_some()
            || has_method;
        // Twilio's defaults of its REST API, and of <Recording> (twilio.md §3).
        let (usual_trim, usual_channels) = match verb {
            Some(Verb::Recording) => (Trim::TrimSilence, Channels::Dual),
            Some(Verb::Record) | None => (Trim::DoNotTrim, Channels::Mono),
        };
        let started = RecordDefaults {
            rules: Rules::default(),
            trim: usual_trim,
        };
        let (origin, usual, usual_track) = if is_verb {
            (Origin::RecordVerb, defaults, TrackSelection::Inbound)
        } else {
            (Origin::ControlApi, &started, TrackSelection::Both)
        };
        let channels = channels.unwrap_or(usual_channels);
        let track = track.unwrap_or(usual_track);
        let seconds = |given: Option<u64>, usual: Option<Duration>| match given {
            Some(0) => None,
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => usual,
        };
        Ok(Self {
            // Twilio: a single track always makes a mono file.
            channels: match track {
                TrackSelection::Both => channels,
                TrackSelection::Inbound | TrackSelection::Outbound => Channels::Mono,
            },
            track,
            trim: trim.unwrap_or(usual.trim),
            rules: Rules {
                timeout: seconds(timeout, usual.rules.timeout),
                max_length: seconds(max_length, usual.rules.max_length),
                finish_on_key: finish_on_key.unwrap_or_else(|| usual.rules.finish_on_key.clone()),
            },
            origin,
            tags,
            callback,
            action,
            beep: beep.unwrap_or(verb == Some(Verb::Record)),
            sip_call_id,
        })
    }
}

/// Where the media come from: the SIP Call-ID where an rtpengine is to fork them.
fn read_source(form: &mut Params) -> Result<Option<String>, Fault> {
    let sources = [("rtp", false), ("rtpengine", true)];
    let is_forked = form.choice("Source", code::INVALID, &sources)?;
    let sip_call_id = form.line("SipCallId", MAX_NAME)?;
    match (is_forked.unwrap_or(false), sip_call_id) {
        (true, None) => Err(Fault::invalid("SipCallId", "Source=rtpengine needs it")),
        (false, Some(_)) => Err(Fault::invalid("SipCallId", "it is for Source=rtpengine")),
        (true, Some(_)) if form.names("Sdp") || form.names("RemoteAddress") => Err(Fault::invalid(
            "Source",
            "an rtpengine says itself where its RTP comes from: neither Sdp nor RemoteAddress goes with it",
        )),
        (_, sip_call_id) => Ok(sip_call_id),
    }
}

fn parse_keys(text: &str) -> Result<String, &'static str> {
    if text.len() <= 16 && text.chars().all(|key| "0123456789*#".contains(key)) {
        Ok(text.to_owned())
    } else {
        Err("it must be some of 1234567890*#, or empty for none")
    }
}

fn parse_tags(text: &str) -> Result<Tags, String> {
    if text.len() > MAX_TAGS {
        return Err(format!("it must be at most {MAX_TAGS} bytes"));
    }
    serde_json::from_str(text).map_err(|error| format!("it must be a JSON object: {error}"))
}
