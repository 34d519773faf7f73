//! Bad values are 400 with Twilio's code and the parameter's name, bad names too where ignoring
//! them would hand out or make the wrong recording; bad Sids are 404; nothing is started by any of
//! them. What Twilio documents and reeld does not use is taken.

use reeld_tests::client::call_sid;
use reeld_tests::{Client, Setup};
use reqwest::Method;

/// What is not asked for by its parameters.
const BAD_STARTS: &[(&str, &str, u64)] = &[
    ("RecordingChannels", "stereo", 20_422),
    ("RecordingChannels", "", 20_422),
    ("RecordingChannels", "MONO", 20_422),
    ("RecordingTrack", "sideways", 13_622),
    ("Trim", "yes", 20_422),
    ("Timeout", "-1", 13_611),
    ("Timeout", "soon", 13_611),
    ("Timeout", "1e3", 13_611),
    ("MaxLength", "0", 13_612),
    ("MaxLength", "99999999999999999999", 13_612),
    ("MaxLength", "1.5", 13_612),
    ("FinishOnKey", "x", 13_613),
    ("PlayBeep", "loud", 13_616),
    ("RemoteAddress", "somewhere", 20_422),
    ("RemoteAddress", "127.0.0.1:0", 20_422),
    ("Sdp", "hello", 20_422),
    ("Tags", "[1]", 20_422),
    ("Tags", "{", 20_422),
    ("Source", "carrier-pigeon", 20_422),
    ("RecordingStatusCallbackMethod", "PATCH", 20_422),
    ("RecordingTrak", "inbound", 20_001),
    ("recordingtrack", "inbound", 20_001),
];

const BAD_OFFERS: &[(&str, &str)] = &[
    ("m=audio 5000 RTP/SAVP 0\r\n", "SAVP"),
    (
        "m=audio 5000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n",
        "crypto",
    ),
    (
        "m=audio 5000 RTP/AVP 0\r\na=fingerprint:sha-256 00\r\n",
        "DTLS",
    ),
    ("m=audio 5000 RTP/AVP 0\r\na=ice-ufrag:x\r\n", "ICE"),
    ("m=video 5000 RTP/AVP 31\r\n", "audio"),
    (
        "m=audio 5000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n",
        "codec",
    ),
];

const BAD_LISTS: &[(&str, &str, u64)] = &[
    ("DateCreated=yesterday", "DateCreated", 20_422),
    ("DateCreated=2026-02-30", "DateCreated", 20_422),
    ("DateCreated%3E=2026-13-01", "DateCreated", 20_422),
    ("DateCreated%3C=06.07.2009", "DateCreated", 20_422),
    (
        "DateCreated%3E=2026-01-02&DateCreated%3C=2026-01-01",
        "DateCreated",
        20_422,
    ),
    ("DateCreated", "DateCreated", 20_001),
    ("DateCreatedAfter=2026-01-01", "DateCreatedAfter", 20_001),
    (
        "callsid=CA00000000000000000000000000000001",
        "callsid",
        20_001,
    ),
    ("CallSid=CA1", "CallSid", 20_422),
    ("PageSize=0", "PageSize", 20_422),
    ("PageSize=-5", "PageSize", 20_422),
    ("PageSize=ten", "PageSize", 20_422),
    ("PageSize=1001", "PageSize", 20_007),
    ("Page=-1", "Page", 20_422),
    ("Page=first", "Page", 20_422),
    ("PageToken=PA1", "PageToken", 20_422),
];

/// A form's pairs.
type Form = &'static [(&'static str, &'static str)];

const BAD_CHANGES: &[(Form, &str, u64)] = &[
    (&[], "Status", 20_422),
    (&[("Status", "finished")], "Status", 20_422),
    (&[("Status", "Paused")], "Status", 20_422),
    (&[("Status", "completed")], "Status", 20_422),
    (
        &[("Status", "paused"), ("PauseBehavior", "loop")],
        "PauseBehavior",
        20_422,
    ),
    (
        &[("Status", "paused"), ("Behavior", "skip")],
        "Behavior",
        20_001,
    ),
];

fn running(client: &Client) -> u64 {
    let list = client
        .get(&client.path("/Recordings.json"))
        .expect(200)
        .json();
    list["total"]
        .as_u64()
        .unwrap_or_else(|| panic!("no total: {list}"))
}

