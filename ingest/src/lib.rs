//! Sockets and threads for `capture`: nothing is decided here.
//!
//! The daemon starts a [`Switchboard`]; `api` and `signal` give it [`reeld_model::Request`]s through
//! [`reeld_model::Control`]; what `capture` puts out goes to the daemon's [`Sink`]s.
//!
//! ```text
//! api, signal ─ submit ▸ routes ▸ queue (bounded) ─▶ media thread ─▶ capture::Call ▸ outbox ▸ Sink
//!                                UDP sockets ─ recvmmsg on a tick ──▲
//! ```
//!
//! An [`OpenPort`] is a socket that many calls share, of which nothing signals.
//!
//! A media thread owns its calls, their sockets and their state outright. For a packet there is no
//! lock, no task, no wake-up and no allocation here: the thread wakes on a [`TICK`] or for a
//! request, and reads whole batches. The kernel's receive stamps say when a packet came, although it
//! is read late. A recorder needs no low latency, and that is where its speed comes from.
//!
//! Invariants:
//! - each call is on one thread, also when two requests open it at once (`routes`);
//! - each request is answered once, also when a thread panics (`promise`);
//! - all that had arrived for a call before a command is in what the command acts on (`live`);
//! - a port rests before another call gets it (`ports`);
//! - a flooded port costs its track's share, and once its source is known nothing (`inlet`, `sieve`);
//! - queue, backlog, rounds of a drain, calls and recordings are bounded;
//! - the only `unsafe` is around recvmmsg and a socket's count of drops, in `batch`.

mod admission;
mod backlog;
mod batch;
mod clock;
mod descriptors;
mod handover;
mod inlet;
mod leg;
mod live;
mod open;
mod outbox;
mod ports;
mod promise;
mod quota;
mod routes;
mod shared;
mod sieve;
mod stamped;
mod switchboard;
mod sync;
mod thread;

use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use reeld_capture::{Dtmf, Rate};

pub use admission::Outside;
pub use backlog::Queued;
pub use clock::monotonic;
pub use handover::{HandedCall, TakenCall};
pub use open::{Door, OpenPort, OpenSettings};
pub use stamped::StampedReader;
pub use switchboard::Switchboard;

/// How often a media thread reads its sockets: five packets of a track, so that a system call, and what
/// of a call has left the caches, is paid for once in five packets. A default receive buffer (212,992
/// bytes) holds about 277 packets of G.711, 5 s of one track, so it could be longer; what a crash loses
/// is longer by as much (docs/design/decisions/0021).
pub const TICK: Duration = Duration::from_millis(100);

/// What the capture side needs of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where RTP is received: `media.address`.
    pub address: IpAddr,
    /// What callers are told, if not `address`: `media.advertise`.
    pub advertise: Option<IpAddr>,
    /// The ports that tracks get, in pairs of an even RTP and the next, odd RTCP port:
    /// `media.ports`.
    pub ports: RangeInclusive<u16>,
    /// Bytes of each socket's receive buffer, as SO_RCVBUF counts them: `media.receive_buffer`.
    pub receive_buffer: usize,
    /// Networks that a track may come from where nothing says its source: `media.allow`.
    pub allow: Vec<IpNet>,
    /// Media threads, at least 1: `capture.threads`.
    pub threads: usize,
    /// Recordings that may run at once, over all threads: `capture.max_recordings`.
    pub max_recordings: usize,
    /// Bytes of sound that may lie between media threads and disk, over all threads:
    /// `capture.backlog_bytes`.
    pub backlog_bytes: u64,
    /// `capture.reorder_window`.
    pub reorder_window: Duration,
    /// `capture.first_packet`.
    pub first_packet: Duration,
    /// `capture.inactivity`.
    pub inactivity: Duration,
    /// `capture.max_length`.
    pub max_length: Duration,
    /// `capture.conceal`.
    pub conceal: bool,
    /// `capture.dtmf`.
    pub dtmf: Dtmf,
    /// `capture.rate`.
    pub rate: Rate,
}

/// Where a media thread puts its outputs.
pub trait Sink: Send + 'static {
    /// Takes an output. Never blocks.
    ///
    /// # Errors
    /// Gives the output back when there is no room now. The thread keeps it (bounded) and tries
    /// again on the next tick.
    fn push(&mut self, queued: Queued) -> Result<(), Queued>;
}

/// Why the capture side did not start.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// `media.ports` holds no even port with an odd one after it.
    #[error("media.ports {}-{} has no pair of an even port and the next", .0.start(), .0.end())]
    NoPortPair(RangeInclusive<u16>),
    /// Callers would be told an address that means "any".
    #[error("media.address {0} is no address to send to: set media.advertise")]
    NothingToAdvertise(IpAddr),
    /// No socket can be had on `media.address` as media needs it.
    #[error("no media socket on media.address {address}: {source}")]
    Socket {
        /// The address.
        address: IpAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The system gives no random bytes.
    #[error("no random bytes for keys of ours: {0}")]
    Random(getrandom::Error),
    /// A call that another process had open cannot be taken up.
    #[error("a call cannot be taken up: {0}")]
    Handover(String),
    /// A media thread could not be started.
    #[error("media thread {index} did not start: {source}")]
    Thread {
        /// Which one.
        index: usize,
        /// What the kernel said.
        source: io::Error,
    },
}
