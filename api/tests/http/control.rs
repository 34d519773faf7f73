//! Calls and control: opening, starting, pausing, stopping, repeats, refusals, clients that leave.

use std::io::Write;
use std::time::Duration;

use reeld_model::{Cause, Channels, Readings, Refusal, Step, TrackSelection, Trim, Verdict};

use crate::capture::FRAMES;
use crate::harness::{
    AC, Answer, CA, House, SEED_MS, account, call, credentials, eventually, full, new, sid,
};

const OTHER_CA: &str = "CA00000000000000000000000000000001";

#[test]
fn a_call_is_opened_seen_and_ended() {
    let house = House::new();
    let answer = house.post(
        "2010/Calls.json",
        "ExternalId=abc%40pbx&From=%2B1&To=2&Sdp=v%3D0",
    );
    assert_eq!(answer.status, 201, "{}", answer.text());
    let opened = answer.json();
    let ca = reeld_model::CallSid::from_external(account(), "abc@pbx").to_string();
    assert_eq!(opened["sid"], ca);
    assert_eq!(opened["external_id"], "abc@pbx");
    assert_eq!(opened["sdp"], "v=0\r\n");
    assert_eq!(
        opened["media"],
        serde_json::json!([
            { "track": "inbound", "address": "127.0.0.1", "port": 20000 },
            { "track": "outbound", "address": "127.0.0.1", "port": 20002 },
        ])
    );
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(location, full(&format!("2010/Calls/{ca}")));
    let shown = house.get(&format!("{location}.json")).json();
    assert_eq!(
        (&shown["status"], &shown["from"]),
        (&"in-progress".into(), &"+1".into())
    );
    assert_eq!(shown["streams"][1]["stats"]["packets"], 0);

    let xml = house.post(
        "2008/Calls",
        &format!("CallSid={CA}&Tracks=inbound&Sdp=v%3D0"),
    );
    assert!(
        xml.text().contains("<Sdp>v=0&#13;\n</Sdp>"),
        "{}",
        xml.text()
    );
    let media = "<Media><Stream track=\"inbound\" address=\"127.0.0.1\" port=\"20004\"/></Media>";
    assert!(xml.text().contains(media), "{}", xml.text());
    assert!(
        xml.text()
            .contains("<Status>1</Status><StatusText>in-progress</StatusText>")
    );

    let start = house.post(&format!("2010/Calls/{ca}/Recordings.json"), "");
    assert_eq!(start.status, 201, "{}", start.text());
    let ended = house.post(&format!("2010/Calls/{ca}.json"), "Status=completed");
    assert_eq!(ended.json()["status"], "completed");
    // Its recording tells of it still; a call without one is forgotten.
    let told = house.get(&format!("2010/Calls/{ca}.json")).json();
    for (name, value) in [
        ("status", "completed"),
        ("from", "+1"),
        ("external_id", "abc@pbx"),
    ] {
        assert_eq!(told[name], value);
    }
    assert_eq!(
        house
            .post(&format!("2010/Calls/{ca}.json"), "Status=completed")
            .status,
        200
    );
    assert_eq!(
        house
            .post(&format!("2008/Calls/{CA}"), "Status=completed")
            .status,
        200
    );
    assert_eq!(house.get(&format!("2010/Calls/{CA}.json")).status, 404);
    assert_eq!(
        house.get(&format!("2010/Calls/{OTHER_CA}.json")).status,
        404
    );
}

#[test]
fn bad_call_parameters_are_named() {
    let house = House::new();
    for (path, form, code, words) in [
        ("2008/Calls", "CallSid=abc", 20422, "CallSid: "),
        (
            "2008/Calls",
            "RemoteAddress=somewhere",
            20422,
            "RemoteAddress: ",
        ),
        (
            "2008/Calls",
            "RemoteAddress=0.0.0.0:4000",
            20422,
            "RemoteAddress: ",
        ),
        ("2008/Calls", "Tracks=none", 20422, "Tracks: "),
        ("2008/Calls", "From=", 20422, "From: "),
        ("2008/Calls", "Sdp=", 20422, "Sdp: "),
        ("2008/Calls", "Url=http://x/", 20001, "Url: "),
        (&format!("2008/Calls/{CA}"), "", 20422, "Status: "),
        (
            &format!("2008/Calls/{CA}"),
            "Status=busy",
            20422,
            "Status: ",
        ),
        (
            &format!("2008/Calls/{CA}"),
            "Status=completed&Sdp=v",
            20422,
            "Status: ",
        ),
    ] {
        let (status, found, message) = house.post(path, form).fault();
        assert_eq!((status, found), (400, Some(code)), "{path} {form}");
        assert!(message.starts_with(words), "{message}");
    }
}

