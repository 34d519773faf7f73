//! Server transactions: a request is acted on once however often it comes, and its answer comes as often
//! (RFC 3261 §17.2).
//!
//! Called by `agent`. No clock: [`Transactions::due`] says when it wants to be asked.
//!
//! Bounds: [`MOST`] at once, each with one response.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use reeld_model::Mono;

use super::Peer;
use super::message::Request;

/// The estimate of a round trip, and what retransmissions begin with (RFC 3261 §17.1.1.1).
pub(crate) const T1: Duration = Duration::from_millis(500);
/// The longest pause between retransmissions.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// How long a message may stay in the network.
const T4: Duration = Duration::from_secs(5);
/// How long anything is retransmitted.
pub(crate) const GIVEN_UP: Duration = Duration::from_millis(500 * 64);
/// How long a request may wait for its answer here, beyond any of capture's.
const UNANSWERED: Duration = Duration::from_secs(120);

/// Transactions at once: an INVITE and a BYE are kept for 32 s each, so this is 300 new calls a second.
const MOST: usize = 20_000;

/// The transactions.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    by_key: HashMap<String, u64>,
    all: HashMap<u64, Transaction>,
    due: BTreeSet<(Mono, u64)>,
    next: u64,
}

#[derive(Debug)]
struct Transaction {
    key: String,
    to: Peer,
    is_invite: bool,
    response: Option<Vec<u8>>,
    /// The pause before the response goes out again, where it waits for an ACK.
    interval: Option<Duration>,
    ends: Mono,
    due: Mono,
}

/// What a request is.
#[derive(Debug)]
pub(crate) enum Begun {
    /// A new one, and its number.
    New(u64),
    /// One that came before; what it was answered with, if it was.
    Repeated(Option<(Peer, Vec<u8>)>),
    /// One too many.
    Full,
}

impl Transactions {
    /// Takes a request in. `to` is where its response goes.
    pub(crate) fn begin(&mut self, request: &Request, to: Peer, now: Mono) -> Begun {
        let key = request.transaction();
        if let Some(known) = self.by_key.get(&key).and_then(|id| self.all.get(id)) {
            return Begun::Repeated(known.response.clone().map(|response| (known.to, response)));
        }
        if self.all.len() >= MOST {
            return Begun::Full;
        }
        self.next += 1;
        let id = self.next;
        let ends = now + UNANSWERED;
        self.by_key.insert(key.clone(), id);
        self.due.insert((ends, id));
        let is_invite = request.method == "INVITE";
        let transaction = Transaction {
            key,
            to,
            is_invite,
            response: None,
            interval: None,
            ends,
            due: ends,
        };
        self.all.insert(id, transaction);
        Begun::New(id)
    }

    /// Answers one; what is to be sent, if it is still there.
    pub(crate) fn answer(
        &mut self,
        id: u64,
        status: u16,
        response: Vec<u8>,
        now: Mono,
    ) -> Option<(Peer, Vec<u8>)> {
        let transaction = self.all.get_mut(&id)?;
        transaction.response = Some(response.clone());
        let is_udp = matches!(transaction.to, Peer::Udp(_));
        if status >= 200 {
            // Over a stream nothing is repeated, but what is late may still ask for it.
            transaction.ends = now + if is_udp { GIVEN_UP } else { T4 };
            let waits_for_ack = transaction.is_invite && status >= 300;
            transaction.interval = (waits_for_ack && is_udp).then_some(T1);
            let due = transaction
                .interval
                .map_or(transaction.ends, |interval| now + interval);
            Self::put_off(&mut self.due, transaction, id, due);
        }
        Some((transaction.to, response))
    }

    /// An ACK came: an answer that is not 2xx has arrived.
    pub(crate) fn acknowledge(&mut self, request: &Request, now: Mono) {
        let Some(id) = self.by_key.get(&request.transaction()) else {
            return;
        };
        if let Some(transaction) = self.all.get_mut(id)
            && transaction.interval.take().is_some()
        {
            transaction.ends = now + T4;
            let ends = transaction.ends;
            Self::put_off(&mut self.due, transaction, *id, ends);
        }
    }

    /// The transaction that a CANCEL is for, and whether it has been answered.
    pub(crate) fn cancelled_by(&self, cancel: &Request) -> Option<u64> {
        let key = cancel.transaction();
        let key = key.replace("|CANCEL", "|INVITE");
        self.by_key.get(&key).copied()
    }

    /// When something is due.
    pub(crate) fn due(&self) -> Option<Mono> {
        self.due.first().map(|(due, _)| *due)
    }

    /// What is due: responses that go out again, and transactions that are over.
    pub(crate) fn handle(&mut self, now: Mono, mut send: impl FnMut(Peer, Vec<u8>)) {
        while let Some(&(due, id)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            let Some(transaction) = self.all.get_mut(&id) else {
                continue;
            };
            if now >= transaction.ends {
                if let Some(gone) = self.all.remove(&id) {
                    self.by_key.remove(&gone.key);
                }
                continue;
            }
            if let (Some(interval), Some(response)) = (transaction.interval, &transaction.response)
            {
                send(transaction.to, response.clone());
                let next = (interval * 2).min(T2);
                transaction.interval = Some(next);
                transaction.due = (now + next).min(transaction.ends);
            } else {
                transaction.due = transaction.ends;
            }
            self.due.insert((transaction.due, id));
        }
    }

    fn put_off(all: &mut BTreeSet<(Mono, u64)>, transaction: &mut Transaction, id: u64, due: Mono) {
        all.remove(&(transaction.due, id));
        transaction.due = due;
        all.insert((due, id));
    }

    /// Transactions that are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.all.len(), self.by_key.len());
        assert_eq!(self.all.len(), self.due.len());
        self.all.len()
    }
}
