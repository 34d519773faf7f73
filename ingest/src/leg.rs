//! A track's two sockets and the port pair that they are bound to.
//!
//! `live` opens one a track and drains it. Dropped, it closes the sockets and gives the pair back.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use reeld_capture::{Call, Port};
use reeld_model::{Refusal, Track};

use crate::clock::monotonic;
use crate::handover::HandedLeg;
use crate::inlet::{Drained, Inlet, Reach, Reader};
use crate::ports::{Lease, SharedPorts, lock};

/// Where a leg's sockets are bound and how.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    /// `media.address`.
    pub(crate) address: IpAddr,
    /// `media.receive_buffer`.
    pub(crate) receive_buffer: usize,
    /// `media.ports`.
    pub(crate) ports: SharedPorts,
}

/// A track's sockets. Fields are dropped in order: the sockets are closed before the pair is free.
#[derive(Debug)]
pub(crate) struct Leg {
    rtp: Inlet,
    rtcp: Inlet,
    lease: Lease,
}

/// Which of a leg's sockets a drain reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sockets {
    /// The even port alone.
    Rtp,
    /// Both.
    All,
}

impl Leg {
    /// Binds the next free pair. Pairs that somebody else holds are skipped; each is tried once in
    /// `ports::REST` at most, which bounds this.
    ///
    /// # Errors
    /// [`Refusal::NoPort`] when no pair is left, [`Refusal::Overloaded`] when the kernel refuses a
    /// socket for another reason (descriptors used up): the log has it.
    pub(crate) fn open(binding: &Binding) -> Result<Self, Refusal> {
        loop {
            let Some(lease) = Lease::take(&binding.ports, monotonic()) else {
                return Err(Refusal::NoPort(lock(&binding.ports).name()));
            };
            let rtp_port = lease.rtp();
            let bind = |port| {
                Inlet::bind(
                    SocketAddr::new(binding.address, port),
                    binding.receive_buffer,
                )
                .map_err(|error| (port, error))
            };
            let both = bind(rtp_port).and_then(|rtp| Ok((rtp, bind(rtp_port + 1)?)));
            match both {
                Ok((rtp, rtcp)) => return Ok(Self { rtp, rtcp, lease }),
                Err((port, error)) if error.kind() == io::ErrorKind::AddrInUse => {
                    tracing::debug!(port, "a media port is in use elsewhere");
                    lease.held_elsewhere(port);
                }
                Err((port, error)) => {
                    tracing::error!(port, %error, "no media socket");
                    return Err(Refusal::Overloaded);
                }
            }
        }
    }

    /// A track's sockets that came from another process.
    pub(crate) fn taken_up(binding: &Binding, (port, rtp, rtcp): (u16, Inlet, Inlet)) -> Self {
        let lease = Lease::hold(&binding.ports, port);
        Self { rtp, rtcp, lease }
    }

    /// Gives its sockets away, RTP and RTCP.
    pub(crate) fn hand_over(self) -> ([OwnedFd; 2], HandedLeg) {
        let port = self.port();
        let Self {
            rtp,
            rtcp,
            lease: _,
        } = self;
        let ((rtp_socket, rtp), (rtcp_socket, rtcp)) = (rtp.hand_over(), rtcp.hand_over());
        ([rtp_socket, rtcp_socket], HandedLeg { port, rtp, rtcp })
    }

    /// The even port.
    pub(crate) const fn port(&self) -> u16 {
        self.lease.rtp()
    }

    /// The ports are told to a caller.
    pub(crate) const fn told(&mut self) {
        self.lease.told();
    }

    /// Sends from the RTP port.
    pub(crate) fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.rtp.send(to, datagram);
    }

    /// Gives `call` what came for `track`; whether nothing is left in its sockets.
    pub(crate) fn drain(
        &mut self,
        track: Track,
        call: &mut Call,
        reader: &mut Reader,
        reach: Reach,
        which: Sockets,
    ) -> bool {
        let Drained {
            mut dropped,
            mut is_empty,
        } = self.rtp.drain(reader, reach, |from, arrival, bytes| {
            call.handle_datagram(track, Port::Rtp, from, arrival, bytes);
        });
        if which == Sockets::All {
            let rtcp = self.rtcp.drain(reader, reach, |from, arrival, bytes| {
                call.handle_datagram(track, Port::Rtcp, from, arrival, bytes);
            });
            dropped = dropped.saturating_add(rtcp.dropped);
            is_empty &= rtcp.is_empty;
        }
        if dropped > 0 {
            call.handle_kernel_drops(track, dropped);
        }
        is_empty
    }
}
