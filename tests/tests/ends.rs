//! How recordings end, and that each says why: stopped, at their maximum length, by received
//! silence, by a key, by a BYE that can be trusted, by want of packets, with their call, with the
//! daemon. What was recorded is exact up to there.

use std::time::{Duration, Instant};

use reeld_tests::client::{Started, call_sid};
use reeld_tests::script::{Cue, Law, Packet, Script};
use reeld_tests::{
    Client, MediaKind, Sender, Setup, Span, Tape, Voice, for_each_media, judge, span::instant_of,
};
use serde_json::Value;

for_each_media!(sigterm_finishes_what_is_recorded);

const PACKET: usize = 160;

fn tape(seconds: usize) -> Tape {
    Tape::noise(Law::Mu, 1, seconds * 8_000)
}

/// Two seconds of sound on the inbound track of a call of one's own.
fn speak(client: &Client, form: &[(&str, &str)]) -> (Started, Vec<Instant>, Sender) {
    let started = client.start(&call_sid(1), form);
    let sender = Sender::new();
    let sent = sender.play(started.inbound(), Voice::new(1).say(tape(2).codes()));
    (started, sent, sender)
}

/// Holds a completed recording to be the tape's first `samples`, and to have ended so.
#[track_caller]
fn assert_ended(client: &Client, started: &Started, by: &str, samples: usize) -> Value {
    let json = client.wait_completed(&started.sid);
    assert_eq!(json["ended_by"], by, "{json}");
    let wav = client.wav(&started.sid);
    judge::exact(wav.mono(), &tape(2).samples()[..samples]);
    json
}

#[test]
fn stopping_twice_is_one_stop_and_nothing_follows_it() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let (started, ..) = speak(client, &[("RecordingTrack", "inbound")]);
    client.stop(&started);
    assert_ended(client, &started, "stopped", 16_000);
    let path = (started.call.as_str(), started.sid.as_str());
    for (status, behavior) in [("stopped", ""), ("in-progress", ""), ("paused", "skip")] {
        let mut form = vec![("Status", status)];
        if !behavior.is_empty() {
            form.push(("PauseBehavior", behavior));
        }
        let reply = client.change(path.0, path.1, &form);
        match reply.status {
            200 if status == "stopped" => {}
            400 => {
                reply.expect_error(400, 16_114);
            }
            _ => panic!("{status} after a stop: {} {}", reply.status, reply.text()),
        }
    }
    let list = client
        .get(&client.path("/Recordings.json"))
        .expect(200)
        .json();
    assert_eq!(list["total"], 1, "never a second file: {list}");
    assert_ended(client, &started, "stopped", 16_000);
}

#[test]
fn a_maximum_length_ends_it_in_order() {
    let daemon = Setup::new().set("capture.max_length", "3s").start();
    let client = daemon.client();
    let verb = [
        ("RecordingTrack", "inbound"),
        ("MaxLength", "2"),
        ("Trim", "do-not-trim"),
        ("Timeout", "0"),
    ];
    for (number, form, samples) in [(1, &verb[..], 16_000), (2, &verb[..1], 24_000)] {
        let started = client.start(&call_sid(number), form);
        Sender::new().play(started.inbound(), Voice::new(1).say(tape(4).codes()));
        let json = client.wait_completed(&started.sid);
        assert_eq!(json["ended_by"], "max-length", "{json}");
        let wav = client.wav(&started.sid);
        assert_eq!(wav.frames(), samples);
        judge::exact(wav.mono(), &tape(4).samples()[..samples]);
    }
}

#[test]
fn received_silence_ends_it_and_is_trimmed() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("Timeout", "1")]);
    assert_eq!(started.json["source"], "RecordVerb", "{}", started.json);
    assert_eq!(
        started.json["track"], "inbound",
        "the verb records the caller"
    );
    let said = [
        vec![0xff; 4_000],
        tape(2).codes().to_vec(),
        vec![0xff; 16_000],
    ]
    .concat();
    let playing = Sender::new().start(started.inbound(), Voice::new(1).say(&said));
    let json = client.wait_completed(&started.sid);
    assert!(
        playing.sent(0) < said.len() / PACKET,
        "it ends while silence still comes"
    );
    playing.stop();
    assert_eq!(json["ended_by"], "timeout", "{json}");
    let wav = client.wav(&started.sid);
    judge::exact(wav.mono(), &tape(2).samples());
    assert!(
        wav.frames() < 16_000 + 4_000,
        "the silence around is trimmed: {}",
        wav.frames()
    );
}

#[test]
fn without_packets_there_is_no_silence_to_end_it() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let form = [("RecordingTrack", "inbound"), ("Timeout", "1")];
    let (started, _, sender) = speak(client, &form);
    // Three seconds without a packet, in which a timeout of one second must not fire.
    let again = Voice {
        ssrc: 9,
        ..Voice::new(1)
    }
    .say(&tape(1).codes()[..4_000]);
    let pause = Script(vec![Cue {
        at: Duration::from_secs(3),
        bytes: again.0[0].bytes.clone(),
    }]);
    sender.play(
        started.inbound(),
        pause.then(Duration::from_millis(20), Script(again.0[1..].to_vec())),
    );
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    assert_eq!(json["ended_by"], "stopped", "{json}");
    assert!(client.wav(&started.sid).frames() > 5 * 8_000, "{json}");
}

