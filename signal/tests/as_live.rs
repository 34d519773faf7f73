//! A capture that is imported is the call that was live: the core, fed the same datagrams at the same
//! times by hand as `ingest` feeds it, gives the same samples, keys, statistics and quality.
//!
//! By packets of a bad network, made here, and by sipp's and the project's captures where they are laid.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::Cursor;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, Linktype, PcapBlockOwned, PcapError};
use reeld_capture::{Call, Output, Port, Settings};
use reeld_model::{
    AccountSid, CallSid, Channels, EndedBy, Mono, OpenCall, RecordingSid, StartRecording, Summary,
    Track, TrackSelection, TrackStats,
};
use reeld_signal::pcap::{self, Beginning, Import, Sink};

const TICK: u64 = 50_000_000;

/// Any time, but late enough to look back from.
const FIRST: u64 = 5_000_000_000_000;

/// A datagram and when it came, in nanoseconds since the first.
#[derive(Debug, Clone)]
struct Datagram {
    at: u64,
    from: SocketAddr,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Recorded {
    samples: Vec<i16>,
    summary: Option<Summary>,
}

impl Recorded {
    fn take(&mut self, output: Output) {
        match output {
            Output::Started { .. } => {}
            Output::Audio { samples, .. } => self.samples.extend(samples),
            Output::Silence { frames, .. } => {
                let more = usize::try_from(frames).unwrap();
                self.samples.resize(self.samples.len() + more, 0);
            }
            Output::Ended { summary, .. } => self.summary = Some(*summary),
        }
    }
}

impl Sink for Recorded {
    fn begin(&mut self, beginning: &Beginning) -> Option<RecordingSid> {
        assert_eq!(beginning.channels, Channels::Mono);
        assert!(self.samples.is_empty(), "one recording");
        Some(RecordingSid::from_bytes([1; 16]))
    }

    fn push(&mut self, output: Output, _: &dyn Fn(Mono) -> i64) {
        self.take(output);
    }

    fn progress(&mut self, _: u64, _: u64) -> bool {
        true
    }
}

fn settings() -> Settings {
    Settings {
        allow: vec!["0.0.0.0/0".parse().unwrap()],
        ..reeld_network::play::settings()
    }
}

fn to() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 2], 5_000))
}

