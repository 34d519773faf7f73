//! RTP bleed: a stranger who knows a track's port, its SSRC and its sequence, at each time of a call.
//! What is recorded, pressed and counted is what the true sender sent, as without the stranger.

use std::net::SocketAddr;
use std::time::Duration;

use reeld_model::{
    Channels, EndedBy, RecordingSid, Rules, SourceRule, StartRecording, Summary, Track,
    TrackSelection,
};

use super::bench::{Bench, OPENED, Sender, open_call, plain, settings};
use crate::Port;

const STEP: Duration = Duration::from_millis(20);

/// Another machine, and another port of the sender's own.
const ELSEWHERE: [([u8; 4], u16); 2] = [([127, 0, 0, 9], 9_999), ([127, 0, 0, 1], 41_000)];

/// One who sends as `sender` does: its SSRC, and its next sequence and stamp.
fn twin(sender: &Sender, from: ([u8; 4], u16)) -> Sender {
    Sender {
        from: SocketAddr::from(from),
        ssrc: sender.ssrc,
        sequence: sender.sequence,
        timestamp: sender.timestamp,
        state: 0xBAD,
        ..Sender::new(sender.track)
    }
}

/// The same, so many packets ahead of it, or behind.
fn ahead(sender: &Sender, from: ([u8; 4], u16), packets: i16) -> Sender {
    let mut twin = twin(sender, from);
    twin.sequence = twin.sequence.wrapping_add_signed(packets);
    twin.timestamp = twin.timestamp.wrapping_add_signed(i32::from(packets) * 160);
    twin
}

/// One packet of each kind: sound, comfort noise, the key 9's beginning and its end.
fn one_of_each(bench: &mut Bench, stranger: &mut Sender) {
    let (sound, _) = stranger.next();
    bench.send(stranger, &sound);
    for (payload_type, payload) in [
        (13, &[20][..]),
        (101, &[9, 10, 0, 160]),
        (101, &[9, 0x8A, 3, 32]),
    ] {
        let bytes = stranger.packet(payload_type, payload);
        bench.send(stranger, &bytes);
    }
}

fn event(bench: &mut Bench, sender: &mut Sender, code: u8) {
    let stamp = sender.timestamp;
    for (end, length) in [(0, 160_u16), (0, 320), (0x80, 480), (0x80, 480)] {
        bench.run_for(STEP);
        sender.timestamp = stamp;
        let [high, low] = length.to_be_bytes();
        let bytes = sender.packet(101, &[code, end | 10, high, low]);
        bench.send(sender, &bytes);
    }
    sender.timestamp = stamp.wrapping_add(640);
}

/// A recording that the key 9 would end.
fn nine_ends_it() -> StartRecording {
    StartRecording {
        rules: Rules {
            finish_on_key: "9".to_owned(),
            ..Rules::default()
        },
        ..plain(Channels::Mono, TrackSelection::Inbound)
    }
}

fn from_the_sender(port: Option<u16>) -> Bench {
    let source = Some(SourceRule {
        address: "127.0.0.1".parse().unwrap(),
        port,
    });
    let open = reeld_model::OpenCall {
        source,
        ..open_call()
    };
    Bench::with(settings(), open)
}

/// A call: two seconds of sound, a key, a hold, two seconds of sound. `meddle` is asked ahead of each
/// packet and each 20 ms of the hold, with what the sender would send next.
fn call(
    mut bench: Bench,
    hold: Duration,
    meddle: &mut dyn FnMut(&mut Bench, &Sender),
) -> (Vec<i16>, Summary) {
    let sid = bench.start(1, nine_ends_it());
    let mut sender = Sender::new(Track::Inbound);
    let talk =
        |bench: &mut Bench, sender: &mut Sender, meddle: &mut dyn FnMut(&mut Bench, &Sender)| {
            for _ in 0..100 {
                bench.run_for(STEP / 2);
                meddle(bench, sender);
                bench.run_for(STEP / 2);
                let (bytes, _) = sender.next();
                bench.send(sender, &bytes);
            }
        };
    talk(&mut bench, &mut sender, meddle);
    event(&mut bench, &mut sender, 5);
    let mut held = Duration::ZERO;
    while held < hold {
        bench.run_for(STEP);
        held += STEP;
        meddle(&mut bench, &sender);
    }
    let samples = u32::try_from(hold.as_millis() * 8).unwrap();
    sender.timestamp = sender.timestamp.wrapping_add(samples);
    talk(&mut bench, &mut sender, meddle);
    bench.run_for(Duration::from_millis(400));
    let taped = bench.stop(sid);
    (taped.samples.clone(), taped.summary.clone().unwrap())
}

