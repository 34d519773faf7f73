//! A call that goes from one switchboard to the next while packets come.

use std::io;
use std::sync::Arc;

use reeld_ingest::{HandedCall, IngestError, Settings, Switchboard, TakenCall};
use reeld_model::{Channels, EndedBy, Refusal, Track, TrackSelection};

use crate::rig::{
    Collected, Collector, PTIME, Rig, Sender, assert_up_to_the_stop, call, port, settings, sid,
    start,
};

/// What a call is between two processes: its bytes, and its sockets beside them.
fn between(handed: HandedCall) -> Result<TakenCall, IngestError> {
    let bytes = rmp_serde::to_vec_named(&handed).unwrap();
    let mut read: HandedCall = rmp_serde::from_slice(&bytes).unwrap();
    read.sockets = handed.sockets;
    TakenCall::read(read)
}

fn next_rig(settings: Settings, taken: Vec<TakenCall>) -> Rig {
    let collected = Arc::<Collected>::default();
    let sink = |_| -> Box<dyn reeld_ingest::Sink> { Box::new(Collector(Arc::clone(&collected))) };
    let board = Switchboard::start_with(settings, taken, Vec::new(), sink).unwrap();
    Rig { board, collected }
}

#[test]
fn no_packet_is_lost_between_two_switchboards_and_the_recording_is_one() {
    let settings = settings(8);
    let first = Rig::start(settings.clone());
    let opened = first.record(
        call(1),
        start(sid(1), Channels::Mono, TrackSelection::Inbound),
    );
    let mut sender = Sender::to(port(&opened, Track::Inbound));
    sender.send(100);
    let handed = first.board.hand_over();
    assert_eq!(handed.len(), 1);
    let given = handed[0].recordings[0];
    let ended = first.collected.ended(sid(1), Channels::Mono);
    let of_first = &ended.samples[..usize::try_from(given.frames).unwrap()];
    // In case nobody takes it up, its end is complete here.
    assert_up_to_the_stop(&ended.samples, &sender.sound);
    assert_eq!(ended.summary.unwrap().ended_by, EndedBy::Shutdown);

    // Nobody has the call: what comes waits in its socket.
    sender.send(60);
    let taken = handed.into_iter().map(|one| between(one).unwrap());
    // Another number of threads, and no room for more recordings than there are already.
    let settings = Settings {
        threads: 3,
        max_recordings: 1,
        ..settings
    };
    let second = next_rig(settings, taken.collect());
    sender.send(40);
    let refused = second.ask(reeld_model::Command::StartRecording {
        call: crate::rig::open(call(2)),
        may_open: true,
        start: start(sid(2), Channels::Mono, TrackSelection::Inbound),
    });
    assert!(matches!(refused, Err(Refusal::TooManyRecordings(1))));
    second.stop(call(1), sid(1)).unwrap();
    let of_second = second.collected.recorded(sid(1), Channels::Mono);
    assert_eq!(of_second.started, given.frames == 0);
    let whole = [of_first, &of_second.samples].concat();
    assert_up_to_the_stop(&whole, &sender.sound);
    let summary = of_second.summary.unwrap();
    let stats = summary.tracks[Track::Inbound.index()];
    assert_eq!(
        (stats.packets, stats.lost, stats.kernel_dropped),
        (200, 0, 0)
    );
    assert_eq!(summary.frames, whole.len() as u64);
    assert_eq!(summary.ended_by, EndedBy::Stopped);
    assert!(whole.len() >= 200 * PTIME);
}

#[test]
fn a_pair_that_was_taken_up_is_given_to_nobody_else() {
    let settings = settings(2);
    let first = Rig::start(settings.clone());
    let opened = first.open(call(1));
    let taken: Vec<_> = (first.board.hand_over().into_iter())
        .map(|one| between(one).unwrap())
        .collect();
    let second = next_rig(settings, taken);
    let view = crate::rig::view(second.describe(call(1)));
    assert_eq!(port(&view, Track::Inbound), port(&opened, Track::Inbound));
    let refused = second.ask(reeld_model::Command::OpenCall(crate::rig::open(call(2))));
    assert!(matches!(refused, Err(Refusal::NoPort(_))), "{refused:?}");
}

#[test]
fn what_cannot_be_taken_up_is_refused_by_what_is_wrong_with_it() {
    let hand_over = || {
        let rig = Rig::start(settings(2));
        rig.open(call(1));
        rig.board.hand_over().remove(0)
    };
    let message = |handed| between(handed).unwrap_err().to_string();

    let mut without_one = hand_over();
    without_one.sockets.pop();
    assert!(message(without_one).ends_with("it did not come"));

    let mut swapped = hand_over();
    swapped.sockets.swap(0, 1);
    assert!(message(swapped).contains("it is of port"));

    let mut no_socket = hand_over();
    let file = std::fs::File::open("/dev/null").unwrap();
    no_socket.sockets[0] = file.into();
    let reason = io::Error::from_raw_os_error(nix::errno::Errno::ENOTSOCK as i32);
    assert!(message(no_socket).contains(&reason.to_string()));
}

#[test]
fn nothing_is_handed_over_where_nothing_is_open() {
    let rig = Rig::start(settings(2));
    rig.record(
        call(1),
        start(sid(1), Channels::Mono, TrackSelection::Inbound),
    );
    rig.ask(reeld_model::Command::CompleteCall {
        account: crate::rig::ACCOUNT,
        call: call(1),
        ending: reeld_model::Ending::Now,
    })
    .unwrap();
    assert!(rig.board.hand_over().is_empty());
}
