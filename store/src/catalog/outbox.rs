//! The outbox: events of recordings that somebody is still to be told of, and those given up on.
//!
//! Called by `catalog::sled`, which puts an event into the batch of the change that it tells of, and
//! by `events`, which hands events to the sender one at a time. It knows no HTTP.
//!
//! | key | value |
//! | --- | --- |
//! | `s` sid | a version, then postcard: the [`Subscription`] of a recording that has not ended |
//! | `v` sid | the same of its [`Action`] |
//! | `o` sid number | a version, then postcard: an [`Event`] to be sent |
//! | `d` died sid number | the same, given up on; `died` in milliseconds, so that the oldest comes first |
//!
//! Invariants:
//! - An event becomes sendable when the batch that it came in is durable, and not before: only
//!   [`Outbox::added`], called after the commit, makes it so.
//! - Of a recording's events of one [`Line`] one is out at a time, the lowest number first.
//! - An event leaves the outbox by being delivered or given up on; a process that dies between sends
//!   it again, with the same token.
//!
//! What waits is in memory too, by host and the time at which it is due (`due`): 200 to 300 bytes a
//! line, and none begins where `MOST_PENDING` lines wait. Figures are kept as it changes; nothing is
//! scanned for them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use reeld_model::RecordingSid;

use super::due::{Due, Queue};
use super::{Told, count, key};
use crate::events::{Line, Number};
use crate::kv::{Changes, Kv, Table};
use crate::locks::lock;
use crate::stored::Stored;
use crate::{Action, DeadEvent, Event, EventFigures, EventStatus, Stage, StoreError, Subscription};

mod kept;

use kept::{decode, encode};

/// Lines of events that wait; a start that asks for more is refused. Hours of a busy machine's calls
/// while their receiver is down.
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
    waiting: HashMap<Queue, Waiting>,
    /// Recordings of `waiting`.
    recordings: usize,
    /// All events of `waiting`, by when they were made, milliseconds since the Unix epoch.
    made: BTreeSet<(i64, RecordingSid, Number)>,
    dead: usize,
}

