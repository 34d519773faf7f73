//! Sound comes out as it went in, whatever order its packets came in.

use std::time::Duration;

use proptest::prelude::*;
use reeld_codec::g711::Law;
use reeld_model::{Channels, Track, TrackSelection};

use super::bench::{Bench, OPENED, Sender, plain};

const INBOUND: TrackSelection = TrackSelection::Inbound;

#[test]
fn a_call_is_exact_and_as_long_as_it_was() {
    for (law, samples) in [(Law::Mu, 160), (Law::A, 240), (Law::Mu, 80), (Law::A, 480)] {
        let mut bench = Bench::new();
        let sid = bench.start(1, plain(Channels::Mono, INBOUND));
        let mut sender = Sender {
            law,
            samples,
            ..Sender::new(Track::Inbound)
        };
        let sent = sender.play(&mut bench, 500);
        let taped = bench.stop(sid);
        assert!(
            taped.samples == sent,
            "{law:?} {samples}: {} of {}",
            taped.frames(),
            sent.len()
        );
        assert_eq!(
            taped.started,
            Some(OPENED),
            "the first packet ended one ptime after the start"
        );
        let stats = taped.summary.as_ref().unwrap().tracks[0];
        assert_eq!((stats.packets, stats.lost, stats.segments), (500, 0, 1));
        assert_eq!(
            stats.foreign, 0,
            "those that were held are counted as taken"
        );
    }
}

#[test]
fn dual_has_inbound_left_and_outbound_right_in_step() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Dual, TrackSelection::Both));
    let (mut one, mut other) = (Sender::new(Track::Inbound), Sender::new(Track::Outbound));
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for packet in 0..300 {
        bench.run_for(Duration::from_millis(20));
        let (bytes, samples) = one.next();
        bench.send(&one, &bytes);
        left.extend(samples);
        if packet >= 50 {
            let (bytes, samples) = other.next();
            bench.send(&other, &bytes);
            right.extend(samples);
        }
    }
    let taped = bench.stop(sid);
    assert!(taped.channel(0) == left);
    assert!(
        taped.channel(1)[..50 * 160]
            .iter()
            .all(|sample| *sample == 0)
    );
    assert!(taped.channel(1)[50 * 160..] == right);
}

#[test]
fn mono_is_the_saturated_sum() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Both));
    let (mut one, mut other) = (Sender::new(Track::Inbound), Sender::new(Track::Outbound));
    let mut sum = Vec::new();
    for _ in 0..100 {
        bench.run_for(Duration::from_millis(20));
        let ((first, left), (second, right)) = (one.next(), other.next());
        bench.send(&one, &first);
        bench.send(&other, &second);
        sum.extend(
            left.iter()
                .zip(&right)
                .map(|(left, right)| left.saturating_add(*right)),
        );
    }
    assert!(bench.stop(sid).samples == sum);
    assert!(
        sum.contains(&i16::MAX) || sum.contains(&i16::MIN),
        "the test saturates"
    );
}

#[test]
fn a_hold_is_silence_of_its_length_and_costs_no_memory() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Mono, INBOUND));
    let mut sender = Sender::new(Track::Inbound);
    let before = sender.play(&mut bench, 100);
    let hold = Duration::from_secs(200);
    bench.run_for(hold);
    sender.timestamp = sender.timestamp.wrapping_add(200 * 8_000);
    let after = sender.play(&mut bench, 100);
    let taped = bench.stop(sid);
    let mut expected = before;
    expected.extend(vec![0; 200 * 8_000]);
    expected.extend(after);
    assert!(taped.samples == expected);
    assert!(
        taped.silence > 199 * 8_000,
        "given as silence, not as samples"
    );
}

#[test]
fn a_new_ssrc_and_a_new_codec_go_on_in_the_same_file() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Mono, INBOUND));
    let mut sender = Sender::new(Track::Inbound);
    let mut sent = sender.play(&mut bench, 100);
    sender.ssrc = 77;
    sender.sequence = 5;
    sender.timestamp = 1 << 31;
    sent.extend(sender.play(&mut bench, 100));
    sender.law = Law::A;
    sent.extend(sender.play(&mut bench, 100));
    sender.samples = 320;
    sent.extend(sender.play(&mut bench, 50));
    let taped = bench.stop(sid);
    // A change of the packets' length moves the second packet against the first by its arrival.
    assert!(
        taped.samples == sent,
        "{} of {}",
        taped.frames(),
        sent.len()
    );
    let summary = taped.summary.as_ref().unwrap();
    assert_eq!(summary.tracks[0].segments, 2);
    assert_eq!(summary.quality[0].codecs, ["PCMU", "PCMA"]);
    assert_eq!(summary.quality[0].sources, [sender.from.to_string()]);
}

