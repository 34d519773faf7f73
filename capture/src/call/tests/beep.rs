//! A beep before a recording: who hears it, when, and that the recording has nothing of its time.

use std::net::SocketAddr;
use std::time::Duration;

use reeld_codec::g711::{self, Law};
use reeld_model::{
    Beep, ChangeRecording, Channels, EndedBy, Mono, PauseBehavior, Refusal, SourceRule,
    StartRecording, Track, TrackSelection,
};

use super::bench::{Bench, OPENED, Sender, open_call, plain, settings};
use crate::Transmit;

fn beeping() -> StartRecording {
    StartRecording {
        beep: Some(Beep {
            ssrc: 77,
            sequence: 9,
            timestamp: 1_000,
        }),
        ..plain(Channels::Mono, TrackSelection::Inbound)
    }
}

fn offer(lines: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP {lines}\r\n"
    )
}

fn with_offer(lines: &str) -> Bench {
    let mut open = open_call();
    open.sdp = Some(offer(lines));
    Bench::with(settings(), open)
}

fn ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap()
}

/// Payload type, marker, sequence, stamp and SSRC.
fn header(datagram: &[u8]) -> (u8, bool, u16, u32, u32) {
    (
        datagram[1] & 0x7F,
        datagram[1] & 0x80 != 0,
        u16::from_be_bytes([datagram[2], datagram[3]]),
        u32::from_be_bytes(datagram[4..8].try_into().unwrap()),
        u32::from_be_bytes(datagram[8..12].try_into().unwrap()),
    )
}

/// Holds what was sent to be one beep in G.711 to `to`; when its first packet left.
fn assert_beep(sent: &[(Mono, Transmit)], law: Law, to: SocketAddr) -> Mono {
    let first = sent.first().expect("a beep").0;
    let begin = header(&sent[0].1.datagram);
    assert_eq!(sent.len(), 26, "half a second, and a quiet packet");
    let mut samples = Vec::new();
    for (
        number,
        (
            at,
            Transmit {
                track,
                to: whom,
                datagram,
            },
        ),
    ) in (0_u16..).zip(sent)
    {
        assert_eq!((*track, *whom), (Track::Inbound, to));
        assert_eq!(*at, first + Duration::from_millis(20) * u32::from(number));
        let (payload_type, marker, sequence, stamp, ssrc) = header(datagram);
        assert_eq!(payload_type, if law == Law::Mu { 0 } else { 8 });
        assert_eq!((marker, ssrc), (number == 0, begin.4));
        assert_eq!(sequence, begin.2.wrapping_add(number));
        assert_eq!(stamp, begin.3.wrapping_add(160 * u32::from(number)));
        g711::decode_to(law, &datagram[12..], &mut samples);
    }
    let rises = samples[..4_000]
        .windows(2)
        .filter(|two| two[0] < 0 && two[1] >= 0);
    assert!((495..=500).contains(&rises.count()), "1 kHz");
    first
}

#[test]
fn who_is_heard_hears_a_beep_and_the_recording_begins_behind_it() {
    for law in [Law::Mu, Law::A] {
        let mut bench = Bench::new();
        let mut sender = Sender {
            law,
            ..Sender::new(Track::Inbound)
        };
        // Not on the grid that beeps are sent on.
        bench.run_for(Duration::from_millis(7));
        sender.play(&mut bench, 20);
        let asked = bench.now;
        let sid = bench.start(1, beeping());
        sender.play(&mut bench, 100);
        let first = assert_beep(&bench.sent, law, sender.from);
        assert!(first.since(asked) < Duration::from_millis(20));
        let taped = bench.stop(sid);
        let begun = taped.started.expect("it has begun");
        // 26 packets and 100 ms for what comes back.
        assert_eq!(begun, first + Duration::from_millis(620));
        assert_eq!(
            taped.frames(),
            16_000 - usize::try_from(ms(begun.since(asked))).unwrap() * 8
        );
        let stats = taped.summary.as_ref().unwrap().tracks[0];
        assert_eq!(stats.packets, 100 - u64::from(ms(begun.since(asked))) / 20);
    }
}

