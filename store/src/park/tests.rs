//! Recordings that are parked and resumed, and those that nobody goes on with.

use std::fs::OpenOptions;

use reeld_model::{Channels, EndedBy, Trim};

use crate::harness::{
    T0, assert_clean, begin, end, file_of, new, open, record, served, sid, sound, with_all,
};
use crate::{GoesOn, NewRecording, Stage, Store, StoreError};

/// A recording of dual channels with these samples, parked.
fn parked(store: &Store, new: NewRecording, samples: &[i16], keep_frames: u64) {
    let begun = begin(store, new);
    let mut take = store.take(begun.sid).unwrap();
    let mut frames = 0;
    for block in samples.chunks(2 * 1_000) {
        frames += block.len() as u64 / 2;
        take.append(block, keep_frames.min(frames)).unwrap();
    }
    let mut end = end(keep_frames);
    end.summary.ended_by = EndedBy::Shutdown;
    store.park(take, &end).unwrap();
}

fn goes_on(frames: u64, keep_frames: u64) -> GoesOn {
    GoesOn {
        frames,
        keep_frames,
        rate_hz: 8_000,
        started_ms: None,
    }
}

fn trimmed(n: u64) -> NewRecording {
    NewRecording {
        trim: Trim::TrimSilence,
        ..new(n)
    }
}

#[test]
fn a_parked_recording_goes_on_as_if_nothing_had_been() {
    with_all(|dir, media| {
        let sound = sound(2 * 9_000);
        let (first, rest) = sound.split_at(2 * 5_000);
        let store = open(dir.path(), media);
        // Beyond what capture goes on from it has what the daemon's own end would have added.
        parked(&store, new(1), &[first, &[77; 2 * 300]].concat(), 5_300);
        drop(store);

        let store = open(dir.path(), media);
        store.resume(sid(1), goes_on(5_000, 5_000)).unwrap();
        // Whose it is recovery leaves alone.
        assert_eq!(store.recover(T0).unwrap(), Default::default());
        let mut take = store.take(sid(1)).unwrap();
        assert_eq!((take.frames(), take.started_ms()), (5_000, Some(T0 + 7)));
        take.append(rest, 9_000).unwrap();
        let mut ending = end(9_000);
        ending.started_ms = take.started_ms();
        let record = store.finish(take, ending).unwrap();
        assert_eq!(served(&store, &record), file_of(Channels::Dual, &sound));
        assert_eq!((record.frames, record.started_ms), (9_000, Some(T0 + 7)));
        assert!(!record.recovered);
        assert_clean(&store);
    });
}

#[test]
fn one_that_nobody_goes_on_with_has_ended_in_order() {
    with_all(|dir, media| {
        let sound = sound(2 * 4_000);
        let store = open(dir.path(), media);
        parked(&store, new(1), &sound, 4_000);
        parked(&store, trimmed(2), &sound, 3_000);
        drop(store);
        let store = open(dir.path(), media);
        let recovery = store.recover(T0 + 1_000_000).unwrap();
        assert!(recovery.problems.is_empty(), "{recovery:?}");
        assert_eq!(recovery.recovered.len(), 2);
        for (n, frames) in [(1, 4_000), (2, 3_000)] {
            let record = store.find(sid(n)).unwrap().unwrap();
            assert_eq!(record.ended_by, Some(EndedBy::Shutdown));
            assert_eq!((record.stage, record.frames), (Stage::Completed, frames));
            assert_eq!((record.updated_ms, record.recovered), (T0 + 99, false));
            let samples = &sound[..2 * usize::try_from(frames).unwrap()];
            assert_eq!(served(&store, &record), file_of(Channels::Dual, samples));
        }
        assert_clean(&store);
    });
}

#[test]
fn silence_that_a_trimmed_one_would_not_keep_is_there_when_sound_follows() {
    with_all(|dir, media| {
        let sound = sound(2 * 4_000);
        let store = open(dir.path(), media);
        parked(&store, trimmed(1), &sound[..2 * 3_000], 1_000);
        drop(store);
        let store = open(dir.path(), media);
        store.resume(sid(1), goes_on(3_000, 1_000)).unwrap();
        let mut take = store.take(sid(1)).unwrap();
        assert_eq!((take.frames(), take.keep_frames()), (3_000, 1_000));
        take.append(&sound[2 * 3_000..], 4_000).unwrap();
        let record = store.finish(take, end(4_000)).unwrap();
        assert_eq!(served(&store, &record), file_of(Channels::Dual, &sound));
    });
}

#[test]
fn a_kill_after_the_resume_is_as_any_kill() {
    with_all(|dir, media| {
        let sound = sound(2 * 4_000);
        let store = open(dir.path(), media);
        parked(&store, new(1), &sound[..2 * 3_000], 3_000);
        drop(store);
        let store = open(dir.path(), media);
        store.resume(sid(1), goes_on(2_000, 2_000)).unwrap();
        let mut take = store.take(sid(1)).unwrap();
        take.append(&sound[2 * 2_000..], 4_000).unwrap();
        drop(take);
        drop(store);
        let store = open(dir.path(), media);
        store.recover(T0).unwrap();
        let record = store.find(sid(1)).unwrap().unwrap();
        assert_eq!(record.ended_by, Some(EndedBy::Recovered));
        assert_eq!(served(&store, &record), file_of(Channels::Dual, &sound));
    });
}

#[test]
fn what_cannot_go_on_is_refused_and_kept() {
    with_all(|dir, media| {
        let sound = sound(2 * 1_000);
        let store = open(dir.path(), media);
        record(&store, new(1), &sound);
        parked(&store, new(2), &sound, 1_000);
        let refused = |n, frames| store.resume(sid(n), goes_on(frames, frames)).unwrap_err();
        assert!(matches!(refused(1, 10), StoreError::NotLive { .. }));
        assert!(matches!(refused(9, 10), StoreError::NotLive { .. }));
        // More than its file has.
        let longer = refused(2, 50_000);
        assert!(matches!(longer, StoreError::Io { .. }), "{longer}");
        store.resume(sid(2), goes_on(1_000, 1_000)).unwrap();
        assert!(matches!(refused(2, 10), StoreError::TakeInUse { .. }));
        drop(store.take(sid(2)).unwrap());
        drop(store);
        let store = open(dir.path(), media);
        let recovered = store.recover(T0).unwrap().recovered;
        assert_eq!(recovered[0].frames, 1_000);
    });
}

#[test]
fn a_parked_take_that_is_torn_is_recovered_like_any_other() {
    with_all(|dir, media| {
        let sound = sound(2 * 1_000);
        let store = open(dir.path(), media);
        parked(&store, new(1), &sound, 1_000);
        drop(store);
        let path = dir.path().join(format!("spool/{}.wav", sid(1)));
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 3).unwrap();
        let store = open(dir.path(), media);
        let recovered = store.recover(T0).unwrap().recovered;
        assert_eq!(recovered[0].ended_by, Some(EndedBy::Recovered));
        assert_eq!(
            served(&store, &recovered[0]),
            file_of(Channels::Dual, &sound)
        );
    });
}
