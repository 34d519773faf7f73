//! Events of recordings, for whoever sends them: what there is to tell, and what came of it.
//!
//! Called by `api` (a subscription or an action, with the recording that it is of), by the sender in
//! `callbacks` and by `reeld callbacks`. It calls the catalog's outbox, which has the order and the
//! durability.
//!
//! An event has all that is told: the recording may be deleted before its receiver is there again.
//! A status callback's events and the request of a `<Record>` verb's action go to two receivers, so
//! neither waits for the other.

use reeld_model::{AccountSid, CallSid, Channels, EndedBy, RecordingSid, TrackSelection};
use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::{Origin, Parties, Record, StoreError};

#[cfg(test)]
mod tests;

/// Bytes that are kept of a reason.
const REASON_BYTES: usize = 300;

/// Who is to be told of a recording, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// `RecordingStatusCallback`, as it was given.
    pub url: String,
    /// `RecordingStatusCallbackMethod`.
    pub method: EventMethod,
    /// `RecordingStatusCallbackEvent`.
    pub events: Vec<EventStatus>,
    /// Where the recording's media will be fetched from, as its client can reach it.
    pub recording_url: String,
}

impl Subscription {
    /// Whether it asks for an event. A recording that is lost is told to who waits for it to be
    /// completed, as nothing else would be.
    #[must_use]
    pub fn wants(&self, status: EventStatus) -> bool {
        self.events.contains(&status)
            || (status == EventStatus::Failed && self.events.contains(&EventStatus::Completed))
    }
}

/// The `<Record>` verb's action: who is asked what to do next, once the recording can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// `Action`, as it was given.
    pub url: String,
    /// `Method`.
    pub method: EventMethod,
    /// Where the recording's media will be fetched from, as its client can reach it.
    pub recording_url: String,
    /// In whose words it is told.
    pub dialect: Dialect,
}

/// Which version of Twilio's API a recording was started under: what parameters are called. On disk
/// by its position: add at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// 2008-08-01: `Caller`, `Called`, `Duration`.
    V2008,
    /// 2010-04-01: `From`, `To`, `RecordingDuration`.
    V2010,
}

/// What an action is told beside what every event tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerbEnd {
    /// Twilio's `Digits`: the key that ended the recording, [`HANGUP`] where the call's end did, else
    /// nothing.
    pub digits: String,
    /// What its call was opened with.
    pub parties: Parties,
    /// In whose words it is told.
    pub dialect: Dialect,
}

/// Twilio's `Digits` of a recording that ended because its call did.
pub const HANGUP: &str = "hangup";

/// How an event is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventMethod {
    /// Its parameters in the URL.
    Get,
    /// Its parameters in the body, as a form.
    Post,
}

/// Twilio's `RecordingStatus`. On disk by its position: add at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventStatus {
    /// It has begun.
    InProgress,
    /// Its media can be fetched.
    Completed,
    /// It has ended without sound.
    Absent,
    /// Its sound is lost.
    Failed,
}

impl EventStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::InProgress,
        Self::Completed,
        Self::Absent,
        Self::Failed,
    ];

    /// Twilio's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Absent => "absent",
            Self::Failed => "failed",
        }
    }
}

/// Which of a recording's events it is: its place among them, and on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Number {
    /// It has begun.
    Begun = 0,
    /// One end of several.
    Ended = 1,
    /// Its action is asked for.
    Action = 2,
}

impl Number {
    pub(crate) const ALL: [Self; 3] = [Self::Begun, Self::Ended, Self::Action];

    pub(crate) fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|number| *number as u8 == byte)
    }

    pub(crate) const fn line(self) -> Line {
        match self {
            Self::Begun | Self::Ended => Line::Status,
            Self::Action => Line::Action,
        }
    }
}

/// Events of a recording that wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Line {
    /// Those of its status callback.
    Status,
    /// That of its action.
    Action,
}

