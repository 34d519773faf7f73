//! Calls that come by themselves, and what brings them, counted.
//!
//! `signal`, `ingest` and `daemon` count; `api` shows it (`/metrics`), and `daemon` writes into the audit trail who was turned
//! away. An addition a call, a message of signalling or a tick, never one a packet; a lock for who is turned away alone.
//! Counters begin with the process: what it takes up from the one before is open and was not begun here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What brings calls. Kept by number (the audit trail): add at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bringer {
    /// A recording client (SIPREC).
    Siprec,
    /// Any other SIP call.
    Sip,
    /// An rtpengine.
    Rtpengine,
    /// An AudioSocket connection.
    AudioSocket,
    /// RTP that comes to an open port.
    OpenPort,
}

impl Bringer {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Siprec,
        Self::Sip,
        Self::Rtpengine,
        Self::AudioSocket,
        Self::OpenPort,
    ];

    /// Its name in metrics, logs and lists.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Siprec => "siprec",
            Self::Sip => "sip",
            Self::Rtpengine => "rtpengine",
            Self::AudioSocket => "audiosocket",
            Self::OpenPort => "open-port",
        }
    }
}

/// Why a call is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Declined {
    /// It comes from a network that is not allowed.
    NotAllowed,
    /// No rule says whose it is, or it would be an account's that there is not.
    NoAccount,
    /// There is too much to do.
    Busy,
    /// What it offers or asks for cannot be recorded.
    Unusable,
    /// Who brought it gave it up before it was taken.
    GivenUp,
    /// Anything else, which the log has.
    Broken,
}

impl Declined {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::NotAllowed,
        Self::NoAccount,
        Self::Busy,
        Self::Unusable,
        Self::GivenUp,
        Self::Broken,
    ];

    /// Its name in metrics and lists.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowed => "not-allowed",
            Self::NoAccount => "no-account",
            Self::Busy => "busy",
            Self::Unusable => "unusable",
            Self::GivenUp => "given-up",
            Self::Broken => "broken",
        }
    }
}

/// Why a call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Who brought it said so, or has it no more.
    HungUp,
    /// It, or all that was recorded of it, was ended here: by the API, a length, the disk.
    Here,
    /// Nothing was heard of it for too long.
    Timeout,
    /// What brought it broke, or speaks what is not understood.
    Error,
    /// The daemon stops.
    Shutdown,
}

impl Over {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::HungUp,
        Self::Here,
        Self::Timeout,
        Self::Error,
        Self::Shutdown,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HungUp => "hung-up",
            Self::Here => "here",
            Self::Timeout => "timeout",
            Self::Error => "error",
            Self::Shutdown => "shutdown",
        }
    }
}

/// How signalling and streams come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// SIP in datagrams.
    SipUdp,
    /// SIP on plain connections.
    SipTcp,
    /// SIP on TLS connections.
    SipTls,
    /// AudioSocket connections.
    AudioSocket,
    /// The NG protocol of an rtpengine.
    Ng,
    /// Datagrams at open ports.
    OpenPort,
}

impl Way {
    /// Those that bring messages.
    pub const WITH_MESSAGES: [Self; 5] = [
        Self::SipUdp,
        Self::SipTcp,
        Self::SipTls,
        Self::Ng,
        Self::OpenPort,
    ];

    /// Those that have connections.
    pub const WITH_CONNECTIONS: [Self; 3] = [Self::SipTcp, Self::SipTls, Self::AudioSocket];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SipUdp => "sip-udp",
            Self::SipTcp => "sip-tcp",
            Self::SipTls => "sip-tls",
            Self::AudioSocket => "audiosocket",
            Self::Ng => "ng",
            Self::OpenPort => "open-port",
        }
    }
}

/// What has become of a message, or of a datagram at an open port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was understood and acted on. An open port's datagrams are not counted here, but as RTP.
    Taken,
    /// It is not what comes there.
    Malformed,
    /// It comes from a network that is not allowed.
    Stranger,
    /// There was no room for it, or nobody waited for it.
    Dropped,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Taken, Self::Malformed, Self::Stranger, Self::Dropped];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Malformed => "malformed",
            Self::Stranger => "stranger",
            Self::Dropped => "dropped",
        }
    }
}

const BRINGERS: usize = Bringer::ALL.len();
const WAYS: usize = Way::OpenPort as usize + 1;

