//! The bytes of what the outbox keeps: a version, then postcard.
//!
//! Called by [`super`]. A change of a layout is another version; older ones are read here and written
//! no more. The enums within only ever grow at their ends.

use reeld_model::{AccountSid, CallSid, Channels, RecordingSid, TrackSelection};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::kv::Value;
use crate::{Action, Event, EventStatus, Origin, Subscription};

/// What has bytes here.
pub(super) trait Kept: Serialize + DeserializeOwned {
    /// The version that is written.
    const VERSION: u8;

    /// What bytes of an older version mean.
    fn older(_version: u8, _body: &[u8]) -> Option<Self> {
        None
    }
}

impl Kept for Subscription {
    const VERSION: u8 = 1;
}

impl Kept for Action {
    const VERSION: u8 = 1;
}

impl Kept for Event {
    const VERSION: u8 = 2;

    fn older(version: u8, body: &[u8]) -> Option<Self> {
        (version == 1).then(|| whole::<Event1>(body).map(Into::into))?
    }
}

/// An event as version 1 had it, without a verb's action.
#[derive(Deserialize)]
struct Event1 {
    sid: RecordingSid,
    account: AccountSid,
    call: CallSid,
    status: EventStatus,
    made_ms: i64,
    duration_seconds: u64,
    channels: Channels,
    track: TrackSelection,
    origin: Origin,
    started_ms: i64,
    subscription: Subscription,
    attempts: u32,
    first_ms: Option<i64>,
    next_ms: i64,
    last_error: String,
}

impl From<Event1> for Event {
    fn from(old: Event1) -> Self {
        Self {
            sid: old.sid,
            account: old.account,
            call: old.call,
            status: old.status,
            made_ms: old.made_ms,
            duration_seconds: old.duration_seconds,
            channels: old.channels,
            track: old.track,
            origin: old.origin,
            started_ms: old.started_ms,
            subscription: old.subscription,
            attempts: old.attempts,
            first_ms: old.first_ms,
            next_ms: old.next_ms,
            last_error: old.last_error,
            verb: None,
        }
    }
}

/// The bytes that [`decode`] reads.
pub(super) fn encode<T: Kept>(value: &T) -> Value {
    postcard::to_extend(value, vec![T::VERSION])
        .expect("an event has no part that postcard refuses, and a Vec takes every byte")
        .into()
}

/// `None` where the bytes are damaged or of an unknown version.
pub(super) fn decode<T: Kept>(bytes: &[u8]) -> Option<T> {
    let (&version, body) = bytes.split_first()?;
    if version == T::VERSION {
        whole(body)
    } else {
        T::older(version, body)
    }
}

/// What all of the bytes mean, and not a part of them.
fn whole<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(body).ok()?;
    rest.is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventMethod;

    /// What commit a8454ff wrote.
    const BYTES: &str = "\
        0100000000000000000000000000000001000000000000000000000000000000020000000000000000000000\
        000000000301c0c9b2fef9623c01020180a0abfef9621d68747470733a2f2f6d653a7840683a39302f63623f\
        613d312372633d32010200010e687474703a2f2f7265656c642f31030190d9b2fef962b0f5b3fef962096e6f\
        20616e73776572";

    #[test]
    fn an_event_of_version_1_is_read_and_written_as_the_present_one() {
        let wanted = Event {
            sid: "RE00000000000000000000000000000001".parse().unwrap(),
            account: "AC00000000000000000000000000000002".parse().unwrap(),
            call: "CA00000000000000000000000000000003".parse().unwrap(),
            status: EventStatus::Completed,
            made_ms: 1_700_000_060_000,
            duration_seconds: 60,
            channels: Channels::Dual,
            track: TrackSelection::Both,
            origin: Origin::RecordVerb,
            started_ms: 1_700_000_000_000,
            subscription: Subscription {
                url: "https://me:x@h:90/cb?a=1#rc=2".to_owned(),
                method: EventMethod::Post,
                events: vec![EventStatus::InProgress, EventStatus::Completed],
                recording_url: "http://reeld/1".to_owned(),
            },
            attempts: 3,
            first_ms: Some(1_700_000_061_000),
            next_ms: 1_700_000_071_000,
            last_error: "no answer".to_owned(),
            verb: None,
        };
        let bytes = hex::decode(BYTES).unwrap();
        assert_eq!(decode::<Event>(&bytes), Some(wanted.clone()));
        assert_eq!(decode::<Event>(&bytes[..bytes.len() - 1]), None);
        let written = encode(&wanted);
        assert_eq!(written[0], Event::VERSION);
        assert_eq!(decode::<Event>(&written), Some(wanted));
        assert_eq!(decode::<Event>(&[3, 0]), None);
    }
}