/// Holds a call with a stranger to the same without.
#[track_caller]
fn assert_unharmed(with: &(Vec<i16>, Summary), without: &(Vec<i16>, Summary)) {
    let ((heard, summary), (said, plain)) = (with, without);
    assert_eq!(heard.len(), said.len(), "as long");
    assert!(heard == said, "the same samples");
    assert_eq!(
        (&summary.digits, summary.ended_by),
        (&plain.digits, EndedBy::Stopped)
    );
    assert_eq!(summary.digits, "5");
    assert_eq!(summary.quality[0].sources, plain.quality[0].sources);
    assert_eq!(summary.quality[0].concealed, plain.quality[0].concealed);
    let mut counts = summary.tracks[0];
    assert!(counts.foreign > 0, "the stranger was there");
    counts.foreign = 0;
    let mut right = plain.tracks[0];
    right.foreign = 0;
    assert_eq!(counts, right);
}

#[test]
fn who_knows_all_of_a_call_changes_nothing_of_it() {
    // Packets that all came, as long as nobody could take over: a hold of less than 2 s.
    for hold in [0, 500, 1_900] {
        let hold = Duration::from_millis(hold);
        let without = call(Bench::new(), hold, &mut |_, _| {});
        for from in ELSEWHERE {
            // The same numbers, those that come next, those that were, and jumps.
            for step in [0, 1, 5, 60, -3, -150, 2_900, 20_000] {
                let mut shown = false;
                let with = call(Bench::new(), hold, &mut |bench, sender| {
                    // Before the first five packets nobody is trusted: the next test.
                    shown |= bench.call.view().streams[0].source.is_some();
                    if shown {
                        one_of_each(bench, &mut ahead(sender, from, step));
                    }
                });
                assert_unharmed(&with, &without);
            }
        }
    }
}

#[test]
fn whom_a_rule_names_is_heard_whoever_floods_before_and_in_a_long_hold() {
    let hold = Duration::from_secs(4);
    for (port, strangers) in [(None, &ELSEWHERE[..1]), (Some(40_000), &ELSEWHERE[..])] {
        let without = call(from_the_sender(port), hold, &mut |_, _| {});
        for from in strangers {
            for step in [0, 1, 60] {
                let mut bench = from_the_sender(port);
                let mut early = ahead(&Sender::new(Track::Inbound), *from, step);
                for _ in 0..500 {
                    one_of_each(&mut bench, &mut early);
                    bench.run_for(STEP / 4);
                }
                let with = call(bench, hold, &mut |bench, sender| {
                    one_of_each(bench, &mut ahead(sender, *from, step));
                });
                assert_unharmed(&with, &without);
            }
        }
    }
}

#[test]
fn a_flood_of_senders_keeps_nobody_from_showing_himself() {
    let without = call(Bench::new(), STEP, &mut |_, _| {});
    // From one port and from many, of one machine; each packet is of another SSRC, so that none of
    // them ever shows five.
    for ports in [1, 50] {
        let mut number = 0_u16;
        let with = call(Bench::new(), STEP, &mut |bench, sender| {
            for _ in 0..20 {
                number += 1;
                let mut stranger = twin(sender, ([127, 0, 0, 9], 1_000 + number % ports));
                stranger.ssrc = 0xF000_0000 + u32::from(number);
                let (bytes, _) = stranger.next();
                bench.send(&stranger, &bytes);
            }
        });
        assert_unharmed(&with, &without);
    }
}

/// What `SECURITY.md` says: without a rule, who continues after two seconds of
/// silence is taken for the source that has moved, and keeps the track until he is silent as long.
#[test]
fn without_a_rule_a_long_silence_is_open_to_who_continues() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    let mut sender = Sender::new(Track::Inbound);
    let mut sent = sender.play(&mut bench, 50);
    bench.run_for(Duration::from_millis(1_900));
    // Too early, however well it continues.
    let mut stranger = ahead(&sender, ELSEWHERE[0], 95);
    stranger.play(&mut bench, 4);
    // Not continuing: numbers that were, and a stamp that was. Four of them are too few.
    bench.run_for(Duration::from_millis(300));
    ahead(&sender, ELSEWHERE[0], -100).play(&mut bench, 4);
    assert_eq!(bench.call.view().streams[0].source, Some(sender.from));
    // Continuing: at once.
    let mut stranger = ahead(&sender, ELSEWHERE[0], 200);
    let (bytes, samples) = stranger.next();
    bench.send(&stranger, &bytes);
    assert_eq!(bench.call.view().streams[0].source, Some(stranger.from));
    let mut strange = samples;
    strange.extend(stranger.play(&mut bench, 20));
    // The sender is a stranger now, until the other has been silent for two seconds.
    sender = ahead(&sender, ([127, 0, 0, 1], 40_000), 230);
    sender.play(&mut bench, 20);
    assert_eq!(bench.call.view().streams[0].source, Some(stranger.from));
    bench.run_for(Duration::from_secs(2));
    sender.timestamp = sender.timestamp.wrapping_add(16_000);
    let back = sender.play(&mut bench, 50);
    assert_eq!(bench.call.view().streams[0].source, Some(sender.from));
    let taped = bench.stop(sid);
    let summary = taped.summary.as_ref().unwrap();
    let names = [sender.from, stranger.from, sender.from].map(|from| from.to_string());
    assert_eq!(
        summary.quality[0].sources, names,
        "each change is in the record"
    );
    let runs: Vec<i16> = taped
        .samples
        .iter()
        .copied()
        .filter(|sample| *sample != 0)
        .collect();
    sent.extend(strange);
    sent.extend(back);
    assert!(runs == sent);
}

