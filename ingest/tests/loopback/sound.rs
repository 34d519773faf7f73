//! What is sent is what is recorded, sample for sample, up to the command that ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::rig::{
    Collected, Collector, PTIME, Rig, Sender, assert_up_to_the_stop, call, port, settings, sid,
    start, until, view,
};
use reeld_ingest::{Queued, Sink, Switchboard};
use reeld_model::{Channels, EndedBy, Track, TrackSelection};

#[test]
fn a_stop_has_all_that_had_arrived_before_it() {
    let rig = Rig::start(settings(8));
    for round in 1..=4_u8 {
        let start = start(sid(round), Channels::Mono, TrackSelection::Inbound);
        let opened = rig.record(call(round), start);
        let mut sender = Sender::to(port(&opened, Track::Inbound));
        // More than one batch; nothing waits for a tick to read it.
        sender.send(20 * usize::from(round));
        sender.send_reordered(5);
        rig.stop(call(round), sid(round)).unwrap();
        // The outputs are with the sink before the answer is here.
        let recorded = rig.collected.recorded(sid(round), Channels::Mono);
        let summary = recorded.summary.unwrap();
        assert_up_to_the_stop(&recorded.samples, &sender.sound);
        assert_eq!(summary.ended_by, EndedBy::Stopped);
        assert_eq!(summary.frames, recorded.samples.len() as u64);
        let stats = summary.tracks[Track::Inbound.index()];
        assert_eq!(
            (stats.packets, stats.lost, stats.kernel_dropped),
            (20 * u64::from(round) + 10, 0, 0)
        );
    }
}

#[test]
fn both_tracks_of_a_call_reach_their_channels_on_ticks_alone() {
    let rig = Rig::start(settings(8));
    let opened = rig.record(call(1), start(sid(1), Channels::Dual, TrackSelection::Both));
    let mut senders = Track::ALL.map(|track| Sender::to(port(&opened, track)));
    for _ in 0..50 {
        senders.iter_mut().for_each(|sender| sender.send(1));
    }
    until("packets are read on a tick", || {
        (rig_totals(&rig) == 100).then_some(())
    });
    let heard = view(rig.describe(call(1)));
    assert!(
        heard
            .streams
            .iter()
            .all(|stream| stream.source.is_some() && stream.codec == Some("PCMU"))
    );
    rig.stop(call(1), sid(1)).unwrap();
    let recorded = rig.collected.recorded(sid(1), Channels::Dual);
    for track in Track::ALL {
        let channel: Vec<i16> = recorded
            .samples
            .iter()
            .skip(track.index())
            .step_by(2)
            .copied()
            .collect();
        let sound = &senders[track.index()].sound;
        // The tracks began within a packet of each other: one has a little silence before it.
        let at = channel
            .windows(sound.len())
            .position(|window| window == sound);
        assert!(at.is_some_and(|at| at <= PTIME), "{track:?}: {at:?}");
    }
}

/// A sink that keeps its media thread while it is told to.
struct Keeper {
    collector: Collector,
    keeps: Arc<AtomicBool>,
    kept: Arc<AtomicBool>,
}

impl Sink for Keeper {
    fn push(&mut self, queued: Queued) -> Result<(), Queued> {
        while self.keeps.load(Ordering::Relaxed) {
            self.kept.store(true, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1));
        }
        self.collector.push(queued)
    }
}

#[test]
fn a_media_thread_that_is_late_by_seconds_costs_neither_track_anything() {
    let collected = Arc::<Collected>::default();
    let [keeps, kept] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let board = Switchboard::start(settings(8), |_| {
        Box::new(Keeper {
            collector: Collector(Arc::clone(&collected)),
            keeps: Arc::clone(&keeps),
            kept: Arc::clone(&kept),
        })
    });
    let rig = Rig {
        board: board.unwrap(),
        collected,
    };
    let opened = rig.record(call(1), start(sid(1), Channels::Dual, TrackSelection::Both));
    let mut senders = Track::ALL.map(|track| Sender::to(port(&opened, track)));
    let mut send = |packets: usize| {
        for _ in 0..packets {
            senders.iter_mut().for_each(|sender| sender.send(1));
        }
    };
    send(50);
    keeps.store(true, Ordering::Relaxed);
    // Beyond all that a call keeps of a track, so that what is read late has no place left.
    send(400);
    assert!(kept.load(Ordering::Relaxed), "it had nothing to put out");
    keeps.store(false, Ordering::Relaxed);
    send(50);
    rig.stop(call(1), sid(1)).unwrap();
    let recorded = rig.collected.recorded(sid(1), Channels::Dual);
    for track in Track::ALL {
        let stats = recorded.summary.as_ref().unwrap().tracks[track.index()];
        assert_eq!(
            (stats.packets, stats.late, stats.kernel_dropped),
            (500, 0, 0)
        );
        let channel = recorded.samples.iter().skip(track.index()).step_by(2);
        let channel: Vec<i16> = channel.copied().collect();
        let sound = &senders[track.index()].sound;
        let at = channel
            .windows(sound.len())
            .position(|window| window == sound);
        assert!(at.is_some_and(|at| at <= PTIME), "{track:?}: {at:?}");
    }
}

fn rig_totals(rig: &Rig) -> u64 {
    use reeld_model::Control;
    rig.board.gauges().totals.packets
}

#[test]
fn the_ports_of_a_call_outlive_its_recordings() {
    let rig = Rig::start(settings(8));
    let opened = rig.record(
        call(1),
        start(sid(1), Channels::Mono, TrackSelection::Inbound),
    );
    let mut sender = Sender::to(port(&opened, Track::Inbound));
    sender.send(10);
    rig.stop(call(1), sid(1)).unwrap();
    let again = rig.record(
        call(1),
        start(sid(2), Channels::Mono, TrackSelection::Inbound),
    );
    assert_eq!(port(&again, Track::Inbound), port(&opened, Track::Inbound));
    sender.send(10);
    rig.stop(call(1), sid(2)).unwrap();
    let first = rig.collected.recorded(sid(1), Channels::Mono);
    let second = rig.collected.recorded(sid(2), Channels::Mono);
    assert_up_to_the_stop(&first.samples, &sender.sound[..10 * PTIME]);
    // It was sent in one burst, so it may have been begun up to a packet before the second start.
    let sound = &sender.sound[11 * PTIME..];
    let at = second
        .samples
        .windows(sound.len())
        .position(|window| window == sound);
    assert_up_to_the_stop(&second.samples[at.expect("it is there")..], sound);
}
