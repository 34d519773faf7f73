//! One media socket: how it is set up, how all that came is read out of it, and how the little is sent
//! that goes back.
//!
//! `leg` binds a pair of them for a track; `live` drains them. What a datagram means is decided in
//! `capture`.
//!
//! A drain of a tick is bounded in rounds, so that a flooded port takes no more than its share of
//! the thread; a drain ahead of a command goes on to what came until the command was taken up.
//!
//! Where only one source can be heard, the kernel drops what others send ([`Inlet::hear_only`]). It counts
//! that with what it drops for want of room, in one number. Told apart it is by what drains found: where a
//! filter has been there since before the socket was last empty, and so little has come since that there was
//! room for more, all that was dropped was a stranger's.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Once;

use nix::sys::socket::{setsockopt, sockopt};
use reeld_model::{Mono, SourceRule};
use socket2::{Domain, Protocol, Socket, Type};

use crate::batch::{self, Batch, Datagram, FEW, FEWER, MANY};
use crate::clock::{Offset, monotonic};
use crate::handover::HandedInlet;
use crate::sieve;

/// Batches of a socket until an instant: more than the largest receive buffer that the configuration
/// takes can hold (64 MiB, which the kernel doubles; a datagram takes 768 bytes of it or more). The
/// instant ends such a drain long before.
const ROUNDS_UNTIL: usize = 48_000;

/// The most that a datagram takes of a receive buffer where it is no longer than RTP is: a page of the network
/// card's and its descriptor. On loopback one of G.711 takes 768 bytes.
const MOST_ROOM: usize = 4_608;

/// Datagrams in one drain that only a flood brings, or a sender that has been held up: over six times
/// the packets of a track that sends one each 10 ms.
const FLOOD: usize = 64;

/// What draining needs beside the socket: a thread's buffer and its clocks.
pub(crate) struct Reader {
    batch: Batch,
    offset: Offset,
    now: Mono,
}

impl Reader {
    /// An empty buffer and the clocks as they are.
    pub(crate) fn new() -> Self {
        Self {
            batch: Batch::new(),
            offset: Offset::read(),
            now: monotonic(),
        }
    }

    /// Reads both clocks anew, once a tick or command: a slewed wall clock moves by 25 µs in that
    /// time, and a stepped one is noticed by the stamps.
    pub(crate) fn refresh(&mut self) {
        self.offset.refresh();
        self.now = monotonic();
    }

    /// The time of the last refresh or drain.
    pub(crate) const fn now(&self) -> Mono {
        self.now
    }
}

/// How far a drain goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// So many batches.
    Rounds(usize),
    /// All that came until this instant, and a few datagrams more.
    Until(Mono),
}

/// What a drain came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drained {
    /// How many datagrams the kernel has dropped for want of room since it last said so.
    pub(crate) dropped: u32,
    /// How many of strangers the filter has.
    pub(crate) strangers: u32,
    /// Whether more came than a track has.
    pub(crate) is_flood: bool,
    /// Whether nothing is left in the socket.
    pub(crate) is_empty: bool,
}

impl Reach {
    /// A tick's share: about 1,000 datagrams, 10,000 a second, 200 times a track's rate and more
    /// than the default receive buffer holds (554). What is left of a larger one waits for the next
    /// tick.
    pub(crate) const TICK: Self = Self::Rounds(16);

    const fn ends(self, rounds: usize, last: Mono) -> bool {
        match self {
            Self::Rounds(most) => rounds >= most,
            Self::Until(instant) => last.0 > instant.0 || rounds >= ROUNDS_UNTIL,
        }
    }
}

/// A non-blocking UDP socket for the family of `address`, not bound yet, with a receive buffer of
/// `receive_buffer` bytes, kernel receive stamps and drop counts. One for `::` takes IPv4 as well.
///
/// Linux stamps packets only while some socket wants it, and begins some milliseconds after the
/// first one does (`net_enable_timestamp` leaves it to a work queue); until then a stamp is the time
/// of reading. Who needs stamps from a call's first packet on keeps one such socket all the time.
///
/// # Errors
/// What the kernel says.
pub(crate) fn media_socket(address: SocketAddr, receive_buffer: usize) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_recv_buffer_size(receive_buffer)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    Ok(socket)
}

