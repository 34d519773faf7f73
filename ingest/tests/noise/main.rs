//! Noise on media ports: counted by reason, heard by nobody, and it grows nothing. A process of its
//! own, since it looks at the process's memory.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is test code, also what clippy does not see as such: a panic is a failed test"
)]

#[allow(dead_code, reason = "the rig serves the loopback tests too")]
#[path = "../loopback/rig.rs"]
mod rig;

use std::net::{Ipv4Addr, UdpSocket};

use crate::rig::{Rig, Sender, call, port, settings, sid, start, until, view};
use reeld_model::{CallView, Channels, Track, TrackSelection, TrackStats};

/// Datagrams that each came to exactly one count.
fn counted(stats: &TrackStats) -> u64 {
    stats.packets
        + stats.duplicates
        + stats.late
        + stats.foreign
        + stats.malformed
        + stats.stun
        + stats.rtcp
        + stats.kernel_dropped
}

/// xorshift64*: what it gives is the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        bytes
            .iter_mut()
            .for_each(|byte| *byte = self.next().to_le_bytes()[7]);
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

#[test]
fn a_hundred_thousand_random_datagrams_change_nothing_but_counts() {
    let rig = Rig::start(settings(4));
    let opened = rig.record(call(1), start(sid(1), Channels::Dual, TrackSelection::Both));
    let mut sender = Sender::to(port(&opened, Track::Inbound));
    sender.send(20);
    until("the sender is heard", || {
        view(rig.describe(call(1))).streams[0].source.map(|_| ())
    });
    let noise = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut random = Random(0x5EED);
    let mut bytes = [0; 2_500];
    let mut memory = 0;
    for number in 0..100_000_u32 {
        let longest = if number % 64 == 0 { bytes.len() } else { 200 };
        let length = usize::try_from(random.next()).unwrap() % longest;
        random.fill(&mut bytes[..length]);
        // Every other one at least looks like RTP.
        if number % 2 == 0 && length > 1 {
            (bytes[0], bytes[1]) = (0x80 | bytes[0] & 0x1F, bytes[1] & 0x80);
        }
        let leg = port(&opened, Track::ALL[number as usize / 2 % 2]);
        let to = leg + u16::from(number % 16 == 0);
        noise
            .send_to(&bytes[..length], (Ipv4Addr::LOCALHOST, to))
            .unwrap();
        if number == 20_000 {
            memory = resident();
        }
    }
    let stats = |view: &CallView| {
        view.streams
            .iter()
            .map(|stream| counted(&stream.stats))
            .sum::<u64>()
    };
    // The kernel tells of drops with the next packet that it queues: one more on each port.
    let mut extra = 0;
    let total = until("every datagram is counted", || {
        for track in Track::ALL {
            for odd in 0..2 {
                noise
                    .send_to(&[0; 3], (Ipv4Addr::LOCALHOST, port(&opened, track) + odd))
                    .unwrap();
                extra += 1;
            }
        }
        let total = stats(&view(rig.describe(call(1))));
        (total == 100_020 + extra).then_some(total)
    });
    assert_eq!(total, 100_020 + extra);
    let grown = resident().saturating_sub(memory);
    assert!(
        grown < 32 << 20,
        "{grown} bytes more than after a fifth of it"
    );
    let heard = view(rig.describe(call(1)));
    assert_eq!(heard.streams[0].stats.packets, 20);
    rig.stop(call(1), sid(1)).unwrap();
    let recorded = rig.collected.recorded(sid(1), Channels::Dual);
    let inbound: Vec<i16> = recorded.samples.iter().step_by(2).copied().collect();
    assert_eq!(inbound[..sender.sound.len()], sender.sound);
}
