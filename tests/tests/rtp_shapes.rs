//! The shapes that RTP may have (RFC 3550 §5.1): contributing sources, header extensions, padding,
//! any packet time, another packet time or codec in mid-call. What only looks like RTP is counted as
//! malformed and not heard.

use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::judge;
use reeld_tests::script::{Law, Packet, Script};
use reeld_tests::{Daemon, Sender, Setup, Tape, Voice, Wav};
use serde_json::Value;

fn record(daemon: &Daemon, script: Script) -> (Value, Wav) {
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    Sender::new().play(started.inbound(), script);
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    (json["tracks"]["inbound"].clone(), client.wav(&started.sid))
}

/// The packet with two contributing sources.
fn with_sources(bytes: &mut Vec<u8>) {
    bytes[0] |= 2;
    bytes.splice(12..12, [1, 2, 3, 4, 5, 6, 7, 8]);
}

/// The packet with a header extension of two words (RFC 8285's one-byte form).
fn with_extension(bytes: &mut Vec<u8>) {
    bytes[0] |= 0x10;
    let at = 12 + 4 * usize::from(bytes[0] & 0x0f);
    bytes.splice(at..at, [0xbe, 0xde, 0, 2, 0x10, 0xff, 0, 0, 0, 0, 0, 0]);
}

/// The packet with seven bytes of padding.
fn with_padding(bytes: &mut Vec<u8>) {
    bytes[0] |= 0x20;
    bytes.extend([0, 0, 0, 0, 0, 0, 7]);
}

#[test]
fn sources_extensions_and_padding_are_no_sound() {
    let daemon = Setup::new().start();
    let tape = Tape::noise(Law::Mu, 1, 100 * 160);
    let mut script = Voice::new(1).say(tape.codes());
    for (place, cue) in script.0.iter_mut().enumerate() {
        if place & 1 != 0 {
            with_sources(&mut cue.bytes);
        }
        if place & 2 != 0 {
            with_extension(&mut cue.bytes);
        }
        if place & 4 != 0 {
            with_padding(&mut cue.bytes);
        }
    }
    let (counts, wav) = record(&daemon, script);
    judge::exact(wav.mono(), &tape.samples());
    assert_eq!(
        (&counts["packets"], &counts["malformed"]),
        (&100.into(), &0.into()),
        "{counts}"
    );
}

#[test]
fn what_only_looks_like_rtp_is_malformed() {
    let daemon = Setup::new().set("capture.conceal", false).start();
    let tape = Tape::noise(Law::Mu, 1, 100 * 160);
    let mut script = Voice::new(1).say(tape.codes());
    let spoil = |script: &mut Script, place: usize, how: &dyn Fn(&mut Vec<u8>)| {
        how(&mut script.0[place].bytes);
    };
    // Another version; a list of sources, an extension and padding that are longer than the packet;
    // half a header.
    spoil(&mut script, 20, &|bytes| bytes[0] |= 0xc0);
    spoil(&mut script, 30, &|bytes| {
        bytes.truncate(40);
        bytes[0] |= 15;
    });
    spoil(&mut script, 40, &|bytes| {
        bytes[0] |= 0x10;
        bytes[14..16].copy_from_slice(&[0xff, 0xff]);
    });
    spoil(&mut script, 50, &|bytes| {
        bytes[0] |= 0x20;
        let last = bytes.len() - 1;
        bytes[last] = 255;
    });
    spoil(&mut script, 60, &|bytes| bytes.truncate(7));
    // Padding of no length at all is none (RFC 3550 §5.1: its last byte counts itself).
    spoil(&mut script, 70, &|bytes| {
        bytes[0] |= 0x20;
        let last = bytes.len() - 1;
        bytes[last] = 0;
    });
    let (counts, wav) = record(&daemon, script);
    let mut reference = tape.samples();
    for place in [20, 30, 40, 50, 60, 70] {
        reference[place * 160..(place + 1) * 160].fill(0);
    }
    judge::exact(wav.mono(), &reference);
    assert_eq!(
        (&counts["packets"], &counts["malformed"]),
        (&94.into(), &6.into()),
        "{counts}"
    );
}

