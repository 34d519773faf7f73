//! A beep before a recording: the caller hears it in its own codec, at its pitch, length and pace, and
//! nothing of its time is in the file. Nobody else hears it: not a stranger, not a fork.

use std::time::{Duration, Instant};

use reeld_tests::client::{call_sid, media_address};
use reeld_tests::ears::Heard;
use reeld_tests::script::Law;
use reeld_tests::span::instant_of;
use reeld_tests::{Sender, Setup, Tape, Voice, judge, reference};

const PACKET: usize = 160;
/// What a packet's time may differ by on a machine that does other things too.
const LATE: Duration = Duration::from_millis(45);

/// The share of a sound's energy at a frequency, by Goertzel's algorithm.
fn share(samples: &[i16], hz: f64) -> f64 {
    let turn = 2.0 * (std::f64::consts::TAU * hz / 8_000.0).cos();
    let (mut one, mut two, mut energy) = (0.0, 0.0, 0.0);
    for sample in samples {
        let sample = f64::from(*sample);
        (one, two) = (sample + turn * one - two, one);
        energy += sample * sample;
    }
    (one * one + two * two - turn * one * two) * 2.0 / (energy * samples.len() as f64)
}

/// Holds what was heard to be one beep in `law`; when its first and its last packet came.
#[track_caller]
fn assert_beep(heard: &[Heard], law: Law, ssrc: u32) -> (Instant, Instant) {
    assert_eq!(heard.len(), 26, "half a second, and a quiet packet");
    let first = heard[0].packet();
    assert_ne!(first.ssrc, ssrc, "its SSRC is not its hearer's");
    let mut codes = Vec::new();
    for (number, heard) in (0_u16..).zip(heard) {
        let packet = heard.packet();
        assert_eq!(packet.payload_type, law.payload_type());
        assert_eq!((packet.marker, packet.ssrc), (number == 0, first.ssrc));
        assert_eq!(packet.sequence, first.sequence.wrapping_add(number));
        let stamp = first.timestamp.wrapping_add(u32::from(number) * 160);
        assert_eq!((packet.timestamp, packet.payload.len()), (stamp, PACKET));
        codes.extend(packet.payload);
    }
    // Each packet is at its time, after the first and at most late.
    for (number, one) in (0_u32..).zip(heard) {
        let due = heard[0].at + Duration::from_millis(20) * number;
        let late = one.at.saturating_duration_since(due);
        let early = due.saturating_duration_since(one.at);
        assert!(
            late < LATE && early < LATE,
            "packet {number}: {late:?} late, {early:?} early"
        );
    }
    let mut gaps: Vec<Duration> = heard.windows(2).map(|two| two[1].at - two[0].at).collect();
    gaps.sort_unstable();
    let usual = gaps[gaps.len() / 2];
    let twenty = Duration::from_millis(17)..Duration::from_millis(23);
    assert!(twenty.contains(&usual), "a packet every {usual:?}");

    let samples = reference::decode(law, &codes);
    let loud = |sample: &i16| sample.unsigned_abs() > 800;
    let begin = samples.iter().position(loud).expect("a sound");
    let end = samples.iter().rposition(loud).expect("a sound");
    let length = end - begin;
    assert!(
        (3_850..=4_000).contains(&length),
        "{length} samples of half a second"
    );
    assert!(
        samples[4_000..].iter().all(|sample| !loud(sample)),
        "its end is quiet"
    );
    let tone = &samples[begin..end];
    assert!(share(tone, 1_000.0) > 0.95, "{}", share(tone, 1_000.0));
    for other in [980.0, 1_020.0, 2_000.0] {
        assert!(
            share(tone, other) < 0.02,
            "{other} Hz: {}",
            share(tone, other)
        );
    }
    let peak = tone.iter().map(|sample| sample.unsigned_abs()).max();
    assert!(
        (7_500..=9_000).contains(&peak.expect("a sound")),
        "{peak:?}"
    );
    (heard[0].at, heard[25].at)
}

