//! The outbox: events of recordings that somebody is still to be told of, and those given up on.
//!
//! Called by `catalog::sled`, which puts an event into the batch of the change that it tells of, and
//! by `events`, which hands events to the sender one at a time. It knows no HTTP.
//!
//! | key | value |
//! | --- | --- |
//! | `s` sid | a version, then postcard: the [`Subscription`] of a recording that has not ended |
//! | `o` sid number | a version, then postcard: an [`Event`] to be sent |
//! | `d` died sid number | the same, given up on; `died` in milliseconds, so that the oldest comes first |
//!
//! Invariants:
//! - An event becomes sendable when the batch that it came in is durable, and not before: only
//!   [`Outbox::added`], called after the commit, makes it so.
//! - Of a recording's events one is out at a time, the lowest number first.
//! - An event leaves the outbox by being delivered or given up on; a process that dies between sends
//!   it again, with the same token.
//!
//! What waits is in memory too, by host and the time at which it is due (`due`): 200 to 300 bytes
//! each, and at most `MOST_PENDING` recordings begin with a subscription. Figures are kept as it
//! changes; nothing is scanned for them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use reeld_model::RecordingSid;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::due::Due;
use super::{count, key};
use crate::kv::{Changes, Kv, Table, Value};
use crate::locks::lock;
use crate::stored::Stored;
use crate::{DeadEvent, Event, EventFigures, EventStatus, Stage, StoreError, Subscription};

/// The version of the bytes of [`Subscription`] and [`Event`].
const VERSION: u8 = 1;

/// Recordings whose events wait; a start that asks for more is refused. Hours of a busy machine's
/// calls while their receiver is down.
pub(crate) const MOST_PENDING: usize = 100_000;

/// Events given up on that are kept; the oldest go first.
const MOST_DEAD: usize = 10_000;

/// How long an event waits that could not be given up on, milliseconds.
const AGAIN_MS: i64 = 60_000;

/// Called when an event may have become due.
type Wake = Box<dyn Fn() + Send + Sync>;

pub(crate) struct Outbox {
    kv: Arc<Kv>,
    table: Table,
    state: Mutex<State>,
    wake: OnceLock<Wake>,
}

#[derive(Default)]
struct State {
    /// What can be sent.
    due: Due,
    waiting: HashMap<RecordingSid, Waiting>,
    /// All events of `waiting`, by when they were made, milliseconds since the Unix epoch.
    made: BTreeSet<(i64, RecordingSid, u8)>,
    dead: usize,
}

/// The durable events of a recording.
struct Waiting {
    phase: Phase,
    /// Numbers in order, with when each was made.
    events: Vec<(u8, i64)>,
    host: Arc<str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The recording's start may still be taken back; due at this time once it may not.
    Held(i64),
    Due(i64),
    /// With the sender.
    Out,
}

impl Outbox {
    /// Reads what waits.
    pub(crate) fn open(kv: Arc<Kv>, table: Table) -> Result<Self, StoreError> {
        let mut state = State::default();
        for pair in table.range(key::all(key::EVENT)) {
            let (key, value) = pair?;
            let (sid, number) = key::parts_of_event(&key).ok_or_else(count::damaged)?;
            let Some(event) = decode::<Event>(&value) else {
                tracing::error!(recording = %sid, "an event cannot be read and is not sent");
                continue;
            };
            state.add(&event, number, false);
        }
        for pair in table.range(key::all(key::DEAD)) {
            pair?;
            state.dead += 1;
        }
        Ok(Self {
            kv,
            table,
            state: Mutex::new(state),
            wake: OnceLock::new(),
        })
    }

    /// Says whom to call when an event may have become due; only the first counts.
    pub(crate) fn set_wake(&self, wake: Wake) {
        // There is one sender.
        let _ = self.wake.set(wake);
    }

    fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// An event of a batch that is durable now; `held`: until [`Outbox::announce`].
    pub(crate) fn added(&self, event: &Event, held: bool) {
        lock(&self.state).add(event, event.status.number(), held);
        self.wake();
    }

