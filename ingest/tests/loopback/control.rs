//! Opening, refusing, ports and quotas, from many sides at once.

use std::net::{Ipv4Addr, UdpSocket};

use crate::rig::{
    ACCOUNT, Rig, Sender, assert_up_to_the_stop, call, open, port, settings, sid, start, submit,
    until, view,
};
use reeld_ingest::{IngestError, Switchboard};
use reeld_model::{
    AccountSid, CallState, Channels, Command, Control, Refusal, SourceRule, Track, TrackSelection,
};

#[test]
fn racing_opens_of_one_call_are_one_call() {
    let rig = Rig::start(settings(16));
    for round in 0..5 {
        let answers: Vec<_> = std::thread::scope(|scope| {
            let opens: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| port(&rig.open(call(round)), Track::Inbound)))
                .collect();
            opens.into_iter().map(|open| open.join().unwrap()).collect()
        });
        assert!(
            answers.iter().all(|port| *port == answers[0]),
            "{answers:?}"
        );
        assert_eq!(rig.board.gauges().calls, usize::from(round) + 1);
    }
    assert_eq!(rig.board.gauges().free_port_pairs, 16 - 2 * 5);
}

#[test]
fn another_account_s_call_is_not_there() {
    let rig = Rig::start(settings(8));
    rig.open(call(1));
    let account = AccountSid::from_bytes([1; 16]);
    let answer = rig.ask(Command::DescribeCall {
        account,
        call: call(1),
    });
    assert_eq!(answer.unwrap_err(), Refusal::CallUnknown);
    let mut theirs = open(call(1));
    theirs.account = account;
    let theirs = view(rig.ask(Command::OpenCall(theirs)));
    assert_ne!(
        port(&theirs, Track::Inbound),
        port(&rig.open(call(1)), Track::Inbound)
    );
}

#[test]
fn a_completed_call_is_unknown_and_its_ports_rest() {
    let rig = Rig::start(settings(2));
    let opened = rig.record(
        call(1),
        start(sid(1), Channels::Mono, TrackSelection::Inbound),
    );
    let mut sender = Sender::to(port(&opened, Track::Inbound));
    sender.send(10);
    let completed = view(rig.ask(Command::CompleteCall {
        account: ACCOUNT,
        call: call(1),
        ending: reeld_model::Ending::Now,
    }));
    assert_eq!(completed.state, CallState::Completed);
    let recorded = rig.collected.recorded(sid(1), Channels::Mono);
    assert_up_to_the_stop(&recorded.samples, &sender.sound);
    assert_eq!(rig.describe(call(1)).unwrap_err(), Refusal::CallUnknown);
    assert_eq!(rig.stop(call(1), sid(1)).unwrap_err(), Refusal::CallUnknown);
    let gauges = rig.board.gauges();
    assert_eq!(
        (gauges.calls, gauges.recordings, gauges.free_port_pairs),
        (0, 0, 0)
    );
    // Nobody listens there any more, but the pairs are not given away yet.
    let refused = rig.ask(Command::OpenCall(open(call(2)))).unwrap_err();
    assert!(
        matches!(&refused, Refusal::NoPort(range) if range.contains('-')),
        "{refused:?}"
    );
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port(&opened, Track::Inbound))).unwrap();
}

#[test]
fn ports_in_use_elsewhere_are_skipped_and_counted() {
    let settings = settings(4);
    let first = *settings.ports.start();
    let _rtp = UdpSocket::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
    let _rtcp = UdpSocket::bind((Ipv4Addr::LOCALHOST, first + 3)).unwrap();
    let rig = Rig::start(settings);
    let opened = rig.open(call(1));
    let ports = Track::ALL.map(|track| port(&opened, track));
    assert_eq!(ports, [first + 4, first + 6]);
    assert_eq!(rig.board.gauges().ports_in_use_elsewhere, 2);
    assert!(matches!(
        rig.ask(Command::OpenCall(open(call(2)))),
        Err(Refusal::NoPort(_))
    ));
    assert_eq!(rig.board.gauges().ports_in_use_elsewhere, 2);
}

