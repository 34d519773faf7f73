//! Each way in which a recording ends by itself, and where it ends.

use std::time::Duration;

use reeld_model::{Channels, EndedBy, Rules, StartRecording, Track, TrackSelection, Trim};

use super::bench::{Bench, OPENED, Sender, plain};
use crate::Port;

fn with(rules: Rules) -> StartRecording {
    StartRecording {
        rules,
        ..plain(Channels::Mono, TrackSelection::Inbound)
    }
}

fn silence(bench: &mut Bench, sender: &mut Sender, packets: usize) {
    for _ in 0..packets {
        bench.run_for(sender.time());
        let bytes = sender.packet(0, &[0xFF; 160]);
        bench.send(sender, &bytes);
    }
}

#[test]
fn a_maximum_length_ends_it_to_the_sample() {
    let mut bench = Bench::new();
    let rules = Rules {
        max_length: Some(Duration::from_millis(1_500)),
        ..Rules::default()
    };
    let sid = bench.start(1, with(rules));
    let sent = Sender::new(Track::Inbound).play(&mut bench, 200);
    let taped = &bench.taped[&sid];
    assert!(taped.samples == sent[..12_000]);
    assert_eq!(taped.ended_by(), Some(EndedBy::MaxLength));
}

#[test]
fn a_hold_counts_for_the_maximum_length() {
    let mut bench = Bench::new();
    let rules = Rules {
        max_length: Some(Duration::from_secs(10)),
        ..Rules::default()
    };
    let sid = bench.start(1, with(rules));
    let mut sender = Sender::new(Track::Inbound);
    sender.play(&mut bench, 50);
    bench.run_for(Duration::from_secs(20));
    sender.timestamp = sender.timestamp.wrapping_add(20 * 8_000);
    sender.play(&mut bench, 50);
    assert_eq!(bench.taped[&sid].summary.as_ref().unwrap().frames, 80_000);
}

#[test]
fn a_key_ends_it_and_is_told() {
    let mut bench = Bench::new();
    let rules = Rules {
        finish_on_key: "#".to_owned(),
        ..Rules::default()
    };
    let sid = bench.start(1, with(rules));
    let mut sender = Sender::new(Track::Inbound);
    let sent = sender.play(&mut bench, 50);
    for code in [5, 11] {
        bench.run_for(Duration::from_millis(20));
        let bytes = sender.packet(101, &[code, 10, 0, 160]);
        bench.send(&sender, &bytes);
    }
    let taped = &bench.taped[&sid];
    assert_eq!(taped.ended_by(), Some(EndedBy::Key));
    assert_eq!(taped.summary.as_ref().unwrap().digits, "5#");
    assert!(taped.sound() == sent);
}

#[test]
fn received_silence_ends_it_and_no_packets_do_not() {
    let mut bench = Bench::new();
    let rules = Rules {
        timeout: Some(Duration::from_secs(3)),
        ..Rules::default()
    };
    let sid = bench.start(1, with(rules));
    let mut sender = Sender::new(Track::Inbound);
    sender.play(&mut bench, 50);
    bench.run_for(Duration::from_secs(30));
    sender.timestamp = sender.timestamp.wrapping_add(30 * 8_000);
    silence(&mut bench, &mut sender, 100);
    assert!(
        bench.taped[&sid].summary.is_none(),
        "two seconds of silence were received"
    );
    silence(&mut bench, &mut sender, 100);
    let taped = &bench.taped[&sid];
    assert_eq!(taped.ended_by(), Some(EndedBy::Timeout));
    assert_eq!(taped.frames(), (1 + 30 + 3) * 8_000);
}

#[test]
fn trimming_cuts_the_silence_around_the_sound() {
    let mut bench = Bench::new();
    let start = StartRecording {
        trim: Trim::TrimSilence,
        ..with(Rules::default())
    };
    let sid = bench.start(1, start);
    let mut sender = Sender::new(Track::Inbound);
    silence(&mut bench, &mut sender, 200);
    let mut expected = sender.play(&mut bench, 100);
    silence(&mut bench, &mut sender, 100);
    expected.extend([0; 16_000]);
    expected.extend(sender.play(&mut bench, 50));
    silence(&mut bench, &mut sender, 300);
    let taped = bench.stop(sid);
    assert!(taped.sound() == expected);
    // 200 ms stay on each side.
    assert_eq!(taped.frames(), expected.len() + 2 * 1_600);
    assert_eq!(
        taped.started,
        Some(OPENED + Duration::from_millis(200 * 20 - 200))
    );
}

#[test]
fn trimming_keeps_nothing_of_nothing() {
    let mut bench = Bench::new();
    let start = StartRecording {
        trim: Trim::TrimSilence,
        ..with(Rules::default())
    };
    let sid = bench.start(1, start);
    silence(&mut bench, &mut Sender::new(Track::Inbound), 500);
    assert_eq!(bench.stop(sid).frames(), 0);
}

