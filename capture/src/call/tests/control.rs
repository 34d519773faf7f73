//! Several recordings of one call, pauses, and what a pause must not let through.

use std::time::Duration;

use reeld_model::{
    ChangeRecording, Channels, EndedBy, LiveStatus, PauseBehavior, RecordingRef, Refusal, Track,
    TrackSelection,
};

use super::bench::{Bench, Sender, plain};

const MONO: fn() -> reeld_model::StartRecording = || plain(Channels::Mono, TrackSelection::Inbound);

#[test]
fn a_stop_has_all_that_was_received_and_ends_where_it_was_asked_for() {
    let mut bench = Bench::new();
    let sid = bench.start(1, MONO());
    let sent = Sender::new(Track::Inbound).play(&mut bench, 200);
    bench.run_for(Duration::from_millis(500));
    let taped = bench.stop(sid);
    assert!(taped.samples[..sent.len()] == sent);
    assert_eq!(taped.frames(), sent.len() + 4_000);
    assert_eq!(taped.ended_by(), Some(EndedBy::Stopped));
}

#[test]
fn recordings_overlap_and_follow_each_other_on_the_same_stream() {
    let mut bench = Bench::new();
    let mut sender = Sender::new(Track::Inbound);
    let first = bench.start(1, MONO());
    let mut sent = sender.play(&mut bench, 100);
    let second = bench.start(2, MONO());
    let overlap = sender.play(&mut bench, 100);
    sent.extend(&overlap);
    assert!(bench.stop(first).samples == sent);
    let rest = sender.play(&mut bench, 100);
    let third = bench.start(3, MONO());
    let last = sender.play(&mut bench, 10);
    let second = bench.stop(second).samples.clone();
    assert!(second == [overlap, rest, last.clone()].concat());
    assert!(bench.stop(third).samples == last);
}

#[test]
fn a_pause_leaves_out_its_time_or_leaves_silence() {
    for behavior in [PauseBehavior::Skip, PauseBehavior::Silence] {
        let mut bench = Bench::new();
        let mut sender = Sender::new(Track::Inbound);
        let sid = bench.start(1, MONO());
        let before = sender.play(&mut bench, 100);
        bench.pause(sid, behavior);
        let secret = sender.play(&mut bench, 150);
        bench.change(sid, ChangeRecording::Resume);
        let after = sender.play(&mut bench, 100);
        let taped = bench.stop(sid);
        let gap = if behavior == PauseBehavior::Skip {
            0
        } else {
            secret.len()
        };
        assert!(
            taped.samples == [before, vec![0; gap], after].concat(),
            "{behavior:?}"
        );
        let stats = taped.summary.as_ref().unwrap().tracks[0];
        assert_eq!(stats.packets, 200, "what came in the pause is not counted");
    }
}

#[test]
fn packets_that_cross_the_edges_of_a_pause_are_where_they_were_sent() {
    let mut bench = Bench::new();
    let mut sender = Sender::new(Track::Inbound);
    let sid = bench.start(1, MONO());
    let mut expected = sender.play(&mut bench, 50);
    // Said before the pause, received in it.
    bench.run_for(Duration::from_millis(20));
    let (late, samples) = sender.next();
    expected.extend(samples);
    bench.pause(sid, PauseBehavior::Skip);
    bench.run_for(Duration::from_millis(20));
    let (secret, _) = sender.next();
    bench.send(&sender, &secret);
    bench.send(&sender, &late);
    sender.play(&mut bench, 20);
    // Said in the pause, received after it.
    bench.run_for(Duration::from_millis(20));
    let (secret, _) = sender.next();
    bench.change(sid, ChangeRecording::Resume);
    bench.run_for(Duration::from_millis(20));
    let (open, samples) = sender.next();
    bench.send(&sender, &open);
    bench.send(&sender, &secret);
    expected.extend(samples);
    expected.extend(sender.play(&mut bench, 20));
    let taped = bench.stop(sid);
    assert!(
        taped.samples == expected,
        "{} of {}",
        taped.frames(),
        expected.len()
    );
}

