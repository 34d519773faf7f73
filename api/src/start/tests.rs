//! A start's parameters: what they ask for and what is refused.

use super::*;

fn defaults() -> RecordDefaults {
    RecordDefaults {
        rules: Rules {
            timeout: Some(Duration::from_secs(5)),
            finish_on_key: "1234567890*#".into(),
            max_length: Some(Duration::from_secs(3_600)),
        },
        trim: Trim::TrimSilence,
    }
}

fn read(text: &str) -> Result<StartForm, Fault> {
    StartForm::read(&mut Params::parse(text)?, &defaults(), &Allow::default())
}

#[test]
fn a_recording_that_is_merely_started_has_the_rest_apis_defaults() {
    let form = read("Transcribe=true&RecordingConfigurationId=x").unwrap();
    assert_eq!(form.channels, Channels::Mono);
    assert_eq!(form.track, TrackSelection::Both);
    assert_eq!(form.trim, Trim::DoNotTrim);
    assert_eq!(form.rules, Rules::default());
    assert_eq!(form.origin, Origin::ControlApi);
}

#[test]
fn any_record_parameter_brings_the_verbs_defaults() {
    for text in ["Timeout=3", "MaxLength=9", "FinishOnKey=", "PlayBeep=false"] {
        let form = read(text).unwrap();
        assert_eq!(form.origin, Origin::RecordVerb, "{text}");
        assert_eq!(form.track, TrackSelection::Inbound, "{text}");
        assert_eq!(form.trim, Trim::TrimSilence, "{text}");
    }
    let form = read(
        "Timeout=0&FinishOnKey=%23&RecordingTrack=both&RecordingChannels=dual&Trim=do-not-trim",
    )
    .unwrap();
    assert_eq!(form.rules.timeout, None);
    assert_eq!(form.rules.finish_on_key, "#");
    assert_eq!(form.rules.max_length, Some(Duration::from_secs(3_600)));
    assert_eq!(
        (form.channels, form.track),
        (Channels::Dual, TrackSelection::Both)
    );
    assert_eq!(form.trim, Trim::DoNotTrim);
}

#[test]
fn one_track_makes_a_mono_file() {
    let form = read("RecordingTrack=outbound&RecordingChannels=dual").unwrap();
    assert_eq!(
        (form.channels, form.track),
        (Channels::Mono, TrackSelection::Outbound)
    );
}

#[test]
fn each_bad_value_has_its_code_and_its_name() {
    for (text, code) in [
        ("Timeout=-1", 13611),
        ("Timeout=x", 13611),
        ("MaxLength=1", 13612),
        ("MaxLength=99999999", 13612),
        ("FinishOnKey=A", 13613),
        ("PlayBeep=maybe", 13616),
        ("PlayBeep=true", 20422),
        ("RecordingTrack=left", 13622),
        ("RecordingChannels=stereo", 20422),
        ("Trim=yes", 20422),
        ("Tags=[]", 20422),
        ("Tags={", 20422),
        ("Source=rtpengine", 20422),
        ("Source=tape", 20422),
        ("SipCallId=1", 20422),
        ("RecordingStatusCallback=http://127.0.0.1/", 20422),
        ("Action=http://x/", 20422),
        ("Twiml=x", 20422),
        ("recordingchannels=dual", 20001),
    ] {
        let fault = read(text).unwrap_err();
        let name = text.split('=').next().unwrap();
        assert_eq!(
            (fault.status.as_u16(), fault.code),
            (400, Some(code)),
            "{text}"
        );
        assert!(fault.message.starts_with(name), "{}", fault.message);
    }
}
