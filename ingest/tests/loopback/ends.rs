//! The stop, the overload, and what goes wrong: nothing is lost and nobody waits for ever.

use std::sync::mpsc::{Receiver, Sender as Release, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::rig::{
    ACCOUNT, Collected, Collector, PATIENCE, PTIME, Rig, Sender, ask, assert_up_to_the_stop, call,
    open, port, settings, sid, start, submit, until, view,
};
use reeld_ingest::{Queued, Sink, Switchboard};
use reeld_model::{Channels, Command, Control, EndedBy, Refusal, Track, TrackSelection};

#[test]
fn a_shutdown_ends_every_recording_with_all_that_had_arrived() {
    let rig = Rig::start(settings(8));
    let mut senders = Vec::new();
    for number in 1..=3 {
        let start = start(sid(number), Channels::Mono, TrackSelection::Inbound);
        let opened = rig.record(call(number), start);
        let mut sender = Sender::to(port(&opened, Track::Inbound));
        sender.send(40);
        senders.push(sender);
    }
    rig.board.shutdown();
    for (number, sender) in (1..=3).zip(&senders) {
        let recorded = rig.collected.recorded(sid(number), Channels::Mono);
        // What came last is whole; the file goes on to the stop, up to which nothing more came.
        assert_eq!(recorded.samples[..40 * PTIME], sender.sound);
        let summary = recorded.summary.unwrap();
        assert_eq!(summary.ended_by, EndedBy::Shutdown);
        assert_eq!(summary.frames, recorded.samples.len() as u64);
    }
    let gauges = rig.board.gauges();
    assert!(gauges.shutting_down);
    assert_eq!(
        (gauges.calls, gauges.recordings, gauges.totals.packets),
        (0, 0, 120)
    );
    let refused = rig.ask(Command::OpenCall(open(call(9)))).unwrap_err();
    assert_eq!(refused, Refusal::ShuttingDown);
    assert_eq!(rig.describe(call(1)).unwrap_err(), Refusal::ShuttingDown);
}

#[test]
fn a_switchboard_that_is_let_go_ends_its_recordings_too() {
    let collected = Arc::<Collected>::default();
    let board =
        Switchboard::start(settings(4), |_| Box::new(Collector(Arc::clone(&collected)))).unwrap();
    let start = start(sid(1), Channels::Mono, TrackSelection::Inbound);
    let command = Command::StartRecording {
        call: open(call(1)),
        may_open: true,
        start,
    };
    let opened = view(ask(&board, command));
    Sender::to(port(&opened, Track::Inbound)).send(10);
    drop(board);
    let recorded = collected.ended(sid(1), Channels::Mono);
    assert_eq!(recorded.summary.unwrap().ended_by, EndedBy::Shutdown);
    assert!(recorded.samples.len() >= 10 * PTIME);
}

/// Takes nothing until it is told to; then collects.
struct Closed {
    gate: Arc<Mutex<bool>>,
    then: Collector,
}

impl Sink for Closed {
    fn push(&mut self, queued: Queued) -> Result<(), Queued> {
        if *self.gate.lock().unwrap() {
            self.then.push(queued)
        } else {
            Err(queued)
        }
    }
}

#[test]
fn what_a_full_sink_gives_back_comes_later_in_order() {
    let (collected, gate) = (Arc::<Collected>::default(), Arc::new(Mutex::new(false)));
    let board = Switchboard::start(settings(4), |_| {
        Box::new(Closed {
            gate: Arc::clone(&gate),
            then: Collector(Arc::clone(&collected)),
        })
    })
    .unwrap();
    let rig = Rig { board, collected };
    let opened = rig.record(
        call(1),
        start(sid(1), Channels::Mono, TrackSelection::Inbound),
    );
    let mut sender = Sender::to(port(&opened, Track::Inbound));
    sender.send(30);
    rig.stop(call(1), sid(1)).unwrap();
    assert!(!rig.collected.recorded(sid(1), Channels::Mono).started);
    *gate.lock().unwrap() = true;
    let recorded = rig.collected.ended(sid(1), Channels::Mono);
    assert_up_to_the_stop(&recorded.samples, &sender.sound);
}

/// Stands still in `push` until its channel is closed, as no sink may.
struct Stuck {
    entered: Release<()>,
    release: Receiver<()>,
}

impl Sink for Stuck {
    fn push(&mut self, _: Queued) -> Result<(), Queued> {
        // Nobody sends: this waits for the other end to be dropped.
        let _ = (self.entered.send(()), self.release.recv());
        Ok(())
    }
}

#[test]
fn a_full_queue_answers_at_once_and_the_rest_is_answered_in_the_end() {
    let (entered, has_entered) = channel();
    let (released, release) = channel();
    let mut sink = Some(Stuck { entered, release });
    let mut settings = settings(4);
    settings.threads = 1;
    let board = Switchboard::start(settings, |_| Box::new(sink.take().unwrap())).unwrap();
    let start = start(sid(1), Channels::Mono, TrackSelection::Inbound);
    let command = Command::StartRecording {
        call: open(call(1)),
        may_open: true,
        start,
    };
    let opened = view(ask(&board, command));
    Sender::to(port(&opened, Track::Inbound)).send(30);
    let describe = || Command::DescribeCall {
        account: ACCOUNT,
        call: call(1),
    };
    let stopped = submit(
        &board,
        Command::CompleteCall {
            account: ACCOUNT,
            call: call(1),
            ending: reeld_model::Ending::Now,
        },
    );
    has_entered.recv_timeout(PATIENCE).unwrap();
    // The thread stands still; its queue takes 1,024 requests and then no more.
    let waiting: Vec<_> = (0..1_200).map(|_| submit(&board, describe())).collect();
    let refused = waiting
        .iter()
        .filter_map(|answer| answer.try_recv().ok())
        .collect::<Vec<_>>();
    assert!(
        (150..=177).contains(&refused.len()),
        "{} were refused",
        refused.len()
    );
    assert!(
        refused
            .iter()
            .all(|answer| answer.as_ref().err() == Some(&Refusal::Overloaded))
    );
    assert!(!board.alive(Duration::ZERO));
    drop(released);
    assert!(stopped.recv_timeout(PATIENCE).unwrap().is_ok());
    let answered = waiting
        .iter()
        .filter_map(|answer| answer.recv_timeout(PATIENCE).ok())
        .filter(|answer| answer.as_ref().err() == Some(&Refusal::CallUnknown))
        .count();
    assert_eq!(answered + refused.len(), 1_200);
    until("the thread ticks again", || {
        board.alive(Duration::from_millis(200)).then_some(())
    });
    board.shutdown();
}

/// Panics on its first output.
struct Broken;

impl Sink for Broken {
    fn push(&mut self, _: Queued) -> Result<(), Queued> {
        panic!("this sink is broken on purpose");
    }
}

#[test]
fn a_thread_that_panics_answers_frees_its_ports_and_is_not_alive() {
    let mut settings = settings(4);
    settings.threads = 1;
    let board = Switchboard::start(settings, |_| Box::new(Broken)).unwrap();
    assert!(board.alive(PATIENCE));
    let start = start(sid(1), Channels::Mono, TrackSelection::Inbound);
    let command = Command::StartRecording {
        call: open(call(1)),
        may_open: true,
        start,
    };
    let opened = view(ask(&board, command));
    Sender::to(port(&opened, Track::Inbound)).send(30);
    let complete = || Command::CompleteCall {
        account: ACCOUNT,
        call: call(1),
        ending: reeld_model::Ending::Now,
    };
    let answers: Vec<_> = (0..20).map(|_| submit(&board, complete())).collect();
    for answer in answers {
        let refusal = answer.recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert!(
            matches!(refusal, Refusal::Overloaded | Refusal::CallUnknown),
            "{refusal:?}"
        );
    }
    until("the panic is known", || {
        (!board.alive(PATIENCE)).then_some(())
    });
    until("its call is gone", || {
        ask(&board, complete())
            .is_err_and(|refusal| refusal == Refusal::CallUnknown)
            .then_some(())
    });
    let refusal = ask(&board, Command::OpenCall(open(call(2)))).unwrap_err();
    assert_eq!(refusal, Refusal::Overloaded);
    let gauges = board.gauges();
    assert_eq!((gauges.calls, gauges.recordings), (0, 0));
    board.shutdown();
}
