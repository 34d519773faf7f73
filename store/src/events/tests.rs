//! What events do: made with the change that they tell of, sendable when it is durable, in order,
//! and kept over crashes.

use std::fs;

use super::*;
use crate::harness::{
    T0, account, begin, config, crash, end, new, open, record, served, sid, sound, with_both,
};
use crate::{MediaKind, NewRecording, Stage};

const LATER: i64 = T0 + 3_600_000;

fn told(n: u64, events: &[EventStatus]) -> NewRecording {
    NewRecording {
        subscription: Some(Subscription {
            url: format!("http://receiver:90/cb?n={n}"),
            method: EventMethod::Post,
            events: events.to_vec(),
            recording_url: format!("http://reeld/{n}"),
        }),
        ..new(n)
    }
}

fn take(store: &Store) -> Option<(RecordingSid, EventStatus)> {
    taken(store).map(|event| (event.sid, event.status))
}

fn taken(store: &Store) -> Option<Event> {
    store.take_event(LATER, &|_| true).unwrap()
}

/// How many recordings have events waiting, and how many events were given up on.
fn counts(store: &Store) -> (usize, usize) {
    let figures = store.event_figures();
    (figures.recordings, figures.dead)
}

#[test]
fn a_recordings_events_come_in_order_one_at_a_time() {
    with_both(|dir, media| {
        let store = open(dir.path(), media);
        begin(&store, told(1, &EventStatus::ALL));
        assert_eq!(take(&store), None, "its start may still be taken back");
        store.announce(sid(1));
        let first = taken(&store).unwrap();
        assert_eq!(first.status, EventStatus::InProgress);

        let mut writing = store.take(sid(1)).unwrap();
        writing.append(&sound(640), 320).unwrap();
        let done = store.finish(writing, end(320)).unwrap();
        assert_eq!(take(&store), None, "one is out");
        store
            .event_delayed(first, LATER, LATER + 5, "no answer")
            .unwrap();
        assert_eq!(take(&store), None, "it is not due again yet");
        assert_eq!(store.next_event_ms(LATER), Some(LATER + 5));
        let again = store.take_event(LATER + 5, &|_| true).unwrap().unwrap();
        assert_eq!(
            (again.status, again.attempts, again.last_error.as_str()),
            (EventStatus::InProgress, 1, "no answer")
        );
        store.event_delivered(&again, LATER).unwrap();

        let second = taken(&store).unwrap();
        assert_eq!(second.status, EventStatus::Completed);
        assert_eq!(second.duration_seconds, done.duration_seconds());
        assert_ne!(second.token(), again.token());
        assert!(!served(&store, &done).is_empty());
        store.event_delivered(&second, LATER).unwrap();
        assert_eq!((take(&store), counts(&store)), (None, (0, 0)));
    });
}

#[test]
fn only_what_is_asked_for_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    record(&store, new(1), &sound(640));
    record(&store, told(2, &[EventStatus::Absent]), &sound(640));
    record(&store, told(3, &[EventStatus::Completed]), &[]);
    assert_eq!(take(&store), None);
    record(&store, told(4, &[EventStatus::Completed]), &sound(640));
    record(&store, told(5, &[EventStatus::Absent]), &[]);
    assert_eq!(take(&store), Some((sid(4), EventStatus::Completed)));
    assert_eq!(take(&store), Some((sid(5), EventStatus::Absent)));
    assert_eq!(take(&store), None);
}

#[test]
fn a_start_that_is_taken_back_is_never_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    begin(&store, told(1, &EventStatus::ALL));
    store.abort(sid(1)).unwrap();
    store.announce(sid(1));
    assert_eq!((take(&store), counts(&store)), (None, (0, 0)));
    drop(store);
    let store = open(dir.path(), MediaKind::Local);
    assert_eq!((take(&store), counts(&store)), (None, (0, 0)));
}

#[test]
fn what_was_not_delivered_is_there_after_a_crash_and_has_its_token() {
    with_both(|dir, media| {
        let store = open(dir.path(), media);
        record(&store, told(1, &[EventStatus::Completed]), &sound(640));
        begin(
            &store,
            told(2, &[EventStatus::InProgress, EventStatus::Completed]),
        );
        let out = taken(&store).unwrap();
        crash(store, dir.path());

        let store = open(dir.path(), media);
        store.recover(T0).unwrap();
        // It had begun, as far as anybody knows, and it ended without sound, of which nobody asked.
        assert_eq!(take(&store), Some((sid(2), EventStatus::InProgress)));
        let again = taken(&store).unwrap();
        assert_eq!((again.sid, again.token()), (out.sid, out.token()));
        assert_eq!(take(&store), None);
    });
}

