//! One `recvmmsg`: many datagrams of a socket in one system call, each with its source, the
//! kernel's receive stamp and the socket's count of drops.
//!
//! `inlet` calls it. What a datagram holds is not looked at here.
//!
//! nix 0.32 makes the headers reusable but does not restore `msg_controllen` and `msg_namelen`,
//! which the kernel overwrites with what it used (nix-rust/nix#2813): a message with a drop count
//! that meets a header last used without one is cut, and its time stamp is lost with it. So each
//! call gets fresh headers, few at first: 8 cost 0.09 µs a drain, 3 % of it, and no `unsafe` of
//! ours. The datagrams' buffer is made once.

use std::io::IoSliceMut;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg,
};
use nix::sys::time::TimeSpec;

use crate::clock::stamp_nanos;

/// Datagrams that the first call of a drain reads: a track at 20 ms packets has 5 a tick.
pub(crate) const FEW: usize = 8;

/// Datagrams that further calls read.
pub(crate) const MANY: usize = 64;

/// Bytes kept of a datagram: an Ethernet frame's and some. Nothing longer is RTP for a telephone.
pub(crate) const LONGEST: usize = 2048;

/// A datagram as it came.
#[derive(Debug)]
pub(crate) struct Datagram<'a> {
    /// Who sent it.
    pub(crate) from: SocketAddr,
    /// When the kernel received it: CLOCK_REALTIME in nanoseconds.
    pub(crate) stamp: Option<i64>,
    /// How many the kernel had dropped on this socket when it queued this one, if any: a count that
    /// wraps.
    pub(crate) dropped: Option<u32>,
    /// Its bytes; none where it was longer than [`LONGEST`], since what is left of it is not what
    /// was sent.
    pub(crate) bytes: &'a [u8],
}

/// The buffer that datagrams are read into, [`MANY`] at a time.
pub(crate) struct Batch {
    buffer: Box<[u8]>,
}

impl Batch {
    /// An empty buffer.
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; MANY * LONGEST].into_boxed_slice(),
        }
    }

    /// Reads up to `N` datagrams and hands each to `each`; returns how many there were. Fewer than
    /// `N` means that the socket was empty. Never blocks.
    ///
    /// # Errors
    /// What the kernel says, but for EAGAIN and EINTR.
    pub(crate) fn receive<const N: usize>(
        &mut self,
        socket: &impl AsFd,
        mut each: impl FnMut(Datagram<'_>),
    ) -> Result<usize, Errno> {
        const { assert!(N <= MANY, "the buffer has room for so many") };
        let mut slots = self.buffer.chunks_exact_mut(LONGEST);
        let mut slices: [[IoSliceMut<'_>; 1]; N] =
            std::array::from_fn(|_| [IoSliceMut::new(slots.next().unwrap_or_default())]);
        let mut headers =
            MultiHeaders::<SockaddrStorage>::preallocate(N, Some(nix::cmsg_space!(TimeSpec, u32)));
        let fd = socket.as_fd().as_raw_fd();
        let messages = match recvmmsg(
            fd,
            &mut headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        ) {
            Ok(messages) => messages,
            // Nothing there; an interrupted call finds on the next tick what it missed.
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(errno) => return Err(errno),
        };
        let mut count = 0;
        for message in messages {
            count += 1;
            if let Some(datagram) = datagram(&message) {
                each(datagram);
            }
        }
        Ok(count)
    }
}

/// Reads a message's parts. None where it has no source, which no UDP datagram lacks.
fn datagram<'a>(message: &RecvMsg<'_, 'a, SockaddrStorage>) -> Option<Datagram<'a>> {
    let from = source(message.address.as_ref()?)?;
    let (mut stamp, mut dropped) = (None, None);
    for control in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmTimestampns(time) = control {
            stamp = Some(stamp_nanos(time));
        } else if let ControlMessageOwned::RxqOvfl(count) = control {
            dropped = Some(count);
        }
    }
    let whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
    let bytes = message.iovs().next().filter(|_| whole).unwrap_or_default();
    Some(Datagram {
        from,
        stamp,
        dropped,
        bytes,
    })
}

/// An IPv4 source on a socket for both families comes as `::ffff:a.b.c.d`; rules and answers know it
/// as IPv4 (RFC 4291 §2.5.5.2).
fn source(address: &SockaddrStorage) -> Option<SocketAddr> {
    let mut from = address
        .as_sockaddr_in()
        .map(|v4| SocketAddr::V4(SocketAddrV4::from(*v4)))
        .or_else(|| {
            address
                .as_sockaddr_in6()
                .map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6)))
        })?;
    from.set_ip(from.ip().to_canonical());
    Some(from)
}