/// A bound media socket.
#[derive(Debug)]
pub(crate) struct Inlet {
    socket: Socket,
    /// Bytes that the kernel takes in before it drops.
    room: usize,
    /// The kernel's count of drops, as last seen.
    dropped: u32,
    /// Whose datagrams alone the kernel takes in.
    only: Option<SourceRule>,
    /// Whether it has since the socket was last empty, so that what is in it leaves room for more.
    is_sifted: bool,
    /// Whether the last drain left nothing.
    is_empty: bool,
    /// What came since the socket was last empty, and what was dropped that may have been a stranger's.
    came: usize,
    unsure: u32,
    /// Datagrams that the kernel dropped for want of room, and strangers' that it dropped, not told yet.
    lost: u32,
    strangers: u32,
    /// What came before this instant has been read.
    emptied: Mono,
    /// Whether reading failed before, and the log says so; and whether sending did.
    failed: bool,
    failed_to_send: bool,
    /// Whether the kernel takes no filter: it is not asked again.
    failed_to_sift: bool,
}

impl Inlet {
    /// Binds a media socket ([`media_socket`]) to `address`.
    ///
    /// # Errors
    /// What the kernel says; `AddrInUse` where somebody else holds the port.
    pub(crate) fn bind(address: SocketAddr, receive_buffer: usize) -> io::Result<Self> {
        let socket = media_socket(address, receive_buffer)?;
        let emptied = monotonic();
        socket.bind(&address.into())?;
        Ok(Self::new(socket, receive_buffer.saturating_mul(2), emptied))
    }

    /// One of which nothing is known yet.
    const fn new(socket: Socket, room: usize, emptied: Mono) -> Self {
        Self {
            socket,
            room,
            dropped: 0,
            only: None,
            is_sifted: false,
            is_empty: true,
            came: 0,
            unsure: 0,
            lost: 0,
            strangers: 0,
            emptied,
            failed: false,
            failed_to_send: false,
            failed_to_sift: false,
        }
    }

