//! The `<Record>` verb whole, driven by real RTP: a TwiML document starts it, its caller hears the beep
//! and ends it with a key, and its action is asked with what Twilio would tell, signed, when the
//! recording can be fetched.

use std::sync::{Arc, Mutex};

use reeld_tests::client::{call_sid, media_address};
use reeld_tests::patience::wait_for;
use reeld_tests::receiver::{Answer, Callback, Receiver};
use reeld_tests::script::{Law, Packet, Script};
use reeld_tests::{Daemon, Sender, Setup, Tape, Voice, Wav, judge};

const PACKET: usize = 160;
const FROM: &str = "+15550001111";
const TO: &str = "+15550002222";

fn daemon() -> Daemon {
    Setup::new()
        .set("callbacks.allow", vec!["loopback"])
        .start()
}

/// What fetching each `RecordingUrl` came to, as soon as its request had come.
type Fetched = Arc<Mutex<Vec<(u16, Vec<u8>)>>>;

/// A receiver that fetches what it is told of before it answers.
fn fetching() -> (Receiver, Fetched) {
    let fetched = Fetched::default();
    let receiver = Receiver::start({
        let fetched = Arc::clone(&fetched);
        move |callback| {
            let url = callback.parameter("RecordingUrl").to_owned();
            let http = reqwest::blocking::Client::builder().no_proxy().build();
            let reply = http.and_then(|http| http.get(url).send());
            let seen =
                reply.and_then(|reply| Ok((reply.status().as_u16(), reply.bytes()?.to_vec())));
            let seen = seen.unwrap_or_else(|error| (0, error.to_string().into_bytes()));
            fetched.lock().expect("nobody panics with it").push(seen);
            Answer::of(200)
        }
    });
    (receiver, fetched)
}

/// Presses a key (RFC 4733) in the place of six packets from number `place` on.
fn press(script: &mut Script, place: usize, event: u8) {
    let begin = Packet::parse(&script.0[place].bytes)
        .expect("a packet")
        .timestamp;
    for step in 0..6 {
        let packet = Packet::parse(&script.0[place + step].bytes).expect("a packet");
        let end = if step >= 3 { 0x8a } else { 0x0a };
        let packet = Packet {
            payload_type: 101,
            timestamp: begin,
            payload: vec![event, end, 1, 0xe0],
            ..packet
        };
        script.0[place + step].bytes = packet.bytes();
    }
}

/// Waits for the one request to a path.
#[track_caller]
fn only(receiver: &Receiver, path: &str) -> Callback {
    let of_path = || {
        let callbacks = receiver.callbacks().into_iter();
        callbacks
            .filter(|one| one.target.starts_with(path))
            .collect::<Vec<_>>()
    };
    let bound = std::time::Duration::from_secs(60);
    let found = wait_for(path, bound, || {
        Some(of_path()).filter(|found| !found.is_empty())
    });
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().expect("there is one")
}