    /// Lets out what was held.
    pub(crate) fn announce(&self, sid: RecordingSid) {
        lock(&self.state).release(sid);
        self.wake();
    }

    /// Forgets a recording that was taken back; its keys are gone by then.
    pub(crate) fn forget(&self, sid: RecordingSid) {
        let mut state = lock(&self.state);
        let Some(waiting) = state.waiting.remove(&sid) else {
            return;
        };
        if let Phase::Due(at_ms) = waiting.phase {
            state.due.remove(at_ms, sid, &waiting.host);
        }
        for (number, made_ms) in waiting.events {
            state.made.remove(&(made_ms, sid, number));
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        lock(&self.state).waiting.len() >= MOST_PENDING
    }

    /// How many recordings have events waiting, and how many events were given up on.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.waiting.len(), state.dead)
    }

    /// What there is, counted.
    pub(crate) fn figures(&self) -> EventFigures {
        let state = lock(&self.state);
        EventFigures {
            recordings: state.waiting.len(),
            most_recordings: MOST_PENDING,
            events: state.made.len(),
            oldest_ms: state.made.first().map(|(made_ms, ..)| *made_ms),
            dead: state.dead,
        }
    }

    /// When the first event is due for a host that has none due by `now_ms`.
    pub(crate) fn next_due_ms(&self, now_ms: i64) -> Option<i64> {
        lock(&self.state).due.next_after(now_ms)
    }

    /// Hands out the event that has been due longest and whose host `may` be sent to now; `may` is
    /// asked once of each host at most.
    pub(crate) fn take(
        &self,
        now_ms: i64,
        may: &dyn Fn(&str) -> bool,
    ) -> Result<Option<Event>, StoreError> {
        loop {
            let (sid, number) = {
                let mut state = lock(&self.state);
                let Some(sid) = state.due.take(now_ms, may) else {
                    return Ok(None);
                };
                let Some(waiting) = state.waiting.get_mut(&sid) else {
                    continue;
                };
                waiting.phase = Phase::Out;
                let Some((number, _)) = waiting.events.first() else {
                    state.waiting.remove(&sid);
                    continue;
                };
                (sid, *number)
            };
            let bytes = match self.table.get(&key::event(sid, number)) {
                Ok(bytes) => bytes,
                Err(error) => {
                    lock(&self.state).again(sid, now_ms);
                    return Err(error);
                }
            };
            match bytes.and_then(|bytes| decode(&bytes)) {
                Some(event) => return Ok(Some(event)),
                None => {
                    tracing::error!(recording = %sid, "an event cannot be read and is not sent");
                    lock(&self.state).done(sid, number, now_ms);
                }
            }
        }
    }

