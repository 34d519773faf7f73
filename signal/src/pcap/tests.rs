//! Captures made here, of every kind that is read, and any bytes at all.

use std::io::Cursor;
use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::*;

mod fuzz_short;
mod made;

use made::*;

const A: &str = "192.0.2.1:4000";
const B: &str = "192.0.2.2:5000";

fn settings() -> Settings {
    Settings {
        reorder_window: Duration::from_millis(200),
        first_packet: Duration::from_secs(60),
        inactivity: Duration::from_secs(300),
        max_length: Duration::from_secs(12 * 3_600),
        allow: Vec::new(),
        conceal: false,
        dtmf: reeld_capture::Dtmf::Silence,
        rate: reeld_capture::Rate::Narrow,
        advertise: [127, 0, 0, 1].into(),
        secret: reeld_capture::Secret::default(),
    }
}

/// A recording as a sink gets it.
#[derive(Debug)]
struct Got {
    beginning: Beginning,
    samples: Vec<i16>,
    started_ms: Option<i64>,
    ended: Option<reeld_model::Summary>,
}

#[derive(Debug, Default)]
struct Shelf(Vec<Got>);

impl Sink for Shelf {
    fn begin(&mut self, beginning: &Beginning) -> Option<RecordingSid> {
        self.0.push(Got {
            beginning: beginning.clone(),
            samples: Vec::new(),
            started_ms: None,
            ended: None,
        });
        let number = u8::try_from(self.0.len()).unwrap() - 1;
        Some(RecordingSid::from_bytes([number; 16]))
    }

    fn push(&mut self, output: Output, unix_ms: &dyn Fn(Mono) -> i64) {
        let got = &mut self.0[usize::from(output.recording().as_bytes()[0])];
        let channels = usize::from(got.beginning.channels.count());
        match output {
            Output::Started { at, .. } => got.started_ms = Some(unix_ms(at)),
            Output::Audio { samples, .. } => got.samples.extend(samples),
            Output::Silence { frames, .. } => {
                let more = usize::try_from(frames).unwrap() * channels;
                got.samples.resize(got.samples.len() + more, 0);
            }
            Output::Ended { summary, .. } => got.ended = Some(*summary),
        }
    }

    fn progress(&mut self, done: u64, total: u64) -> bool {
        assert!(done <= total, "{done} of {total}");
        true
    }
}

fn run(file: &[u8]) -> (Report, Vec<Got>) {
    let how = Import {
        account: AccountSid::from_bytes([1; 16]),
        call: None,
        settings: settings(),
    };
    let mut shelf = Shelf::default();
    let length = file.len() as u64;
    let report = import(&mut Cursor::new(file), length, &how, &mut shelf);
    (report, shelf.0)
}

/// A second of µ-law from A to B, as IP packets each with its milliseconds.
fn second(from: &str, to: &str, ssrc: u32) -> Vec<(u64, Vec<u8>)> {
    (0..50)
        .map(|number| {
            let packet = ip(at(from), at(to), &rtp(number, ssrc));
            (u64::from(number) * 20, packet)
        })
        .collect()
}

#[track_caller]
fn is_a_second(file: &[u8]) {
    let (report, got) = run(file);
    assert_eq!(
        report,
        Report {
            calls: 1,
            ..Report::default()
        }
    );
    let [got] = &got[..] else {
        panic!("one recording, not {}", got.len());
    };
    assert_eq!(got.samples.len(), 8_000);
    assert!(
        got.samples
            .iter()
            .all(|&sample| sample == got.samples[0] && sample != 0)
    );
    assert_eq!(got.beginning.created_ms, 1_700_000_000_000);
    // A packet's samples end where it came, to the sample: a millisecond is eight.
    let started = got.started_ms.unwrap();
    assert!(
        (1_699_999_999_979..=1_699_999_999_980).contains(&started),
        "{started}"
    );
    let ended = got.ended.as_ref().unwrap();
    assert_eq!(
        (ended.ended_by, ended.frames),
        (reeld_model::EndedBy::Imported, 8_000)
    );
    assert_eq!(ended.tracks[0].packets, 50);
    assert_eq!(ended.quality[0].codecs, ["PCMU"]);
}