#[test]
fn a_recording_is_started_paused_resumed_and_stopped_once() {
    let house = House::new();
    let recordings = format!("2010/Calls/{CA}/Recordings");
    let form = "RecordingChannels=dual&Tags=%7B%22a%22%3A1%7D";
    let answer = house.post(&format!("{recordings}.json"), form);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let started = answer.json();
    assert_eq!(started["status"], "in-progress");
    assert_eq!(started["duration"], serde_json::Value::Null);
    assert_eq!(started["channels"], 2);
    assert_eq!(started["tags"], serde_json::json!({ "a": 1 }));
    assert_eq!(started["media"][1]["port"], 20002);
    let re = started["sid"].as_str().unwrap().to_owned();
    assert!(
        answer
            .header("location")
            .unwrap()
            .ends_with(&format!("/Calls/{CA}/Recordings/{re}"))
    );
    assert_eq!(
        house.get(&format!("2010/Recordings/{re}.json")).json()["status"],
        "processing"
    );

    let current = format!("{recordings}/Twilio.CURRENT.json");
    let update = |form: &str| house.post(&current, form).json()["status"].clone();
    assert_eq!(update("Status=paused&PauseBehavior=skip"), "paused");
    assert_eq!(update("Status=in-progress"), "in-progress");
    assert_eq!(update("Status=stopped"), "stopped");

    let own = format!("{recordings}/{re}.json");
    let again = house.post(&own, "Status=stopped");
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["status"], "completed");
    assert_eq!(again.json()["duration"], (FRAMES / 8_000).to_string());
    let resumed = house.post(&own, "Status=in-progress");
    assert_eq!(
        (resumed.status, &resumed.json()["code"]),
        (400, &16114.into())
    );
    assert_eq!(house.post(&current, "Status=stopped").json()["code"], 20404);
    assert_eq!(
        house
            .post(&format!("{recordings}/{}.json", sid(9)), "Status=stopped")
            .status,
        404
    );
    let stray = format!("2010/Calls/{OTHER_CA}/Recordings/{re}.json");
    assert_eq!(house.post(&stray, "Status=stopped").status, 404);
    assert_eq!(
        house.get(&format!("2010/Recordings/{re}.json")).json()["digits"],
        "12#"
    );
    for form in [
        "",
        "Status=gone",
        "Status=paused&PauseBehavior=loud",
        "status=paused",
    ] {
        assert_eq!(house.post(&own, form).status, 400, "{form}");
    }
}

#[test]
fn the_2008_answer_to_a_start_has_the_six_fields_a_status_and_the_media() {
    let house = House::new();
    let answer = house.post(&format!("2008/Calls/{CA}/Recordings"), "Timeout=3");
    assert_eq!(answer.status, 201);
    let sid = answer.text().split("<Sid>").nth(1).unwrap()[..34].to_owned();
    assert_eq!(
        answer.text(),
        format!(
            "<TwilioResponse><Recording><Sid>{sid}</Sid><AccountSid>{AC}</AccountSid>\
             <CallSid>{CA}</CallSid><Duration/>\
             <DateCreated>Tue, 01 Apr 2008 01:07:15 -0400</DateCreated>\
             <DateUpdated>Tue, 01 Apr 2008 01:07:15 -0400</DateUpdated>\
             <Status>in-progress</Status><Media>\
             <Stream track=\"inbound\" address=\"127.0.0.1\" port=\"20000\"/>\
             <Stream track=\"outbound\" address=\"127.0.0.1\" port=\"20002\"/></Media>\
             </Recording></TwilioResponse>"
        )
    );
    let seen = &house.capture.seen()[0];
    assert_eq!(seen.sid.to_string(), sid);
    assert_eq!(
        (seen.track, seen.channels),
        (TrackSelection::Inbound, Channels::Mono)
    );
    assert_eq!(seen.trim, Trim::TrimSilence);
    assert_eq!(seen.rules.timeout, Some(Duration::from_secs(3)));
    assert_eq!(seen.rules.max_length, Some(Duration::from_secs(3_600)));
}