/// What somebody is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Of which recording.
    pub sid: RecordingSid,
    /// Whose it is.
    pub account: AccountSid,
    /// Of which call.
    pub call: CallSid,
    /// What has happened to it.
    pub status: EventStatus,
    /// When, milliseconds since the Unix epoch.
    pub made_ms: i64,
    /// Its length in Twilio's whole seconds.
    pub duration_seconds: u64,
    /// Its channels.
    pub channels: Channels,
    /// Its tracks.
    pub track: TrackSelection,
    /// What started it.
    pub origin: Origin,
    /// When it began, milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Whom to tell.
    pub subscription: Subscription,
    /// Rounds of sending that have failed.
    pub attempts: u32,
    /// When it was first tried, milliseconds since the Unix epoch.
    pub first_ms: Option<i64>,
    /// When it is to be tried next, milliseconds since the Unix epoch.
    pub next_ms: i64,
    /// Why it has failed last.
    pub last_error: String,
    /// What is told beside it where it goes to the `<Record>` verb's action; `None` for a status
    /// callback.
    pub verb: Option<VerbEnd>,
}

/// An event that was given up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadEvent {
    /// When, milliseconds since the Unix epoch.
    pub died_ms: i64,
    /// The event, with why in `last_error`.
    pub event: Event,
}

/// What is to be told, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventFigures {
    /// Recordings that have events waiting.
    pub recordings: usize,
    /// As many may have; a start that asks for a callback is refused then.
    pub most_recordings: usize,
    /// Events waiting, those that are being sent among them.
    pub events: usize,
    /// When the oldest of them was made, milliseconds since the Unix epoch.
    pub oldest_ms: Option<i64>,
    /// Events that were given up on.
    pub dead: usize,
}

impl Event {
    pub(crate) fn of(record: &Record, subscription: &Subscription, status: EventStatus) -> Self {
        Self {
            sid: record.sid,
            account: record.account,
            call: record.call,
            status,
            made_ms: record.updated_ms,
            duration_seconds: record.duration_seconds(),
            channels: record.channels,
            track: record.track,
            origin: record.origin,
            started_ms: record.started_ms.unwrap_or(record.created_ms),
            subscription: subscription.clone(),
            attempts: 0,
            first_ms: None,
            next_ms: record.updated_ms,
            last_error: String::new(),
            verb: None,
        }
    }

    /// The request of an action, once the recording is completed.
    pub(crate) fn of_action(record: &Record, action: &Action) -> Self {
        let subscription = Subscription {
            url: action.url.clone(),
            method: action.method,
            events: vec![EventStatus::Completed],
            recording_url: action.recording_url.clone(),
        };
        Self {
            verb: Some(VerbEnd {
                digits: digits(record),
                parties: record.parties.clone(),
                dialect: action.dialect,
            }),
            ..Self::of(record, &subscription, EventStatus::Completed)
        }
    }

    pub(crate) const fn number(&self) -> Number {
        match (&self.verb, self.status) {
            (Some(_), _) => Number::Action,
            (None, EventStatus::InProgress) => Number::Begun,
            (None, EventStatus::Completed | EventStatus::Absent | EventStatus::Failed) => {
                Number::Ended
            }
        }
    }

    /// What it is, in a word: a status, or `action`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.verb {
            Some(_) => "action",
            None => self.status.as_str(),
        }
    }

    /// Host and port that it goes to: what receivers are told apart by.
    #[must_use]
    pub fn host(&self) -> &str {
        let url = self.subscription.url.as_str();
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host)
    }

    /// The same for every try of this event, also over a restart, and for no other event: what
    /// `I-Twilio-Idempotency-Token` carries. Shaped as a UUID.
    #[must_use]
    pub fn token(&self) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(b"reeld event");
        hash.update(self.sid.as_bytes());
        hash.update(self.name().as_bytes());
        let hex = hash.finalize().to_hex();
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &hex[part]);
        parts.join("-")
    }
}

impl Store {
    /// Lets the event of a recording's beginning out, once capture has it. One that is not let
    /// out goes when the recording has ended.
    pub fn announce(&self, sid: RecordingSid) {
        self.inner.catalog.outbox().announce(sid);
    }

    /// Says whom to call when an event may have become due; the first one counts. It must not
    /// block.
    pub fn on_event(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.inner.catalog.outbox().set_wake(Box::new(wake));
    }

