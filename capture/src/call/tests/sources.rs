//! Whom a track listens to.

use std::net::SocketAddr;
use std::time::Duration;

use reeld_model::{Channels, OpenCall, Refusal, SourceRule, Track, TrackSelection};

use super::bench::{Bench, OPENED, Sender, open_call, plain, settings};
use crate::{Call, Port, Settings};

fn stranger() -> Sender {
    let from = SocketAddr::from(([127, 0, 0, 9], 9_999));
    Sender {
        from,
        ssrc: 666,
        ..Sender::new(Track::Inbound)
    }
}

#[test]
fn a_stranger_is_never_heard_beside_the_source() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    let (mut sender, mut stranger) = (Sender::new(Track::Inbound), stranger());
    let mut sent = sender.play(&mut bench, 10);
    for number in 0..300 {
        bench.run_for(Duration::from_millis(20));
        let (bytes, samples) = sender.next();
        bench.send(&sender, &bytes);
        sent.extend(samples);
        // One who knows SSRC, sequence and stamp.
        if number % 2 == 0 {
            (stranger.ssrc, stranger.sequence) = (sender.ssrc, sender.sequence);
            stranger.timestamp = sender.timestamp;
        }
        let (bytes, _) = stranger.next();
        bench.send(&stranger, &bytes);
    }
    let taped = bench.stop(sid);
    assert!(taped.samples == sent);
    assert_eq!(taped.summary.as_ref().unwrap().tracks[0].foreign, 300);
}

#[test]
fn a_source_may_move_when_the_old_one_is_silent() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    let mut sender = Sender::new(Track::Inbound);
    let before = sender.play(&mut bench, 50);
    bench.run_for(Duration::from_secs(3));
    sender.from.set_port(50_000);
    sender.timestamp = sender.timestamp.wrapping_add(3 * 8_000);
    let after = sender.play(&mut bench, 50);
    let taped = bench.stop(sid);
    assert!(
        taped.samples == [before, vec![0; 24_000], after].concat(),
        "{}",
        taped.frames()
    );
    assert_eq!(
        taped.summary.as_ref().unwrap().tracks[0].segments,
        1,
        "it continues"
    );
}

#[test]
fn a_new_source_shows_five_packets_and_loses_none() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    let mut stranger = stranger();
    let (mut sender, shown) = (Sender::new(Track::Inbound), stranger.play(&mut bench, 4));
    assert_eq!(shown.len(), 640);
    let sent = sender.play(&mut bench, 30);
    let taped = bench.stop(sid);
    assert!(taped.samples == sent, "the first of five is heard too");
    assert_eq!(taped.summary.as_ref().unwrap().tracks[0].foreign, 4);
}

#[test]
fn a_rule_is_heard_at_once_and_nobody_else() {
    let source = Some(SourceRule {
        address: "192.0.2.1".parse().unwrap(),
        port: None,
    });
    let open = OpenCall {
        source,
        ..open_call()
    };
    let mut bench = Bench::with(settings(), open);
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    Sender::new(Track::Inbound).play(&mut bench, 20);
    let from = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let mut sender = Sender {
        from,
        ..Sender::new(Track::Inbound)
    };
    let sent = sender.play(&mut bench, 3);
    assert!(bench.stop(sid).samples == sent);
}

#[test]
fn with_no_rule_at_all_a_call_is_refused() {
    let settings = Settings {
        allow: Vec::new(),
        ..settings()
    };
    let ports = [Some(1), Some(3)];
    let refused = Call::open(open_call(), ports, settings.into(), OPENED, 0);
    assert!(matches!(refused, Err(Refusal::Source(_))));
}

#[test]
fn what_is_not_rtp_is_counted_by_reason() {
    let mut bench = Bench::new();
    let from = SocketAddr::from(([127, 0, 0, 1], 1));
    for bytes in [
        &[0, 1, 0, 0][..],
        &[0x81, 200, 0, 6],
        &[0x80; 5],
        &[0xFF; 40],
        &[],
    ] {
        bench
            .call
            .handle_datagram(Track::Inbound, Port::Rtp, from, bench.now, bytes);
    }
    let [stats, _] = bench.call.stats();
    assert_eq!(
        (stats.stun, stats.rtcp, stats.malformed, stats.packets),
        (1, 1, 3, 0)
    );
}

#[test]
fn a_track_that_is_heard_loses_nothing_of_one_that_still_shows_itself() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Dual, TrackSelection::Both));
    let long = |track| Sender {
        samples: 1_000,
        ..Sender::new(track)
    };
    let (mut one, mut other) = (long(Track::Inbound), long(Track::Outbound));
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for packet in 0..40 {
        bench.run_for(one.time() / 2);
        let (bytes, samples) = one.next();
        bench.send(&one, &bytes);
        left.extend(samples);
        bench.run_for(one.time() / 2);
        if packet >= 10 {
            let (bytes, samples) = other.next();
            bench.send(&other, &bytes);
            right.extend(samples);
        }
    }
    let taped = bench.stop(sid);
    let stats = taped.summary.as_ref().unwrap().tracks;
    assert_eq!((stats[0].late, stats[1].late), (0, 0));
    assert!(taped.channel(0)[..left.len()] == left);
    assert!(taped.channel(1)[10_500..] == right);
}

#[test]
fn a_packet_that_comes_twice_while_it_is_held_is_a_duplicate() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    let mut sender = Sender::new(Track::Inbound);
    let mut sent = Vec::new();
    for _ in 0..10 {
        bench.run_for(sender.time());
        let (bytes, samples) = sender.next();
        bench.send(&sender, &bytes);
        bench.send(&sender, &bytes);
        sent.extend(samples);
    }
    let taped = bench.stop(sid);
    assert!(taped.samples == sent);
    let stats = taped.summary.as_ref().unwrap().tracks[0];
    assert_eq!(
        (stats.packets, stats.duplicates, stats.foreign),
        (10, 10, 0)
    );
}