#[test]
fn every_link_type_gives_the_same_second() {
    let packets = second(A, B, 9);
    let framed = |frame: &dyn Fn(&[u8]) -> Vec<u8>| -> Vec<(u64, Vec<u8>)> {
        packets
            .iter()
            .map(|(ms, packet)| (*ms, frame(packet)))
            .collect()
    };
    let behind = |header: &[u8]| framed(&|packet| [header, packet].concat());
    is_a_second(&pcap(1, &framed(&|packet| ethernet(packet, &[]))));
    is_a_second(&pcap(1, &framed(&|packet| ethernet(packet, &[0x8100]))));
    is_a_second(&pcap(
        1,
        &framed(&|packet| ethernet(packet, &[0x88a8, 0x8100])),
    ));
    let cooked = [0, 4, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0];
    is_a_second(&pcap(113, &behind(&cooked)));
    let cooked2 = [8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0];
    is_a_second(&pcap(276, &behind(&cooked2)));
    for raw in [12, 14, 101, 228] {
        is_a_second(&pcap(raw, &packets));
    }
    is_a_second(&pcap(0, &behind(&[2, 0, 0, 0])));
    is_a_second(&pcap(108, &behind(&[0, 0, 0, 2])));
    is_a_second(&pcap_big(1, &framed(&|packet| ethernet(packet, &[]))));
    for big in [false, true] {
        is_a_second(&pcapng(101, big, &packets));
    }
}

#[test]
fn ipv6_and_fragments_give_the_same_second() {
    let (from, to) = ("[2001:db8::1]:4000", "[2001:db8::2]:5000");
    is_a_second(&pcap(229, &second(from, to, 9)));
    for (from, to) in [(from, to), (A, B)] {
        let mut frames = Vec::new();
        for number in 0..50 {
            let mut parts = pieces(at(from), at(to), &rtp(number, 9), 64);
            assert_eq!(parts.len(), 3);
            // Out of order: the last piece first.
            parts.reverse();
            frames.extend(parts.into_iter().map(|part| (u64::from(number) * 20, part)));
        }
        is_a_second(&pcap(101, &frames));
    }
}

#[test]
fn two_directions_are_one_dual_recording_and_noise_is_none() {
    let mut frames = second(A, B, 9);
    // The answer comes half a second later, and keys of DNS all the while.
    for (ms, packet) in second(B, A, 10) {
        frames.push((ms + 500, packet));
        frames.push((ms, ip(at(A), at("192.0.2.3:53"), &[0x80; 40])));
    }
    frames.sort_by_key(|(ms, _)| *ms);
    let (report, got) = run(&pcap(101, &frames));
    assert_eq!((report.calls, got.len()), (1, 1));
    assert_eq!(got[0].beginning.channels, Channels::Dual);
    assert_eq!(got[0].samples.len(), 2 * 12_000);
    let sounds = |channel: usize| {
        let sound = got[0].samples.iter().skip(channel).step_by(2);
        let places: Vec<usize> = sound
            .enumerate()
            .filter(|(_, sample)| **sample != 0)
            .map(|(place, _)| place)
            .collect();
        (places[0], places[places.len() - 1])
    };
    assert_eq!((sounds(0), sounds(1)), ((0, 7_999), (4_000, 11_999)));
}

#[test]
fn a_long_silence_without_sip_is_two_calls_and_an_hour_of_it_is_quick() {
    let mut frames = second(A, B, 9);
    let again = second(A, B, 9)
        .into_iter()
        .map(|(ms, packet)| (ms + 3_600_000, packet));
    frames.extend(again);
    let (report, got) = run(&pcap(101, &frames));
    assert_eq!((report.calls, got.len()), (2, 2));
    assert_ne!(got[0].beginning.call, got[1].beginning.call);
    assert!(got.iter().all(|got| got.samples.len() == 8_000));
}

fn sip(start: &str, tags: (&str, &str), cseq: &str, sdp: Option<&str>) -> Vec<u8> {
    let body = sdp.unwrap_or_default();
    let to = if tags.1.is_empty() {
        String::new()
    } else {
        format!(";tag={}", tags.1)
    };
    format!(
        "{start}\r\nVia: SIP/2.0/UDP x\r\nFrom: \"A\" <sip:alice@a.example>;tag={}\r\n\
         To: <sip:bob@b.example>{to}\r\nCall-ID: one@a.example\r\nCSeq: {cseq}\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        tags.0,
        body.len()
    )
    .into_bytes()
}

fn sdp(place: &str, formats: &str, map: &str) -> String {
    let place = at(place);
    format!(
        "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {1} RTP/AVP {formats}\r\n{map}",
        place.ip(),
        place.port()
    )
}