#[test]
fn two_at_once_make_current_ambiguous() {
    let house = House::new();
    let path = format!("2010/Calls/{CA}/Recordings");
    house.post(&format!("{path}.json"), "");
    house.post(&format!("{path}.json"), "");
    let (status, _, message) = house
        .post(&format!("{path}/Twilio.CURRENT"), "Status=paused")
        .fault();
    assert_eq!(status, 400);
    assert!(message.contains("2 recordings"), "{message}");
}

#[test]
fn an_idempotency_token_starts_one_recording() {
    let house = House::new();
    let path = full(&format!("2010/Calls/{CA}/Recordings.json"));
    let headers = credentials(AC, "a-token") + "I-Twilio-Idempotency-Token: once\r\n";
    let first = house.ask("POST", &path, &headers, "Timeout=5");
    let second = house.ask("POST", &path, &headers, "Timeout=5");
    assert_eq!((first.status, second.status), (201, 200));
    let (first, second) = (first.json(), second.json());
    assert_eq!(first["sid"], second["sid"]);
    assert_eq!(first["media"], second["media"]);
    assert_eq!(second["status"], "in-progress");
    assert_eq!(house.capture.seen().len(), 1);
    for wrong in ["x".repeat(129), "a b".to_owned(), "a\tb".to_owned()] {
        let headers =
            credentials(AC, "a-token") + &format!("I-Twilio-Idempotency-Token: {wrong}\r\n");
        assert_eq!(
            house.ask("POST", &path, &headers, "").status,
            400,
            "{wrong}"
        );
    }
}

#[test]
fn a_repeat_waits_for_what_the_first_comes_to() {
    let house = House::new();
    let path = full(&format!("2010/Calls/{CA}/Recordings.json"));
    let headers = credentials(AC, "a-token") + "I-Twilio-Idempotency-Token: twice\r\n";
    house.capture.hold(true);
    let (first, second) = std::thread::scope(|scope| {
        let ask = || house.ask("POST", &path, &headers, "");
        let both = (scope.spawn(ask), scope.spawn(ask));
        eventually("the beginning", || {
            house.get("2010/Recordings").text().contains("total=\"1\"")
        });
        house.capture.hold(false);
        (both.0.join().unwrap(), both.1.join().unwrap())
    });
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201]);
    assert_eq!(first.json()["sid"], second.json()["sid"]);
    assert_eq!(first.json()["media"], second.json()["media"]);
    assert_eq!(house.capture.seen().len(), 1);
}

#[test]
fn a_refused_start_leaves_no_record_and_says_why() {
    let house = House::new();
    let path = format!("2008/Calls/{CA}/Recordings");
    for (refusal, status, code, words) in [
        (
            Refusal::NoPort("20000-20001".into()),
            503,
            None,
            "no free media port in 20000-20001",
        ),
        (
            Refusal::TooManyRecordings(2),
            503,
            None,
            "capture.max_recordings (2)",
        ),
        (Refusal::Overloaded, 503, None, "overloaded"),
        (Refusal::ShuttingDown, 503, None, "stopping"),
        (Refusal::CallUnknown, 400, Some(21220), "not eligible"),
        (
            Refusal::Sdp("no audio line".into()),
            400,
            Some(20422),
            "Sdp: no audio line",
        ),
        (
            Refusal::Beep("the sender is a fork".into()),
            400,
            Some(13616),
            "PlayBeep: the sender is a fork",
        ),
        (
            Refusal::Source("not allowed".into()),
            400,
            Some(20422),
            "RemoteAddress: not allowed",
        ),
    ] {
        house.capture.refuse(Some(refusal));
        let answer = house.post(&path, "Sdp=v%3D0");
        let (found, found_code, message) = answer.fault();
        assert_eq!((found, found_code), (status, code), "{message}");
        assert!(message.contains(words), "{message}");
        assert_eq!(
            answer.header("retry-after").is_some(),
            status == 503,
            "{message}"
        );
    }
    house.capture.refuse(None);
    assert!(house.get("2010/Recordings").text().contains("total=\"0\""));
}