    /// The event that has been due longest and whose host (with its port) `may` be sent to. It is
    /// the caller's until one of [`Store::event_delivered`], [`Store::event_delayed`] and
    /// [`Store::event_died`] says what came of it.
    ///
    /// # Errors
    /// What the engine says; the event stays.
    pub fn take_event(
        &self,
        now_ms: i64,
        may: &dyn Fn(&str) -> bool,
    ) -> Result<Option<Event>, StoreError> {
        self.inner.catalog.outbox().take(now_ms, may)
    }

    /// When the first event is due of a host that has none due by `now_ms`, milliseconds since the
    /// Unix epoch: a host that has, and that nothing is taken for, waits for room and not for a time.
    #[must_use]
    pub fn next_event_ms(&self, now_ms: i64) -> Option<i64> {
        self.inner.catalog.outbox().next_due_ms(now_ms)
    }

    /// The receiver has it. A crash within a second may send it again.
    ///
    /// # Errors
    /// What the engine says; it is sent again after the next start.
    pub fn event_delivered(&self, event: &Event, now_ms: i64) -> Result<(), StoreError> {
        self.inner.catalog.outbox().delivered(event, now_ms)
    }

    /// It is tried again at `next_ms`, since `reason`.
    ///
    /// # Errors
    /// What the engine says; after a start it is tried again as if it had not been.
    pub fn event_delayed(
        &self,
        mut event: Event,
        now_ms: i64,
        next_ms: i64,
        reason: &str,
    ) -> Result<(), StoreError> {
        event.failed(now_ms, reason);
        event.next_ms = next_ms;
        self.inner.catalog.outbox().delayed(&event)
    }

    /// It is given up on, since `reason`. Durable.
    ///
    /// # Errors
    /// What the engine says.
    pub fn event_died(
        &self,
        mut event: Event,
        now_ms: i64,
        reason: &str,
    ) -> Result<(), StoreError> {
        event.failed(now_ms, reason);
        self.inner.catalog.outbox().died(&event, now_ms)
    }

    /// Up to `limit` events that wait, in the order of Sids, those that are being sent among them.
    ///
    /// # Errors
    /// What the engine says, or where one cannot be read.
    pub fn pending_events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.inner.catalog.outbox().pending(limit)
    }

    /// Up to `limit` events that were given up on, the oldest first.
    ///
    /// # Errors
    /// What the engine says, or where one cannot be read.
    pub fn dead_events(&self, limit: usize) -> Result<Vec<DeadEvent>, StoreError> {
        self.inner.catalog.outbox().dead(limit)
    }

    /// Puts all that were given up on back and makes all that waits due now; how many recordings
    /// have events waiting then. Durable.
    ///
    /// # Errors
    /// What the engine says.
    pub fn retry_events(&self, now_ms: i64) -> Result<usize, StoreError> {
        self.inner.catalog.outbox().retry(now_ms)
    }

    /// What is to be told, counted. It costs no look at the disk.
    #[must_use]
    pub fn event_figures(&self) -> EventFigures {
        self.inner.catalog.outbox().figures()
    }
}

/// Twilio's `Digits`.
fn digits(record: &Record) -> String {
    match record.ended_by {
        Some(EndedBy::Key) => record.digits.chars().next_back().into_iter().collect(),
        Some(EndedBy::Bye | EndedBy::Inactivity | EndedBy::CallCompleted) => HANGUP.to_owned(),
        Some(
            EndedBy::Stopped
            | EndedBy::Timeout
            | EndedBy::MaxLength
            | EndedBy::MaxSize
            | EndedBy::NoPackets
            | EndedBy::Shutdown
            | EndedBy::Recovered
            | EndedBy::DiskFull
            | EndedBy::DiskFailed
            | EndedBy::Imported,
        )
        | None => String::new(),
    }
}

impl Event {
    fn failed(&mut self, now_ms: i64, reason: &str) {
        self.attempts = self.attempts.saturating_add(1);
        self.first_ms.get_or_insert(now_ms);
        self.last_error = reason[..reason.floor_char_boundary(REASON_BYTES)].to_owned();
    }
}