/// The durable events of a queue.
struct Waiting {
    phase: Phase,
    /// Numbers in order, with when each was made.
    events: Vec<(Number, i64)>,
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
        lock(&self.state).add(event, event.number(), held);
        self.wake();
    }

    /// Lets out what was held.
    pub(crate) fn announce(&self, sid: RecordingSid) {
        lock(&self.state).release((sid, Line::Status));
        self.wake();
    }

    /// Forgets a recording that was taken back; its keys are gone by then.
    pub(crate) fn forget(&self, sid: RecordingSid) {
        let mut state = lock(&self.state);
        for queue in [(sid, Line::Status), (sid, Line::Action)] {
            let Some(waiting) = state.leave(queue) else {
                continue;
            };
            if let Phase::Due(at_ms) = waiting.phase {
                state.due.remove(at_ms, queue, &waiting.host);
            }
            for (number, made_ms) in waiting.events {
                state.made.remove(&(made_ms, sid, number));
            }
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        lock(&self.state).waiting.len() >= MOST_PENDING
    }

    /// What there is, counted.
    pub(crate) fn figures(&self) -> EventFigures {
        let state = lock(&self.state);
        EventFigures {
            recordings: state.recordings,
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
            let (queue, number) = {
                let mut state = lock(&self.state);
                let Some(queue) = state.due.take(now_ms, may) else {
                    return Ok(None);
                };
                let Some(waiting) = state.waiting.get_mut(&queue) else {
                    continue;
                };
                waiting.phase = Phase::Out;
                let Some((number, _)) = waiting.events.first() else {
                    state.leave(queue);
                    continue;
                };
                (queue, *number)
            };
            let sid = queue.0;
            let bytes = match self.table.get(&key::event(sid, number)) {
                Ok(bytes) => bytes,
                Err(error) => {
                    lock(&self.state).again(queue, now_ms);
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
        changes.remove(key::event(event.sid, event.number()));
        let applied = self.table.apply(changes);
        self.next(event, now_ms);
        applied
    }

    /// The event stays, to be sent again at `next_ms`.
    pub(crate) fn delayed(&self, event: &Event) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.put(key::event(event.sid, event.number()), encode(event));
        let applied = self.table.apply(changes);
        lock(&self.state).again(event.queue(), event.next_ms);
        self.wake();
        applied
    }

    /// The event is given up on. Durable. One that cannot be kept as such is due again.
    pub(crate) fn died(&self, event: &Event, now_ms: i64) -> Result<(), StoreError> {
        let epoch = self.kv.epoch();
        if let Err(error) = self.bury(event, now_ms) {
            lock(&self.state).again(event.queue(), event.next_ms.max(now_ms + AGAIN_MS));
            self.wake();
            return Err(error);
        }
        self.next(event, now_ms);
        self.kv.commit(epoch)
    }

    fn bury(&self, event: &Event, now_ms: i64) -> Result<(), StoreError> {
        let number = event.number();
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
        lock(&self.state).done(event.sid, event.number(), now_ms);
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
        let epoch = self.kv.epoch();
        let mut revived = 0;
        for pair in self.table.range(key::all(key::DEAD)) {
            let (key, value) = pair?;
            let mut event: Event = decode(&value).ok_or_else(count::damaged)?;
            event.attempts = 0;
            event.first_ms = None;
            event.next_ms = now_ms;
            let mut changes = Changes::default();
            changes.remove(key.to_vec());
            changes.put(key::event(event.sid, event.number()), encode(&event));
            self.table.apply(changes)?;
            let mut state = lock(&self.state);
            state.dead = state.dead.saturating_sub(1);
            state.add(&event, event.number(), false);
            revived += 1;
        }
        self.kv.commit(epoch)?;
        lock(&self.state).hurry(now_ms);
        self.wake();
        Ok(self.figures().recordings.max(revived))
    }
}

impl State {
    fn add(&mut self, event: &Event, number: Number, held: bool) {
        let phase = if held {
            Phase::Held(event.next_ms)
        } else {
            Phase::Due(event.next_ms)
        };
        let host: Arc<str> = event.host().into();
        let queue = (event.sid, number.line());
        if let Some(waiting) = self.waiting.get_mut(&queue) {
            if waiting.events.iter().all(|(other, _)| *other != number) {
                waiting.events.push((number, event.made_ms));
                waiting.events.sort_unstable();
                self.made.insert((event.made_ms, event.sid, number));
            }
            // What has an end has begun.
            self.release(queue);
            return;
        }
        if let Phase::Due(at_ms) = phase {
            self.due.insert(at_ms, queue, &host);
        }
        self.made.insert((event.made_ms, event.sid, number));
        self.enter(
            queue,
            Waiting {
                phase,
                events: vec![(number, event.made_ms)],
                host,
            },
        );
    }

    fn release(&mut self, queue: Queue) {
        if let Some(Waiting {
            phase: Phase::Held(at),
            ..
        }) = self.waiting.get(&queue)
        {
            self.again(queue, *at);
        }
    }

    fn again(&mut self, queue: Queue, at_ms: i64) {
        if let Some(waiting) = self.waiting.get_mut(&queue) {
            waiting.phase = Phase::Due(at_ms);
            self.due.insert(at_ms, queue, &waiting.host);
        }
    }

    /// This event is gone: on with the next.
    fn done(&mut self, sid: RecordingSid, number: Number, now_ms: i64) {
        let queue = (sid, number.line());
        let Some(waiting) = self.waiting.get_mut(&queue) else {
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
        if self
            .waiting
            .get(&queue)
            .is_some_and(|left| left.events.is_empty())
        {
            self.leave(queue);
        } else {
            self.again(queue, now_ms);
        }
    }

    /// Takes a queue in that was not there.
    fn enter(&mut self, queue: Queue, waiting: Waiting) {
        self.recordings += usize::from(!self.waiting.contains_key(&other(queue)));
        self.waiting.insert(queue, waiting);
    }

    /// Takes a queue out, if it is there.
    fn leave(&mut self, queue: Queue) -> Option<Waiting> {
        let waiting = self.waiting.remove(&queue)?;
        self.recordings -= usize::from(!self.waiting.contains_key(&other(queue)));
        Some(waiting)
    }

    /// Makes all that waits for a later time due now.
    fn hurry(&mut self, now_ms: i64) {
        for (at_ms, queue, host) in self.due.later(now_ms) {
            self.due.remove(at_ms, queue, &host);
            self.again(queue, now_ms);
        }
    }
}

/// The recording's other queue.
const fn other((sid, line): Queue) -> Queue {
    match line {
        Line::Status => (sid, Line::Action),
        Line::Action => (sid, Line::Status),
    }
}

/// Puts whom to tell of a recording, and the event of its beginning where it is asked for, into the
/// batch of its record.
pub(super) fn begin(changes: &mut Changes, stored: &Stored, told: Told<'_>) -> Option<Event> {
    let sid = stored.record.sid;
    if let Some(action) = told.action {
        changes.put(key::of_sid(key::ACTION, sid), encode(action));
    }
    let subscription = told.status?;
    changes.put(key::of_sid(key::SUBSCRIPTION, sid), encode(subscription));
    put(changes, stored, subscription, EventStatus::InProgress)
}

/// Where a record has ended, puts its events into the batch and takes out whom to tell of it.
/// `ending` goes before what the record's stage says. An empty recording is not submitted to its
/// action, as Twilio has it (twilio.md §3): there is nothing to fetch.
pub(super) fn end(
    table: &Table,
    changes: &mut Changes,
    stored: &Stored,
    ending: Option<EventStatus>,
) -> Result<Vec<Event>, StoreError> {
    let status = match stored.record.stage {
        Stage::Live | Stage::Deleted => return Ok(Vec::new()),
        Stage::Completed => EventStatus::Completed,
        Stage::Absent => EventStatus::Absent,
    };
    let sid = stored.record.sid;
    let mut events = Vec::new();
    let subscription: Option<Subscription> = take_out(table, changes, key::SUBSCRIPTION, sid)?;
    if let Some(subscription) = subscription {
        let status = ending.unwrap_or(status);
        events.extend(put(changes, stored, &subscription, status));
    }
    let action: Option<Action> = take_out(table, changes, key::ACTION, sid)?;
    if let Some(action) = action.filter(|_| status == EventStatus::Completed) {
        let event = Event::of_action(&stored.record, &action);
        changes.put(key::event(sid, event.number()), encode(&event));
        events.push(event);
    }
    Ok(events)
}

/// Whom to tell of a recording that has ended, taken out of the table with the batch.
fn take_out<T: kept::Kept>(
    table: &Table,
    changes: &mut Changes,
    tag: u8,
    recording: RecordingSid,
) -> Result<Option<T>, StoreError> {
    let key = key::of_sid(tag, recording);
    let Some(bytes) = table.get(&key)? else {
        return Ok(None);
    };
    changes.remove(key);
    let told = decode(&bytes);
    if told.is_none() {
        tracing::error!(%recording, "whom to tell of it cannot be read: its callback is not sent");
    }
    Ok(told)
}

/// Takes all out that a recording has here.
pub(super) fn take_back(changes: &mut Changes, sid: RecordingSid) {
    for tag in [key::SUBSCRIPTION, key::ACTION] {
        changes.remove(key::of_sid(tag, sid));
    }
    for number in Number::ALL {
        changes.remove(key::event(sid, number));
    }
}

/// Copies all of the outbox of another catalog, before records are placed.
pub(super) fn carry(from: &Table, to: &Table) -> Result<(), StoreError> {
    for tag in [key::SUBSCRIPTION, key::ACTION, key::EVENT, key::DEAD] {
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
    changes.put(key::event(event.sid, event.number()), encode(&event));
    Some(event)
}

impl Event {
    fn queue(&self) -> Queue {
        (self.sid, self.number().line())
    }
}
