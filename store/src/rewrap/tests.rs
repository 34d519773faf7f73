//! Encryption through the store: what is on the disk, keys that are missing, rotation and its crashes.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::harness::*;
use crate::{Finding, MediaKind, Record, Stage};

/// Every file below the folder, but for the keys, which a real folder has not.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.exists() {
            continue; // no media as files
        }
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !name.starts_with("test-key") {
                let bytes = fs::read(&path).unwrap();
                files.push((path, bytes));
            }
        }
    }
    files
}

/// Samples that look like nothing else on a disk.
fn sound_of(n: u64, frames: usize) -> Vec<i16> {
    let mut bytes = vec![0; frames * 4];
    let mut seed = blake3::Hasher::new();
    seed.update(&n.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
        .chunks(2)
        .map(|two| i16::from_le_bytes([two[0], two[1]]))
        .collect()
}

fn assert_served(store: &Store, record: &Record, samples: &[i16]) {
    assert!(served(store, record) == file_of(record.channels, samples));
}

#[test]
fn nothing_of_the_sound_is_on_the_disk_while_it_runs_and_after() {
    with_both(|dir, media| {
        give_key(dir.path(), 1);
        let store = open(dir.path(), media);
        let samples = sound_of(1, 40_000);
        let is_there = |samples: &[i16]| {
            let bytes = bytes_of(samples);
            let runs: std::collections::HashSet<&[u8]> = bytes.chunks_exact(16).collect();
            files(dir.path()).iter().any(|(path, file)| {
                let found = file.windows(16).any(|run| runs.contains(run));
                found || (path.extension().is_some_and(|e| e == "wav") && file.starts_with(b"RIFF"))
            })
        };
        begin(&store, new(1));
        let mut take = store.take(sid(1)).unwrap();
        take.append(&samples, 40_000).unwrap();
        store.sync_takes().unwrap();
        assert!(!is_there(&samples), "{media:?}: the take");
        let record = store.finish(take, end(40_000)).unwrap();
        assert!(!is_there(&samples), "{media:?}: the media");
        assert_served(&store, &record, &samples);
        drop(store);
        assert!(!is_there(&samples), "{media:?}: the closed folder");
        // The search finds what is there in clear.
        fs::remove_file(dir.path().join("test-key")).unwrap();
        fs::remove_file(dir.path().join("encryption")).unwrap();
        let store = open(dir.path(), media);
        crate::harness::record(&store, new(2), &sound_of(2, 40_000));
        drop(store);
        assert!(is_there(&sound_of(2, 40_000)));
    });
}

#[test]
fn both_kinds_lie_side_by_side_and_a_missing_key_is_said_and_harms_nothing() {
    with_both(|dir, media| {
        let store = open(dir.path(), media);
        let clear = record(&store, new(1), &sound_of(1, 500));
        drop(store);
        give_key(dir.path(), 1);
        let store = open(dir.path(), media);
        assert!(store.has_keys());
        let locked = record(&store, new(2), &sound_of(2, 500));
        assert_served(&store, &clear, &sound_of(1, 500));
        assert_served(&store, &locked, &sound_of(2, 500));
        assert!(store.media(&clear).unwrap().into_file().is_ok() == (media == MediaKind::Local));
        assert!(store.media(&locked).unwrap().into_file().is_err());
        let key = store.health().encryption_key.unwrap();
        assert_clean(&store);
        drop(store);

        // Without its key.
        take_keys(dir.path(), 0);
        let store = open(dir.path(), media);
        assert_served(&store, &clear, &sound_of(1, 500));
        let refused = store.media(&locked).unwrap_err();
        assert!(
            matches!(refused, StoreError::KeyMissing { sid: s, key: k } if (s, k) == (sid(2), key))
        );
        assert!(refused.to_string().contains(&key.to_string()));
        assert_eq!(store.integrity_figures().locked, 1);
        assert_eq!(store.health().missing_keys, [key]);
        let report = verify(&store);
        assert_eq!(
            report.findings,
            [Finding::Locked(sid(2), refused.to_string())]
        );
        assert_eq!(report.damaged, []);
        let mut scrub = crate::Scrub::resume(store.clone(), std::time::Duration::ZERO).unwrap();
        let scrubbed = scrub.step(1 << 30, T0).unwrap();
        assert!(
            scrubbed.is_over && scrubbed.damaged.is_empty(),
            "{scrubbed:?}"
        );
        drop(scrub);
        assert_eq!(store.find(sid(2)).unwrap().unwrap().marks.damage, None);
        // Nothing is begun that would lie in clear.
        assert!(matches!(store.begin(new(3)), Err(StoreError::NoKey { key: k }) if k == key));
        assert!(matches!(
            store.rewrap(&mut |_| {}),
            Err(StoreError::NotEncrypting)
        ));
        drop(store);

        // Another key: what is recorded is under that one.
        give_key(dir.path(), 2);
        let store = open(dir.path(), media);
        let other = record(&store, new(4), &sound_of(4, 500));
        assert_served(&store, &other, &sound_of(4, 500));
        assert!(store.media(&locked).is_err());
        assert_eq!(store.health().missing_keys, [key]);
        // What cannot be read can be deleted.
        let deleted = store.delete(account(1), sid(2), T0).unwrap();
        assert_eq!(deleted, crate::Deletion::Deleted);
        assert_clean(&store);
    });
}

#[test]
fn a_take_whose_key_is_missing_waits_for_it() {
    with_both(|dir, media| {
        give_key(dir.path(), 1);
        let store = open(dir.path(), media);
        begin(&store, new(1));
        let mut take = store.take(sid(1)).unwrap();
        take.append(&sound_of(1, 900), 900).unwrap();
        drop(take);
        crash(store, dir.path());
        let keys = fs::read(dir.path().join("test-key")).unwrap();
        take_keys(dir.path(), 0);
        let store = open(dir.path(), media);
        let recovery = store.recover(T0).unwrap();
        assert_eq!(recovery.problems.len(), 1, "{:?}", recovery.problems);
        assert!(recovery.problems[0].contains("not at hand"));
        assert_eq!(store.find(sid(1)).unwrap().unwrap().stage, Stage::Live);
        crash(store, dir.path());
        fs::write(dir.path().join("test-key"), keys).unwrap();
        let store = open(dir.path(), media);
        let recovery = store.recover(T0).unwrap();
        assert_eq!(recovery.problems, [""; 0]);
        assert_served(&store, &recovery.recovered[0], &sound_of(1, 900));
        assert_clean(&store);
    });
}

#[test]
fn rotation_leaves_the_sound_and_makes_the_old_key_worthless() {
    with_both(|dir, media| {
        let store = open(dir.path(), media);
        record(&store, new(1_000), &sound_of(1_000, 300));
        drop(store);
        give_key(dir.path(), 1);
        let store = open(dir.path(), media);
        // More than a batch.
        let many = BATCH as u64 + 3;
        let records: Vec<Record> = (0..many)
            .map(|n| record(&store, new(n), &sound_of(n, 300)))
            .collect();
        assert_eq!(
            store.rewrap(&mut |_| {}).unwrap(),
            Rewrapped {
                current: many,
                clear: 1,
                ..Default::default()
            }
        );
        let old = fs::read(dir.path().join("test-key")).unwrap();
        let before = files(&dir.path().join("media"));
        drop(store);

        give_key(dir.path(), 2);
        let store = open(dir.path(), media);
        let list = || fs::read_to_string(dir.path().join("encryption")).unwrap();
        assert_eq!(list().lines().count(), 2);
        let mut told = 0;
        let done = store.rewrap(&mut |so_far| told = so_far.done).unwrap();
        assert_eq!(
            done,
            Rewrapped {
                rewrapped: many,
                clear: 1,
                ..Default::default()
            }
        );
        assert_eq!(told, BATCH as u64);
        assert_eq!(
            list(),
            format!("{}\n", store.health().encryption_key.unwrap())
        );
        assert_eq!(store.rewrap(&mut |_| {}).unwrap().current, many);
        drop(store);

        // All but the envelope is what it was.
        for (path, bytes) in before
            .iter()
            .filter(|(_, bytes)| bytes.starts_with(b"reeldENC"))
        {
            let now = fs::read(path).unwrap();
            assert!(
                now != *bytes && now[1_024..] == bytes[1_024..],
                "{}",
                path.display()
            );
        }
        // The new key alone opens them; the old one alone none.
        take_keys(dir.path(), 1);
        let store = open(dir.path(), media);
        assert_eq!(store.health().missing_keys, []);
        for (n, record) in (0..).zip(&records) {
            assert_served(&store, record, &sound_of(n, 300));
        }
        assert_clean(&store);
        drop(store);
        fs::write(dir.path().join("test-key"), old).unwrap();
        let store = open(dir.path(), media);
        for record in &records {
            assert!(matches!(
                store.media(record),
                Err(StoreError::KeyMissing { .. })
            ));
        }
    });
}

#[test]
fn a_rewrap_that_a_crash_cut_short_is_taken_up() {
    give_and_rotate(|store, dir, records| {
        // As a crash leaves it: some whole, some with both slots, some not begun.
        let media = dir.join("media");
        let current = store.inner.keys.current().unwrap();
        for (n, record) in records.iter().enumerate() {
            let sid = record.sid;
            let path = media
                .join(&sid.to_string()[2..4])
                .join(format!("{sid}.wav"));
            let file = fs::File::options()
                .read(true)
                .write(true)
                .open(&path)
                .unwrap();
            let mut envelope = [0; 1_024];
            file.read_exact_at(&mut envelope, 0).unwrap();
            let envelope = Envelope::parse(&envelope).unwrap();
            let keys = &store.inner.keys;
            let rewrap = envelope.rewrap(keys, current, sid).unwrap().unwrap();
            let writes = [rewrap.first, rewrap.then];
            for write in writes.iter().flatten().take(n % 3) {
                file.write_all_at(&write.bytes, write.at).unwrap();
            }
        }
        let done = store.rewrap(&mut |_| {}).unwrap();
        assert_eq!((done.rewrapped, done.current, done.left), (4, 2, 0));
    });
}

#[test]
fn what_has_a_damaged_envelope_is_left_and_named_and_its_key_is_kept_in_the_list() {
    give_and_rotate(|store, dir, records| {
        let sid = records[0].sid;
        let path = dir
            .join("media")
            .join(&sid.to_string()[2..4])
            .join(format!("{sid}.wav"));
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[1; 40], 70).unwrap();
        let done = store.rewrap(&mut |_| {}).unwrap();
        assert_eq!((done.rewrapped, done.left), (5, 1));
        assert!(
            done.problems[0].contains(&sid.to_string()),
            "{:?}",
            done.problems
        );
        let list = fs::read_to_string(dir.join("encryption")).unwrap();
        assert_eq!(list.lines().count(), 2);
        assert!(matches!(
            store.media(&records[0]),
            Err(StoreError::Damaged { .. })
        ));
        let report = verify(store);
        assert_eq!(report.damaged.len(), 1, "{report:?}");
        store.delete(account(1), sid, T0).unwrap();
        assert_eq!(store.rewrap(&mut |_| {}).unwrap().left, 0);
    });
}

