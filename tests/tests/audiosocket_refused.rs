//! AudioSocket connections that are not as they should be: strangers, garbage, halves of frames, too many, mute ones,
//! ones that never read, and two with one UUID. Each is bounded, and none harms another call.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reeld_tests::audiosocket::{Bed, Connection, FRAME, call_sid, frame, sound, whole};
use reeld_tests::patience::wait_for;
use reeld_tests::script::Law;
use reeld_tests::siprec::recordings;
use reeld_tests::{Setup, Tape, judge};

/// How many calls were refused for a reason.
fn refused(bed: &Bed, reason: &str) -> u64 {
    let labels = format!("{{source=\"audiosocket\",reason=\"{reason}\"}}");
    bed.client()
        .figure(&format!("reeld_incoming_calls_refused_total{labels}"))
}

/// The call of this number goes on meanwhile, and is exact.
fn beside(bed: &Bed, number: u8, act: impl FnOnce()) {
    let client = bed.client();
    let tape = Tape::noise(Law::Mu, number.into(), 50 * FRAME);
    let samples = tape.samples();
    let mut connection = bed.call(number);
    std::thread::scope(|scope| {
        scope.spawn(|| connection.say(&samples));
        act();
    });
    connection.hang_up();
    let json = recordings(&client, &call_sid(&client, number), 1).remove(0);
    let wav = client.heard(&json);
    whole(wav.mono(), &tape);
}

#[test]
fn what_is_no_audiosocket_is_closed_at_once() {
    let bed = Bed::start(Setup::new());
    let garbage: [Vec<u8>; 5] = [
        b"INVITE sip:reeld@127.0.0.1 SIP/2.0\r\n\r\n".to_vec(),
        frame(0x01, b"no UUID"),
        sound(0x10, &[1; FRAME]),
        frame(0x00, &[]),
        frame(0xff, &[4]),
    ];
    beside(&bed, 1, || {
        for bytes in &garbage {
            let mut connection = bed.connect();
            connection.send(bytes);
            assert!(connection.closed().is_empty());
        }
    });
    bed.daemon.wait_log("is no AudioSocket");
    // Who hangs up or fails before a word was none.
    let counts = ["unusable", "given-up"].map(|reason| refused(&bed, reason));
    assert_eq!(counts, [4, 1]);
}

#[test]
fn who_is_not_allowed_is_closed_and_a_call_without_an_account_too() {
    let bed = Bed::start(Setup::new().set("audiosocket.allow", vec!["127.0.0.2"]));
    assert!(bed.connect().closed().is_empty());
    assert_eq!(refused(&bed, "not-allowed"), 1);
    let other = "AC00000000000000000000000000000009";
    let setup = Setup::new().set("calls.routes", vec![format!("{other}=source:sip")]);
    let bed = Bed::start(setup);
    let mut connection = bed.call(1);
    assert!(connection.closed().is_empty());
    bed.daemon.wait_log("calls.routes");
    bed.client().wait_figure(
        "reeld_incoming_calls_refused_total{source=\"audiosocket\",reason=\"no-account\"}",
        1,
    );
}

#[test]
fn no_more_connections_than_there_may_be() {
    let bed = Bed::start(Setup::new().set("audiosocket.max_connections", 3));
    let open: Vec<Connection> = (0..3).map(|_| bed.connect()).collect();
    assert!(bed.connect().closed().is_empty());
    assert_eq!(refused(&bed, "busy"), 1);
    drop(open);
    // There is room again.
    wait_for("a connection that is kept", Duration::from_secs(20), || {
        let connection = bed.connect();
        let patience = Some(Duration::from_millis(200));
        connection
            .stream
            .set_read_timeout(patience)
            .expect("a socket");
        let closed = std::io::Read::read(&mut &connection.stream, &mut [0]).is_ok();
        (!closed).then_some(())
    });
}

#[test]
fn one_that_brings_nothing_ends_in_time_and_one_that_never_reads_is_recorded() {
    let bed = Bed::start(Setup::new().set("audiosocket.timeout", "2s"));
    let client = bed.client();
    let mut mute = bed.call(2);
    mute.say(&[5; 25 * FRAME]);
    // Half a frame.
    mute.send(&[0x10, 1]);
    beside(&bed, 1, || {
        // Answered and never read, it is read all the same.
        let mut deaf = bed.call(3);
        let tape = Tape::noise(Law::Mu, 9, 50 * FRAME);
        deaf.say(&tape.samples());
        let json = recordings(&client, &call_sid(&client, 3), 1);
        let wav = client.heard(&json[0]);
        whole(wav.mono(), &tape);
    });
    let _ = mute.closed();
    let json = recordings(&client, &call_sid(&client, 2), 1).remove(0);
    // It ends with what was heard last, not when it was given up.
    assert_eq!(json["ended_by"], "inactivity", "{json}");
    let length = json["duration_ms"].as_u64().expect("a length");
    assert!((500..1_000).contains(&length), "{json}");
    let over = "reeld_incoming_calls_ended_total{source=\"audiosocket\",cause=\"timeout\"}";
    // The two beside it may have waited as long.
    assert!((1..=3).contains(&client.figure(over)));
}

#[test]
fn two_connections_with_one_uuid_are_two_recordings() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let (one, other) = (
        Tape::noise(Law::Mu, 1, 30 * FRAME),
        Tape::noise(Law::Mu, 2, 30 * FRAME),
    );
    let mut first = bed.call(1);
    first.say(&one.samples());
    let mut second = bed.call(1);
    second.say(&other.samples());
    second.hang_up();
    first.hang_up();
    let json = recordings(&client, &call_sid(&client, 1), 1).remove(0);
    whole(client.heard(&json).mono(), &one);
    let all = client.get(&client.path("/Recordings.json")).json();
    let all = all["recordings"].as_array().expect("a list").clone();
    assert_eq!(all.len(), 2);
    let own = all
        .iter()
        .find(|own| own["sid"] != json["sid"])
        .expect("another");
    let own = client.recording(own["sid"].as_str().expect("a Sid"));
    assert!(
        own["warnings"].to_string().contains("another connection"),
        "{own}"
    );
    whole(client.heard(&own).mono(), &other);
}

#[test]
fn nobody_else_s_packets_are_heard_on_the_call_s_port() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let tape = Tape::noise(Law::Mu, 1, 50 * FRAME);
    let samples = tape.samples();
    let mut connection = bed.call(1);
    connection.say(&samples[..FRAME]);
    let call = call_sid(&client, 1);
    let port = wait_for("the call's port", Duration::from_secs(20), || {
        let reply = client.get(&client.path(&format!("/Calls/{call}.json")));
        let json = (reply.status == 200).then(|| reply.json())?;
        reeld_tests::client::media_address(&json, "inbound")
    });
    assert_eq!(port.ip(), Ipv4Addr::LOCALHOST);
    let stranger = reeld_tests::Sender::new();
    let script = reeld_tests::Voice::new(7).say(&[1; 4_000]);
    std::thread::scope(|scope| {
        scope.spawn(|| stranger.play(SocketAddr::new(port.ip(), port.port()), script));
        connection.say(&samples[FRAME..]);
    });
    connection.hang_up();
    let json = recordings(&client, &call, 1).remove(0);
    let wav = client.heard(&json);
    let pieces = judge::pieces(wav.mono(), &tape);
    let heard: usize = pieces.iter().map(|piece| piece.length).sum();
    assert_eq!(heard, samples.len(), "{pieces:?}");
}
