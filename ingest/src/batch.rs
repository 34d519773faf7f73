//! One `recvmmsg`: many datagrams of a socket in one system call, each with its source, the
//! kernel's receive stamp and the socket's count of drops. And that count by itself.
//!
//! `inlet` calls it. What a datagram holds is not looked at here.
//!
//! The system calls are called as they are, and this is the crate's only `unsafe`: nix 0.32 has recvmmsg, but
//! its headers are allocated, and have to be made anew for each call, since it does not restore the
//! lengths that the kernel overwrites with what it used (nix-rust/nix#2813). At 2,500 calls that was
//! a tenth of what a media thread does in user space. Here they lie on the stack and are filled for
//! each call: nothing is allocated, and no length is left over.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::mem::{self, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

use crate::clock::stamp_nanos;

/// Datagrams that the first call of a drain reads: a track at 20 ms packets has 5 a tick.
pub(crate) const FEW: usize = 8;

/// Datagrams that a call reads where a drain goes up to an instant, so that it goes beyond it by less than
/// the 100 ms of a reorder window that two ticks leave: three packets.
pub(crate) const FEWER: usize = 4;

/// Datagrams that further calls read.
pub(crate) const MANY: usize = 64;

/// Bytes kept of a datagram: an Ethernet frame's and some. Nothing longer is RTP for a telephone.
pub(crate) const LONGEST: usize = 2048;

/// Room for a datagram's control messages, aligned as `cmsghdr` is: a time stamp has 32 bytes, a
/// count of drops 24.
type Controls = [u64; 8];

/// Bytes of the longer of the two kinds of source.
#[expect(clippy::cast_possible_truncation, reason = "28")]
const NAME: libc::socklen_t = size_of::<libc::sockaddr_in6>() as libc::socklen_t;

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
        // SAFETY: all three are C structures of integers and pointers, for which zero is a value.
        let (mut names, mut slices, mut headers): (
            [libc::sockaddr_in6; N],
            [libc::iovec; N],
            [libc::mmsghdr; N],
        ) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        let mut controls: [Controls; N] = [[0; 8]; N];
        let slots = self.buffer.chunks_exact_mut(LONGEST);
        for ((((header, slice), name), control), slot) in headers
            .iter_mut()
            .zip(&mut slices)
            .zip(&mut names)
            .zip(&mut controls)
            .zip(slots)
        {
            slice.iov_base = slot.as_mut_ptr().cast::<c_void>();
            slice.iov_len = LONGEST;
            header.msg_hdr.msg_name = ptr::from_mut(name).cast::<c_void>();
            header.msg_hdr.msg_namelen = NAME;
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr().cast::<c_void>();
            header.msg_hdr.msg_controllen = size_of::<Controls>() as _;
        }
        // SAFETY: `headers` has `N` headers, and each points to a name, a slice of the buffer and
        // room for control messages of the lengths that it says; all outlive the call, and nothing
        // else refers to them meanwhile. A null timeout means none.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                libc::c_uint::try_from(N).unwrap_or(0),
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = match Errno::result(received) {
            Ok(count) => usize::try_from(count).unwrap_or(0),
            // Nothing there; an interrupted call finds on the next tick what it missed.
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(errno) => return Err(errno),
        };
        let slots = self.buffer.chunks_exact(LONGEST);
        for ((header, name), slot) in headers.iter().zip(&names).zip(slots).take(count) {
            let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            let length = if whole { header.msg_len as usize } else { 0 };
            let Some(from) = source(name) else { continue };
            // SAFETY: the kernel has filled this header in, and what it points to lives still.
            let (stamp, dropped) = unsafe { controls_of(&header.msg_hdr) };
            each(Datagram {
                from,
                stamp,
                dropped,
                bytes: slot.get(..length).unwrap_or_default(),
            });
        }
        Ok(count)
    }
}

/// Where SO_MEMINFO has the count of drops, and how many counts it has (linux/sock_diag.h,
/// SK_MEMINFO_DROPS and SK_MEMINFO_VARS).
const DROPS: usize = 8;
const VARS: usize = 9;

/// How many datagrams the kernel has dropped on a socket since it was opened: a count that wraps.
///
/// # Errors
/// What the kernel says.
pub(crate) fn drops(socket: &impl AsFd) -> Result<u32, Errno> {
    let mut counts = [0_u32; VARS];
    #[expect(clippy::cast_possible_truncation, reason = "36")]
    let mut length = size_of_val(&counts) as libc::socklen_t;
    // SAFETY: `counts` has room for `length` bytes, both outlive the call, and any bytes are counts.
    let done = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            counts.as_mut_ptr().cast::<c_void>(),
            &raw mut length,
        )
    };
    Errno::result(done).map(|_| counts[DROPS])
}

/// The receive stamp and the count of drops among a message's control messages.
///
/// # Safety
/// `header` must be one that the kernel filled in, with its control messages still in place.
unsafe fn controls_of(header: &libc::msghdr) -> (Option<i64>, Option<u32>) {
    let (mut stamp, mut dropped) = (None, None);
    // SAFETY: the header's control pointer and length are the kernel's.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !next.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header within the length; a
        // message of these types holds what is read here (socket(7)), which may lie unaligned.
        unsafe {
            match ((*next).cmsg_level, (*next).cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time = libc::CMSG_DATA(next).cast::<libc::timespec>();
                    stamp = Some(stamp_nanos(ptr::read_unaligned(time).into()));
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    dropped = Some(ptr::read_unaligned(libc::CMSG_DATA(next).cast::<u32>()));
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(header, next);
        }
    }
    (stamp, dropped)
}

/// Who sent it; none where the kernel names no IP address, which no UDP datagram lacks. An IPv4
/// source on a socket for both families comes as `::ffff:a.b.c.d`; rules and answers know it as IPv4
/// (RFC 4291 §2.5.5.2).
fn source(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    match libc::c_int::from(name.sin6_family) {
        libc::AF_INET => {
            // SAFETY: of this family the kernel writes a `sockaddr_in`, which is shorter and not
            // more strictly aligned.
            let v4 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let address = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(address, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            let mut from = SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(name.sin6_addr.s6_addr),
                u16::from_be(name.sin6_port),
                name.sin6_flowinfo,
                name.sin6_scope_id,
            ));
            from.set_ip(from.ip().to_canonical());
            Some(from)
        }
        _ => None,
    }
}
