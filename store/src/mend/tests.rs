//! Disks that fail and work again, with the store open all the while.

use reeld_model::EndedBy;

use crate::disk::{Disk, DiskFault, Stall};
use crate::harness::{
    T0, account, assert_clean, begin, config, end, file_of, new, record, served, sid, sound, spool,
    with_all,
};
use crate::{Deletion, MediaKind, Stage, Store, StoreConfig, StoreError};

fn failing(dir: &std::path::Path, media: MediaKind) -> (Store, Stall) {
    let (disk, stall) = Disk::stallable();
    let config = StoreConfig {
        disk,
        ..config(dir, media)
    };
    (Store::open(config).unwrap(), stall)
}

#[test]
fn nothing_is_done_to_a_store_that_is_well() {
    with_all(|dir, media| {
        let (store, _stall) = failing(dir.path(), media);
        record(&store, new(1), &sound(2_000));
        assert_eq!(store.mend(T0).unwrap(), Default::default());
    });
}

#[test]
fn recordings_on_a_disk_that_fails_are_whole_once_it_works_and_new_ones_wait_for_that() {
    for fault in [DiskFault::Io, DiskFault::ReadOnly, DiskFault::Full] {
        with_all(|dir, media| {
            let (store, stall) = failing(dir.path(), media);
            let old = record(&store, new(1), &sound(4_000));
            let samples = sound(20_000);
            // One whose writes fail, and one that has all of its sound when the disk fails.
            begin(&store, new(2));
            begin(&store, new(3));
            let (mut cut, mut whole) = (store.take(sid(2)).unwrap(), store.take(sid(3)).unwrap());
            cut.append(&samples[..10_000], 5_000).unwrap();
            whole.append(&samples, 10_000).unwrap();
            stall.fail(Some(fault));
            assert!(cut.append(&samples[10_000..], 10_000).is_err());
            assert!(store.begin(new(4)).is_err(), "{fault:?}");
            assert!(store.finish(cut, end(10_000)).is_err());
            assert!(store.finish(whole, end(10_000)).is_err());
            assert!(store.delete(account(1), sid(1), T0).is_err());

            // What there was is served, but for what was to be deleted.
            assert_eq!(store.find(sid(3)).unwrap().unwrap().stage, Stage::Live);
            let health = store.health();
            assert_eq!(health.unfinished, 2);
            assert!(
                health.failing.is_some() || fault == DiskFault::Full,
                "{health:?}"
            );
            assert!(store.mend(T0).is_err());
            assert!(store.begin(new(4)).is_err());

            stall.fail(None);
            let mended = store.mend(T0 + 50).unwrap();
            assert!(mended.reopened, "{mended:?}");
            let finished: Vec<_> = mended.finished.iter().map(|record| record.sid).collect();
            assert_eq!(finished, [sid(2), sid(3)], "{mended:?}");
            let ended_by = |n| store.find(sid(n)).unwrap().unwrap().ended_by;
            let wanted = match fault {
                DiskFault::Full => EndedBy::DiskFull,
                DiskFault::Io | DiskFault::ReadOnly => EndedBy::DiskFailed,
            };
            assert_eq!(
                (ended_by(2), ended_by(3)),
                (Some(wanted), Some(EndedBy::Stopped))
            );
            let [cut, whole] = &mended.finished[..] else {
                panic!("two were finished");
            };
            assert_eq!(
                served(&store, cut),
                file_of(cut.channels, &samples[..10_000])
            );
            assert_eq!(served(&store, whole), file_of(whole.channels, &samples));
            // Its tracks' counts are those of its end: recovery would have lost them.
            assert_eq!(whole.tracks[0].packets, 5);
            assert_eq!(store.find(sid(4)).unwrap(), None);
            match store.delete(account(1), sid(1), T0).unwrap() {
                Deletion::Deleted | Deletion::Unknown => {}
                Deletion::StillLive | Deletion::OnHold => panic!("{old:?} has ended"),
            }
            record(&store, new(5), &samples);
            let health = store.health();
            assert_eq!(
                (health.unfinished, health.failing, health.writable),
                (0, None, true)
            );
            assert_eq!(spool(dir.path()), [""; 0]);
            assert_clean(&store);
            assert_eq!(store.mend(T0).unwrap(), Default::default());
        });
    }
}

#[test]
fn what_cannot_be_finished_outlives_the_process_in_the_spool() {
    with_all(|dir, media| {
        let (store, stall) = failing(dir.path(), media);
        let samples = sound(6_000);
        begin(&store, new(1));
        let mut take = store.take(sid(1)).unwrap();
        take.append(&samples, 3_000).unwrap();
        stall.fail(Some(DiskFault::Io));
        assert!(store.finish(take, end(3_000)).is_err());
        assert!(matches!(
            store.begin(new(2)),
            Err(StoreError::Failing { .. })
        ));
        drop(store);
        let (store, _stall) = failing(dir.path(), media);
        let recovery = store.recover(T0).unwrap();
        assert_eq!(recovery.recovered.len(), 1, "{recovery:?}");
        assert_eq!(
            served(&store, &recovery.recovered[0]),
            file_of(recovery.recovered[0].channels, &samples)
        );
        assert_clean(&store);
    });
}
