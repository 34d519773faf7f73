//! Reading what is kept, at every size around the pieces' edges.

use std::io::{Read as _, Seek as _, SeekFrom};

use proptest::prelude::*;
use reeld_model::Channels;

use crate::harness::*;
use crate::{Deletion, MediaKind, NewRecording, Recovery};

#[test]
fn every_length_around_a_piece_comes_back() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        let edge = (1 << 16) / 2 - 22; // samples, with the header, in one piece
        for (n, samples) in [1, edge - 1, edge, edge + 1, 2 * edge + 44, 17 * 32_768]
            .into_iter()
            .enumerate()
        {
            let new = NewRecording {
                channels: Channels::Mono,
                ..new(n as u64)
            };
            let record = record(&store, new, &sound(samples));
            assert!(
                served(&store, &record) == file_of(Channels::Mono, &sound(samples)),
                "{samples}"
            );
        }
        assert_clean(&store);
        let mut sids = Vec::new();
        store
            .inner
            .media
            .each(&mut |sid| {
                sids.push(sid);
                Ok(())
            })
            .unwrap();
        sids.sort_unstable();
        assert_eq!(sids, (0..6).map(sid).collect::<Vec<_>>());
    });
}

#[test]
fn a_reader_can_be_sent_and_seeks_like_a_file() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        let record = record(&store, new(1), &sound(1_000));
        let mut reader = store.media(&record).unwrap();
        let bytes = std::thread::spawn(move || {
            assert_eq!(reader.seek(SeekFrom::End(-4)).unwrap(), 2_040);
            assert_eq!(reader.seek(SeekFrom::Current(-4)).unwrap(), 2_036);
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            assert_eq!(reader.seek(SeekFrom::Start(9_000)).unwrap(), 9_000);
            assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
            assert!(reader.seek(SeekFrom::End(-9_000)).is_err());
            bytes
        });
        assert_eq!(bytes.join().unwrap(), bytes_of(&sound(1_000))[1_992..]);
    });
}

#[test]
fn media_of_the_kind_that_was_configured_before_are_read_and_deleted() {
    with_all(|dir, before| {
        let now = match before {
            MediaKind::Local => MediaKind::Sled,
            MediaKind::Sled => MediaKind::Local,
        };
        let store = open(dir.path(), before);
        let old: Vec<_> = (0..3)
            .map(|n| record(&store, new(n), &sound(1_000)))
            .collect();
        crash(store, dir.path());
        let store = open(dir.path(), now);
        assert_eq!(store.recover(T0).unwrap(), Recovery::default());
        let newer = record(&store, new(9), &sound(2_000));
        assert!(served(&store, &old[0]) == file_of(Channels::Dual, &sound(1_000)));
        assert!(served(&store, &newer) == file_of(Channels::Dual, &sound(2_000)));
        assert_clean(&store);
        let mut reader = store.media(&old[1]).unwrap();
        for n in [1, 2, 9] {
            assert_eq!(
                store.delete(account(1), sid(n), T0).unwrap(),
                Deletion::Deleted
            );
        }
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert!(bytes == file_of(Channels::Dual, &sound(1_000)));
        drop(reader);
        assert!(store.inner.catalog.buried().unwrap().is_empty());
        let mut sids = Vec::new();
        let tell = &mut |sid| {
            sids.push(sid);
            Ok(())
        };
        store.inner.media.each(tell).unwrap();
        assert_eq!(sids, [sid(0)]);
        assert_clean(&store);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn any_range_is_that_of_the_file(ranges in prop::collection::vec((0_u64..300_000, 0_usize..150_000), 1..8)) {
        let samples = sound(150_000);
        let expected = file_of(Channels::Dual, &samples);
        with_all(|dir, media| {
            let store = open(dir.path(), media);
            let record = record(&store, new(1), &samples);
            let mut reader = store.media(&record).unwrap();
            for &(start, length) in &ranges {
                reader.seek(SeekFrom::Start(start)).unwrap();
                let mut bytes = Vec::new();
                (&mut reader).take(length as u64).read_to_end(&mut bytes).unwrap();
                let start = usize::try_from(start).unwrap().min(expected.len());
                let end = (start + length).min(expected.len());
                assert!(bytes == expected[start..end]);
            }
        });
    }
}
