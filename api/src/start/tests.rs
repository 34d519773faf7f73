//! A start's parameters: what they ask for and what is refused.

use reeld_store::EventMethod;

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
    for text in [
        "Timeout=3",
        "MaxLength=9",
        "FinishOnKey=",
        "PlayBeep=false",
        "PlayBeep=true",
        "Method=GET",
        "Action=http://h/",
    ] {
        let form = read(text).unwrap();
        assert_eq!(form.origin, Origin::RecordVerb, "{text}");
        assert_eq!(form.track, TrackSelection::Inbound, "{text}");
        assert_eq!(form.trim, Trim::TrimSilence, "{text}");
        assert_eq!(form.beep, text == "PlayBeep=true");
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
        ("RecordingTrack=left", 13622),
        ("RecordingChannels=stereo", 20422),
        ("Trim=yes", 20422),
        ("Tags=[]", 20422),
        ("Tags={", 20422),
        ("Source=tape", 20422),
        ("SipCallId=1", 20422),
        ("RecordingStatusCallback=http://127.0.0.1/", 20422),
        ("Action=http://127.0.0.1/", 20422),
        ("Action=/next", 20422),
        ("Method=PUT", 13610),
        ("Twiml=x", 12100),
        ("Twiml=<a/>", 12200),
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

#[test]
fn an_rtpengine_needs_the_name_of_a_call_and_nothing_else() {
    let form = read("Source=rtpengine&SipCallId=7@a.example").unwrap();
    assert_eq!(form.sip_call_id.as_deref(), Some("7@a.example"));
    assert_eq!(read("Source=rtp").unwrap().sip_call_id, None);
    for text in [
        "Source=rtpengine",
        "SipCallId=7",
        "Source=rtp&SipCallId=7",
        "Source=rtpengine&SipCallId=7&Sdp=v",
        "Source=rtpengine&SipCallId=7&RemoteAddress=192.0.2.1",
    ] {
        let fault = read(text).unwrap_err();
        assert_eq!(
            (fault.status.as_u16(), fault.code),
            (400, Some(20422)),
            "{text}"
        );
    }
}

#[test]
fn an_action_has_its_method_and_is_apart_from_the_status_callback() {
    let form =
        read("Action=http://a/?x=1%23rc=2&Method=GET&RecordingStatusCallback=http://b/").unwrap();
    let action = form.action.unwrap();
    assert_eq!(
        (action.url.as_str(), action.method),
        ("http://a/?x=1#rc=2", EventMethod::Get)
    );
    let callback = form.callback.unwrap();
    assert_eq!(
        (callback.url.as_str(), callback.method),
        ("http://b/", EventMethod::Post)
    );
    assert_eq!(read("Action=").unwrap().action, None);
    let fault = read("Action=http://me:hunter2@127.0.0.1/").unwrap_err();
    assert!(!fault.message.contains("hunter2"), "{}", fault.message);
}

fn read_twiml(verb: &str, beside: &str) -> Result<StartForm, Fault> {
    let mut form = Params::parse(beside)?;
    form.push("Twiml", &format!("<Response>{verb}</Response>"));
    StartForm::read(&mut form, &defaults(), &Allow::default())
}

#[test]
fn a_record_verb_has_its_attributes_and_twilios_defaults() {
    let form = read_twiml("<Record/>", "").unwrap();
    assert_eq!(form.origin, Origin::RecordVerb);
    assert_eq!(form.rules, defaults().rules);
    assert_eq!(
        (form.trim, form.track),
        (Trim::TrimSilence, TrackSelection::Inbound)
    );
    assert!(form.beep && form.action.is_none() && form.callback.is_none());
    let form = read_twiml(
        "<Record action=\"http://a/\" method=\"GET\" timeout=\"0\" finishOnKey=\"\" maxLength=\"20\" \
         playBeep=\"false\" trim=\"do-not-trim\" transcribe=\"true\" transcribeCallback=\"http://t/\" \
         recordingStatusCallback=\"http://s/\" recordingStatusCallbackMethod=\"GET\" \
         recordingStatusCallbackEvent=\"in-progress absent\" recordingConfigurationId=\"x\"/>",
        "RecordingTrack=both&RecordingChannels=dual&Tags=%7B%22a%22:1%7D",
    )
    .unwrap();
    let no_rule_but = Rules {
        max_length: Some(Duration::from_secs(20)),
        ..Rules::default()
    };
    assert_eq!((form.rules, form.trim), (no_rule_but, Trim::DoNotTrim));
    assert!(!form.beep);
    assert_eq!(
        (form.channels, form.track),
        (Channels::Dual, TrackSelection::Both)
    );
    assert_eq!(form.action.unwrap().method, EventMethod::Get);
    assert_eq!(form.callback.unwrap().events.len(), 2);
    assert_eq!(form.tags.len(), 1);
}

#[test]
fn a_recording_that_is_started_by_twiml_has_its_own_defaults() {
    let form = read_twiml("<Start><Recording/></Start>", "").unwrap();
    assert_eq!(
        (form.channels, form.track),
        (Channels::Dual, TrackSelection::Both)
    );
    assert_eq!(
        (form.trim, form.origin),
        (Trim::TrimSilence, Origin::ControlApi)
    );
    assert_eq!(form.rules, Rules::default());
    assert!(!form.beep);
    let form = read_twiml(
        "<Start><Recording track=\"outbound\" channels=\"dual\" trim=\"do-not-trim\"/></Start>",
        "",
    )
    .unwrap();
    assert_eq!(
        (form.channels, form.track),
        (Channels::Mono, TrackSelection::Outbound)
    );
    assert_eq!(form.trim, Trim::DoNotTrim);
}

#[test]
fn a_bad_attribute_is_refused_where_it_stands_and_with_its_own_code() {
    for (verb, code, said) in [
        (
            "<Record timeout=\"-1\"/>",
            13611,
            "Twiml: line 1, column 19: timeout: \"-1\"",
        ),
        ("<Record maxLength=\"1\"/>", 13612, "maxLength: "),
        ("<Record finishOnKey=\"A\"/>", 13613, "finishOnKey: "),
        ("<Record playBeep=\"maybe\"/>", 13616, "playBeep: "),
        ("<Record method=\"PUT\"/>", 13610, "column 19: method: "),
        (
            "<Record recordingStatusCallbackEvent=\"done\"/>",
            13621,
            "recordingStatusCallbackEvent: ",
        ),
        (
            "<Record action=\"/next\"/>",
            20422,
            "action: it must be an absolute http or https URL",
        ),
        (
            "<Record action=\"http://127.0.0.1/\"/>",
            20422,
            "action: callbacks.allow",
        ),
        (
            "<Start><Recording track=\"left\"/></Start>",
            13622,
            "column 29: track: ",
        ),
    ] {
        let fault = read_twiml(verb, "").unwrap_err();
        assert_eq!(
            (fault.status.as_u16(), fault.code),
            (400, Some(code)),
            "{verb}"
        );
        assert!(
            fault.message.starts_with("Twiml: line 1, column "),
            "{}",
            fault.message
        );
        assert!(fault.message.contains(said), "{said} in {}", fault.message);
    }
    let beside = read_twiml("<Record/>", "MaxLength=9").unwrap_err();
    assert!(
        beside
            .message
            .starts_with("MaxLength: it cannot stand beside Twiml"),
        "{}",
        beside.message
    );
}
