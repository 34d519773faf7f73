//! What a call costs without a socket or a disk: a packet in, and a tick's samples out.
//!
//! Run by `cargo bench -p reeld-capture`; compiled by `make clippy`. `second` is the whole path: header, source,
//! timeline, decoder, window, and the interleaved blocks that come out; its packets are two tracks' 50.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use reeld_capture::{Call, Dtmf, Port, Rate, Settings};
use reeld_model::{
    AccountSid, CallSid, Channels, Mono, OpenCall, RecordingSid, StartRecording, Track,
    TrackSelection,
};

/// Bytes of a packet: a header, and 20 ms of G.711.
const PACKET: usize = 12 + 160;

const PTIME: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(50);

fn main() {
    divan::main();
}

/// A call that is recorded, and its senders' next packets.
struct Recorded {
    call: Call,
    now: Mono,
    tick: Mono,
    packets: [[u8; PACKET]; 2],
    number: u32,
}

impl Recorded {
    fn new() -> Self {
        let settings = Settings {
            reorder_window: Duration::from_millis(200),
            first_packet: Duration::from_secs(60),
            inactivity: Duration::from_secs(300),
            max_length: Duration::from_secs(12 * 3_600),
            conceal: true,
            dtmf: Dtmf::Silence,
            rate: Rate::Narrow,
            allow: vec!["127.0.0.0/8".parse().expect("a network")],
            advertise: "127.0.0.1".parse().expect("an address"),
            secret: reeld_capture::Secret::default(),
        };
        let open = OpenCall::new(
            AccountSid::from_bytes([1; 16]),
            CallSid::from_bytes([2; 16]),
        );
        let now = Mono(7_000_000_000);
        let ports = [Some(20_000), Some(20_002)];
        let mut call =
            Call::open(open, ports, Arc::new(settings), now, 0).expect("it can be opened");
        let sid = RecordingSid::from_bytes([3; 16]);
        let start = StartRecording::new(sid, Channels::Dual, TrackSelection::Both);
        call.start(now, start).expect("it can be recorded");
        let packet = |ssrc| {
            let mut packet = [0x80; PACKET];
            packet[1] = 0;
            packet[8..12].fill(ssrc);
            for (code, byte) in (0..=u8::MAX).cycle().zip(&mut packet[12..]) {
                *byte = code.wrapping_mul(167);
            }
            packet
        };
        Self {
            call,
            now,
            tick: now + TICK,
            packets: [packet(1), packet(2)],
            number: 0,
        }
    }

    /// 20 ms: a packet of each track, and what comes out when a tick is over.
    fn packets(&mut self) {
        for (track, packet) in Track::ALL.into_iter().zip(&mut self.packets) {
            let [.., high, low] = self.number.to_be_bytes();
            packet[2..4].copy_from_slice(&[high, low]);
            packet[4..8].copy_from_slice(&self.number.wrapping_mul(160).to_be_bytes());
            let from = SocketAddr::from(([127, 0, 0, 1], 4_000));
            self.call
                .handle_datagram(track, Port::Rtp, from, self.now, black_box(&*packet));
        }
        self.number += 1;
        self.now = self.now + PTIME;
        while self.tick <= self.now {
            self.call.handle_tick(self.tick);
            self.tick = self.tick + TICK;
            while let Some(output) = self.call.poll_output() {
                black_box(output);
            }
        }
    }
}

#[divan::bench]
fn second(bencher: Bencher<'_, '_>) {
    let mut recorded = Recorded::new();
    // Past the beginning, when sound is held until its place is known.
    for _ in 0..100 {
        recorded.packets();
    }
    bencher.counter(ItemsCount::new(100_usize)).bench_local(|| {
        for _ in 0..50 {
            recorded.packets();
        }
    });
}