#[test]
fn what_is_refused_uses_nothing_up() {
    let mut settings = settings(2);
    settings.max_recordings = 1;
    let rig = Rig::start(settings);
    for _ in 0..20 {
        let mut bad = open(call(1));
        bad.sdp = Some("this is no offer".to_owned());
        assert!(matches!(
            rig.ask(Command::OpenCall(bad)),
            Err(Refusal::Sdp(_))
        ));
        let mut one_track = open(call(1));
        one_track.tracks = TrackSelection::Inbound;
        let both = start(sid(1), Channels::Dual, TrackSelection::Both);
        let refused = rig.ask(Command::StartRecording {
            call: one_track,
            may_open: true,
            start: both,
        });
        assert_eq!(refused.unwrap_err(), Refusal::TrackNotOpen(Track::Outbound));
        let inbound = start(sid(1), Channels::Mono, TrackSelection::Inbound);
        let refused = rig.ask(Command::StartRecording {
            call: open(call(1)),
            may_open: false,
            start: inbound,
        });
        assert_eq!(refused.unwrap_err(), Refusal::CallUnknown);
    }
    let gauges = rig.board.gauges();
    assert_eq!(
        (gauges.calls, gauges.recordings, gauges.free_port_pairs),
        (0, 0, 2)
    );
    rig.open(call(1));
}

#[test]
fn recordings_are_bounded_over_all_threads_and_calls() {
    let mut settings = settings(16);
    settings.max_recordings = 3;
    let rig = Rig::start(settings);
    for number in 1..=3 {
        rig.record(
            call(number),
            start(sid(number), Channels::Mono, TrackSelection::Both),
        );
    }
    let fourth = Command::StartRecording {
        call: open(call(4)),
        may_open: true,
        start: start(sid(4), Channels::Mono, TrackSelection::Both),
    };
    assert_eq!(
        rig.ask(fourth.clone()).unwrap_err(),
        Refusal::TooManyRecordings(3)
    );
    assert_eq!(rig.describe(call(4)).unwrap_err(), Refusal::CallUnknown);
    rig.stop(call(2), sid(2)).unwrap();
    assert_eq!(rig.board.gauges().recordings, 2);
    rig.ask(fourth).unwrap();
}

#[test]
fn an_open_call_takes_a_new_source() {
    let rig = Rig::start(settings(4));
    rig.open(call(1));
    let elsewhere = SourceRule {
        address: Ipv4Addr::new(127, 0, 0, 9).into(),
        port: None,
    };
    let mut again = open(call(1));
    again.source = Some(elsewhere);
    let opened = view(rig.ask(Command::OpenCall(again)));
    let mut sender = Sender::to(port(&opened, Track::Inbound));
    sender.send(10);
    let stats = until("the packets are foreign now", || {
        let seen = view(rig.describe(call(1))).streams[0].stats;
        (seen.foreign == 10).then_some(seen)
    });
    assert_eq!(stats.packets, 0);
}

#[test]
fn answers_come_from_many_threads_at_once() {
    let rig = Rig::start(settings(64));
    std::thread::scope(|scope| {
        for asker in 0..4_u8 {
            let rig = &rig;
            scope.spawn(move || {
                for round in 0..50_u8 {
                    let name = call(asker * 4 + round % 4);
                    let answers = [
                        Command::OpenCall(open(name)),
                        Command::DescribeCall {
                            account: ACCOUNT,
                            call: name,
                        },
                        Command::CompleteCall {
                            account: ACCOUNT,
                            call: name,
                            ending: reeld_model::Ending::Now,
                        },
                        Command::DescribeCall {
                            account: ACCOUNT,
                            call: name,
                        },
                    ]
                    .map(|command| submit(&rig.board, command));
                    let answers = answers.map(|answer| answer.recv().unwrap());
                    if let Err(refusal) = &answers[0] {
                        // Ports rest: a range this small runs out.
                        assert!(matches!(refusal, Refusal::NoPort(_)), "{refusal:?}");
                    } else {
                        assert!(answers[1].is_ok() && answers[2].is_ok());
                    }
                    assert_eq!(answers[3].as_ref().err(), Some(&Refusal::CallUnknown));
                }
            });
        }
    });
    assert_eq!(rig.board.gauges().calls, 0);
}

#[test]
fn what_cannot_work_is_refused_at_start() {
    let start = |settings| {
        Switchboard::start(settings, |_| unreachable!("no thread is started"))
            .err()
            .unwrap()
    };
    let mut none = settings(1);
    none.ports = 20_001..=20_002;
    assert!(matches!(start(none), IngestError::NoPortPair(_)));
    let mut any = settings(1);
    any.address = Ipv4Addr::UNSPECIFIED.into();
    assert!(matches!(start(any), IngestError::NothingToAdvertise(_)));
    let mut foreign = settings(1);
    foreign.address = Ipv4Addr::new(192, 0, 2, 1).into();
    assert!(matches!(start(foreign), IngestError::Socket { .. }));
}