    /// The event has reached its receiver. Not durable at once: a crash sends it again.
    pub(crate) fn delivered(&self, event: &Event, now_ms: i64) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.remove(key::event(event.sid, event.status.number()));
        let applied = self.table.apply(changes);
        self.next(event, now_ms);
        applied
    }

    /// The event stays, to be sent again at `next_ms`.
    pub(crate) fn delayed(&self, event: &Event) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.put(key::event(event.sid, event.status.number()), encode(event));
        let applied = self.table.apply(changes);
        lock(&self.state).again(event.sid, event.next_ms);
        self.wake();
        applied
    }

    /// The event is given up on. Durable. One that cannot be kept as such is due again.
    pub(crate) fn died(&self, event: &Event, now_ms: i64) -> Result<(), StoreError> {
        if let Err(error) = self.bury(event, now_ms) {
            lock(&self.state).again(event.sid, event.next_ms.max(now_ms + AGAIN_MS));
            self.wake();
            return Err(error);
        }
        self.next(event, now_ms);
        self.kv.commit()
    }

    fn bury(&self, event: &Event, now_ms: i64) -> Result<(), StoreError> {
        let number = event.status.number();
        let mut changes = Changes::default();
        changes.remove(key::event(event.sid, number));
        changes.put(key::dead(now_ms, event.sid, number), encode(event));
        let is_full = lock(&self.state).dead >= MOST_DEAD;
        let oldest = self.table.range(key::all(key::DEAD)).next();
        let oldest = oldest.filter(|_| is_full).transpose()?;
        if let Some((key, _)) = &oldest {
            changes.remove(key.to_vec());
        }
        self.table.apply(changes)?;
        lock(&self.state).dead += usize::from(oldest.is_none());
        Ok(())
    }

    fn next(&self, event: &Event, now_ms: i64) {
        lock(&self.state).done(event.sid, event.status.number(), now_ms);
        self.wake();
    }

    /// Up to `limit` events that wait, in the order of Sids.
    pub(crate) fn pending(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        let pairs = self.table.range(key::all(key::EVENT)).take(limit);
        pairs
            .map(|pair| decode(&pair?.1).ok_or_else(count::damaged))
            .collect()
    }

    /// Up to `limit` events that were given up on, the oldest first.
    pub(crate) fn dead(&self, limit: usize) -> Result<Vec<DeadEvent>, StoreError> {
        let pairs = self.table.range(key::all(key::DEAD)).take(limit);
        pairs
            .map(|pair| {
                let (key, value) = pair?;
                Ok(DeadEvent {
                    died_ms: key::died_ms(&key).ok_or_else(count::damaged)?,
                    event: decode(&value).ok_or_else(count::damaged)?,
                })
            })
            .collect()
    }

    /// Puts those given up on back, as new ones, and makes all that waits due; how many. Durable.
    pub(crate) fn retry(&self, now_ms: i64) -> Result<usize, StoreError> {
        let mut revived = 0;
        for pair in self.table.range(key::all(key::DEAD)) {
            let (key, value) = pair?;
            let mut event: Event = decode(&value).ok_or_else(count::damaged)?;
            event.attempts = 0;
            event.first_ms = None;
            event.next_ms = now_ms;
            let mut changes = Changes::default();
            changes.remove(key.to_vec());
            changes.put(key::event(event.sid, event.status.number()), encode(&event));
            self.table.apply(changes)?;
            let mut state = lock(&self.state);
            state.dead = state.dead.saturating_sub(1);
            state.add(&event, event.status.number(), false);
            revived += 1;
        }
        self.kv.commit()?;
        let hurried = lock(&self.state).hurry(now_ms);
        self.wake();
        Ok(hurried.max(revived))
    }
}

impl State {
    fn add(&mut self, event: &Event, number: u8, held: bool) {
        let phase = if held {
            Phase::Held(event.next_ms)
        } else {
            Phase::Due(event.next_ms)
        };
        let host: Arc<str> = event.host().into();
        let sid = event.sid;
        if let Some(waiting) = self.waiting.get_mut(&sid) {
            if waiting.events.iter().all(|(other, _)| *other != number) {
                waiting.events.push((number, event.made_ms));
                waiting.events.sort_unstable();
                self.made.insert((event.made_ms, sid, number));
            }
            // What has an end has begun.
            self.release(sid);
            return;
        }
        if let Phase::Due(at_ms) = phase {
            self.due.insert(at_ms, sid, &host);
        }
        self.made.insert((event.made_ms, sid, number));
        self.waiting.insert(
            sid,
            Waiting {
                phase,
                events: vec![(number, event.made_ms)],
                host,
            },
        );
    }

    fn release(&mut self, sid: RecordingSid) {
        if let Some(Waiting {
            phase: Phase::Held(at),
            ..
        }) = self.waiting.get(&sid)
        {
            self.again(sid, *at);
        }
    }

    fn again(&mut self, sid: RecordingSid, at_ms: i64) {
        if let Some(waiting) = self.waiting.get_mut(&sid) {
            waiting.phase = Phase::Due(at_ms);
            self.due.insert(at_ms, sid, &waiting.host);
        }
    }