/// The datagrams as a pcap file of raw IP with nanoseconds.
fn file(datagrams: &[Datagram]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(word.to_le_bytes());
    }
    for Datagram { at, from, bytes } in datagrams {
        let (IpAddr::V4(source), IpAddr::V4(target)) = (from.ip(), to().ip()) else {
            panic!("IPv4 alone");
        };
        let mut packet = Vec::new();
        PacketBuilder::ipv4(source.octets(), target.octets(), 64)
            .udp(from.port(), to().port())
            .write(&mut packet, bytes)
            .unwrap();
        let length = u32::try_from(packet.len()).unwrap();
        let seconds = 1_246_910_400 + u32::try_from(at / 1_000_000_000).unwrap();
        let nanoseconds = u32::try_from(at % 1_000_000_000).unwrap();
        for word in [seconds, nanoseconds, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

fn imported(datagrams: &[Datagram]) -> Recorded {
    let bytes = file(datagrams);
    let how = Import {
        account: AccountSid::from_bytes([1; 16]),
        call: None,
        settings: settings(),
    };
    let mut recorded = Recorded::default();
    let length = bytes.len() as u64;
    let report = pcap::import(&mut Cursor::new(bytes), length, &how, &mut recorded);
    assert!(report.problems.is_empty(), "{report:?}");
    recorded
}

/// As `ingest` does it: a recording is started before anything comes, and each tick takes in what
/// came since the last. Ticks are `phase` nanoseconds beside the first packet.
fn live(datagrams: &[Datagram], phase: u64) -> Recorded {
    let open = OpenCall {
        tracks: TrackSelection::Inbound,
        ..OpenCall::new(
            AccountSid::from_bytes([1; 16]),
            CallSid::from_bytes([2; 16]),
        )
    };
    // Half a second of whole samples before the first packet.
    let opened = Mono(FIRST - 500_000_000);
    let ports = [Some(20_000), None];
    let mut call = Call::open(open, ports, Arc::new(settings()), opened, 0).unwrap();
    let start = StartRecording::new(
        RecordingSid::from_bytes([1; 16]),
        Channels::Mono,
        TrackSelection::Inbound,
    );
    call.start(opened, start).unwrap();
    let mut recorded = Recorded::default();
    let mut tick = opened.0 + phase;
    let mut waiting = datagrams.iter().peekable();
    loop {
        while let Some(datagram) = waiting.next_if(|next| FIRST + next.at < tick) {
            let at = Mono(FIRST + datagram.at);
            call.handle_datagram(
                Track::Inbound,
                Port::Rtp,
                datagram.from,
                at,
                &datagram.bytes,
            );
        }
        if waiting.peek().is_none() {
            break;
        }
        call.handle_tick(Mono(tick));
        while let Some(output) = call.poll_output() {
            recorded.take(output);
        }
        tick += TICK;
    }
    let last = datagrams.last().unwrap().at;
    call.complete(Mono(FIRST + last), EndedBy::Imported);
    while let Some(output) = call.poll_output() {
        recorded.take(output);
    }
    recorded
}

#[track_caller]
fn assert_same(name: &str, datagrams: &[Datagram], phases: &[u64]) {
    let imported = imported(datagrams);
    let summary = imported.summary.as_ref().unwrap();
    for phase in phases.iter().map(|ms| ms * 1_000_000) {
        let live = live(datagrams, phase);
        let lived = live.summary.as_ref().unwrap();
        assert_eq!(summary.tracks, lived.tracks, "{name}, ticks at {phase}");
        assert_eq!(summary.quality, lived.quality, "{name}, ticks at {phase}");
        assert_eq!(
            (&summary.digits, summary.frames),
            (&lived.digits, lived.frames),
            "{name}, ticks at {phase}"
        );
        let differs = imported.samples.iter().zip(&live.samples);
        let differs = differs.into_iter().position(|(one, other)| one != other);
        assert_eq!(differs, None, "{name}, ticks at {phase}: the first sample");
        assert_eq!(imported.samples.len(), live.samples.len(), "{name}");
    }
}

/// xorshift64*: numbers that are the same each run.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }
}

/// Twenty seconds of a caller on a bad network: losses alone and in runs, jitter that reorders,
/// packets twice, a key, comfort noise, a hold and another SSRC.
fn bad_network(seed: u64) -> Vec<Datagram> {
    let mut random = Random(seed * 77 + 1);
    let from = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let (mut sequence, mut stamp, mut ssrc) = (65_500_u16, u32::MAX - 16_000, 7_u32);
    let (mut datagrams, mut lost) = (Vec::new(), 0_u64);
    let mut at = 0_u64;
    let mut key = 0_u16;
    while at < 20_000_000_000 {
        let (payload_type, payload) = if key > 0 {
            let (end, length) = if key < 4 {
                (0x80, 960)
            } else {
                (0, (10 - key) * 160)
            };
            key -= 1;
            let [high, low] = length.to_be_bytes();
            (
                101,
                vec![u8::try_from(seed % 10).unwrap(), end | 10, high, low],
            )
        } else if random.below(200) == 0 {
            (13, vec![40])
        } else {
            (
                0,
                (0..160)
                    .map(|_| u8::try_from(random.below(256)).unwrap())
                    .collect(),
            )
        };
        let mut bytes = vec![0x80, payload_type];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(stamp.to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend(payload);
        sequence = sequence.wrapping_add(1);
        if lost == 0 && random.below(60) == 0 {
            lost = 1 + random.below(8);
        }
        lost = lost.saturating_sub(1);
        if lost == 0 || at == 0 {
            let jitter = if at == 0 { 0 } else { random.below(60_000_000) };
            let copies = 1 + u64::from(random.below(50) == 0);
            for copy in 0..copies {
                let at = at + jitter + copy * 3_000_000;
                datagrams.push(Datagram {
                    at,
                    from,
                    bytes: bytes.clone(),
                });
            }
        }
        let is_sound = payload_type != 101 || key == 0;
        if is_sound {
            stamp = stamp.wrapping_add(if payload_type == 101 { 1_600 } else { 160 });
        }
        at += 20_000_000;
        if key == 0 && random.below(150) == 0 {
            key = 9;
        }
        if random.below(300) == 0 {
            let hold = 500 + random.below(2_500);
            at += hold * 1_000_000;
            stamp = stamp.wrapping_add(u32::try_from(hold * 8).unwrap());
        }
        if random.below(500) == 0 {
            (ssrc, stamp) = (ssrc + 1, stamp.wrapping_mul(31));
        }
    }
    datagrams.sort_by_key(|datagram| datagram.at);
    datagrams
}

#[test]
fn a_bad_network_is_recorded_the_same() {
    for seed in 1..=60 {
        assert_same(&format!("seed {seed}"), &bad_network(seed), &[0]);
    }
}

/// Live ticks come at any time beside the packets. What is settled a tick sooner or later may differ
/// in how a gap is filled, by a packet at most, and in nothing else.
#[test]
fn ticks_at_other_times_change_a_gaps_filling_alone() {
    let mut differing = 0;
    for seed in 1..=60 {
        let datagrams = bad_network(seed);
        let imported = imported(&datagrams);
        let summary = imported.summary.as_ref().unwrap();
        for phase in [7, 25, 49] {
            let live = live(&datagrams, phase * 1_000_000);
            let lived = live.summary.as_ref().unwrap();
            assert_eq!(summary.digits, lived.digits, "seed {seed}, {phase} ms");
            let filling_aside = |summary: &Summary| TrackStats {
                filled: 0,
                ..summary.tracks[0]
            };
            assert_eq!(
                filling_aside(summary),
                filling_aside(lived),
                "seed {seed}, {phase} ms"
            );
            assert_eq!(
                imported.samples.len(),
                live.samples.len(),
                "seed {seed}, {phase} ms"
            );
            let pairs = imported.samples.iter().zip(&live.samples);
            let differ = pairs.filter(|(one, other)| one != other).count();
            assert!(
                differ <= 160,
                "seed {seed}, {phase} ms: {differ} samples differ"
            );
            differing += usize::from(differ > 0);
        }
    }
    assert!(
        differing <= 9,
        "{differing} of 180 differ: more than one in twenty"
    );
}

/// The datagrams of a capture's only flow.
fn read(path: &Path) -> Vec<Datagram> {
    let file = std::fs::File::open(path).unwrap();
    let mut reader = LegacyPcapReader::new(65_536, file).unwrap();
    let (mut link, mut first, mut datagrams) = (Linktype::ETHERNET, None, Vec::new());
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match &block {
                    PcapBlockOwned::LegacyHeader(header) => link = header.network,
                    PcapBlockOwned::Legacy(frame) => {
                        let at = u64::from(frame.ts_sec) * 1_000_000_000
                            + u64::from(frame.ts_usec) * 1_000;
                        let sliced = if link == Linktype::LINUX_SLL {
                            SlicedPacket::from_linux_sll(frame.data)
                        } else {
                            SlicedPacket::from_ethernet(frame.data)
                        };
                        let Ok(Some(TransportSlice::Udp(udp))) = sliced.map(|it| it.transport)
                        else {
                            panic!("{}: not UDP", path.display());
                        };
                        datagrams.push(Datagram {
                            at: at - *first.get_or_insert(at),
                            from: SocketAddr::from(([192, 0, 2, 1], 4_000)),
                            bytes: udp.payload().to_vec(),
                        });
                    }
                    PcapBlockOwned::NG(_) => panic!("{} is pcapng", path.display()),
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => return datagrams,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

#[test]
fn captures_of_others_are_recorded_the_same() {
    let shared = std::env::var_os("REELD_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let mut paths = vec![
        shared.join("captures/freeswitch-milliwatt.pcmu.rtp.pcap"),
        shared.join("captures/asterisk-ulaw-dtmf-2013785496.pcap"),
    ];
    paths.push("/usr/share/sip-tester/g711a.pcap".into());
    for key in [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "star", "pound",
    ] {
        paths.push(format!("/usr/share/sip-tester/dtmf_2833_{key}.pcap").into());
    }
    for path in paths {
        if path.exists() {
            assert_same(&path.display().to_string(), &read(&path), &[0, 7, 25, 49]);
        } else {
            eprintln!("skipped: {} is not there", path.display());
        }
    }
}
