//! Rounds of the scrub in virtual time: how much a step reads, what is found, where it goes on.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use super::Scrub;
use crate::harness::{T0, begin, new, open, record, sid, sound, with_all};
use crate::{MediaKind, Store};

const WEEK: Duration = Duration::from_secs(7 * 86_400);
const WEEK_MS: i64 = 7 * 86_400_000;

fn flip(dir: &Path, n: u64) {
    let sid = sid(n);
    let first = hex::encode(&sid.as_bytes()[..1]);
    let path = dir.join("media").join(first).join(format!("{sid}.wav"));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 20_000).unwrap();
    file.write_all_at(&[!byte[0]], 20_000).unwrap();
}

fn scrub(store: &Store) -> Scrub {
    Scrub::resume(store.clone(), WEEK).unwrap()
}

#[test]
fn a_round_reads_everything_a_step_no_more_than_it_may_and_the_next_waits() {
    with_all(|dir, media| {
        let store = open(dir.path(), media);
        for n in 1..=5 {
            record(&store, new(n), &sound(50_000));
        }
        begin(&store, new(6));
        let mut scrub = scrub(&store);
        let (mut bytes, mut recordings, mut steps) = (0, 0, 0);
        loop {
            let step = scrub.step(30_000, T0).unwrap();
            assert!(step.bytes <= 30_000, "{step:?}");
            assert_eq!(step.damaged, []);
            bytes += step.bytes;
            recordings += step.recordings;
            steps += 1;
            if step.is_over {
                break;
            }
        }
        assert_eq!((bytes, recordings), (500_000, 5));
        assert!(steps >= 17, "{steps}");
        assert_eq!(
            scrub.step(30_000, T0 + WEEK_MS - 1).unwrap(),
            Default::default()
        );
        assert!(scrub.step(30_000, T0 + WEEK_MS).unwrap().bytes > 0);
        let figures = store.integrity_figures();
        assert_eq!((figures.scrubbed, figures.found), (5, 0));
    });
}

#[test]
fn damage_is_found_marked_and_cleared_when_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    for n in 1..=3 {
        record(&store, new(n), &sound(50_000));
    }
    flip(dir.path(), 2);
    let mut scrub = scrub(&store);
    let found = scrub.step(u64::MAX, T0).unwrap();
    assert_eq!((&found.damaged[..], found.is_over), (&[sid(2)][..], true));
    assert_eq!(store.health().damaged, 1);
    flip(dir.path(), 2);
    let found = scrub.step(u64::MAX, T0 + WEEK_MS).unwrap();
    assert_eq!((found.damaged.len(), found.is_over), (0, true));
    assert_eq!(store.health().damaged, 0);
}

#[test]
fn it_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    for n in 1..=4 {
        record(&store, new(n), &sound(50_000));
    }
    let mut first = scrub(&store);
    let mut before = 0;
    while before < 2 {
        before += first.step(70_000, T0).unwrap().recordings;
    }
    first.save().unwrap();
    drop((first, store));
    let store = open(dir.path(), MediaKind::Local);
    let mut second = scrub(&store);
    let rest = second.step(u64::MAX, T0 + 1).unwrap();
    assert_eq!((rest.recordings, rest.is_over), (4 - before, true));
    second.save().unwrap();
    // A round that is over is not begun again by a restart.
    let step = scrub(&store).step(u64::MAX, T0 + 2).unwrap();
    assert_eq!(step, Default::default());
}
