//! A track's two sockets and the port pair that they are bound to.
//!
//! `live` opens one a track and drains it. Dropped, it closes the sockets and gives the pair back.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use reeld_capture::{Call, Port};
use reeld_model::{Mono, Refusal, SourceRule, Track};

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
    /// Whether the last drain of each found a flood.
    is_flooded: [bool; 2],
    /// Looks in a row that found a source which alone can be heard, up to [`SETTLED`].
    settled: u8,
    lease: Lease,
}

/// Looks, half a second apart, that must find one source alone before others are shut out where there is no flood:
/// a filter costs some 40 µs to put up and take down, and a sender that is silent between words has it taken
/// down each time.
const SETTLED: u8 = 4;

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
                Ok((rtp, rtcp)) => {
                    return Ok(Self::new(rtp, rtcp, lease));
                }
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
        Self::new(rtp, rtcp, lease)
    }

    const fn new(rtp: Inlet, rtcp: Inlet, lease: Lease) -> Self {
        Self {
            rtp,
            rtcp,
            is_flooded: [false; 2],
            settled: 0,
            lease,
        }
    }

    /// Gives its sockets away, RTP and RTCP.
    pub(crate) fn hand_over(self) -> ([OwnedFd; 2], HandedLeg) {
        let port = self.port();
        let Self { rtp, rtcp, .. } = self;
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
            mut strangers,
            is_flood,
            mut is_empty,
        } = self.rtp.drain(reader, reach, |from, arrival, bytes| {
            call.handle_datagram(track, Port::Rtp, from, arrival, bytes);
        });
        self.is_flooded[0] = is_flood;
        if which == Sockets::All {
            let rtcp = self.rtcp.drain(reader, reach, |from, arrival, bytes| {
                call.handle_datagram(track, Port::Rtcp, from, arrival, bytes);
            });
            dropped = dropped.saturating_add(rtcp.dropped);
            strangers = strangers.saturating_add(rtcp.strangers);
            self.is_flooded[1] = rtcp.is_flood;
            is_empty &= rtcp.is_empty;
        }
        if dropped > 0 {
            call.handle_kernel_drops(track, dropped);
        }
        if strangers > 0 {
            call.handle_strangers(track, strangers);
        }
        is_empty
    }

    /// Whether more came in the last drain than a track has.
    pub(crate) const fn is_flooded(&self) -> bool {
        self.is_flooded[0] || self.is_flooded[1]
    }

    /// Has the kernel drop what strangers send while `call` can hear one source alone. Asked twice a second, and
    /// whenever there is a flood; a second after a source fell silent others may come again, and after two they
    /// may be heard (`capture`'s `source`).
    pub(crate) fn guard(&mut self, track: Track, call: &Call, now: Mono) {
        let only = call.only_source(track, now);
        self.settled = only.map_or(0, |_| SETTLED.min(self.settled + 1));
        let is_wanted = |inlet: &Inlet, is_flooded| inlet.is_filtered() || is_flooded;
        if only.is_none() || self.settled == SETTLED || is_wanted(&self.rtp, self.is_flooded[0]) {
            self.rtp.hear_only(only);
        }
        // Where reports come from is not known by port, and they are few: a filter's drops are told with the next
        // datagram, so there is one in a flood alone.
        if only.is_none() || is_wanted(&self.rtcp, self.is_flooded[1]) {
            self.rtcp
                .hear_only(only.map(|only| SourceRule { port: None, ..only }));
        }
    }

    /// Counts what the kernel has dropped of strangers up to now.
    pub(crate) fn count_strangers(&mut self, track: Track, call: &mut Call) {
        for inlet in [&mut self.rtp, &mut self.rtcp] {
            call.handle_strangers(track, inlet.take_strangers());
        }
    }
}
