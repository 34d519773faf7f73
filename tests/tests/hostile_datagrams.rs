//! 1,000,000 random datagrams to media ports, at a rate that their receive buffers can hold: no
//! panic, memory flat, each is counted by a reason, none is heard, and a call that is recorded
//! among them is exact.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reeld_tests::client::{Started, call_sid, media_address};
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::tape::Dice;
use reeld_tests::{Sender, Setup, Tape, Voice, judge};

const DATAGRAMS: usize = 1_000_000;
/// Calls whose ports are aimed at: two tracks, RTP and RTCP each.
const CALLS: u64 = 32;
/// Datagrams a second over all ports: 313 for each, of which a default buffer (208 KiB, 277
/// packets with the kernel's overhead) holds most of a second.
const RATE: usize = 40_000;
/// Datagrams between two looks at the clock.
const BURST: usize = 128;
/// What memory may grow by after the first tenth has warmed everything up.
const GROWTH: u64 = 16 * 1_024 * 1_024;

/// Anything, or something that begins like RTP, RTCP, STUN or DTLS.
fn datagram(dice: &mut Dice) -> Vec<u8> {
    let length = dice.below(300);
    let mut bytes = dice.bytes(length);
    if let [first, second, ..] = &mut bytes[..] {
        match dice.below(6) {
            0 => (*first, *second) = (0x80, *second & 0x08),
            1 => (*first, *second) = (0x80, 200 + *second % 6),
            2 => *first &= 0x01,
            3 => *first = 20 + *first % 44,
            _ => {}
        }
    }
    bytes
}

/// Sends so many datagrams to all ports in turn, at the bounded rate.
fn flood(sender: &Sender, ports: &[SocketAddr], seed: u64, count: usize) {
    let mut dice = Dice::new(seed);
    let start = Instant::now();
    for sent in 0..count {
        if sent % BURST == 0 {
            let due = start + Duration::from_micros((sent * 1_000_000 / RATE) as u64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        sender.send(ports[sent % ports.len()], &datagram(&mut dice));
    }
}

#[test]
fn random_datagrams_do_no_harm() {
    let daemon = Setup::with_ports(4 * 34).start();
    let client = daemon.client();
    let calls: Vec<Started> = (0..CALLS)
        .map(|call| client.start(&call_sid(call), &[("RecordingChannels", "dual")]))
        .collect();
    let mut ports: Vec<SocketAddr> = Vec::new();
    for call in &calls {
        for mut address in [call.inbound(), call.outbound()] {
            ports.push(address);
            address.set_port(address.port() + 1);
            ports.push(address);
        }
    }
    // The first call is spoken on all the while: 30 s, longer than the flood.
    let tapes = [1, 2].map(|seed| Tape::noise(Law::Mu, seed, 30 * 8_000));
    let part = |to, seed: usize| Part {
        sender: Sender::new(),
        to,
        script: Voice::new(seed as u64).say(tapes[seed - 1].codes()),
    };
    let parts = vec![part(calls[0].inbound(), 1), part(calls[0].outbound(), 2)];
    let playing = Playing::start(parts);
    // Each track has its source before strangers come, or they would hold back its lock.
    playing.wait_until(1, 10);

    let stranger = Sender::new();
    flood(&stranger, &ports, 1, DATAGRAMS / 10);
    let before = daemon.resident_bytes();
    flood(&stranger, &ports, 2, DATAGRAMS - DATAGRAMS / 10);
    let after = daemon.resident_bytes();
    eprintln!("{before} bytes resident before, {after} after");
    assert!(
        after < before + GROWTH,
        "{before} bytes resident before, {after} after"
    );
    playing.finish();

    let mut counted = 0;
    for call in &calls {
        let json = client.call(&call.call);
        assert!(media_address(&json, "inbound").is_some());
        for stream in json["streams"].as_array().expect("streams") {
            let stats = &stream["stats"];
            let count = |name: &str| {
                stats[name]
                    .as_u64()
                    .unwrap_or_else(|| panic!("{name}: {stats}"))
            };
            let reasons = [
                "foreign",
                "malformed",
                "stun",
                "rtcp",
                "undecodable",
                "late",
                "kernel_dropped",
            ];
            counted += reasons.iter().map(|name| count(name)).sum::<u64>();
            if stream["source"].is_null() {
                assert_eq!(stream["ssrc"], serde_json::Value::Null, "{stream}");
            }
        }
    }
    // Packets of a source that has not proven itself may be held, to be kept if it does: few.
    let most = DATAGRAMS as u64;
    let held = calls.len() as u64 * 2 * 64;
    assert!(
        (most - held..=most).contains(&counted),
        "{counted} of {most} were counted by a reason"
    );

    client.stop(&calls[0]);
    let json = client.wait_completed(&calls[0].sid);
    let wav = client.wav(&calls[0].sid);
    for (channel, tape) in wav.dual().into_iter().zip(&tapes) {
        judge::exact(channel, &tape.samples());
    }
    for track in ["inbound", "outbound"] {
        let counts = &json["tracks"][track];
        assert_eq!(
            (&counts["packets"], &counts["lost"]),
            (&1_500.into(), &0.into()),
            "{counts}"
        );
        assert!(counts["foreign"].as_u64() > Some(1_000), "{counts}");
    }
    // The others were never spoken on: nothing was heard.
    client.stop(&calls[1]);
    client.wait_status(&calls[1].sid, "absent");
}