#[test]
fn nobody_who_has_not_shown_himself_hears_it() {
    let mut bench = Bench::new();
    let sid = bench.start(1, beeping());
    let mut sender = Sender::new(Track::Inbound);
    // Four packets are no source yet.
    let early = sender.play(&mut bench, 4);
    bench.run_for(Duration::from_millis(200));
    assert_eq!(bench.sent, []);
    sender.timestamp = sender.timestamp.wrapping_add(10 * 160);
    let said = [early, sender.play(&mut bench, 100)].concat();
    assert_beep(&bench.sent, Law::Mu, sender.from);
    let taped = bench.stop(sid);
    assert!(!taped.samples.is_empty());
    assert!(said.ends_with(&taped.samples[taped.frames() - 8_000..]));
    assert!(
        taped.frames() < 16_000 - 4_960,
        "nothing of the beep's time"
    );
}

#[test]
fn without_anybody_it_ends_for_want_of_packets() {
    let mut bench = Bench::new();
    let sid = bench.start(1, beeping());
    bench.run_for(Duration::from_secs(61));
    let taped = &bench.taped[&sid];
    assert_eq!(taped.ended_by(), Some(EndedBy::NoPackets));
    assert_eq!((taped.frames(), bench.sent.len()), (0, 0));
    // And with a deadline that is shorter than a beep, one that sounds is heard to its end.
    let mut brief = settings();
    brief.first_packet = Duration::from_millis(300);
    let mut bench = Bench::with(brief, open_call());
    let mut sender = Sender::new(Track::Inbound);
    sender.play(&mut bench, 10);
    let sid = bench.start(1, beeping());
    sender.play(&mut bench, 60);
    assert_eq!(bench.stop(sid).ended_by(), Some(EndedBy::Stopped));
    assert_eq!(bench.sent.len(), 26);
}

#[test]
fn a_fork_is_refused_and_says_so() {
    for (said, named) in [("sendonly", "a=sendonly"), ("inactive", "a=inactive")] {
        let mut bench = with_offer(&format!("0\r\na={said}"));
        let refused = bench.call.start(bench.now, beeping()).unwrap_err();
        assert!(
            matches!(&refused, Refusal::Beep(why) if why.contains(named)),
            "{refused}"
        );
        assert_eq!(bench.call.running(), 0);
        bench.start(1, plain(Channels::Mono, TrackSelection::Both));
    }
    let mut open = open_call();
    open.tracks = TrackSelection::Outbound;
    let ports = [None, Some(20_002)];
    let mut call = crate::Call::open(open, ports, settings().into(), OPENED, 0).unwrap();
    let start = StartRecording {
        track: TrackSelection::Outbound,
        ..beeping()
    };
    assert!(matches!(call.start(OPENED, start), Err(Refusal::Beep(_))));
}

#[test]
fn a_codec_that_cannot_be_encoded_is_answered_in_one_that_was_offered() {
    // G.729 and PCMA under a number of its own.
    let mut bench = with_offer("18 97\r\na=rtpmap:97 PCMA/8000");
    let mut sender = Sender::new(Track::Inbound);
    let g729 = |bench: &mut Bench, sender: &mut Sender| {
        for _ in 0..100 {
            bench.run_for(Duration::from_millis(20));
            let bytes = sender.packet(18, &[1; 20]);
            bench.send(sender, &bytes);
        }
    };
    bench.start(1, beeping());
    g729(&mut bench, &mut sender);
    assert_eq!(bench.sent.len(), 26);
    assert_eq!(header(&bench.sent[0].1.datagram).0, 97);

    // Without an offer there is none: refused where it is known in time, else without a beep.
    let mut bench = Bench::new();
    let sid = bench.start(1, beeping());
    g729(&mut bench, &mut sender);
    assert_eq!(bench.sent, []);
    assert!(bench.taped.contains_key(&sid), "it has begun");
    let refused = bench.call.start(bench.now, beeping()).unwrap_err();
    assert!(refused.to_string().contains("18 G729"), "{refused}");
}

