//! Calls on their way from one process to the next: what is kept of each, and its sockets.
//!
//! [`Switchboard::hand_over`](crate::Switchboard::hand_over) makes them, and the next daemon's
//! [`Switchboard::start`](crate::Switchboard::start) takes them up; the daemon brings them from one to the other.
//! Packets that come meanwhile wait in the sockets, with the kernel's stamps: a media thread that takes a call up
//! is only late.

use std::io;
use std::os::fd::OwnedFd;

use reeld_capture::{Call, Given, Kept};
use reeld_model::{AccountSid, CallSid, Mono};
use serde::{Deserialize, Serialize};

use crate::IngestError;
use crate::inlet::Inlet;

/// A call that was handed over: to be written down, and its sockets beside it.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandedCall {
    /// What the call knows ([`Call::keep`]).
    #[serde(with = "serde_bytes")]
    call: Vec<u8>,
    /// Its tracks, by [`reeld_model::Track::index`].
    pub(crate) legs: [Option<HandedLeg>; 2],
    /// What came before this instant has been read.
    pub(crate) read: Mono,
    /// What the sink was given of each recording that runs.
    pub recordings: Vec<Given>,
    /// An RTP and an RTCP socket of each track that is there, in the order of `legs`.
    #[serde(skip)]
    pub sockets: Vec<OwnedFd>,
}

/// A track's port and what is known of its two sockets.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct HandedLeg {
    pub(crate) port: u16,
    pub(crate) rtp: HandedInlet,
    pub(crate) rtcp: HandedInlet,
}

/// What is known of a socket.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct HandedInlet {
    /// The kernel's count of drops, as last seen.
    pub(crate) dropped: u32,
    /// What came before this instant has been read.
    pub(crate) emptied: Mono,
    /// Whether the kernel drops what strangers send to it.
    #[serde(default)]
    pub(crate) is_filtered: bool,
}

impl HandedCall {
    /// Keeps a call, with its sockets.
    pub(crate) fn new(
        call: &Call,
        legs: [Option<HandedLeg>; 2],
        read: Mono,
        sockets: Vec<OwnedFd>,
    ) -> Result<Self, reeld_capture::KeepError> {
        Ok(Self {
            call: call.keep()?,
            legs,
            read,
            recordings: call.given(),
            sockets,
        })
    }

    /// How many sockets belong to it.
    #[must_use]
    pub fn sockets(&self) -> usize {
        2 * self.legs.iter().flatten().count()
    }
}

/// A call that can be taken up: all that can fail is behind it.
#[derive(Debug)]
pub struct TakenCall {
    pub(crate) kept: Kept,
    /// Tracks' ports and their RTP and RTCP sockets.
    pub(crate) legs: [Option<(u16, Inlet, Inlet)>; 2],
    pub(crate) read: Mono,
    /// What the sink was given of each recording that runs.
    pub recordings: Vec<Given>,
}

impl TakenCall {
    /// Whose call it is, and which one.
    #[must_use]
    pub fn key(&self) -> (AccountSid, CallSid) {
        self.kept.key()
    }

    /// Reads what was kept and looks at the sockets.
    ///
    /// # Errors
    /// [`IngestError::Handover`] where what was kept cannot be read, or a socket is not there or not the track's.
    pub fn read(handed: HandedCall) -> Result<Self, IngestError> {
        let refused = |what: String| IngestError::Handover(what);
        let kept = Kept::read(&handed.call).map_err(|error| refused(error.to_string()))?;
        let mut sockets = handed.sockets.into_iter();
        let mut inlet = |port: u16, known: HandedInlet| {
            let missing = || io::Error::new(io::ErrorKind::NotFound, "it did not come");
            let socket = sockets.next().ok_or_else(missing);
            socket
                .and_then(|socket| Inlet::taken_up(socket, port, known))
                .map_err(|error| refused(format!("the socket of port {port}: {error}")))
        };
        let mut legs = [None, None];
        for (leg, handed) in legs.iter_mut().zip(&handed.legs) {
            if let Some(HandedLeg { port, rtp, rtcp }) = *handed {
                *leg = Some((port, inlet(port, rtp)?, inlet(port + 1, rtcp)?));
            }
        }
        Ok(Self {
            kept,
            legs,
            read: handed.read,
            recordings: handed.recordings,
        })
    }
}
