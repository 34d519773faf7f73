//! What networks do to packets: loss has its length, concealed or silent, a duplicate is heard once,
//! reordering within the window is healed, beyond it is loss; numbers wrap, sources change, time
//! stamps jump, callers fall silent; and two tracks keep their places on one timeline.

use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::judge::{self, Piece};
use reeld_tests::script::{Law, Packet, Script};
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{Daemon, Sender, Setup, Tape, Voice, Wav};
use serde_json::Value;

const PACKET: usize = 160;
/// Packets in each test's call: two seconds.
const PACKETS: usize = 100;

/// Where a place may lie off its arrival: contract.md's 20 ms, and the player's own lateness.
const SLACK: usize = 320;

fn tape(seed: u64) -> Tape {
    Tape::noise(Law::Mu, seed, PACKETS * PACKET)
}

/// Plays a script into a mono recording of the inbound track; its counts and its file.
fn record(daemon: &Daemon, script: Script) -> (Value, Wav) {
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    Sender::new().play(started.inbound(), script);
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    (json["tracks"]["inbound"].clone(), client.wav(&started.sid))
}

/// Holds a recording to be the whole tape but these packets, which are silence of their length.
#[track_caller]
fn assert_holes(wav: &Wav, tape: &Tape, missing: &[usize]) {
    let mut reference = tape.samples();
    for packet in missing {
        reference[packet * PACKET..(packet + 1) * PACKET].fill(0);
    }
    let padding = judge::exact(wav.mono(), &reference);
    assert_eq!(padding.lead, 0);
}

/// Holds a recording to be the whole tape but these packets, which are something of their length.
/// What is in their place.
#[track_caller]
fn assert_made_up(wav: &Wav, tape: &Tape, missing: &[usize]) -> Vec<Vec<i16>> {
    let mut reference = tape.samples();
    let ranges = missing.iter().map(|at| at * PACKET..(at + 1) * PACKET);
    for range in ranges.clone() {
        reference[range.clone()].copy_from_slice(&wav.mono()[range]);
    }
    let padding = judge::exact(wav.mono(), &reference);
    assert_eq!(padding.lead, 0);
    ranges.map(|range| reference[range].to_vec()).collect()
}

#[track_caller]
fn assert_counts(counts: &Value, expected: &[(&str, u64)]) {
    for (name, count) in expected {
        assert_eq!(counts[name], *count, "{name} in {counts}");
    }
}

#[test]
fn loss_is_silence_of_its_length() {
    let daemon = Setup::new().set("capture.conceal", false).start();
    let lost = [10, 50, 51, 52, 53, 54, 98];
    let (counts, wav) = record(&daemon, Voice::new(1).say(tape(1).codes()).losing(&lost));
    assert_holes(&wav, &tape(1), &lost);
    assert_counts(
        &counts,
        &[
            ("packets", 93),
            ("lost", 7),
            ("duplicates", 0),
            ("late", 0),
            ("concealed_ms", 0),
        ],
    );
}

#[test]
fn loss_is_concealed_up_to_60_ms_and_changes_nothing_around_it() {
    let daemon = Setup::new().start();
    let lost = [10, 50, 51, 52, 53, 54, 98];
    let (counts, wav) = record(&daemon, Voice::new(1).say(tape(1).codes()).losing(&lost));
    let made_up = assert_made_up(&wav, &tape(1), &lost);
    for (packet, samples) in lost.iter().zip(&made_up) {
        let is_silent = samples.iter().all(|sample| *sample == 0);
        // The fourth and fifth lost packet in a row are beyond 60 ms.
        assert_eq!(is_silent, matches!(packet, 53 | 54), "packet {packet}");
    }
    assert_counts(
        &counts,
        &[("packets", 93), ("lost", 7), ("concealed_ms", 100)],
    );
}

#[test]
fn a_duplicate_is_heard_once() {
    let daemon = Setup::new().start();
    let script = Voice::new(1).say(tape(1).codes());
    let script = script.doubling(&[0, 5, 6, 60], Duration::from_millis(10));
    let script = script.doubling(&[40], Duration::from_millis(130));
    let (counts, wav) = record(&daemon, script);
    assert_holes(&wav, &tape(1), &[]);
    assert_counts(&counts, &[("packets", 100), ("duplicates", 5), ("lost", 0)]);
}

