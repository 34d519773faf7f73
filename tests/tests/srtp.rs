//! SRTP with keys from SDP: what ffmpeg and libsrtp protect is recorded sample for sample, each track under its own
//! key, through a new key and a restart in mid-call; under another key nothing is heard, and it is counted. No key
//! of a sender's is in a log, an answer or a file.

use std::time::Duration;

use reeld_tests::client::{Client, call_sid, media_address};
use reeld_tests::patience::wait_for;
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::siprec::{Bed, Scenario, Transport, metadata, ports, recordings};
use reeld_tests::srtp::{Ffmpeg, Key, SUITES, offer};
use reeld_tests::{Daemon, Script, Sender, Setup, Started, Tape, Voice, judge, reference};

/// Opens a call with this offer, and starts a recording of it.
fn record(client: &Client, sdp: &str, form: &[(&str, &str)]) -> (Started, String) {
    let call = call_sid(1);
    let opened = client
        .open_call(&[("CallSid", &call), ("Sdp", sdp)])
        .expect(201)
        .json();
    assert!(media_address(&opened, "inbound").is_some(), "{opened}");
    let answer = opened["sdp"].as_str().expect("an answer").to_owned();
    (client.start(&call, form), answer)
}

fn crypto_lines(sdp: &str) -> Vec<String> {
    let lines = sdp.lines().filter(|line| line.starts_with("a=crypto:"));
    lines.map(str::to_owned).collect()
}

/// Nothing that the daemon has said or written has a key of these.
fn assert_untold(daemon: &Daemon, keys: &[&Key]) {
    let mut said = vec![("the log".to_owned(), daemon.log())];
    for (path, bytes) in daemon.files() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        said.push((path.display().to_string(), text));
    }
    for (where_, text) in said {
        for key in keys {
            assert!(!text.contains(&key.inline()), "{where_} has a key");
        }
    }
}

#[test]
fn what_ffmpeg_protects_is_recorded_to_the_sample_and_ends_with_its_bye() {
    let daemon = Setup::new().set("log.level", "trace").start();
    let client = daemon.client();
    let key = Key::new(0, 1);
    let one = [("RecordingTrack", "inbound")];
    let (started, answer) = record(client, &offer(&[(40_000, &key)]), &one);
    assert!(answer.contains(" RTP/SAVP 0\r\n"), "{answer}");
    let ours = &crypto_lines(&answer)[0];
    assert!(
        ours.starts_with("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"),
        "{answer}"
    );
    let ffmpeg = Ffmpeg::start(daemon.folder(), "sent", started.inbound(), &key, 4);
    let sent = ffmpeg.finish();
    let json = client.wait_completed(&started.sid);
    assert_eq!(json["ended_by"], "bye", "{json}");
    let counts = &json["tracks"]["inbound"];
    assert_eq!(
        (&counts["srtp"], &counts["unauthentic"], &counts["packets"]),
        (&key.suite().into(), &0.into(), &200.into()),
        "{counts}"
    );
    let wav = client.wav(&started.sid);
    judge::exact(wav.mono(), &reference::decode(Law::Mu, &sent));
    assert!(!json.to_string().contains(&key.inline()));
    assert!(
        !client
            .call(&call_sid(1))
            .to_string()
            .contains(&key.inline())
    );
    assert_untold(&daemon, &[&key]);
}

