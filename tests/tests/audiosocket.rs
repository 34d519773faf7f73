//! Calls of an AudioSocket client: speech that comes with gaps is as long as it was and to the sample, whatever rate it
//! has and however its connection ends; its keys are the recording's.

use std::time::{Duration, Instant};

use reeld_tests::audiosocket::{Bed, FRAME, call_sid, frame, uuid, whole};
use reeld_tests::script::Law;
use reeld_tests::siprec::recordings;
use reeld_tests::{Setup, Tape, Wav, judge};

/// By how much two places may differ beyond what clocks and a busy machine do.
const OFF: Duration = Duration::from_millis(60);

#[test]
fn speech_with_gaps_is_as_long_as_it_was() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    // Talkspurts: the frame that each begins at, and its frames. The third lacks one frame before it, and the fourth
    // is a frame alone.
    let spurts: [(u64, usize); 6] = [(0, 50), (90, 40), (131, 60), (250, 1), (270, 30), (420, 50)];
    let count = spurts.iter().map(|(_, frames)| frames * FRAME).sum();
    let tape = Tape::noise(Law::Mu, 3, count);
    let samples = tape.samples();
    let mut parts = samples.chunks(FRAME);
    let mut frames = Vec::new();
    for (first, length) in spurts {
        let places = (first..).take(length);
        frames.extend(places.map(|place| place * 20).zip(parts.by_ref()));
    }
    let mut connection = bed.call(1);
    let sent = connection.speak(0x10, Instant::now(), &frames);
    let of = |name: &str| client.figure(&format!("reeld_incoming_{name}"));
    let open = [
        "calls{source=\"audiosocket\"}",
        "connections{by=\"audiosocket\"}",
    ];
    assert_eq!(open.map(of), [1, 1]);
    connection.hang_up();
    let call = call_sid(&client, 1);
    let json = recordings(&client, &call, 1).remove(0);
    let counted = [
        "calls_begun_total{source=\"audiosocket\"}",
        "recordings_total{source=\"audiosocket\"}",
        "calls_ended_total{source=\"audiosocket\",cause=\"hung-up\"}",
    ];
    assert_eq!(counted.map(of), [1, 1, 1]);
    assert_eq!(open.map(of), [0, 0]);
    assert_eq!(json["ended_by"], "call-completed", "{json}");
    assert_eq!(json["source"], "Trunking", "{json}");
    assert_eq!(json["signalling"]["uuid"], uuid(1), "{json}");
    assert_eq!(json["warnings"], serde_json::json!([]), "{json}");
    let wav = client.heard(&json);
    let pieces = judge::pieces(wav.mono(), &tape);
    let (mut place, mut at) = (0, 0);
    for (_, length) in spurts {
        // On a machine that is too busy a spurt may be in two, but it begins where it came.
        let begins = pieces.iter().find(|piece| piece.tape == place);
        let begins = begins.unwrap_or_else(|| panic!("{place} begins no piece: {pieces:?}"));
        let into = |samples: usize| Duration::from_micros(samples as u64 * 125);
        let heard = into(begins.at - pieces[0].at);
        let said = sent[at] - sent[0];
        assert!(
            heard.abs_diff(said) <= OFF,
            "{heard:?} and {said:?} in {pieces:?}"
        );
        place += length * FRAME;
        at += length;
    }
    let all: usize = pieces.iter().map(|piece| piece.length).sum();
    assert_eq!(all, samples.len(), "each once: {pieces:?}");
    assert_eq!(client.call(&call)["external_id"], uuid(1));
}

#[test]
fn a_connection_that_breaks_off_leaves_all_that_came() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let tape = Tape::noise(Law::Mu, 4, 50 * FRAME);
    let mut connection = bed.call(1);
    connection.say(&tape.samples());
    connection.break_off();
    let json = recordings(&client, &call_sid(&client, 1), 1).remove(0);
    let wav = client.heard(&json);
    whole(wav.mono(), &tape);
}

#[test]
fn wideband_is_exact_at_its_rate() {
    let bed = Bed::start(Setup::new().set("capture.rate", "native"));
    let client = bed.client();
    let tape = Tape::noise(Law::Mu, 5, 16_000);
    let samples = tape.samples();
    let frames: Vec<_> = (0..).map(|at| at * 20).zip(samples.chunks(320)).collect();
    let mut connection = bed.call(1);
    let _ = connection.speak(0x12, Instant::now(), &frames);
    connection.hang_up();
    let json = recordings(&client, &call_sid(&client, 1), 1).remove(0);
    let sid = json["sid"].as_str().expect("a Sid");
    let reply = client.get_public(&client.path(&format!("/Recordings/{sid}.wav")));
    assert_eq!(reply.status, 200);
    judge::exact(Wav::read_at(16_000, &reply.body).mono(), &samples);
}

#[test]
fn keys_are_the_recordings_and_sound_is_answered_with_silence() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let tape = Tape::noise(Law::Mu, 6, 50 * FRAME);
    let samples = tape.samples();
    let (before, behind) = samples.split_at(25 * FRAME);
    let mut connection = bed.call(1);
    connection.say(before);
    for key in *b"12#" {
        connection.send(&frame(0x03, &[key]));
    }
    connection.say(behind);
    connection.send(&frame(0x00, &[]));
    let answers = connection.closed();
    // Each frame of sound that it had room to answer: all of them, of so short a call.
    let silence = frame(0x10, &[0; 2 * FRAME]);
    assert_eq!(answers, silence.repeat(50));
    let json = recordings(&client, &call_sid(&client, 1), 1).remove(0);
    assert_eq!(json["digits"], "12#", "{json}");
    let wav = client.heard(&json);
    whole(wav.mono(), &tape);
}