    /// A socket that another process has bound to `port` and set up.
    ///
    /// # Errors
    /// What the kernel says; `InvalidData` where it is no socket of that port.
    pub(crate) fn taken_up(socket: OwnedFd, port: u16, known: HandedInlet) -> io::Result<Self> {
        let socket = Socket::from(socket);
        // What it is bound to says that it is a socket.
        socket.local_addr()?;
        let room = socket.recv_buffer_size()?;
        let mut inlet = Self::new(socket, room, known.emptied);
        inlet.dropped = known.dropped;
        if inlet.port() != port || inlet.socket.r#type()? != Type::DGRAM {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it is of port {}", inlet.port()),
            ));
        }
        if known.is_filtered {
            // Who is heard alone is decided anew. What was dropped until now were strangers'.
            inlet.socket.detach_filter()?;
            inlet.strangers = inlet.asked();
        }
        // What came meanwhile is in it.
        inlet.is_empty = false;
        Ok(inlet)
    }

    /// The socket, and what is known of it.
    pub(crate) fn hand_over(self) -> (OwnedFd, HandedInlet) {
        let known = HandedInlet {
            dropped: self.dropped,
            emptied: self.emptied,
            is_filtered: self.only.is_some(),
        };
        (self.socket.into(), known)
    }

    /// Has the kernel drop what comes from anybody but `only`, from now on; with none, nothing. What has come
    /// stays. A system call, where that is a change.
    pub(crate) fn hear_only(&mut self, only: Option<SourceRule>) {
        if self.only == only || self.failed_to_sift {
            return;
        }
        // What was dropped until now is of one kind, and what is from now on of another.
        self.count_strangers();
        let done = match only {
            // The kernel puts a new one in an old one's place: nobody slips through.
            Some(only) => self.socket.attach_filter(&sieve::program(only)),
            None => self.socket.detach_filter(),
        };
        match done {
            Ok(()) => {
                if self.only.is_none() {
                    self.lost = self.lost.saturating_add(self.asked());
                }
                self.is_sifted = only.is_some() && (self.is_sifted || self.is_empty);
                self.only = only;
            }
            Err(error) => {
                // A filter that is not there lets all pass; one that stays would shut out a new source.
                static TOLD: Once = Once::new();
                self.failed_to_sift = self.only.is_none();
                TOLD.call_once(|| tracing::warn!(%error, "no filter on a media socket"));
            }
        }
    }

    /// Whether the kernel drops what is not of one source.
    pub(crate) const fn is_filtered(&self) -> bool {
        self.only.is_some()
    }

    /// How many datagrams of strangers the kernel has dropped that no drain has told of: it tells of them with the
    /// next that it takes in. A system call, where there is a filter.
    pub(crate) fn take_strangers(&mut self) -> u32 {
        self.count_strangers();
        std::mem::take(&mut self.strangers)
    }

    /// Asks the kernel for its count of drops; since the socket was last empty they were strangers'.
    fn count_strangers(&mut self) {
        if self.is_sifted {
            self.strangers = self.strangers.saturating_add(self.asked());
        }
    }

    /// What the kernel has dropped since it last said so. What it does not say now comes with the next datagram.
    fn asked(&mut self) -> u32 {
        batch::drops(&self.socket).map_or(0, |count| newly(&mut self.dropped, count))
    }

    /// The receive buffer that the kernel granted, in bytes as they were asked for: it doubles
    /// SO_RCVBUF for its own needs (socket(7)).
    pub(crate) fn receive_buffer(&self) -> io::Result<usize> {
        Ok(self.socket.recv_buffer_size()? / 2)
    }

    /// Reads what came, in order, and hands each datagram's source, arrival and bytes to `each`;
    /// the bytes of one that was too long are none.
    pub(crate) fn drain(
        &mut self,
        reader: &mut Reader,
        reach: Reach,
        mut each: impl FnMut(SocketAddr, Mono, &[u8]),
    ) -> Drained {
        let Reader { batch, offset, now } = reader;
        let (mut dropped, mut came) = (std::mem::take(&mut self.unsure), 0);
        let mut rounds = 0;
        let is_empty = loop {
            let before = *now;
            let mut last = None;
            let emptied = self.emptied;
            let take = |datagram: Datagram<'_>| {
                if last.is_none() {
                    *now = monotonic();
                }
                if let Some(count) = datagram.dropped {
                    dropped = dropped.saturating_add(newly(&mut self.dropped, count));
                }
                let arrival = offset.arrival(datagram.stamp, emptied, *now);
                last = Some(arrival);
                each(datagram.from, arrival, datagram.bytes);
            };
            let (most, read) = match (reach, rounds) {
                (Reach::Until(_), _) => (FEWER, batch.receive::<FEWER>(&self.socket, take)),
                // A track has a few packets a tick; a socket that has more is behind.
                (Reach::Rounds(_), 0) => (FEW, batch.receive::<FEW>(&self.socket, take)),
                (Reach::Rounds(_), _) => (MANY, batch.receive::<MANY>(&self.socket, take)),
            };
            rounds += 1;
            came += read.unwrap_or_default();
            match (read, last) {
                (Ok(count), Some(last)) if count == most && reach.ends(rounds, last) => {
                    break false;
                }
                (Ok(count), _) if count == most => {}
                (Ok(_), _) => {
                    self.emptied = before;
                    break true;
                }
                (Err(errno), _) => {
                    self.complain(errno);
                    break true;
                }
            }
        };
        self.is_empty = is_empty;
        self.came = self.came.saturating_add(came);
        if self.is_sifted && self.came.saturating_mul(MOST_ROOM) < self.room {
            self.unsure = std::mem::take(&mut dropped);
        }
        if is_empty {
            self.strangers = self.strangers.saturating_add(self.unsure);
            (self.came, self.unsure) = (0, 0);
            self.is_sifted = self.only.is_some();
        }
        Drained {
            dropped: dropped.saturating_add(std::mem::take(&mut self.lost)),
            strangers: std::mem::take(&mut self.strangers),
            is_flood: came >= FLOOD,
            is_empty,
        }
    }

    /// Sends a datagram. One that the kernel has no room for is lost, as on any network.
    pub(crate) fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        if let Err(error) = self.socket.send_to(datagram, &to.into())
            && !std::mem::replace(&mut self.failed_to_send, true)
        {
            tracing::warn!(port = self.port(), %error, "a media socket did not send");
        }
    }

    /// Logs the first failure of a socket; the rest would drown the log.
    fn complain(&mut self, errno: nix::errno::Errno) {
        if !std::mem::replace(&mut self.failed, true) {
            tracing::error!(port = self.port(), %errno, "reading a media socket failed");
        }
    }

    fn port(&self) -> u16 {
        let address = self.socket.local_addr().ok();
        let address = address.and_then(|address| address.as_socket());
        address.map_or(0, |address| address.port())
    }
}

/// What the kernel has dropped between its count as last seen and this one, which is the last from then on. One
/// that is older tells nothing new: datagrams were queued before the kernel was asked.
fn newly(last: &mut u32, count: u32) -> u32 {
    let dropped = count.wrapping_sub(*last);
    if dropped > u32::MAX / 2 {
        return 0;
    }
    *last = count;
    dropped
}

#[cfg(test)]
mod tests;