#[test]
fn under_another_key_nothing_is_heard_and_it_is_counted() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let key = Key::new(0, 1);
    let one = [("RecordingTrack", "inbound")];
    let (started, _) = record(client, &offer(&[(40_000, &key)]), &one);
    let other = Key::new(0, 2);
    let tape = Tape::noise(Law::Mu, 1, 50 * 160);
    let sender = Sender::new();
    sender.play(
        started.inbound(),
        other.protect(Voice::new(1).say(tape.codes())),
    );
    // And without any.
    sender.play(started.inbound(), Voice::new(1).say(tape.codes()));
    let unauthentic = || {
        let call = client.call(&call_sid(1));
        let count = call["streams"][0]["stats"]["unauthentic"].as_u64();
        (count == Some(100)).then_some(())
    };
    wait_for("the counts", Duration::from_secs(20), unauthentic);
    // What it says is of the threads' last ticks.
    let totals = || {
        let metrics = client.metrics();
        let count = "reeld_packets_unauthentic_total 100";
        metrics.lines().any(|line| line == count).then_some(())
    };
    wait_for("the metric", Duration::from_secs(20), totals);
    client.stop(&started);
    let json = client.wait_status(&started.sid, "absent");
    let counts = &json["tracks"]["inbound"];
    assert_eq!(
        (&counts["unauthentic"], &counts["packets"], &counts["srtp"]),
        (&100.into(), &0.into(), &serde_json::Value::Null),
        "{counts}"
    );
    let told = daemon.log().matches("is not authentic").count();
    assert_eq!(told, 1, "it is told once");
}

/// Two tracks: as long as half the script each is under its first key, then under a new one.
#[test]
fn each_suite_of_libsrtp_is_exact_and_a_new_key_loses_nothing() {
    for suite in 0..SUITES.len() {
        let daemon = Setup::new().start();
        let client = daemon.client();
        let first = [Key::new(suite, 1), Key::new(suite, 2)];
        let then = (suite + 1) % SUITES.len();
        let second = [Key::new(then, 3), Key::new(then, 4)];
        let dual = [("RecordingChannels", "dual")];
        let lines = |keys: &[Key; 2]| offer(&[(40_000, &keys[0]), (40_002, &keys[1])]);
        let (started, answer) = record(client, &lines(&first), &dual);
        let tapes = [1, 2].map(|seed| Tape::noise(Law::Mu, seed, 100 * 160));
        let mut parts = Vec::new();
        for (at, to) in [started.inbound(), started.outbound()]
            .into_iter()
            .enumerate()
        {
            // The sequence numbers wrap on the way.
            let mut script = Voice {
                sequence: 65_500,
                ..Voice::new(at as u64 + 1)
            }
            .say(tapes[at].codes());
            let late = Script(script.0.split_off(60));
            script = first[at].protect(script);
            script.0.extend(second[at].protect(late).0);
            parts.push(Part {
                sender: Sender::new(),
                to,
                script,
            });
        }
        let playing = Playing::start(parts);
        playing.wait_until(0, 30);
        let path = client.path(&format!("/Calls/{}.json", call_sid(1)));
        let update = client.post(&path, &[("Sdp", &lines(&second))]).expect(200);
        let answered = update.json()["sdp"].as_str().expect("an answer").to_owned();
        let keys = [crypto_lines(&answer), crypto_lines(&answered)].concat();
        assert_eq!(keys.len(), 4, "{answer}{answered}");
        let different: std::collections::BTreeSet<&String> = keys.iter().collect();
        assert_eq!(different.len(), 4, "each line has a key of its own");
        playing.finish();
        client.stop(&started);
        let json = client.wait_completed(&started.sid);
        let wav = client.wav(&started.sid);
        for (at, name) in ["inbound", "outbound"].into_iter().enumerate() {
            judge::exact(wav.dual()[at], &tapes[at].samples());
            let counts = &json["tracks"][name];
            assert_eq!(counts["srtp"], SUITES[then].0, "{counts}");
            for bad in ["lost", "unauthentic", "duplicates", "foreign"] {
                assert_eq!(counts[bad], 0, "{bad}: {counts}");
            }
        }
    }
}