#[test]
fn a_document_is_carried_out_and_its_action_asked_what_to_do_next() {
    let daemon = daemon();
    let (client, (receiver, fetched)) = (daemon.client(), fetching());
    let (_, token) = daemon.credentials();
    let call = call_sid(1);
    let opened = client
        .open_call(&[("CallSid", &call), ("From", FROM), ("To", TO)])
        .expect(201)
        .json();
    let to = media_address(&opened, "inbound").expect("an inbound port");
    let tape = Tape::noise(Law::Mu, 1, 6 * 8_000);
    let mut script = Voice::new(1).say(tape.codes());
    press(&mut script, 200, 11);
    let caller = Sender::new();
    let ears = caller.listen();
    let playing = caller.start(to, script);
    playing.wait_until(0, 50);
    let twiml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response>\n  <!-- leave a message -->\n  \
         <Record action=\"{}\" finishOnKey=\"#\" timeout=\"3\" maxLength=\"30\"\n    \
         recordingStatusCallback=\"{}\" recordingStatusCallbackEvent=\"in-progress completed\"/>\n\
         </Response>",
        receiver.url("/next?step=1&amp;who=a+b#rc=2"),
        receiver.url("/status"),
    );
    let started = client.start(&call, &[("Twiml", &twiml)]);
    assert_eq!(started.json["source"], "RecordVerb", "{}", started.json);
    assert_eq!(started.json["track"], "inbound", "{}", started.json);
    let json = client.wait_completed(&started.sid);
    let action = only(&receiver, "/next");
    playing.stop();
    assert!(ears.finish().len() >= 26, "the beep is the verb's default");

    assert_eq!(
        (json["ended_by"].as_str(), json["digits"].as_str()),
        (Some("key"), Some("#"))
    );
    assert_eq!(
        (action.method.as_str(), action.target.as_str()),
        ("POST", "/next?step=1&who=a+b")
    );
    let url = format!(
        "{}{}",
        client.base(),
        client.path(&format!("/Recordings/{}", started.sid))
    );
    let mut form = action.form.clone();
    form.sort();
    let mut told = [
        ("AccountSid", client.account()),
        ("CallSid", &call),
        ("Digits", "#"),
        ("From", FROM),
        (
            "RecordingDuration",
            json["duration"].as_str().expect("a length"),
        ),
        ("RecordingSid", &started.sid),
        ("RecordingUrl", &url),
        ("To", TO),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    told.sort();
    assert_eq!(form, told);
    assert_eq!(
        action.header("x-twilio-signature"),
        action.signature(&token)
    );
    assert!(!action.header("i-twilio-idempotency-token").is_empty());

    // The status callback is another's business, and both are told when there is a file.
    let statuses = wait_for("both statuses", std::time::Duration::from_secs(60), || {
        let callbacks = receiver.callbacks().into_iter();
        let statuses: Vec<_> = callbacks.filter(|one| one.target == "/status").collect();
        (statuses.len() == 2).then_some(statuses)
    });
    assert_eq!(statuses[1].parameter("RecordingStatus"), "completed");
    let tokens = [&action, &statuses[1]].map(|one| one.header("i-twilio-idempotency-token"));
    assert_ne!(tokens[0], tokens[1]);
    let fetched = fetched.lock().expect("nobody panics with it");
    let mut codes: Vec<u16> = fetched.iter().map(|(status, _)| *status).collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        [200, 200, 404],
        "in-progress alone comes before there is a file"
    );
    let file = fetched.iter().find(|(status, _)| *status == 200);
    let wav = Wav::read(&file.expect("one was fetched").1);
    let pieces = judge::pieces(wav.mono(), &tape);
    assert_eq!(pieces.len(), 1, "{pieces:?}");
    // From behind the beep, which began at packet 50 or a little later, to the key.
    let begun = (80 * PACKET..95 * PACKET).contains(&pieces[0].tape);
    assert!(begun, "{pieces:?}");
    assert_eq!(pieces[0].tape_end(), 200 * PACKET, "{pieces:?}");
}

#[test]
fn an_old_application_is_told_in_the_words_of_2008() {
    let daemon = daemon();
    let (client, (receiver, fetched)) = (daemon.client(), fetching());
    let (_, token) = daemon.credentials();
    let call = call_sid(2);
    let opened = client.open_call(&[("CallSid", &call)]).expect(201).json();
    let to = media_address(&opened, "inbound").expect("an inbound port");
    let url = receiver.url("/next?x=1");
    // Who calls is not known to the call, and said by the start.
    let form = [
        ("Action", url.as_str()),
        ("Method", "GET"),
        ("From", FROM),
        ("Trim", "do-not-trim"),
        ("Timeout", "0"),
    ];
    let path = client.old_path(&format!("/Calls/{call}/Recordings.json"));
    let started = client.post(&path, &form).expect(201).json();
    let sid = &started["TwilioResponse"]["Recording"]["Sid"];
    let sid = sid.as_str().unwrap_or_else(|| panic!("{started}"));
    let tape = Tape::noise(Law::Mu, 2, 2 * 8_000);
    Sender::new().play(to, Voice::new(2).say(tape.codes()));
    client.complete_call(&call).expect(200);
    let action = only(&receiver, "/next");
    assert_eq!((action.method.as_str(), action.form.len()), ("GET", 0));
    assert!(action.target.starts_with("/next?x=1&"), "{}", action.target);
    for (name, value) in [
        ("x", "1"),
        ("CallSid", call.as_str()),
        ("Caller", FROM),
        ("Duration", "2"),
        ("Digits", "hangup"),
        ("RecordingSid", sid),
        ("RecordingDuration", ""),
        ("From", ""),
        ("Called", ""),
    ] {
        assert_eq!(action.parameter(name), value, "{name} in {}", action.target);
    }
    let old = client.old_path(&format!("/Recordings/{sid}"));
    assert!(
        action.parameter("RecordingUrl").ends_with(&old),
        "{}",
        action.target
    );
    assert_eq!(
        action.header("x-twilio-signature"),
        action.signature(&token)
    );
    let fetched = fetched.lock().expect("nobody panics with it");
    assert_eq!(fetched.len(), 1);
    assert_eq!(
        fetched[0].0,
        200,
        "{}",
        String::from_utf8_lossy(&fetched[0].1)
    );
    judge::exact(Wav::read(&fetched[0].1).mono(), &tape.samples());
}

