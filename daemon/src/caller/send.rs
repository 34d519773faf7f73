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
//! A plan can let several packets of a stream leave at once, as a sender does that wakes more rarely than
//! its packets are long: the kernel carries them to the receiver's socket as one and parts them there
//! (UDP_SEGMENT, udp(7)), which takes a quarter off the cost of two and 40 % off that of three.
//!
//! Bounded: the plan's streams and packets, [`BATCH`] sends in a buffer. Paced by the monotonic
//! clock.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use nix::sys::time::TimeValLike;
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg, sendto};

use super::rtp;
use super::stream::{MAX_PTIME_MS, Stream};

/// Sends in one `sendmmsg` at most.
const BATCH: usize = 256;

/// Packets of a stream that leave at once, at most.
pub const MAX_BUNDLE: usize = 8;

/// Ticks of a wheel: one more than a stream's longest wait for its next turn.
const WHEEL: usize = MAX_PTIME_MS as usize * MAX_BUNDLE + 1;

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
    /// Packets of a stream that leave at once, up to [`MAX_BUNDLE`]: its turn comes as much more rarely.
    pub bundle: NonZero<usize>,
    /// Whether the threads go before others where the user may say so (nice -20), as if they were another
    /// machine's: a sender that is late because its receiver is busy would be another load.
    pub ahead: bool,
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
/// Where a socket cannot be made, or a thread cannot start; where packets are to leave together and are not
/// of one length, or are too many. Nothing is sent then.
pub fn send(plan: &Plan, stop: &AtomicBool) -> io::Result<Sent> {
    let count = plan.threads.get().min(plan.streams.len());
    let segment = plan.segment()?;
    let mut lanes = (0..count)
        .map(|_| Lane::new(plan, segment))
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

impl Plan {
    /// The length by which the kernel parts what leaves at once, which is a socket's: none where each packet
    /// leaves alone.
    fn segment(&self) -> io::Result<Option<u16>> {
        let invalid = |message| io::Error::new(io::ErrorKind::InvalidInput, message);
        if self.bundle.get() > MAX_BUNDLE {
            return Err(invalid("too many packets to leave at once"));
        }
        let mut lengths = self.streams.iter().map(Stream::bytes);
        match lengths.next() {
            Some(first) if self.bundle.get() > 1 => {
                if lengths.any(|length| length != first) {
                    return Err(invalid("packets that leave at once have one length"));
                }
                Ok(u16::try_from(first).ok())
            }
            _ => Ok(None),
        }
    }
}

/// One thread's streams.
struct Lane {
    streams: Vec<Live>,
    /// One for each stream, or one for all.
    sockets: Vec<UdpSocket>,
    shared: bool,
    bundle: u16,
    segment: Option<u16>,
    ahead: bool,
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

/// Bytes of the longest packet.
const LONGEST: usize = rtp::HEADER_BYTES + 8 * MAX_PTIME_MS as usize;

/// A turn's packets, one behind the other.
#[derive(Clone)]
struct Bundle {
    bytes: Vec<u8>,
    packets: u64,
}

impl Lane {
    fn new(plan: &Plan, segment: Option<u16>) -> Self {
        Self {
            streams: Vec::new(),
            sockets: Vec::new(),
            shared: plan.sockets == Sockets::PerThread,
            bundle: u16::try_from(plan.bundle.get()).unwrap_or(u16::MAX),
            segment,
            ahead: plan.ahead,
            wheel: vec![Vec::new(); WHEEL],
            latest: Duration::ZERO,
            cpu: Duration::ZERO,
        }
    }

    /// Takes over the plan's stream with this index.
    fn add(&mut self, index: usize, plan: &Plan) -> io::Result<()> {
        let stream = plan.streams[index].clone();
        if self.sockets.is_empty() || !self.shared {
            let socket = UdpSocket::bind(SocketAddr::new(plan.from, 0))?;
            if let Some(segment) = self.segment {
                setsockopt(&socket, UdpGsoSegment, &segment.into())?;
            }
            self.sockets.push(socket);
        }
        if stream.packets > 0 {
            // Its share of the time between its turns, which is below the wheel's length.
            let tick = index * self.turn(&stream) / plan.streams.len();
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

    /// Ticks from one of the stream's turns to its next.
    fn turn(&self, stream: &Stream) -> usize {
        usize::from(stream.ptime() * self.bundle)
    }

    fn run(mut self, start: Instant, stop: &AtomicBool) -> io::Result<Self> {
        if self.ahead {
            // Who may not is told by how late the threads were.
            _ = rustix::process::nice(-20);
        }
        let empty = Bundle {
            bytes: Vec::with_capacity(LONGEST * usize::from(self.bundle)),
            packets: 0,
        };
        let mut buffer = vec![empty; if self.shared { BATCH } else { 1 }];
        let mut tick = 0_usize;
        let mut at = start;
        while self.wheel.iter().any(|due| !due.is_empty()) && !stop.load(Ordering::Relaxed) {
            match at.checked_duration_since(Instant::now()) {
                Some(early) => thread::sleep(early),
                None => self.latest = self.latest.max(at.elapsed()),
            }
            let mut due = std::mem::take(&mut self.wheel[tick % WHEEL]);
            for batch in due.chunks(buffer.len()) {
                for (&live, bundle) in batch.iter().zip(&mut buffer) {
                    self.streams[live].write(self.bundle, bundle);
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
                    let next = (tick + self.turn(&stream.stream)) % WHEEL;
                    self.wheel[next].push(live);
                }
            }
            // Its room is kept for when this tick comes again: no stream's next turn is a whole wheel away.
            due.clear();
            self.wheel[tick % WHEEL] = due;
            tick += 1;
            at += TICK;
        }
        self.cpu = thread_cpu()?;
        Ok(self)
    }

    /// Sends a turn's packets of the stream from the stream's own socket.
    fn send_one(&mut self, live: usize, bundle: &Bundle) {
        let socket = &self.sockets[live];
        let live = &mut self.streams[live];
        let refused = loop {
            match sendto(socket, &bundle.bytes, SendFlags::empty(), &live.to) {
                Ok(_) => break 0,
                Err(Errno::INTR) => {}
                Err(_) => break bundle.packets,
            }
        };
        live.refused += refused;
    }

    /// Sends a turn's packets each of these streams from the thread's socket.
    fn send_batch(&mut self, batch: &[usize], bundles: &[Bundle]) {
        let streams = &self.streams;
        let slices: Vec<[IoSlice<'_>; 1]> = bundles
            .iter()
            .map(|bundle| [IoSlice::new(&bundle.bytes)])
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
                    refused.push(done);
                    done += 1;
                }
            }
        }
        for place in refused {
            self.streams[batch[place]].refused += bundles[place].packets;
        }
    }
}

impl Live {
    /// Writes its next packets, so many or what is left of them.
    fn write(&mut self, most: u16, bundle: &mut Bundle) {
        bundle.packets = (self.stream.packets - self.next).min(most.into());
        bundle.bytes.clear();
        for _ in 0..bundle.packets {
            let header = self.stream.header(self.next).to_bytes();
            bundle.bytes.extend_from_slice(&header);
            let codes = bundle.bytes.len();
            let length = codes + self.stream.samples_per_packet();
            bundle.bytes.resize(length, 0);
            let law = self.stream.law;
            self.stream.sound.fill(law, &mut bundle.bytes[codes..]);
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests;
