//! The fuzz targets' entry points under a short, seeded run of mutated valid input: `fuzz/` does the
//! same for longer, led by coverage.

use reeld_capture::fuzz;
use reeld_network::random::Random;
use reeld_network::sender::Sender;
use reeld_network::{Scenario, chaos};

const ROUNDS: usize = 20_000;
const SCRIPTS: u64 = 3_000;

/// Valid datagrams of a sender that sends reports and all else that a sender sends.
fn datagrams(seed: u64) -> Vec<Vec<u8>> {
    let mut scenario = Scenario::of(seed, 60);
    let mut plan = scenario.tracks[0].sender.clone();
    plan.reports = Some(4_000);
    plan.samples = 80;
    scenario.tracks[0].sender = plan.clone();
    let mut sender = Sender::new(plan, Random::new(seed, 10));
    (0..2_000)
        .filter_map(|_| sender.next_sent())
        .map(|sent| sent.bytes)
        .collect()
}

/// The same with some bytes changed, cut, doubled or put in.
fn mutate(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.between(0, 4) {
        let at = random.below(bytes.len() + 1);
        match random.between(0, 4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next_byte()),
            2 => bytes.extend_from_within(at..),
            _ if at < bytes.len() => bytes[at] = random.next_byte(),
            _ => {}
        }
        bytes.truncate(4_096);
    }
    bytes
}

#[test]
fn no_datagram_harms_the_parsers() {
    let valid = datagrams(3);
    let mut random = Random::new(3, 20);
    let mut read = [0; 2];
    for round in 0..ROUNDS {
        let bytes = mutate(&mut random, &valid[round % valid.len()]);
        read[0] += usize::from(fuzz::rtp(&bytes).is_some());
        read[1] += usize::from(fuzz::rtcp(&bytes));
    }
    assert!(read[0] > ROUNDS / 4, "{read:?}: too few were RTP");
}

#[test]
fn no_offer_harms_the_parser() {
    let offer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0 8 9 13 18 96 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n\
        m=audio 4002 RTP/AVP 8\r\na=sendonly\r\n";
    let mut random = Random::new(4, 20);
    let mut answered = 0;
    for _ in 0..ROUNDS {
        let bytes = mutate(&mut random, offer.as_bytes());
        let text = String::from_utf8_lossy(&bytes);
        answered += usize::from(fuzz::sdp(&text).is_some_and(|answer| answer.len() < 65_536));
    }
    assert!(answered > ROUNDS / 10, "{answered}: too few were offers");
}

#[test]
fn no_script_harms_a_call() {
    let (mut frames, mut broken) = (0, Vec::new());
    for seed in 0..SCRIPTS {
        let mut random = Random::new(seed, 21);
        let length = random.between(10, 3_000);
        // Starts early, then whatever comes; half of them mostly packets in order.
        let mut script = vec![3, 3];
        let calm = random.chance(0.5);
        for _ in 0..length {
            let byte = random.next_byte();
            script.push(if calm && random.chance(0.6) { 10 } else { byte });
        }
        match chaos::call(&script) {
            Ok(recorded) => frames += recorded,
            Err(what) => broken.push(format!("script {seed}: {what}")),
        }
    }
    assert!(
        broken.is_empty(),
        "{} of {SCRIPTS}: {:#?}",
        broken.len(),
        &broken[..broken.len().min(5)]
    );
    assert!(frames > 1_000_000, "{frames}: too little was recorded");
}

/// What the fuzzer found once.
#[test]
fn what_was_found_is_found_no_more() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/found");
    let mut scripts = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "call") {
            chaos::call(&std::fs::read(&path).unwrap()).unwrap();
            scripts += 1;
        }
    }
    assert!(scripts > 0);
}
