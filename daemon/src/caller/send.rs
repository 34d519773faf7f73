//! Sends many streams at once, each at its own pace, from few threads.
//!
//! Called by who has a [`Plan`]. Each thread has a wheel of ticks of one millisecond; a stream lies
//! in the tick of its next packet, and streams begin spread over one packet time, so that the
//! receiver is hit evenly and not by one burst each 20 ms. The packets of a tick leave in `sendmmsg`
//! where a thread has one socket, and one by one where each stream has its own. A thread that was held
//! up sends what is due at once and is on time again.
//!
//! A packet costs its thread 4 µs or so, nearly all of it the kernel's: the packet is put together, sent
//! over loopback and queued at the receiver's socket, whom it wakes, in the sender's time. Connected
//! sockets cost more than one shared socket does, since each is cold in the cache when its turn comes.
//!
//! Bounded: the plan's streams and packets, [`BATCH`] packets in a buffer. Paced by the monotonic
//! clock.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg, sendto};

use super::rtp;
use super::stream::{MAX_PTIME_MS, Stream};

/// Packets in one `sendmmsg` at most.
const BATCH: usize = 256;

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
    /// Processor time of the threads that sent.
    pub cpu: Duration,
}

/// Sends a plan to its end, or until `stop` is set.
///
/// # Errors
/// Where a socket cannot be made, or a thread cannot start; nothing is sent then.
pub fn send(plan: &Plan, stop: &AtomicBool) -> io::Result<Sent> {
    let count = plan.threads.get().min(plan.streams.len());
    let mut lanes = (0..count)
        .map(|_| Lane::new(plan.sockets))
        .collect::<Vec<_>>();
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
            let done = done?;
            for live in done.streams {
                sent.packets[live.index] = live.next - live.refused;
                sent.refused += live.refused;
            }
            sent.latest = sent.latest.max(done.latest);
            sent.cpu += done.cpu;
        }
        Ok(sent)
    })
}

/// Processor time of the calling thread, user and system.
///
/// # Errors
/// What getrusage(2) says.
pub fn thread_cpu() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(
        u64::try_from(micros).unwrap_or_default(),
    ))
}

/// One thread's streams.
struct Lane {
    streams: Vec<Live>,
    /// One for each stream, or one for all.
    sockets: Vec<UdpSocket>,
    shared: bool,
    /// By tick, which streams have a packet due.
    wheel: Vec<Vec<usize>>,
    latest: Duration,
    cpu: Duration,
}

/// A stream being sent.
struct Live {
    index: usize,
    stream: Stream,
    to: SocketAddrAny,
    /// The number of its next packet.
    next: u64,
    refused: u64,
}

/// A packet's bytes, of which its stream says how many are used.
type Packet = [u8; rtp::HEADER_BYTES + 8 * MAX_PTIME_MS as usize];

impl Lane {
    fn new(sockets: Sockets) -> Self {
        Self {
            streams: Vec::new(),
            sockets: Vec::new(),
            shared: sockets == Sockets::PerThread,
            wheel: vec![Vec::new(); WHEEL],
            latest: Duration::ZERO,
            cpu: Duration::ZERO,
        }
    }

    /// Takes over the plan's stream with this index.
    fn add(&mut self, index: usize, plan: &Plan) -> io::Result<()> {
        let stream = plan.streams[index].clone();
        if self.sockets.is_empty() || !self.shared {
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
            next: 0,
            refused: 0,
        });
        Ok(())
    }

    fn run(mut self, start: Instant, stop: &AtomicBool) -> io::Result<Self> {
        let mut buffer: Vec<Packet> =
            vec![[0; size_of::<Packet>()]; if self.shared { BATCH } else { 1 }];
        let mut tick = 0_usize;
        let mut at = start;
        while self.wheel.iter().any(|due| !due.is_empty()) && !stop.load(Ordering::Relaxed) {
            match at.checked_duration_since(Instant::now()) {
                Some(early) => thread::sleep(early),
                None => self.latest = self.latest.max(at.elapsed()),
            }
            let mut due = std::mem::take(&mut self.wheel[tick % WHEEL]);
            for batch in due.chunks(buffer.len()) {
                for (&live, packet) in batch.iter().zip(&mut buffer) {
                    self.streams[live].write(packet);
                }
                if self.shared {
                    self.send_batch(batch, &buffer);
                } else {
                    self.send_one(batch[0], &buffer[0]);
                }
            }
            for &live in &due {
                let stream = &self.streams[live];
                if stream.next < stream.stream.packets {
                    let next = (tick + usize::from(stream.stream.ptime())) % WHEEL;
                    self.wheel[next].push(live);
                }
            }
            // Its room is kept for when this tick comes again: no stream's packet time is the wheel's.
            due.clear();
            self.wheel[tick % WHEEL] = due;
            tick += 1;
            at += TICK;
        }
        self.cpu = thread_cpu()?;
        Ok(self)
    }

    /// Sends a packet of the stream from the stream's own socket.
    fn send_one(&mut self, live: usize, packet: &Packet) {
        let socket = &self.sockets[live];
        let live = &mut self.streams[live];
        let bytes = &packet[..live.bytes()];
        let refused = loop {
            match sendto(socket, bytes, SendFlags::empty(), &live.to) {
                Ok(_) => break 0,
                Err(Errno::INTR) => {}
                Err(_) => break 1,
            }
        };
        live.refused += refused;
    }

    /// Sends a packet each of these streams from the thread's socket.
    fn send_batch(&mut self, batch: &[usize], packets: &[Packet]) {
        let streams = &self.streams;
        let slices: Vec<[IoSlice<'_>; 1]> = batch
            .iter()
            .zip(packets)
            .map(|(&live, packet)| [IoSlice::new(&packet[..streams[live].bytes()])])
            .collect();
        let mut controls: Vec<_> = batch
            .iter()
            .map(|_| SendAncillaryBuffer::default())
            .collect();
        let mut messages: Vec<_> = batch
            .iter()
            .zip(&slices)
            .zip(&mut controls)
            .map(|((&live, slice), control)| {
                MMsgHdr::new_with_addr(&streams[live].to, slice, control)
            })
            .collect();
        let (mut done, mut refused) = (0, Vec::new());
        while done < messages.len() {
            match sendmmsg(&self.sockets[0], &mut messages[done..], SendFlags::empty()) {
                Ok(count) => done += count.max(1),
                Err(Errno::INTR) => {}
                Err(_) => {
                    // It is about the first one left; the others get their own try.
                    refused.push(batch[done]);
                    done += 1;
                }
            }
        }
        for live in refused {
            self.streams[live].refused += 1;
        }
    }
}

impl Live {
    /// Bytes of each of its packets.
    fn bytes(&self) -> usize {
        rtp::HEADER_BYTES + self.stream.samples_per_packet()
    }

    /// Writes its next packet.
    fn write(&mut self, packet: &mut Packet) {
        let header = self.stream.header(self.next).to_bytes();
        let bytes = self.bytes();
        packet[..rtp::HEADER_BYTES].copy_from_slice(&header);
        let law = self.stream.law;
        self.stream
            .sound
            .fill(law, &mut packet[rtp::HEADER_BYTES..bytes]);
        self.next += 1;
    }
}

#[cfg(test)]
mod tests;
