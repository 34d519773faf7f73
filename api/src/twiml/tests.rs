//! What a document stands for, and how what it cannot say is refused.

use proptest::prelude::*;

use super::*;

fn pairs(text: &str) -> Vec<(&'static str, String)> {
    let twiml = Twiml::parse(text).unwrap_or_else(|fault| panic!("{text}: {}", fault.message));
    let said = twiml.said.into_iter();
    said.map(|said| (said.parameter, said.value)).collect()
}

#[test]
fn attributes_are_parameters() {
    let text = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- a message -->\n<Response>\n  \
        <Record action=\"https://h/a?x=1&amp;y=2\" finishOnKey=\"*#\" timeout='3'/>\n</Response>\n";
    let twiml = Twiml::parse(text).unwrap();
    assert_eq!(twiml.verb, Verb::Record);
    assert_eq!(
        pairs(text),
        [
            ("Action", "https://h/a?x=1&y=2".to_owned()),
            ("FinishOnKey", "*#".to_owned()),
            ("Timeout", "3".to_owned()),
        ]
    );
    let start =
        "<Response><Start><Recording channels=\"mono\" track=\"inbound\"/></Start></Response>";
    assert_eq!(Twiml::parse(start).unwrap().verb, Verb::Recording);
    assert_eq!(pairs(start).len(), 2);
    assert_eq!(pairs("<Response><Record></Record></Response>"), []);
}

#[test]
fn what_is_not_taken_is_named_with_its_place() {
    for (text, code, said) in [
        ("", 12100, "root"),
        ("<Response><Record></Response>", 12100, "1:19"),
        (
            "<!DOCTYPE r [<!ENTITY a \"b\">]><Response><Record timeout=\"&a;\"/></Response>",
            12100,
            "DTD",
        ),
        (
            "<Response><Record timeout=\"&nbsp;\"/></Response>",
            12100,
            "nbsp",
        ),
        (
            "<Response><Record timeout=\"1\" timeout=\"2\"/></Response>",
            12100,
            "timeout",
        ),
        (
            "<response/>",
            12200,
            "line 1, column 1: <response> where <Response>",
        ),
        (
            "<Response/>",
            12200,
            "<Response> needs <Record> or <Start> in it",
        ),
        (
            "<Response>\n <Say>Hello</Say>\n</Response>",
            12200,
            "line 2, column 2: <Say> where <Record> or <Start>",
        ),
        (
            "<Response>\n <Record/>\n <Hangup/></Response>",
            12200,
            "line 3, column 2: <Hangup> where <Record> or <Start>",
        ),
        (
            "<Response>words<Record/></Response>",
            12200,
            "column 11: text where <Record> or <Start>",
        ),
        (
            "<Response><Record/><Record/></Response>",
            12200,
            "column 20: <Record> beside <Record>",
        ),
        (
            "<Response><Record><Say/></Record></Response>",
            12200,
            "<Say> within <Record>",
        ),
        (
            "<Response><Record finishOnkey=\"#\"/></Response>",
            12200,
            "column 19: finishOnkey is no attribute of <Record>; did you mean finishOnKey?",
        ),
        (
            "<Response><Record x:y=\"1\" xmlns:x=\"z\"/></Response>",
            12200,
            "y is no attribute",
        ),
        (
            "<Response><Record xml:action=\"1\"/></Response>",
            12200,
            "action is no attribute",
        ),
        (
            "<Response xmlns=\"z\"><Record/></Response>",
            12200,
            "<Response> where <Response>",
        ),
        (
            "<Response a=\"b\"><Record/></Response>",
            12200,
            "a is no attribute of <Response>",
        ),
        (
            "<Response><Start><Stream url=\"x\"/></Start></Response>",
            12200,
            "<Stream> where <Recording>",
        ),
        (
            "<Response><Start/></Response>",
            12200,
            "<Start> needs <Recording> in it",
        ),
        (
            "<Response><Start action=\"x\"><Recording/></Start></Response>",
            12200,
            "action is no attribute of <Start>",
        ),
        (
            "<Response><Start><Recording timeout=\"3\"/></Start></Response>",
            12200,
            "timeout is no attribute of <Recording>",
        ),
    ] {
        let fault = Twiml::parse(text).unwrap_err();
        assert_eq!(
            (fault.status.as_u16(), fault.code),
            (400, Some(code)),
            "{text}"
        );
        assert!(fault.message.starts_with("Twiml: "), "{}", fault.message);
        assert!(
            fault.message.contains(said),
            "{said:?} in {}",
            fault.message
        );
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let long = format!(
        "<Response><Record action=\"{}\"/></Response>",
        "x".repeat(MOST_BYTES)
    );
    assert!(
        Twiml::parse(&long)
            .unwrap_err()
            .message
            .contains("65536 bytes")
    );
    let deep = "<a>".repeat(20_000);
    assert_eq!(Twiml::parse(&deep).unwrap_err().code, Some(12100));
    let wide = format!(
        "<Response><Record {}/></Response>",
        (0..4_000)
            .map(|n| format!("a{n}=\"\" "))
            .collect::<String>()
    );
    assert!(Twiml::parse(&wide).is_err());
}

#[test]
fn a_form_does_not_say_what_the_document_says() {
    for (text, form, refused) in [
        ("<Record/>", "Timeout=3", Some("Timeout: ")),
        ("<Record timeout=\"3\"/>", "Timeout=3", Some("Timeout: ")),
        (
            "<Record/>",
            "RecordingStatusCallback=http://h/",
            Some("RecordingStatusCallback: "),
        ),
        (
            "<Record/>",
            "RecordingTrack=both&RecordingChannels=dual&Tags={}&From=1",
            None,
        ),
        (
            "<Start><Recording/></Start>",
            "RecordingTrack=both",
            Some("RecordingTrack: "),
        ),
        (
            "<Start><Recording/></Start>",
            "PlayBeep=false",
            Some("PlayBeep: "),
        ),
        ("<Start><Recording/></Start>", "Tags={}", None),
    ] {
        let twiml = Twiml::parse(&format!("<Response>{text}</Response>")).unwrap();
        let entered = twiml.enter(&mut Params::parse(form).unwrap());
        match (entered, refused) {
            (Ok(()), None) => {}
            (Err(fault), Some(name)) => {
                assert!(fault.message.starts_with(name), "{}", fault.message)
            }
            (entered, _) => panic!("{text} beside {form}: {entered:?}"),
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text: String, parts in proptest::collection::vec("[<>/\"'=&;!\\[\\]? a-zA-Z:]{0,12}", 0..20)) {
        let _ = Twiml::parse(&text);
        let _ = Twiml::parse(&format!("<Response><Record {}", parts.concat()));
        let _ = Twiml::parse(&format!("<Response><Record {}/></Response>", parts.join("=\"")));
    }
    #[test]
    fn what_is_refused_is_always_told_of_the_document(
        attributes in proptest::collection::btree_map("[a-zA-Z]{1,12}|timeout|action|trim|playBeep|finishOnKey", "[ -%\\x27-;=-~]{0,20}", 0..5),
        start: bool,
    ) {
        let attributes = attributes.iter().map(|(name, value)| format!(" {name}='{}'", value.replace('\'', "")));
        let attributes: String = attributes.collect();
        let text = if start {
            format!("<Response><Start><Recording{attributes}/></Start></Response>")
        } else {
            format!("<Response><Record{attributes}/></Response>")
        };
        // It panics where a refusal does not say so.
        crate::fuzz::twiml(&text);
    }
}