#[test]
fn an_answer_says_that_we_send_once_we_are_to() {
    let mut bench = with_offer("0");
    let said = |bench: &Bench| bench.call.view().sdp.expect("an answer");
    assert!(said(&bench).contains("a=recvonly"));
    bench.start(1, beeping());
    assert!(said(&bench).contains("a=sendrecv"), "{}", said(&bench));
    bench.call.update(Some(&offer("8")), None).unwrap();
    assert!(said(&bench).contains("a=sendrecv"), "{}", said(&bench));
}

#[test]
fn recordings_share_a_beep_and_a_later_one_goes_on_in_its_stream() {
    let mut bench = Bench::new();
    let mut sender = Sender::new(Track::Inbound);
    sender.play(&mut bench, 10);
    let first = bench.start(1, beeping());
    sender.play(&mut bench, 10);
    let second = bench.start(2, beeping());
    sender.play(&mut bench, 50);
    assert_eq!(bench.sent.len(), 26);
    let begun = [first, second].map(|sid| bench.stop(sid).started);
    assert!(begun[0].is_some() && begun[0] == begun[1], "{begun:?}");
    let before = bench.sent.split_off(0);
    bench.start(3, beeping());
    sender.play(&mut bench, 50);
    let at = assert_beep(&bench.sent, Law::Mu, sender.from);
    let (_, _, sequence, stamp, ssrc) = header(&before[0].1.datagram);
    let passed = ms(at.since(before[0].0)) * 8;
    let (_, _, again, stamp_again, ssrc_again) = header(&bench.sent[0].1.datagram);
    assert_eq!((again, ssrc_again), (sequence + 26, ssrc));
    assert_eq!(stamp_again, stamp.wrapping_add(passed));
}

#[test]
fn what_is_stopped_or_paused_before_its_beep_is_over_has_nothing_of_it() {
    let mut bench = Bench::new();
    let mut sender = Sender::new(Track::Inbound);
    sender.play(&mut bench, 10);
    let stopped = bench.start(1, beeping());
    sender.play(&mut bench, 10);
    assert_eq!(bench.stop(stopped).frames(), 0);
    let sent = bench.sent.len();
    sender.play(&mut bench, 10);
    assert_eq!(bench.sent.len(), sent, "nobody waits for the rest of it");

    let paused = bench.start(2, beeping());
    sender.play(&mut bench, 10);
    bench.pause(paused, PauseBehavior::Silence);
    sender.play(&mut bench, 60);
    assert!(!bench.taped.contains_key(&paused), "it is paused");
    bench.change(paused, ChangeRecording::Resume);
    let said = sender.play(&mut bench, 20);
    let taped = bench.stop(paused);
    assert!(taped.samples == said);
    assert_eq!(taped.summary.as_ref().unwrap().tracks[0].packets, 20);
}

#[test]
fn keys_that_are_pressed_before_it_begins_are_none_of_its() {
    let mut bench = Bench::new();
    let mut sender = Sender::new(Track::Inbound);
    sender.play(&mut bench, 10);
    let mut start = beeping();
    start.rules.finish_on_key = "5".to_owned();
    let sid = bench.start(1, start);
    sender.play(&mut bench, 5);
    let key = sender.packet(101, &[5, 10, 0, 160]);
    bench.send(&sender, &key);
    sender.play(&mut bench, 60);
    let taped = bench.stop(sid);
    assert_eq!(taped.ended_by(), Some(EndedBy::Stopped));
    assert_eq!(taped.summary.as_ref().unwrap().digits, "");
}

#[test]
fn another_source_that_is_named_meanwhile_hears_one_of_its_own() {
    let mut bench = Bench::new();
    let mut sender = Sender::new(Track::Inbound);
    sender.play(&mut bench, 10);
    bench.start(1, beeping());
    sender.play(&mut bench, 10);
    let other = SocketAddr::from(([127, 0, 0, 9], 4_000));
    let rule = SourceRule {
        address: other.ip(),
        port: None,
    };
    bench.call.update(None, Some(rule)).unwrap();
    let sent = bench.sent.len();
    sender.play(&mut bench, 10);
    assert_eq!(bench.sent.len(), sent, "who is named has sent nothing");
    let mut moved = Sender {
        from: other,
        ssrc: 5,
        ..Sender::new(Track::Inbound)
    };
    moved.play(&mut bench, 60);
    assert_beep(&bench.sent[sent..], Law::Mu, other);
}