#[test]
fn the_caller_hears_a_beep_and_the_recording_begins_behind_it() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    for (number, law) in [(1, Law::Mu), (2, Law::A)] {
        let call = call_sid(number);
        let opened = client.open_call(&[("CallSid", &call)]).expect(201).json();
        let to = media_address(&opened, "inbound").expect("an inbound port");
        let caller = Sender::new();
        let ears = caller.listen();
        let tape = Tape::noise(law, number, 4 * 8_000);
        let voice = Voice::new(number).with_law(law);
        let playing = caller.start(to, voice.say(tape.codes()));
        // A source that is locked when the recording is started, and one that is not yet.
        if law == Law::Mu {
            playing.wait_until(0, 50);
        }
        let asked = Instant::now();
        let form = [
            ("PlayBeep", "true"),
            ("Trim", "do-not-trim"),
            ("Timeout", "0"),
            ("FinishOnKey", ""),
        ];
        let started = client.start(&call, &form);
        let sent = playing.finish().remove(0);
        client.stop(&started);
        let json = client.wait_completed(&started.sid);
        let heard = ears.finish();
        assert!(
            heard.iter().all(|one| one.from == started.inbound()),
            "from the track's port"
        );
        let (first, last) = assert_beep(&heard, law, voice.ssrc);
        assert!(
            first - asked < Duration::from_millis(250),
            "{:?}",
            first - asked
        );

        // What the caller said until the beep was over, and could have come back, is not there.
        let wav = client.wav(&started.sid);
        let pieces = judge::pieces(wav.mono(), &tape);
        assert_eq!(pieces.len(), 1, "{pieces:?}");
        let begun = instant_of(pieces[0].tape, &sent, PACKET);
        let over = last + Duration::from_millis(20);
        let after = begun.saturating_duration_since(over);
        assert!(
            (50..=200).contains(&after.as_millis()),
            "{after:?} after the beep: {json}"
        );
        assert_eq!(pieces[0].tape_end(), tape.samples().len(), "{pieces:?}");
        assert_eq!(json["source"], "RecordVerb", "{json}");
    }
}

#[test]
fn nobody_hears_it_who_is_not_locked_or_is_a_fork() {
    let daemon = Setup::new().set("capture.first_packet", "2s").start();
    let client = daemon.client();
    // A stranger that has not shown itself: four packets are no source.
    let started = client.start(&call_sid(1), &[("PlayBeep", "true")]);
    let stranger = Sender::new();
    let ears = stranger.listen();
    let tape = Tape::noise(Law::Mu, 1, 4 * PACKET);
    stranger.play(started.inbound(), Voice::new(1).say(tape.codes()));
    let json = client.wait_status(&started.sid, "absent");
    assert_eq!(json["ended_by"], "no-packets", "{json}");
    assert_eq!(ears.finish().len(), 0);

    // A fork hears nothing: its offer says so, and a beep is refused by that.
    let offer = |direction: &str| {
        format!(
            "v=0\r\no=src 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio 4000 RTP/AVP 0\r\na={direction}\r\n"
        )
    };
    let fork = offer("sendonly");
    let refused = client.try_start(&call_sid(2), &[("PlayBeep", "true"), ("Sdp", &fork)]);
    refused.expect_error(400, 13_616);
    let twiml = "<Response><Record/></Response>";
    let refused = client.try_start(&call_sid(2), &[("Twiml", twiml), ("Sdp", &fork)]);
    let message = refused.expect_error(400, 13_616);
    assert!(message.contains("a=sendonly"), "{message}");
    let list = client.get(&client.path("/Recordings.json"));
    let total = &list.expect(200).json()["total"];
    assert_eq!(total, 1, "nothing of them is left");

    // Who is to hear it is told that we send.
    let form = [("PlayBeep", "true"), ("Sdp", &offer("sendrecv"))];
    let started = client.start(&call_sid(3), &form);
    let answer = started.json["sdp"].as_str().unwrap_or_default();
    assert!(answer.contains("a=sendrecv"), "{answer}");
}