#[test]
fn an_unknown_call_is_not_opened_where_that_is_off() {
    let house = House::with(|settings| settings.start_unknown_call = false);
    let path = format!("2010/Calls/{CA}/Recordings.json");
    assert_eq!(house.post(&path, "").json()["code"], 21220);
    house.post("2010/Calls.json", &format!("CallSid={CA}"));
    assert_eq!(house.post(&path, "").status, 201);
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_a_whole_recording() {
    let house = House::new();
    house.capture.hold(true);
    let mut stream = house.connect();
    write!(
        stream,
        "POST {} HTTP/1.1\r\nHost: x\r\n{}Content-Length: 0\r\n\r\n",
        full(&format!("2010/Calls/{CA}/Recordings.json")),
        credentials(AC, "a-token")
    )
    .unwrap();
    // Begun in the store, not yet started.
    eventually("the beginning", || {
        house.get("2010/Recordings").text().contains("total=\"1\"")
    });
    drop(stream);
    house.capture.hold(false);
    eventually("the start", || house.capture.running() == 1);
    let current = house.post(
        &format!("2010/Calls/{CA}/Recordings/Twilio.CURRENT.json"),
        "Status=stopped",
    );
    assert_eq!(current.json()["status"], "stopped");
}

#[test]
fn a_start_that_comes_too_late_is_stopped_again() {
    let house = House::with(|settings| settings.limits.control = Duration::from_millis(50));
    house.capture.hold(true);
    let path = format!("2010/Calls/{CA}/Recordings.json");
    let answer = house.post(&path, "");
    assert_eq!(answer.status, 503, "{}", answer.text());
    house.capture.hold(false);
    eventually("the start and its end", || {
        house.capture.seen().len() == 1 && house.capture.running() == 0
    });
    // And one that is refused too late is taken back.
    house.capture.hold(true);
    assert_eq!(house.post(&path, "").status, 503);
    house.capture.refuse(Some(Refusal::Overloaded));
    house.capture.hold(false);
    eventually("the abort", || {
        house.get("2010/Recordings").text().contains("total=\"1\"")
    });
}

#[test]
fn overload_has_an_order_and_touches_nothing_that_is_recorded() {
    let house = House::new();
    house.recording(&sid(1), SEED_MS, Channels::Mono, &[1; 8_000]);
    let recordings = format!("2010/Calls/{CA}/Recordings");
    let live = house.post(&format!("{recordings}.json"), "").json();
    let live = format!("{recordings}/{}.json", live["sid"].as_str().unwrap());
    let mp3 = format!("2010/Recordings/{}.mp3", sid(1));
    let cause = Cause::OldestBlock(Duration::from_millis(2_300));
    let load = |step| {
        house.capture.load.set(Verdict {
            step,
            cause: (step > Step::Free).then_some(cause),
            readings: Readings::default(),
        });
    };
    let refused = |answer: &Answer, what: &str| {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("5"));
        let why = format!("no new {what}: sound has waited 2.3 s for the disk");
        assert!(answer.text().contains(&why), "{}", answer.text());
    };
    load(Step::NoEncodes);
    refused(&house.get_public(&mp3), "encodings");
    assert_eq!(house.ask("GET", "/readyz", "", "").status, 200);
    assert_eq!(house.post(&recordings, "").status, 201);

    load(Step::NoRecordings);
    refused(&house.get_public(&mp3), "encodings");
    let seen = house.capture.seen().len();
    refused(&house.post(&recordings, ""), "recordings");
    assert_eq!(house.capture.seen().len(), seen);
    let ready = house.ask("GET", "/readyz", "", "");
    assert_eq!(ready.status, 503);
    assert!(
        ready.text().contains("2.3 s for the disk"),
        "{}",
        ready.text()
    );
    let metrics = house.ask("GET", "/metrics", "", "");
    assert!(
        metrics.text().contains("\nreeld_overload_step 3\n"),
        "{}",
        metrics.text()
    );
    // What is there is served, and what runs is paused, resumed and stopped.
    assert_eq!(house.get_public(&mp3.replace("mp3", "wav")).status, 200);
    for status in ["paused", "in-progress", "stopped"] {
        let answer = house.post(&live, &format!("Status={status}"));
        assert_eq!(answer.status, 200, "{status}: {}", answer.text());
    }

    load(Step::Free);
    assert_eq!(house.get_public(&mp3).status, 200);
    assert_eq!(house.post(&recordings, "").status, 201);
}

#[test]
fn one_that_is_being_finished_can_be_stopped_and_nothing_else() {
    let house = House::new();
    let re = sid(1);
    house
        .store
        .begin(new(&re, SEED_MS, Channels::Mono))
        .unwrap();
    assert_eq!(
        house
            .store
            .get(account(), re.parse().unwrap())
            .unwrap()
            .unwrap()
            .call,
        call()
    );
    let path = format!("2010/Calls/{CA}/Recordings/{re}.json");
    assert_eq!(
        house.post(&path, "Status=stopped").json()["status"],
        "stopped"
    );
    assert_eq!(house.post(&path, "Status=paused").json()["code"], 16114);
}