    /// This event is gone: on with the next.
    fn done(&mut self, sid: RecordingSid, number: u8, now_ms: i64) {
        let Some(waiting) = self.waiting.get_mut(&sid) else {
            return;
        };
        let place = waiting
            .events
            .iter()
            .position(|(other, _)| *other == number);
        if let Some(place) = place {
            let (_, made_ms) = waiting.events.remove(place);
            self.made.remove(&(made_ms, sid, number));
        }
        if waiting.events.is_empty() {
            self.waiting.remove(&sid);
        } else {
            self.again(sid, now_ms);
        }
    }

    /// Makes all that waits for a later time due now; how many recordings have events that wait.
    fn hurry(&mut self, now_ms: i64) -> usize {
        for (at_ms, sid, host) in self.due.later(now_ms) {
            self.due.remove(at_ms, sid, &host);
            self.again(sid, now_ms);
        }
        self.waiting.len()
    }
}

/// Puts a recording's subscription, and the event of its beginning where it is asked for, into
/// the batch of its record.
pub(super) fn begin(
    changes: &mut Changes,
    stored: &Stored,
    subscription: Option<&Subscription>,
) -> Option<Event> {
    let subscription = subscription?;
    changes.put(
        key::of_sid(key::SUBSCRIPTION, stored.record.sid),
        encode(subscription),
    );
    put(changes, stored, subscription, EventStatus::InProgress)
}

/// Where a record has ended, puts its event into the batch and takes its subscription out.
/// `ending` goes before what the record's stage says.
pub(super) fn end(
    table: &Table,
    changes: &mut Changes,
    stored: &Stored,
    ending: Option<EventStatus>,
) -> Result<Option<Event>, StoreError> {
    let status = match stored.record.stage {
        Stage::Live => return Ok(None),
        Stage::Completed => EventStatus::Completed,
        Stage::Absent => EventStatus::Absent,
    };
    let key = key::of_sid(key::SUBSCRIPTION, stored.record.sid);
    let Some(bytes) = table.get(&key)? else {
        return Ok(None);
    };
    changes.remove(key);
    let Some(subscription) = decode(&bytes) else {
        let recording = stored.record.sid;
        tracing::error!(%recording, "its callback cannot be read and is not sent");
        return Ok(None);
    };
    Ok(put(
        changes,
        stored,
        &subscription,
        ending.unwrap_or(status),
    ))
}

/// Takes all out that a recording has here.
pub(super) fn take_back(changes: &mut Changes, sid: RecordingSid) {
    changes.remove(key::of_sid(key::SUBSCRIPTION, sid));
    for status in EventStatus::ALL {
        changes.remove(key::event(sid, status.number()));
    }
}

/// Copies all of the outbox of another catalog, before records are placed.
pub(super) fn carry(from: &Table, to: &Table) -> Result<(), StoreError> {
    for tag in [key::SUBSCRIPTION, key::EVENT, key::DEAD] {
        for pair in from.range(key::all(tag)) {
            let (key, value) = pair?;
            let mut changes = Changes::default();
            changes.put(key.to_vec(), value);
            to.apply(changes)?;
        }
    }
    Ok(())
}

fn put(
    changes: &mut Changes,
    stored: &Stored,
    subscription: &Subscription,
    status: EventStatus,
) -> Option<Event> {
    if !subscription.wants(status) {
        return None;
    }
    let event = Event::of(&stored.record, subscription, status);
    changes.put(key::event(event.sid, status.number()), encode(&event));
    Some(event)
}

fn encode(value: &impl Serialize) -> Value {
    postcard::to_extend(value, vec![VERSION])
        .expect("an event has no part that postcard refuses, and a Vec takes every byte")
        .into()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (&VERSION, body) = bytes.split_first()? else {
        return None;
    };
    let (value, rest) = postcard::take_from_bytes(body).ok()?;
    rest.is_empty().then_some(value)
}