/// All that is counted.
#[derive(Debug, Default)]
pub struct Incoming {
    begun: [AtomicU64; BRINGERS],
    declined: [[AtomicU64; Declined::ALL.len()]; BRINGERS],
    ended: [[AtomicU64; Over::ALL.len()]; BRINGERS],
    recordings: [AtomicU64; BRINGERS],
    /// Signed: who counts a beginning and who an end may do so in any order.
    open: [AtomicI64; BRINGERS],
    messages: [[AtomicU64; Fate::ALL.len()]; WAYS],
    connections: [AtomicI64; WAYS],
    connections_refused: [[AtomicU64; 2]; WAYS],
    rtpengines: [AtomicI64; 2],
    strangers: Mutex<Strangers>,
}

/// Who was turned away since it was last asked, by what brought them and why: as many entries as there are of these.
pub type Strangers = BTreeMap<(Bringer, Declined), Turned>;

/// Strangers that were turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turned {
    /// How many calls, messages or datagrams.
    pub count: u64,
    /// From where the last of them came.
    pub address: IpAddr,
}

/// A connection that is open, counted until it is dropped.
#[derive(Debug)]
pub struct Connected {
    incoming: Arc<Incoming>,
    way: Way,
}

impl Connected {
    /// What it brought was no message.
    pub fn malformed(&self) {
        self.incoming.messages(self.way, Fate::Malformed, 1);
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.incoming.connections[self.way as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Incoming {
    /// A call is taken.
    pub fn begun(&self, by: Bringer) {
        self.begun[by as usize].fetch_add(1, Ordering::Relaxed);
        self.taken_up(by);
    }

    /// A call of the process before goes on here.
    pub fn taken_up(&self, by: Bringer) {
        self.open[by as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A call is not taken.
    pub fn declined(&self, by: Bringer, why: Declined) {
        self.declined[by as usize][why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A call that was taken is over.
    pub fn ended(&self, by: Bringer, over: Over) {
        self.ended[by as usize][over as usize].fetch_add(1, Ordering::Relaxed);
        self.open[by as usize].fetch_sub(1, Ordering::Relaxed);
    }

    /// A recording is begun.
    pub fn recorded(&self, by: Bringer) {
        self.recordings[by as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Messages have come.
    pub fn messages(&self, way: Way, fate: Fate, count: u64) {
        if count > 0 {
            self.messages[way as usize][fate as usize].fetch_add(count, Ordering::Relaxed);
        }
    }

    /// A connection is taken.
    #[must_use]
    pub fn connected(self: &Arc<Self>, way: Way) -> Connected {
        self.connections[way as usize].fetch_add(1, Ordering::Relaxed);
        Connected {
            incoming: Arc::clone(self),
            way,
        }
    }

    /// A connection is closed at once: a stranger's, or one too many.
    pub fn connection_refused(&self, way: Way, is_stranger: bool) {
        self.connections_refused[way as usize][usize::from(!is_stranger)]
            .fetch_add(1, Ordering::Relaxed);
    }

    /// An rtpengine is followed, and whether it answers.
    pub fn follows(&self, answers: bool) {
        self.rtpengines[0].store(1, Ordering::Relaxed);
        self.rtpengines[1].store(i64::from(answers), Ordering::Relaxed);
    }

    /// Strangers were turned away, so many, the last of them there.
    pub fn turned_away(&self, by: Bringer, why: Declined, address: IpAddr, count: u64) {
        let mut strangers = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let turned = strangers
            .entry((by, why))
            .or_insert(Turned { count: 0, address });
        turned.count += count;
        turned.address = address.to_canonical();
    }

    /// Who was turned away since this was last asked.
    pub fn take_strangers(&self) -> Strangers {
        let mut strangers = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut strangers)
    }

    /// Calls that were taken.
    pub fn calls_begun(&self) -> impl Iterator<Item = (Bringer, u64)> + '_ {
        Bringer::ALL.into_iter().zip(self.begun.iter().map(read))
    }

    /// Calls that are open.
    pub fn calls_open(&self) -> impl Iterator<Item = (Bringer, u64)> + '_ {
        Bringer::ALL.into_iter().zip(self.open.iter().map(level))
    }

    /// Calls that were not taken.
    pub fn calls_declined(&self) -> impl Iterator<Item = (Bringer, Declined, u64)> + '_ {
        pairs(Bringer::ALL.into_iter().zip(&self.declined), Declined::ALL)
    }

    /// Calls that are over.
    pub fn calls_ended(&self) -> impl Iterator<Item = (Bringer, Over, u64)> + '_ {
        pairs(Bringer::ALL.into_iter().zip(&self.ended), Over::ALL)
    }

    /// Recordings that were begun.
    pub fn recordings_begun(&self) -> impl Iterator<Item = (Bringer, u64)> + '_ {
        Bringer::ALL
            .into_iter()
            .zip(self.recordings.iter().map(read))
    }

    /// Messages that came.
    pub fn messages_come(&self) -> impl Iterator<Item = (Way, Fate, u64)> + '_ {
        let ways = Way::WITH_MESSAGES.into_iter();
        pairs(
            ways.map(|way| (way, &self.messages[way as usize])),
            Fate::ALL,
        )
    }

    /// Connections that are open.
    pub fn connections_open(&self) -> impl Iterator<Item = (Way, u64)> + '_ {
        let ways = Way::WITH_CONNECTIONS.into_iter();
        ways.map(|way| (way, level(&self.connections[way as usize])))
    }

    /// Connections that were closed at once: for a network that is not allowed, for want of room.
    pub fn connections_refused(&self) -> impl Iterator<Item = (Way, Declined, u64)> + '_ {
        let ways = Way::WITH_CONNECTIONS.into_iter();
        let whys = [Declined::NotAllowed, Declined::Busy];
        pairs(
            ways.map(|way| (way, &self.connections_refused[way as usize])),
            whys,
        )
    }