/// A sender report that claims an instant two minutes away, and says goodbye.
fn report_and_bye(ssrc: u32, stamp: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, 200, 0, 6];
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend((3_000_000_120_u64 << 32).to_be_bytes());
    bytes.extend(stamp.to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend([0x81, 203, 0, 1]);
    bytes.extend(ssrc.to_be_bytes());
    bytes
}

/// The sender's own report, from the port above its own (RFC 3550 §11).
fn honest(bench: &mut Bench, sender: &Sender) {
    let mut bytes = vec![0x80, 200, 0, 6];
    bytes.extend(sender.ssrc.to_be_bytes());
    let since = bench.now.since(OPENED);
    let ntp = (3_000_000_000_u64 << 32) + (u64::try_from(since.as_millis()).unwrap() << 32) / 1_000;
    bytes.extend(ntp.to_be_bytes());
    bytes.extend(sender.timestamp.to_be_bytes());
    bytes.extend([0; 8]);
    rtcp(bench, Port::Rtcp, above(sender.from), &bytes);
}

fn above(mut from: SocketAddr) -> SocketAddr {
    from.set_port(from.port() + 1);
    from
}

fn rtcp(bench: &mut Bench, port: Port, from: SocketAddr, bytes: &[u8]) {
    let now = bench.now;
    bench
        .call
        .handle_datagram(Track::Inbound, port, from, now, bytes);
    bench.drain();
}

fn summary(of: &(Vec<i16>, Summary)) -> (&[i16], EndedBy, &str) {
    (&of.0, of.1.ended_by, &of.1.digits)
}

#[test]
fn reports_and_goodbyes_of_a_stranger_are_not_believed() {
    let hold = Duration::from_millis(3_500);
    let mut turn = 0_u32;
    let without = call(Bench::new(), hold, &mut |bench, sender| {
        turn += 1;
        if turn.is_multiple_of(20) {
            honest(bench, sender);
        }
    });
    assert_eq!(without.1.ended_by, EndedBy::Stopped);
    for from in ELSEWHERE.map(SocketAddr::from) {
        for port in [Port::Rtp, Port::Rtcp] {
            let mut turn = 0_u32;
            let with = call(Bench::new(), hold, &mut |bench, sender| {
                turn += 1;
                if turn.is_multiple_of(20) {
                    honest(bench, sender);
                }
                // From the first honest report on: until then a port that is not the usual one
                // is taken for the sender's own.
                if turn > 20 {
                    let bytes = report_and_bye(sender.ssrc, sender.timestamp);
                    rtcp(bench, port, from, &bytes);
                }
            });
            assert!(summary(&with) == summary(&without), "{from} to {port:?}");
        }
    }
}

/// NAT may give RTCP any port; the usual one is believed before it, whenever it comes.
#[test]
fn the_usual_port_takes_reports_back() {
    let mut bench = Bench::new();
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    let mut sender = Sender::new(Track::Inbound);
    sender.play(&mut bench, 50);
    let elsewhere = SocketAddr::from(ELSEWHERE[1]);
    let bye = report_and_bye(sender.ssrc, sender.timestamp);
    // The only one there is: it ends the recording, if nothing follows.
    let mut natted = Bench::new();
    let other = natted.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    Sender::new(Track::Inbound).play(&mut natted, 50);
    rtcp(&mut natted, Port::Rtcp, elsewhere, &bye);
    natted.run_for(Duration::from_secs(3));
    assert_eq!(natted.taped[&other].ended_by(), Some(EndedBy::Bye));
    // Beside the usual one it is not heard, nor one that only comes after it.
    honest(&mut bench, &sender);
    rtcp(&mut bench, Port::Rtcp, elsewhere, &bye);
    bench.run_for(Duration::from_secs(3));
    assert_eq!(ended(&bench, sid), None);
    rtcp(&mut bench, Port::Rtcp, above(sender.from), &bye);
    bench.run_for(Duration::from_secs(3));
    assert_eq!(ended(&bench, sid), Some(EndedBy::Bye));
}

fn ended(bench: &Bench, sid: RecordingSid) -> Option<EndedBy> {
    bench
        .taped
        .get(&sid)
        .and_then(super::bench::Taped::ended_by)
}