#[test]
fn reordering_is_healed_within_the_window_and_loss_beyond_it() {
    let daemon = Setup::new().start();
    let script = Voice::new(1).say(tape(1).codes());
    let script = script.delaying(&[20, 21, 70], Duration::from_millis(90));
    // The places are those of the script, whose order the first delay has changed behind 20.
    let script = script.delaying(&[10], Duration::from_millis(600));
    let (counts, wav) = record(&daemon, script);
    assert_made_up(&wav, &tape(1), &[10]);
    assert_counts(
        &counts,
        &[
            ("packets", 99),
            ("late", 1),
            ("duplicates", 0),
            ("concealed_ms", 20),
        ],
    );
    assert!(counts["reordered"].as_u64() >= Some(3), "{counts}");
}

#[test]
fn the_first_packet_may_come_second() {
    let daemon = Setup::new().start();
    let script = Voice::new(1)
        .say(tape(1).codes())
        .delaying(&[0], Duration::from_millis(30));
    let (counts, wav) = record(&daemon, script);
    assert_holes(&wav, &tape(1), &[]);
    assert_counts(&counts, &[("packets", 100), ("lost", 0)]);
}

#[test]
fn numbers_wrap() {
    let daemon = Setup::new().start();
    let voice = Voice {
        sequence: 65_500,
        timestamp: u32::MAX - 5_000,
        ..Voice::new(1)
    };
    let (counts, wav) = record(&daemon, voice.say(tape(1).codes()));
    assert_holes(&wav, &tape(1), &[]);
    assert_counts(&counts, &[("packets", 100), ("lost", 0), ("segments", 1)]);
}

/// The tape in two halves, the second said by `second` after `gap`; what lies where.
fn in_halves(second: Voice, gap: Duration) -> (Value, Vec<Piece>) {
    let daemon = Setup::new().start();
    let tape = tape(1);
    let (one, two) = tape.codes().split_at(PACKETS / 2 * PACKET);
    let script = Voice::new(1).say(one).then(gap, second.say(two));
    let (counts, wav) = record(&daemon, script);
    let pieces = judge::pieces(wav.mono(), &tape);
    (counts, pieces)
}

#[test]
fn another_source_goes_on_where_it_arrives() {
    let (counts, pieces) = in_halves(Voice::new(2), Duration::from_millis(20));
    let half = PACKETS / 2 * PACKET;
    assert_eq!(pieces[0].at, 0, "{pieces:?}");
    let heard: usize = pieces.iter().map(|piece| piece.length).sum();
    // Where arrival puts it, the second may overlap the first by its jitter; nothing else is lost.
    assert!(heard + SLACK >= 2 * half, "{pieces:?}");
    let last = pieces[pieces.len() - 1];
    assert!(last.end().abs_diff(2 * half) <= SLACK, "{pieces:?}");
    assert_counts(&counts, &[("packets", 100), ("lost", 0), ("segments", 2)]);
}

#[test]
fn a_jump_of_the_time_stamp_is_placed_by_arrival() {
    let first = Voice::new(1);
    // The caller goes on with its numbers after 1.5 s of hold, its time stamp somewhere else.
    let voice = Voice {
        sequence: first.sequence.wrapping_add(50),
        timestamp: first.timestamp.wrapping_add(1 << 30),
        ..first
    };
    let (counts, pieces) = in_halves(voice, Duration::from_millis(1_500));
    let half = PACKETS / 2 * PACKET;
    assert_eq!(pieces.len(), 2, "{pieces:?}");
    assert_eq!((pieces[0].at, pieces[0].length), (0, half), "{pieces:?}");
    assert_eq!(
        (pieces[1].tape, pieces[1].length),
        (half, half),
        "{pieces:?}"
    );
    let silence = pieces[1].at - pieces[0].end();
    assert!(
        silence.abs_diff(1_480 * 8) <= SLACK,
        "{silence} samples of silence: {pieces:?}"
    );
    assert_counts(&counts, &[("packets", 100), ("lost", 0)]);
}