    /// rtpengines that are followed, and those of them that answer.
    #[must_use]
    pub fn rtpengines(&self) -> [u64; 2] {
        self.rtpengines.each_ref().map(level)
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn level(gauge: &AtomicI64) -> u64 {
    u64::try_from(gauge.load(Ordering::Relaxed)).unwrap_or(0)
}

fn pairs<'a, A: Copy + 'a, B: Copy + 'a, const N: usize>(
    rows: impl Iterator<Item = (A, &'a [AtomicU64; N])> + 'a,
    columns: [B; N],
) -> impl Iterator<Item = (A, B, u64)> + 'a {
    rows.flat_map(move |(row, counters)| {
        let cells = columns.into_iter().zip(counters);
        cells.map(move |(column, counter)| (row, column, read(counter)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_in_its_place_and_what_was_begun_and_not_ended_is_open() {
        let incoming = Arc::new(Incoming::default());
        for by in Bringer::ALL {
            incoming.begun(by);
            incoming.begun(by);
            incoming.taken_up(by);
            for over in [Over::HungUp, Over::Timeout] {
                incoming.ended(by, over);
            }
            incoming.declined(by, Declined::Busy);
        }
        assert!(incoming.calls_begun().all(|(_, count)| count == 2));
        assert!(incoming.calls_open().all(|(_, count)| count == 1));
        for (by, over, count) in incoming.calls_ended() {
            let wanted = u64::from(matches!(over, Over::HungUp | Over::Timeout));
            assert_eq!(count, wanted, "{by:?} {over:?}");
        }
        for (by, why, count) in incoming.calls_declined() {
            assert_eq!(count, u64::from(why == Declined::Busy), "{by:?} {why:?}");
        }
        // An end that is counted before its beginning is no call.
        incoming.ended(Bringer::OpenPort, Over::HungUp);
        incoming.ended(Bringer::OpenPort, Over::HungUp);
        assert_eq!(incoming.calls_open().last(), Some((Bringer::OpenPort, 0)));
        let open = incoming.connected(Way::AudioSocket);
        let count = |incoming: &Incoming| {
            let all: Vec<_> = incoming
                .connections_open()
                .map(|(_, count)| count)
                .collect();
            all
        };
        assert_eq!(count(&incoming), [0, 0, 1]);
        drop(open);
        assert_eq!(count(&incoming), [0, 0, 0]);
    }

    #[test]
    fn strangers_are_as_many_as_they_were_in_as_much_room_as_one_takes() {
        let incoming = Incoming::default();
        for last in 0..=255 {
            let address = [192, 0, 2, last].into();
            incoming.turned_away(Bringer::Sip, Declined::NotAllowed, address, 2);
        }
        let turned = Turned {
            count: 512,
            address: [192, 0, 2, 255].into(),
        };
        let all = Strangers::from([((Bringer::Sip, Declined::NotAllowed), turned)]);
        assert_eq!(incoming.take_strangers(), all);
        assert!(incoming.take_strangers().is_empty());
    }
}