#[test]
fn a_restart_in_mid_call_goes_on_with_its_keys() {
    let setup = Setup::new()
        .set("log.level", "trace")
        .set("capture.reorder_window", "2s")
        .supervised(Vec::new());
    let mut daemon = setup.start();
    let client = daemon.client().clone();
    let keys = [Key::new(0, 1), Key::new(2, 2)];
    let sdp = offer(&[(40_000, &keys[0]), (40_002, &keys[1])]);
    let (started, answer) = record(&client, &sdp, &[("RecordingChannels", "dual")]);
    let tapes = [1, 2].map(|seed| Tape::noise(Law::Mu, seed, 400 * 160));
    let to = [started.inbound(), started.outbound()];
    let parts = (0..2).map(|at| {
        // The wrap is behind them when the next daemon takes over: it has to know of it.
        let voice = Voice {
            sequence: 65_500,
            ..Voice::new(at as u64 + 1)
        };
        Part {
            sender: Sender::new(),
            to: to[at],
            script: keys[at].protect(voice.say(tapes[at].codes())),
        }
    });
    let playing = Playing::start(parts.collect());
    for sent in [100, 200] {
        playing.wait_until(0, sent);
        assert!(daemon.terminate().success());
        daemon.start_again();
    }
    let sdp_of = |client: &Client| client.call(&call_sid(1))["sdp"].as_str().map(str::to_owned);
    assert_eq!(sdp_of(&client).as_deref(), Some(answer.as_str()));
    playing.finish();
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    let wav = client.wav(&started.sid);
    for (at, name) in ["inbound", "outbound"].into_iter().enumerate() {
        judge::exact(wav.dual()[at], &tapes[at].samples());
        let counts = &json["tracks"][name];
        for bad in ["lost", "unauthentic", "late"] {
            assert_eq!(counts[bad], 0, "{bad}: {counts}");
        }
    }
    assert_untold(&daemon, &[&keys[0], &keys[1]]);
}

#[test]
fn a_recording_client_that_protects_is_recorded_to_the_sample() {
    let bed = Bed::start(Setup::new().set("log.level", "trace"));
    let client = bed.client();
    let keys = [Key::new(0, 1), Key::new(3, 2)];
    let sid = call_sid(1);
    let mut sdp = reeld_tests::siprec::offer(&[("1", "sendonly"), ("2", "sendonly")])
        .replace("RTP/AVP", "RTP/SAVP");
    for (label, key) in ["1", "2"].into_iter().zip(&keys) {
        let line = format!("a=label:{label}");
        sdp = sdp.replace(&line, &format!("{}\n{line}", key.attribute()));
    }
    let xml = metadata("c2Vzc2lvbg==", &[("ann", "1"), ("bob", "2")]);
    let scenario = Scenario::new("secure")
        .invite(&sid, &sdp, &xml)
        .wait(Duration::from_millis(2_500))
        .bye();
    let running = bed.begin(&scenario, Transport::Tcp);
    let to = ports(&client, &sid);
    let tapes = [1, 2].map(|seed| Tape::noise(Law::Mu, seed, 8_000));
    let parts = (0..2).map(|at| Part {
        sender: Sender::new(),
        to: to[at],
        script: keys[at].protect(Voice::new(at as u64).say(tapes[at].codes())),
    });
    Playing::start(parts.collect()).finish();
    running.finish();
    let json = recordings(&client, &sid, 1).remove(0);
    assert_eq!(json["warnings"], serde_json::json!([]), "{json}");
    let wav = client.heard(&json);
    for (at, name) in ["inbound", "outbound"].into_iter().enumerate() {
        judge::exact(wav.dual()[at], &tapes[at].samples());
        let counts = &json["tracks"][name];
        assert_eq!(counts["srtp"], keys[at].suite(), "{counts}");
    }
    assert!(!json.to_string().contains(&keys[0].inline()));
    assert_untold(&bed.daemon, &[&keys[0], &keys[1]]);
}

/// Keys in RTP/AVP ("best effort") are declined, and RTP is what comes then.
#[test]
fn keys_in_rtp_avp_are_answered_with_rtp() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let sdp = offer(&[(40_000, &Key::new(0, 1))]).replace("RTP/SAVP", "RTP/AVP");
    let one = [("RecordingTrack", "inbound")];
    let (started, answer) = record(client, &sdp, &one);
    assert_eq!(crypto_lines(&answer), Vec::<String>::new());
    let tape = Tape::noise(Law::Mu, 1, 50 * 160);
    Sender::new().play(started.inbound(), Voice::new(1).say(tape.codes()));
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    assert_eq!(json["tracks"]["inbound"]["srtp"], serde_json::Value::Null);
    judge::exact(client.wav(&started.sid).mono(), &tape.samples());
}
