//! One media socket: how it is set up, how all that came is read out of it, and how the little is sent
//! that goes back.
//!
//! `leg` binds a pair of them for a track; `live` drains them. What a datagram means is decided in
//! `capture`.
//!
//! A drain of a tick is bounded in rounds, so that a flooded port takes no more than its share of
//! the thread; a drain ahead of a command goes on to what came until the command was taken up.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use nix::sys::socket::{setsockopt, sockopt};
use reeld_model::Mono;
use socket2::{Domain, Protocol, Socket, Type};

use crate::batch::{Batch, Datagram, FEW, FEWER, MANY};
use crate::clock::{Offset, monotonic};
use crate::handover::HandedInlet;

/// Batches of a socket until an instant: more than the largest receive buffer that the configuration
/// takes can hold (64 MiB, which the kernel doubles; a datagram takes 768 bytes of it or more). The
/// instant ends such a drain long before.
const ROUNDS_UNTIL: usize = 48_000;

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
    /// How many datagrams the kernel has dropped since it last said so.
    pub(crate) dropped: u32,
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
    /// The kernel's count of drops, as last seen.
    dropped: u32,
    /// What came before this instant has been read.
    emptied: Mono,
    /// Whether reading failed before, and the log says so; and whether sending did.
    failed: bool,
    failed_to_send: bool,
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
        Ok(Self {
            socket,
            dropped: 0,
            emptied,
            failed: false,
            failed_to_send: false,
        })
    }

    /// A socket that another process has bound to `port` and set up.
    ///
    /// # Errors
    /// What the kernel says; `InvalidData` where it is no socket of that port.
    pub(crate) fn taken_up(socket: OwnedFd, port: u16, known: HandedInlet) -> io::Result<Self> {
        let inlet = Self {
            socket: Socket::from(socket),
            dropped: known.dropped,
            emptied: known.emptied,
            failed: false,
            failed_to_send: false,
        };
        // What it is bound to says that it is a socket.
        inlet.socket.local_addr()?;
        if inlet.port() == port && inlet.socket.r#type()? == Type::DGRAM {
            return Ok(inlet);
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is of port {}", inlet.port()),
        ))
    }

    /// The socket, and what is known of it.
    pub(crate) fn hand_over(self) -> (OwnedFd, HandedInlet) {
        let known = HandedInlet {
            dropped: self.dropped,
            emptied: self.emptied,
        };
        (self.socket.into(), known)
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
        let mut dropped = 0_u32;
        let mut rounds = 0;
        loop {
            let before = *now;
            let mut last = None;
            let take = |datagram: Datagram<'_>| {
                if last.is_none() {
                    *now = monotonic();
                }
                if let Some(count) = datagram.dropped {
                    dropped = dropped.wrapping_add(count.wrapping_sub(self.dropped));
                    self.dropped = count;
                }
                let arrival = offset.arrival(datagram.stamp, self.emptied, *now);
                last = Some(arrival);
                each(datagram.from, arrival, datagram.bytes);
            };
            let full = match (reach, rounds) {
                (Reach::Until(_), _) => batch
                    .receive::<FEWER>(&self.socket, take)
                    .map(|count| count == FEWER),
                // A track has a few packets a tick; a socket that has more is behind.
                (Reach::Rounds(_), 0) => batch
                    .receive::<FEW>(&self.socket, take)
                    .map(|count| count == FEW),
                (Reach::Rounds(_), _) => batch
                    .receive::<MANY>(&self.socket, take)
                    .map(|count| count == MANY),
            };
            rounds += 1;
            match (full, last) {
                (Ok(true), Some(last)) if reach.ends(rounds, last) => {
                    return Drained {
                        dropped,
                        is_empty: false,
                    };
                }
                (Ok(true), _) => {}
                (read, _) => {
                    match read {
                        Err(errno) => self.complain(errno),
                        Ok(_) => self.emptied = before,
                    }
                    return Drained {
                        dropped,
                        is_empty: true,
                    };
                }
            }
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

#[cfg(test)]
mod tests;