#[test]
fn a_take_that_is_lost_is_told_as_failed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    begin(&store, told(1, &[EventStatus::Completed]));
    let spool = dir.path().join("spool");
    crash(store, dir.path());
    for entry in fs::read_dir(&spool).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let store = open(dir.path(), MediaKind::Local);
    assert_eq!(store.recover(T0).unwrap().absent, [sid(1)]);
    assert_eq!(take(&store), Some((sid(1), EventStatus::Failed)));
    assert_eq!(
        store.get(account(1), sid(1)).unwrap().unwrap().stage,
        Stage::Absent
    );
}

#[test]
fn one_given_up_on_is_kept_until_it_is_retried_and_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    record(
        &store,
        told(1, &[EventStatus::InProgress, EventStatus::Completed]),
        &sound(640),
    );
    let first = taken(&store).unwrap();
    store.event_died(first.clone(), LATER, "410 Gone").unwrap();
    assert_eq!(counts(&store), (1, 1));
    let second = taken(&store).unwrap();
    assert_eq!(second.status, EventStatus::Completed);

    // It comes back while the second is out: that is the one that is delivered.
    assert_eq!(
        store.dead_events(9).unwrap()[0].event.last_error,
        "410 Gone"
    );
    store.retry_events(LATER).unwrap();
    store.event_delivered(&second, LATER).unwrap();
    drop(store);
    let store = open(dir.path(), MediaKind::Local);
    assert_eq!(store.dead_events(9).unwrap(), []);
    let back = taken(&store).unwrap();
    assert_eq!((back.status, back.token()), (first.status, first.token()));
    assert_eq!((back.attempts, take(&store)), (0, None));
}

#[test]
fn a_host_that_is_busy_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    record(&store, told(1, &[EventStatus::Completed]), &sound(640));
    let mut other = told(2, &[EventStatus::Completed]);
    if let Some(subscription) = &mut other.subscription {
        subscription.url = "https://a:b@other/cb".to_owned();
    }
    record(&store, other, &sound(640));
    let event = store
        .take_event(LATER, &|host| host != "receiver:90")
        .unwrap();
    assert_eq!(event.unwrap().sid, sid(2));
    let event = store.take_event(LATER, &|host| host == "other").unwrap();
    assert_eq!(event, None);
    assert_eq!(take(&store), Some((sid(1), EventStatus::Completed)));
}

#[test]
fn a_catalog_made_anew_has_its_outbox() {
    with_both(|dir, media| {
        let store = open(dir.path(), media);
        record(&store, told(1, &[EventStatus::Completed]), &sound(640));
        record(&store, told(2, &[EventStatus::Completed]), &sound(640));
        let dead = taken(&store).unwrap();
        store.event_died(dead, LATER, "it was refused").unwrap();
        drop(store);
        Store::rebuild(config(dir.path(), media), &mut |_| {}).unwrap();
        let store = open(dir.path(), media);
        store.recover(T0).unwrap();
        assert_eq!(counts(&store), (1, 1));
        assert_eq!(take(&store), Some((sid(2), EventStatus::Completed)));
    });
}

fn with_action(n: u64) -> NewRecording {
    NewRecording {
        action: Some(Action {
            url: format!("http://app:80/next?n={n}"),
            method: EventMethod::Get,
            recording_url: format!("http://reeld/{n}"),
            dialect: Dialect::V2008,
        }),
        ..told(n, &[EventStatus::Completed])
    }
}

