//! `reeld show`: a recording's record and quality, beside a live daemon and without one; a Sid that
//! nobody has is one line and exit code 1.

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{Client, Daemon, MediaKind, Sender, Setup, Tape, Voice, for_each_media};
use serde_json::Value;

for_each_media!(a_recording_is_shown_with_its_quality);

fn json(daemon: &Daemon, sid: &str) -> Value {
    let shown = daemon.command(&["show", sid, "--json"]).success();
    serde_json::from_str(&shown.text()).expect("it is JSON")
}

/// What the API and the command say of one thing is the same.
fn agrees_with_the_api(client: &Client, shown: &Value, sid: &str) {
    let api = client.recording(sid);
    for name in [
        "sid",
        "call_sid",
        "account_sid",
        "status",
        "duration_ms",
        "channels",
        "track",
        "rate_hz",
        "ended_by",
        "recovered",
        "digits",
        "tags",
    ] {
        assert_eq!(shown[name], api[name], "{name}");
    }
    for track in ["inbound", "outbound"] {
        assert_eq!(shown["quality"][track], api["tracks"][track], "{track}");
    }
}

fn a_recording_is_shown_with_its_quality(media: MediaKind) {
    let mut daemon = Setup::new().media(media).start();
    let client = daemon.client().clone();
    let call = call_sid(1);
    client.open_call(&[
        ("CallSid", &call),
        ("From", "+15550001"),
        ("To", "+15550002"),
    ]);
    let started = client.start(
        &call,
        &[("RecordingChannels", "dual"), ("Tags", r#"{"team":"a"}"#)],
    );
    let sid = started.sid.as_str();
    let live = json(&daemon, sid);
    assert_eq!(
        (&live["status"], &live["ended_by"]),
        (&"processing".into(), &Value::Null)
    );
    let tape = Tape::noise(Law::Mu, 1, 8_000);
    let part = Part {
        sender: Sender::new(),
        to: started.inbound(),
        script: Voice::new(1).say(tape.codes()),
    };
    Playing::start(vec![part]).finish();
    client.finish(&started);

    let shown = json(&daemon, sid);
    agrees_with_the_api(&client, &shown, sid);
    let inbound = &shown["quality"]["inbound"];
    assert_eq!(
        (&inbound["packets"], &inbound["lost"]),
        (&50.into(), &0.into())
    );
    assert_eq!(shown["from"], "+15550001");
    assert_eq!(shown["rate_hz"], 8_000);
    let checksum = shown["blake3"].as_str().expect("it is complete");
    assert_eq!(checksum.len(), 64);

    let text = daemon.command(&["show", sid]).success().text();
    for part in [
        sid,
        call.as_str(),
        "+15550002",
        "stopped",
        "8000 Hz",
        "2, both",
        checksum,
        "team",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let row = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name}: {text}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("quality"), "quality inbound outbound");
    assert_eq!(row("packets"), "packets 50 0");
    assert_eq!(row("concealed"), "concealed 0 ms 0 ms");

    // Without the daemon the same, and nothing for what is not there.
    assert!(daemon.terminate().success());
    assert_eq!(json(&daemon, sid), shown);
    unknown(&daemon);
    daemon.start_again();
    unknown(&daemon);
}

fn unknown(daemon: &Daemon) {
    let sid = "RE00000000000000000000000000000000";
    for args in [&["show", sid][..], &["show", sid, "--json"]] {
        let refused = daemon.command(args);
        assert_eq!(refused.status.code(), Some(1));
        assert_eq!(refused.text(), "");
        assert_eq!(
            refused.stderr,
            format!("reeld: there is no recording {sid}\n")
        );
    }
    let usage = daemon.command(&["show", "no-sid"]);
    assert_eq!(usage.status.code(), Some(2), "{}", usage.stderr);
}
