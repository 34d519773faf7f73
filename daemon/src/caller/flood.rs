//! A flood at one port: strangers who know the stream that it is for.
//!
//! Called by `reeld bench flood` and the end-to-end tests. What comes is, in turn and each from an address of
//! its own: the stream's own numbers as they are now, with other sound (spoofed); its first packets again
//! (replayed); and bytes that are nothing. Packets leave in bundles, parted by the kernel (UDP_SEGMENT), so that one
//! thread sends more than a port can take in. One that is behind lets go of what it owes: a flood is no faster
//! for having been held up.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;

use super::rtp::HEADER_BYTES;
use super::sound::Seeded;
use super::stream::Stream;

/// Packets of a bundle: the kernel parts one into 64 at most (UDP_MAX_SEGMENTS of older ones).
const BUNDLE: u16 = 64;

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(1);

/// The most that it owes.
const MOST_BEHIND: Duration = Duration::from_millis(20);

/// Where strangers are: another port of the stream's own host, and other hosts.
const HOSTS: [Ipv4Addr; 3] = [
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::new(127, 0, 0, 7),
    Ipv4Addr::new(127, 0, 0, 9),
];

/// What a flood came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flooded {
    /// Packets that were sent.
    pub packets: u64,
    /// Packets that the kernel would not send.
    pub refused: u64,
    /// From the first to the last.
    pub took: Duration,
}

/// Sends `rate` packets a second to where `stream` goes, which began at `begun`, for so long or until `stop` is
/// set.
///
/// # Errors
/// Where a socket cannot be made.
pub fn flood(
    stream: &Stream,
    begun: Instant,
    rate: u32,
    time: Duration,
    stop: &AtomicBool,
) -> io::Result<Flooded> {
    let bytes = stream.bytes();
    let segment = u16::try_from(bytes).map_err(io::Error::other)?;
    let sockets = HOSTS
        .iter()
        .map(|host| {
            let socket = UdpSocket::bind((*host, 0))?;
            setsockopt(&socket, UdpGsoSegment, &segment.into())?;
            Ok(socket)
        })
        .collect::<io::Result<Vec<_>>>()?;
    let mut noise = Seeded::new(u64::from(stream.ssrc));
    let mut random = || -> Vec<u8> {
        let words = (0..bytes * usize::from(BUNDLE)).map(|_| noise.next_u64().to_le_bytes()[0]);
        words.collect()
    };
    let (mut spoofed, nothing) = (random(), random());
    let replayed = first_packets(stream);
    let start = Instant::now();
    let mut flooded = Flooded::default();
    // What was let go counts as sent here.
    let mut done = 0_u64;
    let mut turn = 0_usize;
    while start.elapsed() < time && !stop.load(Ordering::Relaxed) {
        let owed = |elapsed: Duration| {
            let owed = elapsed.as_micros() * u128::from(rate) / 1_000_000;
            u64::try_from(owed).unwrap_or(u64::MAX)
        };
        let due = owed(start.elapsed());
        // A bundle at least, however slow it is.
        let most = owed(MOST_BEHIND).max(u64::from(BUNDLE));
        done = done.max(due.saturating_sub(most));
        while done + u64::from(BUNDLE) <= due {
            let bundle = match turn % HOSTS.len() {
                0 => {
                    number(stream, begun.elapsed(), &mut spoofed);
                    &spoofed
                }
                1 => &replayed,
                _ => &nothing,
            };
            match sockets[turn % HOSTS.len()].send_to(bundle, stream.to) {
                Ok(_) => flooded.packets += u64::from(BUNDLE),
                Err(_) => flooded.refused += u64::from(BUNDLE),
            }
            done += u64::from(BUNDLE);
            turn += 1;
        }
        flooded.took = start.elapsed();
        thread::sleep(TICK);
    }
    Ok(flooded)
}

/// The stream's first packets, as it sends them.
fn first_packets(stream: &Stream) -> Vec<u8> {
    let mut sound = stream.sound.clone();
    let mut bundle = vec![0; stream.bytes() * usize::from(BUNDLE)];
    for (packet, place) in bundle.chunks_exact_mut(stream.bytes()).zip(0..) {
        let (header, codes) = packet.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&stream.header(place).to_bytes());
        sound.fill(stream.law, codes);
    }
    bundle
}

/// Gives packets the numbers that the stream has so long after its beginning, and those that come next.
fn number(stream: &Stream, since: Duration, bundle: &mut [u8]) {
    let ptime = u128::from(stream.ptime());
    let now = u64::try_from(since.as_millis() / ptime).unwrap_or(u64::MAX);
    for (packet, number) in bundle.chunks_exact_mut(stream.bytes()).zip(now..) {
        packet[..HEADER_BYTES].copy_from_slice(&stream.header(number).to_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Sound;
    use std::collections::BTreeMap;

    #[test]
    fn a_flood_is_at_its_rate_and_of_all_three_kinds() {
        let victim = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = victim.local_addr().unwrap();
        victim
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        let stream = Stream::new(
            to,
            Sound::voice(1, 1, reeld_model::Track::Inbound),
            1_000,
            5,
        );
        let begun = Instant::now();
        let (flooded, came) = thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let time = Duration::from_millis(300);
                flood(&stream, begun, 2_000, time, &AtomicBool::new(false))
            });
            let mut came = BTreeMap::<_, Vec<Vec<u8>>>::new();
            let mut buffer = [0; 2_000];
            while let Ok((length, from)) = victim.recv_from(&mut buffer) {
                came.entry(from.ip())
                    .or_default()
                    .push(buffer[..length].to_vec());
            }
            (flood.join().unwrap().unwrap(), came)
        });
        // Nine bundles of 64 fit into 600 packets; a machine that holds it up for long lets go of some.
        let bundles = usize::try_from(flooded.packets).unwrap() / 64;
        assert_eq!(flooded.refused, 0);
        assert!((5..=9).contains(&bundles), "{flooded:?}");
        let of = |host: usize| &came[&HOSTS[host].into()];
        for host in 0..3 {
            assert_eq!(of(host).len(), (bundles - host).div_ceil(3) * 64);
            assert!(of(host).iter().all(|packet| packet.len() == 172));
        }
        let ssrc = |packet: &Vec<u8>| packet[8..12] == stream.ssrc.to_be_bytes();
        assert!(of(0).iter().all(ssrc) && of(1).iter().all(ssrc));
        assert!(!of(2).iter().any(ssrc));
        assert_eq!(of(1)[0], of(1)[64], "the same again");
        assert_eq!(of(1)[0][..HEADER_BYTES], stream.header(0).to_bytes());
    }
}
