//! An rtpengine that is followed: two parties talk through a real one, and what each says is recorded to the sample,
//! through hold, a new SSRC, another codec and re-INVITE, and until the call is deleted.

use std::time::{Duration, Instant};

use reeld_tests::judge;
use reeld_tests::rtpengine::{Rtpengine, call_sid, following, wait_recorded};
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::siprec::recordings;
use reeld_tests::{Setup, Tape, Voice};

const ID: &str = "one call@sip.example";

/// Holds a channel to these sounds in their order, to the sample, and nothing but silence around them.
#[track_caller]
fn exactly(channel: &[i16], sounds: &[Vec<i16>]) {
    let mut at = 0;
    for (number, sound) in sounds.iter().enumerate() {
        let begin = channel[at..].iter().position(|sample| *sample != 0);
        let begin = at + begin.unwrap_or_else(|| panic!("sound {number} is not there"));
        let end = (begin + sound.len()).min(channel.len());
        let differs = channel[begin..end]
            .iter()
            .zip(sound)
            .position(|(one, other)| one != other);
        assert_eq!(differs, None, "of sound {number}, which begins at {begin}");
        assert_eq!(end - begin, sound.len(), "of sound {number}");
        at = end;
    }
    let more = channel[at..].iter().position(|sample| *sample != 0);
    assert_eq!(more, None, "sound after the end of all, at {at}");
}

#[test]
fn each_party_is_exact_through_hold_a_new_ssrc_and_a_re_invite() {
    let engine = Rtpengine::start();
    let daemon = following(Setup::new(), &engine).start();
    let client = daemon.client();
    let mut call = engine.call(ID);
    let open = wait_recorded(client, &engine, ID);
    assert_eq!(open["external_id"], ID, "{open}");
    let ears = call.listen();

    let tape = |law, seed, seconds: usize| Tape::noise(law, seed, seconds * 8_000);
    let [first, second] = [tape(Law::Mu, 1, 5), tape(Law::Mu, 2, 2)];
    let [before, after] = [tape(Law::Mu, 3, 2), tape(Law::A, 4, 3)];
    let pause = Duration::from_millis(300);
    // The caller talks through the hold and the re-INVITE; then it is another SSRC.
    let caller = Voice::new(1)
        .say(first.codes())
        .then(pause, Voice::new(2).say(second.codes()));
    // The callee is held for two seconds, and comes back with another codec.
    let held = Duration::from_secs(2);
    let voice = Voice::new(3);
    let resumed = Voice {
        sequence: voice.sequence.wrapping_add(100),
        timestamp: voice.timestamp.wrapping_add(4 * 8_000),
        ..voice.with_law(Law::A)
    };
    let callee = voice
        .say(before.codes())
        .then(held + voice.packet_time(), resumed.say(after.codes()));
    let parties = [(&call.caller, caller), (&call.callee, callee)];
    let parts = parties.into_iter().zip(call.ports);
    let parts = parts.map(|((sender, script), to)| Part {
        sender: sender.clone(),
        to,
        script,
    });
    let playing = Playing::start(parts.collect());
    playing.wait_until(0, 75);
    call.signal("0 8 101", ["sendonly", "recvonly"]);
    playing.wait_until(0, 190);
    call.signal("8 0 96 101", ["sendrecv", "sendrecv"]);
    let sent = playing.finish();

    call.delete();
    let deleted = Instant::now();
    let sid = call_sid(client, ID);
    let json = recordings(client, &sid, 1).remove(0);
    let took = deleted.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    client.wait_figure(
        "reeld_incoming_calls_ended_total{source=\"rtpengine\",cause=\"hung-up\"}",
        1,
    );
    let of = |name: &str| client.figure(&format!("reeld_{name}"));
    for (name, count) in [
        ("incoming_calls_begun_total{source=\"rtpengine\"}", 1),
        ("incoming_recordings_total{source=\"rtpengine\"}", 1),
        ("incoming_calls{source=\"rtpengine\"}", 0),
        ("rtpengines_followed", 1),
        ("rtpengines_answering", 1),
    ] {
        assert_eq!(of(name), count, "{name}");
    }
    assert_eq!(
        (&json["ended_by"], &json["source"], &json["warnings"]),
        (
            &"call-completed".into(),
            &"Trunking".into(),
            &serde_json::json!([])
        ),
        "{json}"
    );
    assert_eq!(json["signalling"]["sip_call_id"], ID, "{json}");
    let participants = &json["participants"];
    assert_eq!(
        (&participants[0]["name"], &participants[1]["track"]),
        (&"caller".into(), &"outbound".into()),
        "{json}"
    );
    let wav = client.heard(&json);
    let [inbound, outbound] = wav.dual();
    exactly(inbound, &[first.samples(), second.samples()]);
    exactly(outbound, &[before.samples(), after.samples()]);
    // The parties have lost nothing of each other.
    let heard = ears.map(|ears| ears.finish().len());
    assert_eq!(heard, [sent[1].len(), sent[0].len()]);
}