#[test]
fn what_cannot_be_decoded_is_silence_of_its_length_and_counted() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Mono, INBOUND));
    let mut sender = Sender::new(Track::Inbound);
    let mut expected = sender.play(&mut bench, 50);
    for _ in 0..50 {
        bench.run_for(sender.time());
        let bytes = sender.packet(18, &[1; 20]);
        bench.send(&sender, &bytes);
        expected.extend([0; 160]);
    }
    expected.extend(sender.play(&mut bench, 50));
    let taped = bench.stop(sid);
    assert!(taped.samples == expected);
    assert_eq!(taped.summary.as_ref().unwrap().tracks[0].undecodable, 50);
}

proptest! {
    /// Loss is silence of the right length, a duplicate is heard once, and what is overtaken within
    /// the window finds its place.
    #[test]
    fn a_bad_network_moves_nothing(
        fates in proptest::collection::vec((0u8..20, 0u64..150, any::<bool>()), 60..200),
    ) {
        let mut bench = Bench::new();
        let sid = bench.start(1, plain(Channels::Mono, INBOUND));
        let mut sender = Sender::new(Track::Inbound);
        let mut expected = sender.play(&mut bench, 10);
        let start = bench.now;
        let mut arrivals = Vec::new();
        for (number, (fate, delay, twice)) in fates.iter().enumerate() {
            let sent = start + Duration::from_millis(20 * (number as u64 + 1));
            let (bytes, samples) = sender.next();
            // The last packet comes in time, so that the length is known.
            if *fate == 0 && number + 1 < fates.len() {
                expected.extend([0; 160]);
                continue;
            }
            let delay = if number + 1 < fates.len() { *delay } else { 0 };
            expected.extend(samples);
            arrivals.push((sent + Duration::from_millis(delay), bytes.clone()));
            if *twice {
                arrivals.push((sent + Duration::from_millis(delay + 7), bytes));
            }
        }
        arrivals.sort_by_key(|(at, _)| *at);
        for (at, bytes) in arrivals {
            bench.run_to(at);
            bench.send(&sender, &bytes);
        }
        let taped = bench.stop(sid);
        prop_assert!(taped.frames() >= expected.len());
        prop_assert!(taped.samples[..expected.len()] == expected[..]);
        prop_assert!(taped.samples[expected.len()..].iter().all(|sample| *sample == 0));
        let stats = taped.summary.as_ref().unwrap().tracks[0];
        let lost = fates[..fates.len() - 1].iter().filter(|(fate, ..)| *fate == 0).count() as u64;
        prop_assert_eq!(stats.lost, lost);
        prop_assert_eq!(stats.late, 0);
        prop_assert_eq!(stats.packets + stats.lost, 10 + fates.len() as u64);
    }
}

#[test]
fn sound_behind_a_burst_of_losses_is_heard_though_noise_has_overtaken_it() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Mono, INBOUND));
    let mut sender = Sender::new(Track::Inbound);
    let before = sender.play(&mut bench, 100);
    // Thirty packets are lost, one comes behind the noise that was sent after it.
    for _ in 0..30 {
        bench.run_for(Duration::from_millis(20));
        sender.next();
    }
    bench.run_for(Duration::from_millis(20));
    let (late, heard) = sender.next();
    let noise = sender.packet(13, &[80]);
    bench.send(&sender, &noise);
    bench.run_for(Duration::from_millis(5));
    bench.send(&sender, &late);
    bench.run_for(Duration::from_millis(15));
    let after = sender.play(&mut bench, 50);
    let taped = bench.stop(sid);
    let place = before.len() + 30 * 160;
    assert!(taped.samples[place..place + 160] == heard[..]);
    let stats = taped.summary.as_ref().unwrap().tracks[0];
    assert_eq!((stats.reordered, stats.late), (1, 0));
    assert!(taped.samples.ends_with(&after));
}