#[test]
fn keys_of_a_pause_are_not_kept() {
    let mut bench = Bench::new();
    let mut sender = Sender::new(Track::Inbound);
    let sid = bench.start(1, MONO());
    sender.play(&mut bench, 10);
    let press = |bench: &mut Bench, sender: &mut Sender, code| {
        bench.run_for(Duration::from_millis(20));
        let bytes = sender.packet(101, &[code, 10, 0, 160]);
        bench.send(sender, &bytes);
    };
    press(&mut bench, &mut sender, 1);
    bench.pause(sid, PauseBehavior::Silence);
    press(&mut bench, &mut sender, 2);
    bench.change(sid, ChangeRecording::Resume);
    press(&mut bench, &mut sender, 3);
    assert_eq!(bench.stop(sid).summary.as_ref().unwrap().digits, "13");
}

#[test]
fn steps_that_are_not_legal_are_refused_and_change_nothing() {
    let mut bench = Bench::new();
    let one = bench.start(1, MONO());
    let other = bench.start(2, MONO());
    let current = bench
        .call
        .change(bench.now, RecordingRef::Current, ChangeRecording::Resume);
    assert_eq!(current.unwrap_err(), Refusal::CurrentIsAmbiguous(2));
    bench.stop(other);
    let view = bench
        .call
        .change(
            bench.now,
            RecordingRef::Current,
            ChangeRecording::Pause(PauseBehavior::Skip),
        )
        .unwrap();
    assert_eq!((view.sid, view.status), (one, LiveStatus::Paused));
    let again = bench.call.change(
        bench.now,
        RecordingRef::Sid(other),
        ChangeRecording::Stop(EndedBy::Stopped),
    );
    assert_eq!(again.unwrap_err(), Refusal::RecordingUnknown);
    bench.stop(one);
    assert_eq!(bench.taped[&one].summary.as_ref().unwrap().frames, 0);
}

#[test]
fn the_end_of_the_call_ends_its_recordings() {
    let mut bench = Bench::new();
    let sid = bench.start(1, MONO());
    let sent = Sender::new(Track::Inbound).play(&mut bench, 20);
    bench.call.complete(bench.now, EndedBy::CallCompleted);
    bench.drain();
    assert!(bench.call.is_over());
    assert!(bench.taped[&sid].samples == sent);
    assert_eq!(bench.taped[&sid].ended_by(), Some(EndedBy::CallCompleted));
}

#[test]
fn a_sender_that_lags_behind_its_first_packet_is_cut_where_it_was() {
    let mut bench = Bench::new();
    let mut sender = Sender::new(Track::Inbound);
    let sid = bench.start(1, MONO());
    let mut expected = sender.play(&mut bench, 10);
    // From here on every packet comes 37 ms late, as ffmpeg's do that lost its pace.
    bench.run_for(Duration::from_millis(37));
    expected.extend(sender.play(&mut bench, 50));
    bench.pause(sid, PauseBehavior::Skip);
    sender.play(&mut bench, 50);
    bench.change(sid, ChangeRecording::Resume);
    expected.extend(sender.play(&mut bench, 50));
    let taped = bench.stop(sid);
    assert!(
        taped.samples == expected,
        "{} of {}",
        taped.frames(),
        expected.len()
    );
}

#[test]
fn a_sender_that_sends_in_bursts_is_cut_where_its_time_was() {
    let mut bench = Bench::new();
    let mut sender = Sender::new(Track::Inbound);
    // As ffmpeg has it: what it reads at once, it sends at once.
    let bursts = |bench: &mut Bench, sender: &mut Sender, count: usize| {
        let mut sent = Vec::new();
        for _ in 0..count {
            bench.run_for(Duration::from_millis(140));
            for _ in 0..7 {
                let (bytes, samples) = sender.next();
                bench.send(sender, &bytes);
                sent.extend(samples);
            }
        }
        sent
    };
    let whole = bench.start(1, MONO());
    let mut all = bursts(&mut bench, &mut sender, 10);
    let sid = bench.start(2, MONO());
    let first = bursts(&mut bench, &mut sender, 10);
    bench.pause(sid, PauseBehavior::Skip);
    let skipped = bursts(&mut bench, &mut sender, 10);
    bench.change(sid, ChangeRecording::Resume);
    let last = bursts(&mut bench, &mut sender, 10);
    let expected = [first.clone(), last.clone()].concat();
    assert!(bench.stop(sid).samples == expected);
    all.extend([first, skipped, last].concat());
    assert!(bench.stop(whole).samples == all);
}
