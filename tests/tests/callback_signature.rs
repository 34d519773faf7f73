//! Callbacks are in order, complete, and signed as Twilio's SDKs check it: by POST and by GET, with a
//! query of their own, a user that the receiver asks for, and a fragment.

use reeld_tests::client::call_sid;
use reeld_tests::receiver::{Answer, Callback, Receiver};
use reeld_tests::{Law, Sender, Setup, Tape, Voice};

#[test]
fn the_computation_is_twilios() {
    // The documented example.
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let callback = Callback {
        at: std::time::Instant::now(),
        method: "POST".to_owned(),
        target: "/myapp.php?foo=1&bar=2".to_owned(),
        headers: vec![pair(("host", "mycompany.com"))],
        parameters: Vec::new(),
        form: [
            ("CallSid", "CA1234567890ABCDE"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
        ]
        .map(pair)
        .to_vec(),
    };
    assert_eq!(callback.signature("12345"), "HpS7PBa1Agvt4OtO+wZp75IuQa0=");
}

#[test]
fn events_come_in_order_signed_and_whole() {
    let daemon = Setup::new()
        .set("callbacks.allow", vec!["loopback"])
        .start();
    let client = daemon.client();
    let receiver = Receiver::start(|callback| {
        if callback.target.starts_with("/locked") && callback.header("authorization").is_empty() {
            return Answer::Status(401, "WWW-Authenticate: Basic realm=\"x\"\r\n".to_owned());
        }
        Answer::of(204)
    });
    let (_, token) = daemon.credentials();
    let mut seen = 0;
    for (number, method, path) in [
        (1, "POST", "/cb?x=1&y=a%20b#rc=2&rp=all"),
        (2, "GET", "/cb?x=1"),
        (3, "POST", "/"),
    ] {
        let call = call_sid(number);
        let started = client.start(
            &call,
            &[
                ("RecordingTrack", "inbound"),
                ("RecordingStatusCallback", &receiver.url(path)),
                ("RecordingStatusCallbackMethod", method),
                (
                    "RecordingStatusCallbackEvent",
                    "in-progress completed absent",
                ),
            ],
        );
        let tape = Tape::noise(Law::Mu, number, 50 * 160);
        Sender::new().play(started.inbound(), Voice::new(number).say(tape.codes()));
        client.stop(&started);
        let callbacks = receiver.wait(seen + 2).split_off(seen);
        seen += 2;
        assert_eq!(
            [0, 1].map(|place| callbacks[place].parameter("RecordingStatus")),
            ["in-progress", "completed"]
        );
        let tokens = [0, 1].map(|place| callbacks[place].header("i-twilio-idempotency-token"));
        assert!(
            !tokens[0].is_empty() && tokens[0] != tokens[1],
            "{tokens:?}"
        );
        for callback in &callbacks {
            assert_eq!(callback.method, method);
            assert_eq!(callback.form.is_empty(), method == "GET");
            assert!(!callback.target.contains('#'), "{}", callback.target);
            assert_eq!(
                callback.header("x-twilio-signature"),
                callback.signature(&token),
                "{callback:?}"
            );
            for (name, value) in [
                ("AccountSid", client.account()),
                ("CallSid", call.as_str()),
                ("RecordingSid", &started.sid),
                ("RecordingChannels", "1"),
                ("RecordingTrack", "inbound"),
                ("RecordingSource", "StartCallRecordingAPI"),
            ] {
                assert_eq!(callback.parameter(name), value, "{name}");
            }
        }
        assert_eq!(callbacks[0].parameter("RecordingDuration"), "");
        assert_eq!(callbacks[1].parameter("RecordingDuration"), "1");
    }

    // A recording without a packet is absent, and says why; its receiver asks for the URL's user.
    let url = receiver
        .url("/locked")
        .replace("http://", "http://me:p%40ss@");
    let started = client.start(
        &call_sid(4),
        &[
            ("RecordingStatusCallback", &url),
            ("RecordingStatusCallbackEvent", "absent"),
        ],
    );
    client.stop(&started);
    let callbacks = receiver.wait(seen + 2).split_off(seen);
    assert_eq!(callbacks[0].header("authorization"), "");
    // me:p@ss
    assert_eq!(callbacks[1].header("authorization"), "Basic bWU6cEBzcw==");
    for callback in callbacks {
        assert_eq!(callback.parameter("RecordingStatus"), "absent");
        assert_eq!(callback.parameter("ErrorCode"), "16101");
        assert_eq!(
            callback.header("x-twilio-signature"),
            callback.signature(&token)
        );
    }
}
