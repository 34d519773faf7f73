//! Sends many streams at once, each at its own pace, from few threads.
//!
//! Called by who has a [`Plan`]. Each thread has a wheel of ticks of one millisecond; a stream lies
//! in the tick of its next packet, and streams begin spread over one packet time, so that the
//! receiver is hit evenly and not by one burst each 20 ms. The packets of a tick that share a socket
//! leave in one `sendmmsg`. A thread that was held up sends what is due at once and is on time again.
//!
//! Bounded: the plan's streams and packets, [`BATCH`] packets in a buffer. Paced by the monotonic
//! clock.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

use super::rtp;
use super::stream::{MAX_PTIME_MS, Stream};

/// Packets in one `sendmmsg` at most.
const BATCH: usize = 64;

/// Ticks of a wheel: one more than the longest packet time.
const WHEEL: usize = MAX_PTIME_MS as usize + 1;

const TICK: Duration = Duration::from_millis(1);

/// From the call of [`send`] to the first packet, so that all threads begin together.
const LEAD: Duration = Duration::from_millis(20);

/// How streams share sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sockets {
    /// One a stream: each has a source address of its own, as real calls have.
    PerStream,
    /// One a thread: for more streams than there are descriptors.
    PerThread,
}

/// What to send.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The streams.
    pub streams: Vec<Stream>,
    /// How they share sockets.
    pub sockets: Sockets,
    /// The local address that they come from.
    pub from: IpAddr,
    /// Threads to send with.
    pub threads: NonZero<usize>,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sent {
    /// Packets of each stream, in the plan's order.
    pub packets: Vec<u64>,
    /// Packets that the kernel would not take; they count as sent by no stream.
    pub refused: u64,
    /// The most that a thread was behind its clock.
    pub latest: Duration,
}

/// Sends a plan to its end, or until `stop` is set.
///
/// # Errors
/// Where a socket cannot be made, or a thread cannot start; nothing is sent then.
pub fn send(plan: &Plan, stop: &AtomicBool) -> io::Result<Sent> {
    let count = plan.threads.get().min(plan.streams.len());
    let mut lanes = (0..count).map(|_| Lane::default()).collect::<Vec<_>>();
    for index in 0..plan.streams.len() {
        lanes[index % count].add(index, plan)?;
    }
    let start = Instant::now() + LEAD;
    let mut sent = Sent {
        packets: vec![0; plan.streams.len()],
        ..Sent::default()
    };
    thread::scope(|scope| {
        let mut running = Vec::new();
        for lane in lanes {
            let thread = thread::Builder::new().name("caller".to_owned());
            running.push(thread.spawn_scoped(scope, move || lane.run(start, stop))?);
        }
        for lane in running {
            let done = lane
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            for live in done.streams {
                sent.packets[live.index] = live.next - live.refused;
                sent.refused += live.refused;
            }
            sent.latest = sent.latest.max(done.latest);
        }
        Ok(sent)
    })
}

/// One thread's streams.
struct Lane {
    streams: Vec<Live>,
    sockets: Vec<UdpSocket>,
    /// By tick, which streams have a packet due.
    wheel: Vec<Vec<usize>>,
    latest: Duration,
}

/// A stream being sent.
struct Live {
    index: usize,
    stream: Stream,
    to: SocketAddrAny,
    socket: usize,
    /// The number of its next packet.
    next: u64,
    refused: u64,
}

/// A packet in the buffer: its stream, its socket, and its length.
struct Due {
    live: usize,
    socket: usize,
    bytes: usize,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            streams: Vec::new(),
            sockets: Vec::new(),
            wheel: vec![Vec::new(); WHEEL],
            latest: Duration::ZERO,
        }
    }
}

