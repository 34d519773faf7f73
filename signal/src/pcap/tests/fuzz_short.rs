//! [`fuzz`] under a short, seeded run of mutated valid captures: the fuzz target `pcap` does the same
//! for longer, led by coverage, and begins with the captures made here (`fuzz/seeds/pcap`).

use std::path::Path;

use reeld_network::random::Random;

use super::made::{at, ethernet, ip, pcap, pcap_big, pcapng, pieces};
use super::*;

const ROUNDS: usize = 3_000;

/// What `make fuzz` lets libFuzzer make of an input at most, bytes: a longer seed would be cut.
const MOST: usize = 8_192;

type Frames = Vec<(u64, Vec<u8>)>;

/// A file of some kind out of IP packets.
type Kind = fn(&Frames) -> Vec<u8>;

/// [`signalled`] with half a second of packets of 3 ms, for a capture that is a small file.
fn short() -> Frames {
    let mut frames = signalled();
    let is_sip = |packet: &[u8]| packet[20..22] == 5_060_u16.to_be_bytes();
    frames.retain(|(ms, packet)| *ms < 700 || is_sip(packet));
    for (_, packet) in &mut frames {
        if !is_sip(packet) {
            let (from, to) = if packet[15] == 1 { (A, B) } else { (B, A) };
            *packet = ip(at(from), at(to), &packet[28..28 + 12 + 24]);
        }
    }
    frames
}

/// The call in fragments.
fn fragmented(frames: &Frames) -> Frames {
    let cut = frames.iter().flat_map(|(ms, packet)| {
        let (from, to) = if packet[15] == 1 { (A, B) } else { (B, A) };
        let port = u16::from_be_bytes([packet[20], packet[21]]);
        let with = |text: &str| SocketAddr::new(at(text).ip(), port);
        let ends = if port == 5_060 {
            (with(from), with(to))
        } else {
            (at(from), at(to))
        };
        let parts = pieces(ends.0, ends.1, &packet[28..], 128);
        parts.into_iter().map(|part| (*ms, part))
    });
    cut.collect()
}

/// The kinds of files that calls are put in, each with a link type that is right for it.
const KINDS: [(&str, Kind); 4] = [
    ("raw.pcap", |frames| pcap(101, frames)),
    ("vlan.pcap", |frames| pcap_big(1, &tagged(frames))),
    ("little.pcapng", |frames| pcapng(101, false, frames)),
    ("big.pcapng", |frames| pcapng(1, true, &tagged(frames))),
];

fn valid() -> [(&'static str, Frames); 3] {
    [
        ("udp", short()),
        ("tcp", over_tcp(short())),
        ("fragments", fragmented(&short())),
    ]
}

fn tagged(frames: &Frames) -> Frames {
    frames
        .iter()
        .map(|(ms, packet)| {
            // What is mutated down to nothing has no version to tell.
            let tag: &[u16] = if *ms % 40 == 0 { &[0x8100] } else { &[] };
            let packet = if packet.is_empty() {
                &[0x45]
            } else {
                &packet[..]
            };
            (*ms, ethernet(packet, tag))
        })
        .collect()
}

/// The same with some bytes changed, cut, doubled or put in.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..random.between(1, 4) {
        let at = random.below(bytes.len() + 1);
        match random.between(0, 5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next_byte()),
            2 => bytes.extend_from_within(at..),
            _ if at < bytes.len() => bytes[at] = random.next_byte(),
            _ => {}
        }
        bytes.truncate(4 * MOST);
    }
}

/// The same with packets that are mutated, change places, come twice, get lost or come at any time;
/// the file around them stays whole, so that what is behind its reader is reached.
fn mutate_frames(random: &mut Random, frames: &mut Frames) {
    for _ in 0..random.between(1, 12) {
        if frames.is_empty() {
            return;
        }
        let (one, other) = (random.below(frames.len()), random.below(frames.len()));
        match random.between(0, 9) {
            0 => frames.swap(one, other),
            1 => frames.insert(other, frames[one].clone()),
            2 => drop(frames.remove(one)),
            3 => frames[one].0 = random.between(0, 5_000),
            4 => frames[one].0 = random.between(0, 2_000_000_000_000),
            _ => mutate(random, &mut frames[one].1),
        }
    }
}

#[test]
fn no_capture_harms_the_import() {
    let calls = valid();
    let mut random = Random::new(5, 20);
    let mut begun = [0; 2];
    for round in 0..ROUNDS {
        let mut frames = calls[round % calls.len()].1.clone();
        let kind = random.pick(&KINDS).1;
        let is_by_frame = round % 2 == 0;
        let file = if is_by_frame {
            mutate_frames(&mut random, &mut frames);
            kind(&frames)
        } else {
            let mut file = kind(&frames);
            mutate(&mut random, &mut file);
            file
        };
        begun[usize::from(is_by_frame)] += usize::from(fuzz(&file, &settings()) > 0);
    }
    assert!(begun[0] > ROUNDS / 8, "{begun:?}: too few files were read");
    assert!(begun[1] > ROUNDS / 4, "{begun:?}: too few packets were");
}

/// How much sound comes as blocks, and how much time as silence.
#[derive(Default)]
struct Scales {
    begun: u8,
    blocks: usize,
    silence: u64,
}

impl Sink for Scales {
    fn begin(&mut self, _: &Beginning) -> Option<RecordingSid> {
        self.begun += 1;
        Some(RecordingSid::from_bytes([self.begun; 16]))
    }

    fn push(&mut self, output: Output, _: &dyn Fn(Mono) -> i64) {
        match output {
            Output::Audio { .. } => self.blocks += 1,
            Output::Silence { frames, .. } => self.silence += frames,
            Output::Started { .. } | Output::Ended { .. } => {}
        }
    }

    fn progress(&mut self, _: u64, _: u64) -> bool {
        true
    }
}

/// A fuzzer found it: a packet hours after the last, whose coming settled where that one belongs, made
/// blocks of zeros for all the time between, and all at once.
#[test]
fn hours_without_a_packet_are_not_held_as_sound() {
    let found = include_bytes!("../../../../fuzz/found/hours-of-zeros.pcap");
    let how = Import {
        account: AccountSid::from_bytes([0; 16]),
        call: None,
        settings: settings(),
    };
    let mut scales = Scales::default();
    import(
        &mut std::io::Cursor::new(found),
        found.len() as u64,
        &how,
        &mut scales,
    );
    assert!(scales.silence > 3_600 * 8_000, "no hours are in it");
    assert!(scales.blocks < 100, "{} blocks", scales.blocks);
}

#[test]
fn the_fuzz_targets_seeds_are_these_captures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/pcap");
    let calls = valid();
    let is_anew = std::env::var_os("SEEDS_ANEW").is_some();
    // Each call and each kind of file once; the fuzzer crosses them over.
    for (number, (kind, made)) in KINDS.iter().enumerate() {
        let (call, frames) = &calls[number % calls.len()];
        let (path, made) = (folder.join(format!("{call}-{kind}")), made(frames));
        assert!(made.len() <= MOST, "{}: {}", path.display(), made.len());
        assert_eq!(fuzz(&made, &settings()), 1, "{}", path.display());
        if is_anew {
            std::fs::write(&path, &made).unwrap();
        }
        let is_so = std::fs::read(&path).is_ok_and(|kept| kept == made);
        let path = path.display();
        assert!(is_so, "{path}: SEEDS_ANEW=1 cargo test -p reeld-signal");
    }
}