#[test]
fn a_key_ends_it() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let form = [
        ("RecordingTrack", "inbound"),
        ("FinishOnKey", "#"),
        ("Timeout", "0"),
    ];
    let started = client.start(&call_sid(1), &form);
    let tape = tape(2);
    let mut script = Voice::new(1).say(tape.codes());
    // 7 at packet 20 is none of its keys, # (event 11) at packet 50 is.
    for (place, event) in [(20, 7), (50, 11)] {
        let begin = Packet::parse(&script.0[place].bytes)
            .expect("a packet")
            .timestamp;
        for step in 0..6 {
            let packet = Packet::parse(&script.0[place + step].bytes).expect("a packet");
            let end = if step >= 3 { 0x8a } else { 0x0a };
            let payload = vec![event, end, 1, 0xe0];
            let packet = Packet {
                payload_type: 101,
                timestamp: begin,
                payload,
                ..packet
            };
            script.0[place + step].bytes = packet.bytes();
        }
    }
    let playing = Sender::new().start(started.inbound(), script);
    let json = client.wait_completed(&started.sid);
    playing.stop();
    assert_eq!(json["ended_by"], "key", "{json}");
    assert_eq!(json["digits"], "7#", "{json}");
    let wav = client.wav(&started.sid);
    let mut reference = tape.samples()[..50 * PACKET].to_vec();
    reference[20 * PACKET..26 * PACKET].fill(0);
    judge::exact(wav.mono(), &reference);
    assert!(wav.frames() <= 60 * PACKET, "{}", wav.frames());
}

#[test]
fn a_bye_ends_it_where_it_came_and_a_forged_one_does_not() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let (started, sent, sender) = speak(client, &[("RecordingTrack", "inbound")]);
    let mut rtcp = started.inbound();
    rtcp.set_port(rtcp.port() + 1);
    // Another source's BYE, and a BYE after which sound goes on.
    sender.send(rtcp, &Voice::new(99).bye());
    sender.send(rtcp, &Voice::new(1).bye());
    let voice = Voice::new(1);
    let voice = Voice {
        sequence: voice.sequence.wrapping_add(100),
        timestamp: voice.timestamp.wrapping_add(16_000),
        ..voice
    };
    sender.play(started.inbound(), voice.say(&tape(1).codes()[..4_000]));
    let running = client.recording(&started.sid);
    assert_eq!(running["status"], "processing", "{running}");
    // On the RTP port, told apart by RFC 5761.
    let (bye, ()) = Span::of(|| sender.send(started.inbound(), &Voice::new(1).bye()));
    let json = client.wait_completed(&started.sid);
    assert_eq!(json["ended_by"], "bye", "{json}");
    let wav = client.wav(&started.sid);
    let end = instant_of(wav.frames(), &sent, PACKET);
    bye.assert_holds("the end", end);
}

#[test]
fn want_of_packets_ends_it() {
    let setup = Setup::new()
        .set("capture.first_packet", "1s")
        .set("capture.inactivity", "1s");
    let daemon = setup.start();
    let client = daemon.client();
    let silent = client.start(&call_sid(7), &[]);
    let (started, ..) = speak(client, &[("RecordingTrack", "inbound")]);
    assert_ended(client, &started, "inactivity", 16_000);
    assert_eq!(
        client.wav(&started.sid).frames(),
        16_000,
        "it ends with its last packet"
    );

    // One that never got a packet is absent: without media, unlisted under 2008.
    let json = client.wait_status(&silent.sid, "absent");
    assert_eq!(json["ended_by"], "no-packets", "{json}");
    let path = client.old_path(&format!("/Recordings/{}", silent.sid));
    for extension in ["", ".mp3", ".xml"] {
        client.get_public(&format!("{path}{extension}")).expect(404);
    }
    let list = client
        .get(&client.old_path("/Recordings"))
        .expect(200)
        .text();
    assert!(
        list.contains(&started.sid) && !list.contains(&silent.sid),
        "{list}"
    );
}

#[test]
fn the_calls_end_is_its_recordings_end() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let (started, ..) = speak(client, &[("RecordingTrack", "inbound")]);
    let paused = client.start(&started.call, &[]);
    client
        .change(&paused.call, &paused.sid, &[("Status", "paused")])
        .expect(200);
    client.complete_call(&started.call).expect(200);
    assert_ended(client, &started, "call-completed", 16_000);
    let json = client.call(&started.call);
    assert_eq!(json["status"], "completed", "{json}");
    // Its ports are closed: what still comes is nobody's.
    let again = client.try_start(&started.call, &[("RecordingTrack", "inbound")]);
    assert!(matches!(again.status, 201 | 400), "{}", again.text());
}

fn sigterm_finishes_what_is_recorded(media: MediaKind) {
    let mut daemon = Setup::new().media(media).start();
    let client = daemon.client().clone();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let tape = Tape::noise(Law::Mu, 1, 8_000 * 10);
    let playing = Sender::new().start(started.inbound(), Voice::new(1).say(tape.codes()));
    playing.wait_until(0, 100);
    let (term, status) = Span::of(|| daemon.terminate());
    let sent = playing.stop().remove(0);
    assert!(status.success(), "{status}: {}", daemon.log());
    daemon.start_again();
    let json = client.wait_completed(&started.sid);
    assert_eq!(
        (&json["ended_by"], &json["recovered"]),
        (&"shutdown".into(), &false.into()),
        "{json}"
    );
    let wav = client.wav(&started.sid);
    let pieces = judge::pieces(wav.mono(), &tape);
    assert_eq!(pieces.len(), 1, "{pieces:?}");
    assert_eq!((pieces[0].at, pieces[0].tape), (0, 0));
    term.assert_holds("the end", instant_of(pieces[0].length, &sent, PACKET));
}
