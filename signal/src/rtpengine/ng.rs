//! Requests of the NG protocol: a cookie, a blank, a dictionary; sent again under the same cookie until answered.
//!
//! Called by `follower`. JSON and not bencode: rtpengine answers in the form that it was asked in (NG documentation,
//! "The ng Control Protocol"), and JSON has a reader here already. A cookie that comes again is answered by what the
//! first one was answered, so a request is carried out once.
//!
//! Bounds: [`MOST_AT_ONCE`] requests under way, and one `list`; those that wait are one for each call, whose number is bounded.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use reeld_model::Mono;
use reeld_model::incoming::Fate;
use serde_json::{Map, Value};

/// Requests that wait for their answers at once.
const MOST_AT_ONCE: usize = 64;

/// After how long each try is followed by the next, and the last one given up.
const TRIES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(2),
    Duration::from_secs(2),
];

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Which calls there are.
    List,
    /// What is known of a call.
    Query,
    /// A subscription to its media.
    Subscribe,
    /// Where these are to be sent.
    Answer,
    /// A subscription's end.
    Unsubscribe,
    /// Our tag's end, in a call that has ended but for it.
    Delete,
}

impl Ask {
    const fn command(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Query => "query",
            Self::Subscribe => "subscribe request",
            Self::Answer => "subscribe answer",
            Self::Unsubscribe => "unsubscribe",
            Self::Delete => "delete",
        }
    }
}

/// A request for a call, or for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Purpose {
    pub(super) call: Option<u64>,
    pub(super) ask: Ask,
}

/// What a request has come to.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) purpose: Purpose,
    /// `None` where no try was answered.
    pub(super) reply: Option<Map<String, Value>>,
}

#[derive(Debug)]
struct Pending {
    purpose: Purpose,
    datagram: Vec<u8>,
    tries: usize,
    due: Mono,
}

/// Requests and their answers.
#[derive(Debug)]
pub(super) struct Requests {
    /// What cookies begin with: unlike those of a process before, whose answers rtpengine still has.
    prefix: u64,
    next: u64,
    pending: HashMap<u64, Pending>,
    due: BTreeSet<(Mono, u64)>,
    waiting: VecDeque<(Purpose, Map<String, Value>)>,
    /// When rtpengine last said anything.
    heard: Mono,
    sent: VecDeque<Vec<u8>>,
}

impl Requests {
    pub(super) fn new(prefix: u64, now: Mono) -> Self {
        Self {
            prefix,
            next: 0,
            pending: HashMap::new(),
            due: BTreeSet::new(),
            waiting: VecDeque::new(),
            heard: now,
            sent: VecDeque::new(),
        }
    }

    /// Since when rtpengine has said nothing.
    pub(super) const fn heard(&self) -> Mono {
        self.heard
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.waiting.is_empty()
    }

    /// Asks, at once or when there is room.
    pub(super) fn ask(&mut self, purpose: Purpose, mut with: Map<String, Value>, now: Mono) {
        with.insert("command".to_owned(), purpose.ask.command().into());
        if purpose.ask == Ask::List {
            // One at a time, which tells whether rtpengine answers at all: it waits for no other.
            self.send(purpose, with, now);
        } else {
            self.waiting.push_back((purpose, with));
            self.fill(now);
        }
    }

    /// What is to be sent next.
    pub(super) fn poll(&mut self) -> Option<Vec<u8>> {
        self.sent.pop_front()
    }

    /// Takes in a datagram; without an answer, what it is instead: no answer at all, or to nothing that is still asked.
    pub(super) fn take(&mut self, datagram: &[u8], now: Mono) -> Result<Answered, Fate> {
        let cookie = datagram.iter().position(|byte| *byte == b' ');
        let space = cookie.ok_or(Fate::Malformed)?;
        let (cookie, text) = (&datagram[..space], &datagram[space + 1..]);
        let number = self.number(cookie).ok_or(Fate::Malformed)?;
        if !self.pending.contains_key(&number) {
            return Err(Fate::Dropped);
        }
        let Ok(Value::Object(reply)) = serde_json::from_slice(text) else {
            return Err(Fate::Malformed);
        };
        let pending = self.pending.remove(&number).ok_or(Fate::Dropped)?;
        self.due.remove(&(pending.due, number));
        self.heard = now;
        self.fill(now);
        Ok(Answered {
            purpose: pending.purpose,
            reply: Some(reply),
        })
    }

    /// When [`Requests::handle_time`] is to be called next.
    pub(super) fn due(&self) -> Option<Mono> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Sends again what is due; what was asked in vain, one at a time.
    pub(super) fn handle_time(&mut self, now: Mono) -> Option<Answered> {
        while let Some(&(due, number)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            let Some(pending) = self.pending.get_mut(&number) else {
                continue;
            };
            if let Some(wait) = TRIES.get(pending.tries) {
                pending.tries += 1;
                pending.due = now + *wait;
                self.due.insert((pending.due, number));
                self.sent.push_back(pending.datagram.clone());
                continue;
            }
            let pending = self.pending.remove(&number)?;
            self.fill(now);
            return Some(Answered {
                purpose: pending.purpose,
                reply: None,
            });
        }
        None
    }

    fn fill(&mut self, now: Mono) {
        while self.pending.len() < MOST_AT_ONCE
            && let Some((purpose, with)) = self.waiting.pop_front()
        {
            self.send(purpose, with, now);
        }
    }

    fn send(&mut self, purpose: Purpose, with: Map<String, Value>, now: Mono) {
        self.next += 1;
        let number = self.next;
        let text = format!("{:016x}-{number} {}", self.prefix, Value::Object(with));
        let (datagram, due) = (text.into_bytes(), now + TRIES[0]);
        self.sent.push_back(datagram.clone());
        self.due.insert((due, number));
        let pending = Pending {
            purpose,
            datagram,
            tries: 1,
            due,
        };
        self.pending.insert(number, pending);
    }

    fn number(&self, cookie: &[u8]) -> Option<u64> {
        let (prefix, number) = std::str::from_utf8(cookie).ok()?.split_once('-')?;
        let is_ours = u64::from_str_radix(prefix, 16).is_ok_and(|prefix| prefix == self.prefix);
        number.parse().ok().filter(|_| is_ours)
    }
}