#[test]
fn a_call_that_is_kept_for_a_while_after_its_end_has_not_that_much_silence() {
    let engine = Rtpengine::start();
    let setup = Setup::new().set("rtpengine.delete_delay", "8s");
    let daemon = following(setup, &engine).start();
    let client = daemon.client();
    let call = engine.call(ID);
    let _ = wait_recorded(client, &engine, ID);
    let tape = Tape::noise(Law::Mu, 7, 3 * 8_000);
    let playing = call
        .caller
        .start(call.ports[0], Voice::new(7).say(tape.codes()));
    let _ = playing.finish();
    call.delete_after(8);
    let deleted = Instant::now();
    let sid = call_sid(client, ID);
    let json = recordings(client, &sid, 1).remove(0);
    let took = deleted.elapsed();
    assert!(took > Duration::from_secs(7), "it was kept: {took:?}");
    let wav = client.wav(json["sid"].as_str().expect("a Sid"));
    let inbound = wav.dual()[0];
    exactly(inbound, &[tape.samples()]);
    let silence = inbound.iter().rev().take_while(|sample| **sample == 0);
    // Between the call's end and that it is found are rtpengine's second and ours.
    let silence = silence.count();
    assert!(silence < 5 * 8_000, "{silence} samples of silence");
}

#[test]
fn what_an_rtpengine_that_dies_had_sent_is_kept_exactly() {
    let mut engine = Rtpengine::start();
    // What was lost as it died stays silence.
    let setup = Setup::new().set("capture.conceal", false);
    let daemon = following(setup, &engine).start();
    let client = daemon.client();
    let (ports, sender) = {
        let call = engine.call(ID);
        (call.ports, call.caller.clone())
    };
    let _ = wait_recorded(client, &engine, ID);
    let tape = Tape::noise(Law::Mu, 5, 400 * 160);
    let playing = sender.start(ports[0], Voice::new(5).say(tape.codes()));
    playing.wait_until(0, 200);
    engine.kill_nine();
    let sent = playing.stop().remove(0).len();
    let sid = call_sid(client, ID);
    let path = client.path(&format!("/Recordings.json?CallSid={sid}"));
    let json =
        reeld_tests::patience::wait_for("the recording to end", Duration::from_secs(60), || {
            let all = client.get(&path).json()["recordings"].as_array().cloned()?;
            all.into_iter().find(|one| one["status"] == "completed")
        });
    let wav = client.heard(&json);
    let pieces = judge::pieces(wav.dual()[0], &tape);
    assert_eq!(pieces[0].tape, 0, "{pieces:?}");
    let heard: usize = pieces.iter().map(|piece| piece.length).sum();
    // What it had on its way when it was killed is lost to the callee too.
    assert!(
        heard >= 195 * 160 && heard <= sent * 160,
        "{heard} samples of {sent} packets"
    );

    client.wait_figure("reeld_rtpengines_answering", 0);
    let over = "reeld_incoming_calls_ended_total{source=\"rtpengine\",cause=\"timeout\"}";
    client.wait_figure(over, 1);
    // Another one in its place is followed at once, and the same call is another part of the same one.
    engine.start_again();
    let call = engine.call(ID);
    let _ = wait_recorded(client, &engine, ID);
    assert_eq!(client.figure("reeld_rtpengines_answering"), 1);
    let tape = Tape::noise(Law::Mu, 6, 100 * 160);
    call.caller
        .play(call.ports[0], Voice::new(6).say(tape.codes()));
    call.delete();
    let parts = recordings(client, &sid, 2);
    let wav = client.heard(&parts[0]);
    judge::exact(wav.dual()[0], &tape.samples());
}