/// Six recordings under a key, which another one has followed; after `body` the other one opens them.
fn give_and_rotate(body: impl FnOnce(&Store, &Path, &[Record])) {
    let dir = tempfile::tempdir().unwrap();
    give_key(dir.path(), 1);
    let store = open(dir.path(), MediaKind::Local);
    let records: Vec<Record> = (0..6)
        .map(|n| record(&store, new(n), &sound_of(n, 300)))
        .collect();
    drop(store);
    give_key(dir.path(), 2);
    let store = open(dir.path(), MediaKind::Local);
    body(&store, dir.path(), &records);
    drop(store);
    take_keys(dir.path(), 1);
    let store = open(dir.path(), MediaKind::Local);
    for (n, record) in (0..).zip(&records) {
        if store.find(record.sid).unwrap().is_some() {
            assert_served(&store, record, &sound_of(n, 300));
        }
    }
    assert_clean(&store);
}

#[test]
fn a_catalog_is_rebuilt_with_the_key_and_without_it_nothing_is_dropped() {
    with_both(|dir, media| {
        give_key(dir.path(), 1);
        let store = open(dir.path(), media);
        let records = [1, 2].map(|n| record(&store, new(n), &sound_of(n, 300)));
        store.inner.catalog.remove(sid(2)).unwrap();
        drop(store);
        let keys = fs::read(dir.path().join("test-key")).unwrap();
        take_keys(dir.path(), 0);
        let rebuilt = Store::rebuild(config(dir.path(), media), &mut |_| {}).unwrap();
        assert_eq!(
            (rebuilt.from_media, rebuilt.kept, rebuilt.problems.len()),
            (0, 1, 1)
        );
        fs::write(dir.path().join("test-key"), keys).unwrap();
        let rebuilt = Store::rebuild(config(dir.path(), media), &mut |_| {}).unwrap();
        assert_eq!((rebuilt.from_media, rebuilt.problems.len()), (2, 0));
        let store = open(dir.path(), media);
        for (n, record) in (1..).zip(&records) {
            assert_eq!(store.find(record.sid).unwrap().as_ref(), Some(record));
            assert_served(&store, record, &sound_of(n, 300));
        }
        assert_clean(&store);
    });
}