impl Lane {
    /// Takes over the plan's stream with this index.
    fn add(&mut self, index: usize, plan: &Plan) -> io::Result<()> {
        let stream = plan.streams[index].clone();
        if self.sockets.is_empty() || plan.sockets == Sockets::PerStream {
            self.sockets
                .push(UdpSocket::bind(SocketAddr::new(plan.from, 0))?);
        }
        if stream.packets > 0 {
            // Its share of one packet time, which is below the wheel's length.
            let tick = index * usize::from(stream.ptime()) / plan.streams.len();
            self.wheel[tick].push(self.streams.len());
        }
        self.streams.push(Live {
            index,
            to: stream.to.into(),
            stream,
            socket: self.sockets.len() - 1,
            next: 0,
            refused: 0,
        });
        Ok(())
    }

    fn run(mut self, start: Instant, stop: &AtomicBool) -> Self {
        let mut buffer = vec![[0; rtp::HEADER_BYTES + 8 * MAX_PTIME_MS as usize]; BATCH];
        let mut tick = 0_usize;
        let mut at = start;
        while self.wheel.iter().any(|due| !due.is_empty()) && !stop.load(Ordering::Relaxed) {
            match at.checked_duration_since(Instant::now()) {
                Some(early) => thread::sleep(early),
                None => self.latest = self.latest.max(at.elapsed()),
            }
            let due = std::mem::take(&mut self.wheel[tick % WHEEL]);
            for batch in due.chunks(BATCH) {
                self.send_batch(batch, &mut buffer);
            }
            for live in due {
                let stream = &self.streams[live];
                if stream.next < stream.stream.packets {
                    let next = (tick + usize::from(stream.stream.ptime())) % WHEEL;
                    self.wheel[next].push(live);
                }
            }
            tick += 1;
            at += TICK;
        }
        self
    }

    fn send_batch<const N: usize>(&mut self, batch: &[usize], buffer: &mut [[u8; N]]) {
        let mut dues = Vec::with_capacity(batch.len());
        for (&live, packet) in batch.iter().zip(buffer.iter_mut()) {
            let Live {
                stream,
                next,
                socket,
                ..
            } = &mut self.streams[live];
            let bytes = rtp::HEADER_BYTES + stream.samples_per_packet();
            packet[..rtp::HEADER_BYTES].copy_from_slice(&stream.header(*next).to_bytes());
            let law = stream.law;
            stream
                .sound
                .fill(law, &mut packet[rtp::HEADER_BYTES..bytes]);
            *next += 1;
            dues.push(Due {
                live,
                socket: *socket,
                bytes,
            });
        }
        let mut done = 0;
        for group in dues.chunk_by(|a, b| a.socket == b.socket) {
            let refused = self.send_group(group, &buffer[done..]);
            for index in refused {
                self.streams[group[index].live].refused += 1;
            }
            done += group.len();
        }
    }

    /// Sends packets that share a socket; returns the places of those that were refused.
    fn send_group<const N: usize>(&self, group: &[Due], packets: &[[u8; N]]) -> Vec<usize> {
        let Some(first) = group.first() else {
            return Vec::new();
        };
        let socket = &self.sockets[first.socket];
        let slices: Vec<[IoSlice<'_>; 1]> = group
            .iter()
            .zip(packets)
            .map(|(due, packet)| [IoSlice::new(&packet[..due.bytes])])
            .collect();
        let mut controls: Vec<_> = group
            .iter()
            .map(|_| SendAncillaryBuffer::default())
            .collect();
        let mut messages: Vec<_> = group
            .iter()
            .zip(&slices)
            .zip(&mut controls)
            .map(|((due, slice), control)| {
                MMsgHdr::new_with_addr(&self.streams[due.live].to, slice, control)
            })
            .collect();
        let (mut done, mut refused) = (0, Vec::new());
        while done < messages.len() {
            match sendmmsg(socket, &mut messages[done..], SendFlags::empty()) {
                Ok(count) => done += count.max(1),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => {
                    // It is about the first one left; the others get their own try.
                    refused.push(done);
                    done += 1;
                }
            }
        }
        refused
    }
}

#[cfg(test)]
mod tests;