#[test]
fn starts_changes_and_lists_are_held_to_their_parameters() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    for (name, value, code) in BAD_STARTS {
        let message = client
            .try_start(&call_sid(1), &[(name, value)])
            .expect_error(400, *code);
        assert!(message.contains(name), "{name}={value}: {message}");
    }
    for (lines, named) in BAD_OFFERS {
        let head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";
        let sdp = format!("{head}{lines}");
        for reply in [
            client.try_start(&call_sid(1), &[("Sdp", &sdp)]),
            client.open_call(&[("CallSid", &call_sid(1)), ("Sdp", &sdp)]),
        ] {
            let message = reply.expect_error(400, 20_422);
            assert!(
                message.contains("Sdp") && message.contains(named),
                "{lines}: {message}"
            );
        }
    }
    for (query, named, code) in BAD_LISTS {
        let list = client.path(&format!("/Recordings.json?{query}"));
        let message = client.get(&list).expect_error(400, *code);
        assert!(message.contains(named), "{query}: {message}");
    }
    assert_eq!(running(client), 0, "nothing was started");
    client
        .get(&client.path(&format!("/Calls/{}.json", call_sid(1))))
        .expect_error(404, 20_404);

    let started = client.start(&call_sid(1), &[]);
    for (form, named, code) in BAD_CHANGES {
        let message = client
            .change(&started.call, &started.sid, form)
            .expect_error(400, *code);
        assert!(message.contains(named), "{form:?}: {message}");
    }
    let live = client.call(&started.call);
    assert_eq!(live["recordings"][0]["status"], "in-progress", "{live}");
    // It is not complete: it cannot be deleted, and its media is not there.
    let path = client.path(&format!("/Recordings/{}.json", started.sid));
    client
        .send(Method::DELETE, &path, &[], None)
        .expect_error(409, 20_009);
    assert_eq!(client.recording(&started.sid)["status"], "processing");
    assert_eq!(
        client.recording(&started.sid)["duration"],
        serde_json::Value::Null
    );
    client
        .get_public(&client.old_path(&format!("/Recordings/{}", started.sid)))
        .expect(404);
    client
        .get(&client.path(&format!("/Recordings/{}.mp3", started.sid)))
        .expect(404);
}

#[test]
fn a_bad_sid_is_404() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    for sid in [
        "RE1",
        "RE0000000000000000000000000000000g",
        "CA00000000000000000000000000000001",
    ] {
        client
            .get(&client.path(&format!("/Recordings/{sid}.json")))
            .expect_error(404, 20_404);
        let change = client.change(&call_sid(1), sid, &[("Status", "stopped")]);
        change.expect_error(404, 20_404);
    }
    for call in ["CA1", "RE00000000000000000000000000000001", "..%2f..%2fetc"] {
        client.try_start(call, &[]).expect_error(404, 20_404);
    }
    // Another account's is 404 too, never 403.
    let other = "/2010-04-01/Accounts/AC00000000000000000000000000000001/Recordings.json";
    assert!(
        matches!(client.get(other).status, 401 | 404),
        "{}",
        client.get(other).status
    );
    client
        .get("/2010-04-01/Nothing.json")
        .expect_error(404, 20_404);
}

#[test]
fn what_twilio_documents_is_taken() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let form = [
        ("RecordingChannels", "dual"),
        ("RecordingTrack", "both"),
        ("Trim", "do-not-trim"),
        ("Tags", r#"{"agent":"7","müde":true}"#),
    ];
    let started = client.start(&call_sid(1), &form);
    assert_eq!(started.json["channels"], 2, "{}", started.json);
    assert_eq!(started.json["tags"]["agent"], "7", "{}", started.json);
    let list = client.path("/Recordings.json?IncludeSoftDeleted=true&PageSize=1000");
    client.get(&list).expect(200);
    let conference =
        client.path("/Recordings.json?ConferenceSid=CF00000000000000000000000000000001");
    assert_eq!(client.get(&conference).expect(200).json()["total"], 0);
    let past_the_end = client.path("/Recordings.json?Page=99");
    let page = client.get(&past_the_end).expect(200).json();
    assert_eq!(
        page["recordings"].as_array().map(Vec::len),
        Some(0),
        "{page}"
    );

    // A repeat of a start is the first recording, not a second.
    let start = |token: &str| {
        let headers = [("I-Twilio-Idempotency-Token", token)];
        let path = client.path(&format!("/Calls/{}/Recordings.json", call_sid(2)));
        let reply = client.send(Method::POST, &path, &headers, Some(&[]));
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
        reply.json()["sid"].as_str().expect("a sid").to_owned()
    };
    let first = start("one");
    assert_eq!(start("one"), first);
    assert_ne!(start("two"), first);
    let page = client.get(&client.path("/Recordings.json?PageSize=1"));
    let page = page.expect(200).json();
    let next = page["next_page_uri"].as_str().expect("there are three");
    assert!(next.contains("&PageToken="), "{next}");
    let second = client.get(next).expect(200).json();
    assert_ne!(second["recordings"], page["recordings"]);
}
