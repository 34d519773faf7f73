//! What only the inside of a take can be brought to.

use crate::harness::*;
use crate::{MediaKind, MediaReader, NewRecording, Store};

use super::*;

const fn assert_send<T: Send>() {}
const fn assert_shared<T: Clone + Send + Sync>() {}
const _: () = {
    assert_send::<Take>();
    assert_send::<MediaReader>();
    assert_shared::<Store>();
};

#[test]
fn a_take_ends_before_riff_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    let channels = reeld_model::Channels::Mono;
    begin(&store, NewRecording { channels, ..new(1) });
    let mut take = store.take(sid(1)).unwrap();
    take.append(&sound(100), 100).unwrap();
    let most = u64::from(wav::MAX_DATA_BYTES) / 2;
    take.frames = most - 1;
    for _ in 0..2 {
        let error = take.append(&[0; 2], most).unwrap_err();
        assert!(error.to_string().contains("4 GiB"), "{error}");
    }
    take.frames = 100;
    let record = store.finish(take, end(100)).unwrap();
    assert_eq!(
        (record.frames, record.ended_by),
        (100, Some(EndedBy::MaxSize))
    );
    assert_eq!(served(&store, &record), file_of(channels, &sound(100)));
    assert_clean(&store);
}

/// A recording at 16 kHz in the store, its take appended to and not yet finished.
fn wideband(store: &Store, n: u64, samples: &[i16]) -> Take {
    let trim = reeld_model::Trim::TrimSilence;
    begin(store, NewRecording { trim, ..new(n) });
    let mut take = store.take(sid(n)).unwrap();
    take.set_rate(16_000).unwrap();
    take.append(samples, samples.len() as u64 / 2).unwrap();
    take
}

#[test]
fn a_take_has_the_rate_that_it_was_told_to_its_end() {
    for media in [MediaKind::Local, MediaKind::Sled] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), media);
        let samples = sound(2 * 24_000);
        let mut take = wideband(&store, 1, &samples);
        assert!(take.set_rate(48_000).is_err(), "it has sound already");
        assert!(take.set_rate(16_000).is_ok(), "nothing changes");
        let mut end = end(24_000);
        end.summary.rate_hz = 16_000;
        end.summary.quality[1].codecs.push("G722".to_owned());
        let record = store.finish(take, end.clone()).unwrap();
        assert_eq!((record.rate_hz, record.frames), (16_000, 24_000));
        assert_eq!(
            (record.duration_ms(), record.duration_seconds()),
            (1_500, 2)
        );
        assert_eq!(record.quality, end.summary.quality);
        let file = served(&store, &record);
        assert_eq!(file[24..28], 16_000_u32.to_le_bytes());
        assert_eq!(file[44..], bytes_of(&samples));
        assert_eq!(store.find(sid(1)).unwrap(), Some(record));
        assert_clean(&store);
    }
}

#[test]
fn a_take_that_dies_is_recovered_at_its_rate() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    let mut samples = sound(2 * 16_000);
    samples.extend([0; 2 * 3_200]);
    drop(wideband(&store, 1, &samples));
    // One that dies before its first sound has none, whatever its rate.
    drop(wideband(&store, 2, &[]));
    crash(store, dir.path());
    let store = open(dir.path(), MediaKind::Local);
    let recovery = store.recover(T0).unwrap();
    assert_eq!(recovery.problems, [""; 0]);
    assert_eq!(recovery.absent, [sid(2)]);
    let [record] = &recovery.recovered[..] else {
        panic!("{recovery:?}");
    };
    assert_eq!((record.rate_hz, record.duration_ms()), (16_000, 1_000));
    assert_eq!(record.quality, <[_; 2]>::default());
    assert_eq!(served(&store, record)[24..28], 16_000_u32.to_le_bytes());
    assert_clean(&store);
}

#[test]
fn no_rate_at_all_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    begin(&store, new(1));
    let mut take = store.take(sid(1)).unwrap();
    assert!(take.set_rate(0).is_err());
    assert_eq!(take.rate_hz(), 8_000);
}

#[test]
fn a_record_takes_no_more_names_than_it_has_room_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    begin(&store, new(1));
    let mut take = store.take(sid(1)).unwrap();
    take.append(&sound(200), 100).unwrap();
    let mut end = end(100);
    let quality = &mut end.summary.quality[0];
    quality.undecodable = vec!["é".repeat(30_000); 300];
    let range = reeld_model::ConcealedRange {
        from_frame: u64::MAX,
        frames: u64::MAX,
    };
    quality.concealed = vec![range; 100_000];
    let record = store.finish(take, end).unwrap();
    assert_eq!(record.quality[0].undecodable, vec!["é".repeat(32); 16]);
    assert_eq!(record.quality[0].concealed.len(), 256);
    assert_clean(&store);
}