/// A call of SIP from A to B with a dynamic payload type; RTP both ways, and a BYE at 1.5 s.
fn signalled() -> Vec<(u64, Vec<u8>)> {
    let offer = sdp(A, "0 97", "a=rtpmap:97 PCMA/8000\r\n");
    let answer = sdp(B, "97", "a=rtpmap:97 PCMA/8000\r\n");
    let (caller, callee) = (at("192.0.2.1:5060"), at("192.0.2.2:5060"));
    let mut frames = vec![
        (
            0,
            ip(
                caller,
                callee,
                &sip(
                    "INVITE sip:bob@b.example SIP/2.0",
                    ("a", ""),
                    "1 INVITE",
                    Some(&offer),
                ),
            ),
        ),
        (
            100,
            ip(
                callee,
                caller,
                &sip("SIP/2.0 200 OK", ("a", "b"), "1 INVITE", Some(&answer)),
            ),
        ),
        (
            1_500,
            ip(
                callee,
                caller,
                &sip("BYE sip:alice@a.example SIP/2.0", ("b", "a"), "2 BYE", None),
            ),
        ),
    ];
    // The callee begins, and a caller that is heard is inbound all the same.
    for number in 0..100_u16 {
        for (from, to, ssrc, late) in [(B, A, 5, 200), (A, B, 6, 300)] {
            let mut packet = rtp(number, ssrc);
            packet[1] = 97;
            packet[12..].fill(if ssrc == 6 { 0x2a } else { 0xaa });
            frames.push((u64::from(number) * 20 + late, ip(at(from), at(to), &packet)));
        }
    }
    frames.sort_by_key(|(ms, _)| *ms);
    frames
}

#[track_caller]
fn is_the_signalled_call(frames: &[(u64, Vec<u8>)]) {
    let (report, got) = run(&pcap(101, frames));
    assert_eq!(
        report,
        Report {
            calls: 1,
            ..Report::default()
        }
    );
    let [got] = &got[..] else {
        panic!("one recording, not {}", got.len());
    };
    let beginning = &got.beginning;
    assert_eq!(beginning.from.as_deref(), Some("sip:alice@a.example"));
    assert_eq!(beginning.to.as_deref(), Some("sip:bob@b.example"));
    assert_eq!(beginning.external_id, "one@a.example");
    let account = AccountSid::from_bytes([1; 16]);
    assert_eq!(
        beginning.call,
        CallSid::from_external(account, "one@a.example")
    );
    assert_eq!(beginning.channels, Channels::Dual);
    let ended = got.ended.as_ref().unwrap();
    assert_eq!(ended.quality[0].codecs, ["PCMA"]);
    // From the callee's first packet, which came at 200 ms and is 20 ms long, to the BYE.
    assert_eq!(got.samples.len(), 2 * 8 * 1_320);
    let at_ms = |ms: usize| (got.samples[2 * 8 * ms], got.samples[2 * 8 * ms + 1]);
    assert_eq!(at_ms(1), (0, 32_256), "the callee alone");
    assert_eq!(at_ms(101), (-32_256, 32_256));
    assert_eq!(at_ms(1_299), (-32_256, 32_256));
}

#[test]
fn a_call_of_sip_is_one_dual_recording_that_ends_at_its_bye() {
    is_the_signalled_call(&signalled());
}

/// The call with its SIP over TCP, in small segments of which each comes twice.
fn over_tcp(call: Vec<(u64, Vec<u8>)>) -> Vec<(u64, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut sequence: std::collections::HashMap<SocketAddr, u32> = Default::default();
    for (ms, packet) in call {
        let sliced = etherparse::SlicedPacket::from_ip(&packet).unwrap();
        let Some(etherparse::TransportSlice::Udp(udp)) = sliced.transport else {
            panic!("UDP");
        };
        if udp.source_port() != 5_060 {
            frames.push((ms, packet.clone()));
            continue;
        }
        let is_callers = packet[15] == 1;
        let (from, to) = if is_callers {
            (at("192.0.2.1:5060"), at("192.0.2.2:5060"))
        } else {
            (at("192.0.2.2:5060"), at("192.0.2.1:5060"))
        };
        let (IpAddr::V4(source), IpAddr::V4(target)) = (from.ip(), to.ip()) else {
            panic!("IPv4");
        };
        for part in udp.payload().chunks(100) {
            let next = sequence.entry(from).or_insert(7);
            let builder = etherparse::PacketBuilder::ipv4(source.octets(), target.octets(), 64)
                .tcp(5_060, 5_060, *next, 1_000);
            let mut bytes = Vec::new();
            builder.write(&mut bytes, part).unwrap();
            // Each segment twice, as it is sent again.
            frames.push((ms, bytes.clone()));
            frames.push((ms, bytes));
            *next += u32::try_from(part.len()).unwrap();
        }
    }
    frames
}

#[test]
fn sip_over_tcp_in_pieces_tells_the_same() {
    is_the_signalled_call(&over_tcp(signalled()));
}

