//! Pauses that a recording client asks for, by direction and by an address that is nowhere, in INVITE and in UPDATE:
//! nothing that is sent in one is in the file, and what is sent before and after is, to the sample.

use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::siprec::{Bed, SDP, Scenario, Transport, metadata, offer, ports, recordings};
use reeld_tests::{Sender, Setup, Tape, Voice, judge};

/// Packets before, in and after the pause.
const PACKETS: usize = 50;
/// Sound before, and after, and a wait around each.
const SPEAK: Duration = Duration::from_millis(1_800);
/// From what the client asks for to what is said next, and about as long from there to what it asks for then: a busy
/// machine may take that long over either.
const LEAD: Duration = Duration::from_millis(400);

fn a_pause_is_nowhere(method: &str, paused: &str, behavior: &str) {
    let bed = Bed::start(Setup::new().set("sip.pause", behavior));
    let client = bed.client();
    let sid = call_sid(1);
    let lines = offer(&[("1", "sendonly"), ("2", "sendonly")]);
    let scenario = Scenario::new("pause")
        .invite(
            &sid,
            &lines,
            &metadata("eA==", &[("ann", "1"), ("bob", "2")]),
        )
        .wait(SPEAK)
        .request(method, SDP, paused, 200)
        .wait(SPEAK)
        .request(method, SDP, &lines, 200)
        .wait(SPEAK)
        .bye();
    let running = bed.begin(&scenario, Transport::Udp);
    let [inbound, _] = ports(&client, &sid);
    let tape = Tape::noise(Law::Mu, 3, 3 * PACKETS * 160);
    let mut script = Voice::new(3).say(tape.codes());
    // Stamps run on in the pause; the sequence is continuous, and what is sent in it all the same is not kept.
    for (place, cue) in script.0.iter_mut().enumerate() {
        cue.at += LEAD
            + SPEAK.saturating_sub(Duration::from_secs(1))
                * u32::try_from(place / PACKETS).expect("small");
    }
    Sender::new().play(inbound, script);
    running.finish();
    let json = recordings(&client, &sid, 1).remove(0);
    let wav = client.heard(&json);
    let pieces = judge::pieces(wav.dual()[0], &tape);
    let (first, last) = (PACKETS * 160, 2 * PACKETS * 160);
    for piece in &pieces {
        assert!(
            piece.tape_end() <= first || piece.tape >= last,
            "of the pause: {pieces:?}"
        );
    }
    let heard: usize = pieces
        .iter()
        .map(|piece| piece.tape_end() - piece.tape)
        .sum();
    assert_eq!(heard, 2 * PACKETS * 160, "{pieces:?}");
    let seconds = wav.frames() as f64 / 8_000.0;
    // From the first packet on.
    let whole = 3.0 * SPEAK.as_secs_f64() - LEAD.as_secs_f64();
    let wanted = if behavior == "skip" {
        whole - SPEAK.as_secs_f64()
    } else {
        whole
    };
    assert!((seconds - wanted).abs() < 0.6, "{seconds} s, {wanted} s");
}

#[test]
fn inactive_by_invite() {
    a_pause_is_nowhere(
        "INVITE",
        &offer(&[("1", "inactive"), ("2", "inactive")]),
        "skip",
    );
}

#[test]
fn inactive_by_update_leaves_silence_where_that_is_asked_for() {
    a_pause_is_nowhere(
        "UPDATE",
        &offer(&[("1", "inactive"), ("2", "inactive")]),
        "silence",
    );
}

#[test]
fn an_address_that_is_nowhere() {
    let lines = offer(&[("1", "sendonly"), ("2", "sendonly")]);
    a_pause_is_nowhere(
        "INVITE",
        &lines.replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0"),
        "skip",
    );
}