#[test]
fn an_empty_recording_is_not_submitted_and_its_absence_is_told() {
    let daemon = daemon();
    let client = daemon.client();
    let receiver = Receiver::start(|_| Answer::of(200));
    let twiml = format!(
        "<Response><Record action=\"{}\" recordingStatusCallback=\"{}\" \
         recordingStatusCallbackEvent=\"absent\"/></Response>",
        receiver.url("/next"),
        receiver.url("/status"),
    );
    // Nobody says a word; and one who is silent, which is trimmed to nothing.
    let unheard = client.start(&call_sid(3), &[("Twiml", &twiml)]);
    let silent = client.start(&call_sid(4), &[("Twiml", &twiml)]);
    let quiet = vec![0xff; 2 * 8_000];
    Sender::new().play(silent.inbound(), Voice::new(4).say(&quiet));
    for started in [&unheard, &silent] {
        client.complete_call(&started.call).expect(200);
        client.wait_status(&started.sid, "absent");
    }
    let told = receiver.wait(2);
    for callback in &told {
        assert_eq!(callback.target, "/status");
        assert_eq!(callback.parameter("ErrorCode"), "16101");
    }
    let shown = daemon.command(&["callbacks", "pending"]).success().text();
    assert!(
        shown.contains("callbacks of 0 recordings wait, 0 were given up on"),
        "{shown}"
    );
    assert_eq!(receiver.callbacks().len(), 2, "its action is not asked");
}

#[test]
fn what_a_document_cannot_say_is_refused_where_it_stands() {
    let daemon = daemon();
    let client = daemon.client();
    for (twiml, code, said) in [
        (
            "<Response>\n<Say>Hi</Say><Record/></Response>",
            12_200,
            "line 2, column 1: <Say>",
        ),
        (
            "<Response><Record timeOut=\"3\"/></Response>",
            12_200,
            "did you mean timeout?",
        ),
        ("<Response><Record", 12_100, "Twiml: it cannot be read"),
        ("<!DOCTYPE a [<!ENTITY b \"c\">]><Response/>", 12_100, "DTD"),
        (
            "<Response><Record timeout=\"soon\"/></Response>",
            13_611,
            "line 1, column 19: timeout",
        ),
        (
            "<Response><Record action=\"next.php\"/></Response>",
            20_422,
            "action: it must be an absolute",
        ),
        (
            "<Response><Record action=\"http://10.0.0.1/\"/></Response>",
            20_422,
            "callbacks.allow",
        ),
    ] {
        let message = client
            .try_start(&call_sid(5), &[("Twiml", twiml)])
            .expect_error(400, code);
        assert!(
            message.starts_with("Twiml: ") && message.contains(said),
            "{message}"
        );
    }
    let twiml = "<Response><Record/></Response>";
    let both = client.try_start(&call_sid(5), &[("Twiml", twiml), ("MaxLength", "9")]);
    let message = both.expect_error(400, 20_422);
    assert!(message.starts_with("MaxLength: "), "{message}");
    let list = client
        .get(&client.path("/Recordings.json"))
        .expect(200)
        .json();
    assert_eq!(list["total"], 0, "nothing was started: {list}");
    // <Start><Recording> has the defaults of its own.
    let twiml = "<Response><Start><Recording/></Start></Response>";
    let started = client.start(&call_sid(5), &[("Twiml", twiml)]);
    assert_eq!(started.json["channels"], 2, "{}", started.json);
    assert_eq!(
        started.json["source"], "StartCallRecordingAPI",
        "{}",
        started.json
    );
}