#[test]
fn without_a_packet_it_ends_with_nothing() {
    let mut bench = Bench::new();
    let sid = bench.start(1, with(Rules::default()));
    bench.run_for(Duration::from_secs(59));
    assert!(!bench.taped.contains_key(&sid));
    bench.run_for(Duration::from_secs(2));
    let summary = bench.taped[&sid].summary.as_ref().unwrap();
    assert_eq!((summary.ended_by, summary.frames), (EndedBy::NoPackets, 0));
    assert!(!bench.call.is_over(), "the call stays open for another one");
    bench.run_for(Duration::from_secs(300));
    assert!(bench.call.is_over());
}

#[test]
fn inactivity_ends_it_with_its_last_packet() {
    let mut bench = Bench::new();
    let sid = bench.start(1, with(Rules::default()));
    let sent = Sender::new(Track::Inbound).play(&mut bench, 50);
    bench.run_for(Duration::from_secs(301));
    let taped = &bench.taped[&sid];
    assert_eq!(taped.ended_by(), Some(EndedBy::Inactivity));
    assert!(taped.samples == sent);
    assert!(bench.call.is_over());
}

#[test]
fn a_signalled_call_that_falls_silent_ends_with_its_last_packet() {
    let mut bench = Bench::new();
    bench.call.signalled();
    let sid = bench.start(1, with(Rules::default()));
    let sent = Sender::new(Track::Inbound).play(&mut bench, 50);
    bench.run_for(Duration::from_secs(400));
    assert!(!bench.call.is_over(), "who signals it says when it ends");
    bench.call.expire(bench.now);
    bench.run_for(Duration::from_secs(1));
    let taped = &bench.taped[&sid];
    assert_eq!(taped.ended_by(), Some(EndedBy::Inactivity));
    assert!(taped.samples == sent);
    assert!(bench.call.is_over());
}

#[test]
fn what_waits_in_a_block_is_given_out_within_a_second() {
    let mut bench = Bench::new();
    let sid = bench.start(1, with(Rules::default()));
    let sent = Sender::new(Track::Inbound).play(&mut bench, 20);
    bench.run_for(Duration::from_millis(1_300));
    assert!(bench.taped[&sid].samples == sent);
}

fn bye(bench: &mut Bench, sender: &Sender, ssrc: u32) {
    let mut bytes = vec![0x80, 201, 0, 1];
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([0x81, 203, 0, 1]);
    bytes.extend(ssrc.to_be_bytes());
    bench
        .call
        .handle_datagram(Track::Inbound, Port::Rtcp, sender.from, bench.now, &bytes);
    bench.drain();
}

#[test]
fn a_bye_ends_it_where_it_was_said_unless_sound_goes_on() {
    let mut bench = Bench::new();
    let sid = bench.start(1, with(Rules::default()));
    let mut sender = Sender::new(Track::Inbound);
    let mut sent = sender.play(&mut bench, 50);
    bye(&mut bench, &sender, sender.ssrc + 1);
    bye(&mut bench, &sender, sender.ssrc);
    sent.extend(sender.play(&mut bench, 150));
    assert!(bench.taped[&sid].summary.is_none(), "sound went on");
    bench.run_for(Duration::from_millis(500));
    bye(&mut bench, &sender, sender.ssrc);
    bench.run_for(Duration::from_millis(2_100));
    let taped = &bench.taped[&sid];
    assert_eq!(taped.ended_by(), Some(EndedBy::Bye));
    assert_eq!(taped.frames(), sent.len() + 4_000);
}

#[test]
fn an_end_that_is_known_late_takes_so_much_silence_off_and_no_sound() {
    let late = Duration::from_secs(30);
    let ends_after = |silence: Duration| {
        let mut bench = Bench::new();
        let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
        let sent = Sender::new(Track::Inbound).play(&mut bench, 100);
        bench.run_for(silence);
        bench.call.complete_late(bench.now, late);
        bench.drain();
        let taped = &bench.taped[&sid];
        assert!(taped.samples[..sent.len()] == sent);
        assert!(
            taped.samples[sent.len()..]
                .iter()
                .all(|sample| *sample == 0)
        );
        taped.samples.len() - sent.len()
    };
    let near = |samples: usize, seconds: usize| samples.abs_diff(seconds * 8_000) <= 320;
    // Heard until now, or until lately: it was no end of half a minute ago.
    assert!(near(ends_after(Duration::ZERO), 0));
    assert!(near(ends_after(Duration::from_secs(20)), 20));
    // Silent from its end on, from shortly behind it, and from before it.
    assert!(near(ends_after(late), 0));
    assert!(near(ends_after(late - Duration::from_secs(1)), 0));
    assert!(near(ends_after(late + Duration::from_secs(3)), 3));
}