#[test]
fn what_cannot_be_recorded_is_named() {
    let encrypted: Vec<_> = signalled()
        .into_iter()
        .map(|(ms, mut packet)| {
            let text = packet.windows(7).position(|window| window == b"RTP/AVP");
            if let Some(at) = text {
                packet[at..at + 7].copy_from_slice(b"RT/SAVP");
            }
            (ms, packet)
        })
        .collect();
    let (report, got) = run(&pcap(101, &encrypted));
    assert!(got.is_empty());
    assert!(report.problems[0].contains("one@a.example"), "{report:?}");
    assert!(report.problems[0].contains("SRTP"), "{report:?}");

    let (report, _) = run(&pcap(101, &[]));
    assert_eq!(report.problems, ["no call was found in it"]);
    let (report, _) = run(&pcap(147, &second(A, B, 9)));
    assert!(report.problems[0].contains("link type 147"), "{report:?}");
    let (report, _) = run(b"RIFF....WAVE");
    assert!(
        report.problems[0].contains("neither pcap nor pcapng"),
        "{report:?}"
    );
}

#[test]
fn a_cut_file_gives_what_is_whole() {
    let file = pcap(101, &second(A, B, 9));
    let frame = 16 + 20 + 8 + 172;
    let (report, got) = run(&file[..24 + 25 * frame + 10]);
    let says = format!(
        "damaged at byte {}: the file ends within a packet",
        24 + 25 * frame
    );
    assert_eq!(report.problems, [says]);
    assert_eq!(got[0].samples.len(), 4_000);
    assert!(got[0].ended.is_some());
}

#[test]
fn a_clock_that_is_set_back_moves_nothing() {
    let mut frames = second(A, B, 9);
    for (ms, _) in &mut frames[25..] {
        *ms += 1_000_000;
    }
    for (ms, _) in &mut frames[..25] {
        *ms += 2_000_000;
    }
    let (_, got) = run(&pcap(101, &frames));
    assert_eq!(got.len(), 1);
    assert!((7_840..=8_000).contains(&got[0].samples.len()));
}

#[test]
fn the_next_call_on_the_same_ports_is_another() {
    let mut frames = signalled();
    let text = |packet: &[u8]| String::from_utf8_lossy(packet).contains("one@a.example");
    let second: Vec<_> = signalled()
        .into_iter()
        .map(|(ms, mut packet)| {
            if text(&packet) {
                let at = packet.windows(3).position(|window| window == b"one");
                packet[at.unwrap()..][..3].copy_from_slice(b"two");
            }
            (ms + 2_600, packet)
        })
        .collect();
    frames.extend(second);
    let (report, got) = run(&pcap(101, &frames));
    assert_eq!((report.calls, got.len()), (2, 2), "{report:?}");
    for (got, id) in got.iter().zip(["one@a.example", "two@a.example"]) {
        assert_eq!(got.beginning.external_id, id);
        assert_eq!(got.samples.len(), 2 * 8 * 1_320);
    }
}

#[test]
fn a_sink_that_says_stop_is_heard() {
    struct Stopper;
    impl Sink for Stopper {
        fn begin(&mut self, _: &Beginning) -> Option<RecordingSid> {
            panic!("it was stopped in the first pass");
        }
        fn push(&mut self, _: Output, _: &dyn Fn(Mono) -> i64) {}
        fn progress(&mut self, _: u64, _: u64) -> bool {
            false
        }
    }
    let how = Import {
        account: AccountSid::from_bytes([1; 16]),
        call: None,
        settings: settings(),
    };
    let file = pcap(101, &second(A, B, 9));
    let report = import(
        &mut Cursor::new(&file),
        file.len() as u64,
        &how,
        &mut Stopper,
    );
    assert!(report.stopped);
}

#[test]
fn more_calls_than_are_played_at_once_take_more_passes() {
    let mut plan = Plan::default();
    for number in 0..10 {
        plan.calls.push(plan::Planned {
            begins: number,
            ends: number + 3,
            ..Default::default()
        });
    }
    let passes = plan.passes(2);
    for time in 0..14 {
        for pass in 0..=*passes.iter().max().unwrap() {
            let running =
                plan.calls.iter().zip(&passes).filter(|(call, its)| {
                    **its == pass && (call.begins..=call.ends).contains(&time)
                });
            assert!(running.count() <= 2);
        }
    }
    assert_eq!(plan.passes(4), [0; 10]);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), magic in 0_usize..4) {
        let heads = [pcap(1, &[]), pcap_big(101, &[]), pcapng(276, false, &[]), pcapng(1, true, &[])];
        fuzz(&bytes, &settings());
        fuzz(&[heads[magic].clone(), bytes].concat(), &settings());
    }

    #[test]
    fn no_change_of_a_good_file_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        kind in 0_usize..3,
    ) {
        let frames = signalled();
        let mut file = match kind {
            0 => pcap(101, &frames),
            1 => pcapng(101, false, &frames),
            _ => {
                let framed: Vec<_> = frames
                    .iter()
                    .map(|(ms, packet)| (*ms, ethernet(packet, &[0x8100])))
                    .collect();
                pcap_big(1, &framed)
            }
        };
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        file.truncate(cut.index(file.len()) + 1);
        fuzz(&file, &settings());
    }
}