#[test]
fn a_pause_of_the_caller_is_silence_by_its_time_stamp() {
    let first = Voice::new(1);
    // RFC 3551 §4.1: a source that sends nothing in silence goes on with sequence and time.
    let voice = Voice {
        sequence: first.sequence.wrapping_add(50),
        timestamp: first.timestamp.wrapping_add(8_000 + 50 * 160),
        ..first
    };
    let (counts, pieces) = in_halves(voice, Duration::from_millis(1_020));
    let half = PACKETS / 2 * PACKET;
    let expected = [
        Piece {
            at: 0,
            tape: 0,
            length: half,
        },
        Piece {
            at: half + 8_000,
            tape: half,
            length: half,
        },
    ];
    assert_eq!(pieces, expected);
    assert_counts(&counts, &[("packets", 100), ("lost", 0)]);
}

#[test]
fn keys_and_comfort_noise_are_not_heard_but_known() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let tape = tape(1);
    let mut script = Voice::new(1).say(tape.codes());
    // RFC 4733: key 5, packets 30 to 34 of one press and three ends; RFC 3389: noise at 60.
    let begin = Packet::parse(&script.0[30].bytes)
        .expect("a packet")
        .timestamp;
    for place in 30..=36 {
        let packet = Packet::parse(&script.0[place].bytes).expect("a packet");
        let end = if place >= 34 { 0x80 } else { 0 };
        let units = u8::try_from(place - 29).expect("small").min(5);
        let payload = vec![5, end | 10, 0, units.saturating_mul(20)];
        let event = Packet {
            payload_type: 101,
            timestamp: begin,
            payload,
            marker: place == 30,
            ..packet
        };
        script.0[place].bytes = event.bytes();
    }
    let packet = Packet::parse(&script.0[60].bytes).expect("a packet");
    script.0[60].bytes = Packet {
        payload_type: 13,
        payload: vec![127],
        ..packet
    }
    .bytes();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    Sender::new().play(started.inbound(), script);
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    assert_holes(
        &client.wav(&started.sid),
        &tape,
        &[30, 31, 32, 33, 34, 35, 36, 60],
    );
    assert_eq!(json["digits"], "5", "{json}");
    let expected = [
        ("events", 7),
        ("comfort_noise", 1),
        ("lost", 0),
        ("undecodable", 0),
    ];
    assert_counts(&json["tracks"]["inbound"], &expected);
}

#[test]
fn two_tracks_keep_their_places_mixed_and_apart() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let dual = client.start(&call_sid(1), &[("RecordingChannels", "dual")]);
    let mono = client.start(&call_sid(1), &[]);
    assert_eq!(
        mono.json["channels"], 1,
        "Twilio's default is mono, both tracks"
    );
    let (one, two) = (tape(1), tape(2));
    let mut later = Voice::new(2).say(two.codes());
    later
        .0
        .iter_mut()
        .for_each(|cue| cue.at += Duration::from_millis(700));
    let sent = Playing::start(vec![
        Part {
            sender: Sender::new(),
            to: dual.inbound(),
            script: Voice::new(1).say(one.codes()),
        },
        Part {
            sender: Sender::new(),
            to: dual.outbound(),
            script: later,
        },
    ])
    .finish();
    let (dual, mono) = (client.finish(&dual), client.finish(&mono));
    let [left, right] = dual.dual();
    assert_eq!(judge::exact(left, &one.samples()).lead, 0);
    let lead = judge::exact(right, &two.samples()).lead;
    let offset = (sent[1][0] - sent[0][0]).as_micros() as usize * 8 / 1_000;
    assert!(
        lead.abs_diff(offset) <= 160,
        "{lead} samples, sent {offset} after the first"
    );

    let mut sum = vec![0_i16; lead + two.samples().len()];
    for (start, track) in [(0, one.samples()), (lead, two.samples())] {
        for (place, sample) in track.into_iter().enumerate() {
            sum[start + place] = sum[start + place].saturating_add(sample);
        }
    }
    judge::exact(mono.mono(), &sum);
}