#[test]
fn an_action_waits_for_no_status_callback_and_outlives_a_crash() {
    with_both(|dir, media| {
        let store = open(dir.path(), media);
        begin(&store, with_action(1));
        assert_eq!(taken(&store), None, "its media cannot be fetched yet");
        let mut writing = store.take(sid(1)).unwrap();
        writing.append(&sound(640), 320).unwrap();
        let mut ended = end(320);
        ended.summary.ended_by = EndedBy::Key;
        ended.summary.digits = "12#".to_owned();
        let done = store.finish(writing, ended).unwrap();
        assert!(!served(&store, &done).is_empty());

        // Its status callback is out, and goes on being so.
        let busy = |host: &str| host == "receiver:90";
        let status = store.take_event(LATER, &busy).unwrap().unwrap();
        assert_eq!(status.verb, None);
        let action = taken(&store).unwrap();
        assert_eq!((action.name(), action.host()), ("action", "app:80"));
        assert_ne!(action.token(), status.token());
        let verb = action.verb.clone().unwrap();
        assert_eq!(verb.digits, "#", "the key that ended it");
        assert_eq!(verb.dialect, Dialect::V2008);
        assert_eq!(counts(&store), (1, 0), "of one recording");
        crash(store, dir.path());

        let store = open(dir.path(), media);
        store.recover(T0).unwrap();
        let again = store
            .take_event(LATER, &|host| host == "app:80")
            .unwrap()
            .unwrap();
        assert_eq!((again.token(), &again.verb), (action.token(), &action.verb));
        store.event_died(again, LATER, "410 Gone").unwrap();
        assert_eq!(store.dead_events(9).unwrap()[0].event.name(), "action");
        assert_eq!(take(&store), Some((sid(1), EventStatus::Completed)));
        assert_eq!(taken(&store), None);
        store.retry_events(LATER).unwrap();
        let back = taken(&store).unwrap();
        assert_eq!(back.token(), action.token());
        store.event_delivered(&back, LATER).unwrap();
        assert_eq!(counts(&store), (1, 0));
    });
}

#[test]
fn what_is_empty_or_lost_is_not_submitted_to_its_action() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    record(&store, with_action(1), &[]);
    assert_eq!(taken(&store), None);
    begin(&store, with_action(2));
    let spool = dir.path().join("spool");
    crash(store, dir.path());
    for entry in fs::read_dir(&spool).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let store = open(dir.path(), MediaKind::Local);
    store.recover(T0).unwrap();
    assert_eq!(take(&store), Some((sid(2), EventStatus::Failed)));
    assert_eq!((taken(&store), counts(&store)), (None, (1, 0)));
    store.begin(with_action(3)).unwrap();
    store.abort(sid(3)).unwrap();
    assert_eq!(taken(&store), None);
}

#[test]
fn an_action_is_told_the_key_or_that_the_call_is_over() {
    let mut record = crate::stored::tests::sample().record;
    for (ended_by, told) in [
        (EndedBy::Key, "#"),
        (EndedBy::CallCompleted, HANGUP),
        (EndedBy::Bye, HANGUP),
        (EndedBy::Inactivity, HANGUP),
        (EndedBy::Timeout, ""),
        (EndedBy::MaxLength, ""),
        (EndedBy::Stopped, ""),
        (EndedBy::Recovered, ""),
    ] {
        record.ended_by = Some(ended_by);
        assert_eq!(digits(&record), told, "{ended_by:?}");
    }
}

#[test]
fn a_host_that_takes_no_more_is_asked_of_once_however_much_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    for n in 1..=30 {
        record(&store, told(n, &[EventStatus::Completed]), &sound(2));
    }
    drop(store);
    let store = open(dir.path(), MediaKind::Local);
    let asked = std::cell::Cell::new(0);
    let refused = store.take_event(LATER, &|_| {
        asked.set(asked.get() + 1);
        false
    });
    assert_eq!((refused.unwrap(), asked.get()), (None, 1));
    assert_eq!(std::iter::from_fn(|| take(&store)).count(), 30);
}

#[test]
fn figures_follow_what_waits_also_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    assert_eq!(store.event_figures().oldest_ms, None);
    let all = [EventStatus::InProgress, EventStatus::Completed];
    let first = record(&store, told(1, &all), &sound(640));
    record(&store, told(2, &all), &sound(640));
    begin(&store, told(3, &all));
    store.abort(sid(3)).unwrap();
    let figures = store.event_figures();
    assert_eq!(
        (figures.recordings, figures.events, figures.dead),
        (2, 4, 0)
    );
    let began = taken(&store).unwrap();
    assert_eq!(figures.oldest_ms, Some(began.made_ms));

    store.event_delivered(&began, LATER).unwrap();
    let other = taken(&store).unwrap();
    store
        .event_died(other.clone(), LATER, "it was refused")
        .unwrap();
    drop(store);
    let store = open(dir.path(), MediaKind::Local);
    let figures = store.event_figures();
    assert_eq!(
        (figures.recordings, figures.events, figures.dead),
        (2, 2, 1)
    );
    assert_eq!(figures.oldest_ms, Some(first.updated_ms));

    store.retry_events(LATER).unwrap();
    let figures = store.event_figures();
    assert_eq!((figures.events, figures.dead), (3, 0));
    for _ in 0..3 {
        store
            .event_delivered(&taken(&store).unwrap(), LATER)
            .unwrap();
    }
    let none = store.event_figures();
    assert_eq!((none.recordings, none.events, none.oldest_ms), (0, 0, None));
}