#[test]
fn any_packet_time_is_taken_also_in_turn() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let tape = Tape::noise(Law::A, 1, 24_000);
    let voice = Voice::new(1).with_law(Law::A);
    let mut script = Script::default();
    let (mut said, mut sequence) = (0, voice.sequence);
    // 10, 20, 30, 40, 60 ms and some that are none, each until half a second is said.
    for samples in [80, 160, 240, 320, 480, 100, 1, 33] {
        let part = if samples == 1 {
            40
        } else {
            3_000 / samples * samples
        };
        let timestamp = voice
            .timestamp
            .wrapping_add(u32::try_from(said).expect("it is short"));
        let next = Voice {
            samples,
            sequence,
            timestamp,
            ..voice
        };
        let spoken = next.say(&tape.codes()[said..said + part]);
        sequence = sequence.wrapping_add(u16::try_from(spoken.len()).expect("it is short"));
        said += part;
        script = script.then(next.packet_time(), spoken);
    }
    let packets = script.len();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    Sender::new().play(started.inbound(), script);
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    judge::exact(client.wav(&started.sid).mono(), &tape.samples()[..said]);
    let counts = &json["tracks"]["inbound"];
    assert_eq!(
        (&counts["packets"], &counts["segments"]),
        (&packets.into(), &1.into()),
        "{counts}"
    );
}

#[test]
fn the_codec_may_change_from_packet_to_packet() {
    let daemon = Setup::new().start();
    let (one, two) = (
        Tape::noise(Law::Mu, 1, 16_000),
        Tape::noise(Law::A, 2, 16_000),
    );
    let mut script = Voice::new(1).say(one.codes());
    let mut reference = one.samples();
    for (place, cue) in script.0.iter_mut().enumerate() {
        if place / 10 % 2 == 1 {
            let span = place * 160..(place + 1) * 160;
            let packet = Packet::parse(&cue.bytes).expect("a packet");
            let payload = two.codes()[span.clone()].to_vec();
            cue.bytes = Packet {
                payload_type: 8,
                payload,
                ..packet
            }
            .bytes();
            reference[span.clone()].copy_from_slice(&two.samples()[span]);
        }
    }
    let (counts, wav) = record(&daemon, script);
    judge::exact(wav.mono(), &reference);
    assert_eq!(
        (&counts["packets"], &counts["segments"]),
        (&100.into(), &1.into()),
        "{counts}"
    );
}

#[test]
fn a_recording_of_a_moment_is_one() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let tape = Tape::noise(Law::Mu, 1, 5 * 8_000);
    let call = call_sid(1);
    let opened = client.start(&call, &[("RecordingTrack", "inbound")]);
    let playing = Sender::new().start(opened.inbound(), Voice::new(1).say(tape.codes()));
    playing.wait_until(0, 20);
    let moments: Vec<_> = (0..20)
        .map(|_| {
            let started = client.start(&call, &[("RecordingTrack", "inbound")]);
            client.stop(&started);
            started
        })
        .collect();
    playing.stop();
    let mut last = 0;
    for started in &moments {
        let json = reeld_tests::patience::wait_for("end", Duration::from_secs(20), || {
            let json = client.recording(&started.sid);
            (json["status"] != "processing").then_some(json)
        });
        // Shorter than a sample it has no sound at all.
        if json["status"] == "absent" {
            continue;
        }
        assert_eq!(json["status"], "completed", "{json}");
        let pieces = judge::pieces(client.wav(&started.sid).mono(), &tape);
        assert!(pieces.len() <= 1, "{pieces:?}");
        for piece in pieces {
            assert!(
                piece.tape >= last,
                "{piece:?} lies before the last one's end, {last}"
            );
            last = piece.tape_end();
            assert!(piece.length < 8_000, "{piece:?}");
        }
        let seconds = json["duration"]
            .as_str()
            .and_then(|text| text.parse::<u32>().ok());
        assert!(seconds >= Some(1), "{json}");
    }
    client.finish(&opened);
}
