//! The embedded catalog against a naive model: lists, counts, tokens, tombstones.

use std::sync::Arc;

use proptest::prelude::*;
use reeld_model::{AccountSid, RecordingSid};
use tempfile::TempDir;

use super::*;
use crate::disk::Disk;
use crate::harness::{T0, account, call, sid};
use crate::kv::Kv;
use crate::reserve::Reserve;
use crate::stored::tests::sample;
use crate::{Cursor, Named, PageAt, Record, Stage, Which};

pub(super) fn open(dir: &TempDir) -> SledCatalog {
    let reserve = Arc::new(Reserve::open(dir.path()).unwrap());
    let kv = Kv::open(dir.path(), 16 << 20, reserve, Disk::default()).unwrap();
    SledCatalog::open(Arc::new(kv)).unwrap()
}

pub(super) fn stored(n: u64, account_n: u8, call_n: u8, created_ms: i64, stage: Stage) -> Stored {
    let mut stored = sample();
    stored.record.sid = sid(n);
    stored.record.account = account(account_n);
    stored.record.call = call(call_n);
    stored.record.created_ms = created_ms;
    stored.record.stage = stage;
    stored.record.signalling_json = match n % 4 {
        0 => String::new(),
        n => format!(r#"{{"participants":[{{"name":"{n}"}},{{"name":"all"}}]}}"#),
    };
    stored.token = n
        .is_multiple_of(3)
        .then_some([u8::try_from(n % 7).unwrap(); 16]);
    stored
}

pub(super) fn assert_sound(catalog: &SledCatalog) {
    let mut differences = Vec::new();
    catalog
        .check(&mut |difference| differences.push(difference))
        .unwrap();
    assert_eq!(differences, [""; 0]);
}

/// What a list must be, worked out from all records.
pub(super) fn naive<'a>(records: impl IntoIterator<Item = &'a Stored>, query: &Query) -> Page {
    let mut matching: Vec<&Record> = records
        .into_iter()
        .map(|stored| &stored.record)
        .filter(|record| record.account == query.account)
        .filter(|record| match &query.named {
            None => query.call.is_none_or(|call| record.call == call),
            Some(named) => names::of(&record.signalling_json).contains(&names::name(named)),
        })
        .filter(|record| query.from_ms.is_none_or(|from| record.created_ms >= from))
        .filter(|record| query.until_ms.is_none_or(|until| record.created_ms < until))
        .filter(|record| match query.which {
            Which::Completed => record.stage == Stage::Completed,
            Which::Undeleted => record.stage != Stage::Deleted,
            Which::WithDeleted => true,
        })
        .collect();
    matching.sort_by_key(|record| (std::cmp::Reverse(record.created_ms), record.sid));
    let size = query.page_size as usize;
    let before = |cursor: Cursor, itself: bool| {
        let end = (std::cmp::Reverse(cursor.created_ms), cursor.sid);
        let place = |record: &&&Record| (std::cmp::Reverse(record.created_ms), record.sid);
        let comes_before =
            |record: &&&Record| place(record) < end || itself && place(record) == end;
        matching.iter().filter(comes_before).count()
    };
    let (first, end) = match query.at {
        PageAt::Number(page) => {
            let first = usize::try_from(page).unwrap() * size;
            (first, first + size)
        }
        PageAt::After(cursor) => (before(cursor, true), before(cursor, true) + size),
        PageAt::Before(cursor) => {
            let end = before(cursor, false);
            (end.saturating_sub(size), end)
        }
    };
    let page = matching.iter().skip(first).take(end - first);
    Page {
        records: page.map(|record| (*record).clone()).collect(),
        first: first as u64,
        total: matching.len() as u64,
    }
}

#[derive(Debug, Clone)]
enum Op {
    Insert(u64, u8, u8, i64, Stage),
    Put(u64, Stage),
    Remove(u64),
    Bury(u64, u8, Option<i64>),
    Forget(u64),
    Purge(i64, usize),
    List(Query),
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => (0_i64..3_000).prop_map(|by| T0 + by),
        4 => (-40_i64..40, prop::sample::select(count::SHIFTS.to_vec()), -1_i64..2)
            .prop_map(|(by, shift, beside)| (((T0 >> shift) + by) << shift) + beside),
        1 => prop::sample::select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX]),
    ]
}

fn stage() -> impl Strategy<Value = Stage> {
    prop::sample::select(vec![
        Stage::Live,
        Stage::Completed,
        Stage::Completed,
        Stage::Absent,
    ])
}

/// A page by its number, or by the place of a recording that may be there, was, or never was.
fn page_at() -> impl Strategy<Value = PageAt> {
    (time(), 0_u64..24, 0_u64..6, 0..4).prop_map(|(created_ms, n, page, kind)| {
        let sid = sid(n);
        let cursor = Cursor { created_ms, sid };
        match kind {
            0 => PageAt::After(cursor),
            1 => PageAt::Before(cursor),
            _ => PageAt::Number(page),
        }
    })
}

fn which() -> impl Strategy<Value = Which> {
    prop::sample::select(vec![
        Which::Completed,
        Which::Undeleted,
        Which::WithDeleted,
        Which::WithDeleted,
    ])
}

fn query() -> impl Strategy<Value = Query> {
    (
        1_u8..3,
        prop::option::of(1_u8..4),
        prop::sample::select(vec!["", "", "", "1", "2", "all"]),
        prop::option::of(time()),
        prop::option::of(time()),
    )
        .prop_flat_map(|bounds| (Just(bounds), which(), page_at(), 1_u32..8))
        .prop_map(
            |((account_n, call_n, name, from_ms, until_ms), which, at, page_size)| Query {
                account: account(account_n),
                call: call_n.map(call),
                named: (!name.is_empty()).then(|| Named::Participant(name.to_owned())),
                from_ms,
                until_ms,
                which,
                at,
                page_size,
            },
        )
}

/// When one was deleted: few instants, so that they meet.
fn deleted_ms() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![-1, 0, 1, T0, T0 + 1, T0 + 2, i64::MAX])
}

fn op() -> impl Strategy<Value = Op> {
    let n = 0_u64..24;
    prop_oneof![
        6 => (n.clone(), 1_u8..3, 1_u8..4, time(), stage())
            .prop_map(|(n, account, call, time, stage)| Op::Insert(n, account, call, time, stage)),
        3 => (n.clone(), stage()).prop_map(|(n, stage)| Op::Put(n, stage)),
        1 => n.clone().prop_map(Op::Remove),
        3 => (n.clone(), 1_u8..3, prop::option::weighted(0.8, deleted_ms()))
            .prop_map(|(n, account, keep_ms)| Op::Bury(n, account, keep_ms)),
        2 => n.prop_map(Op::Forget),
        1 => (deleted_ms(), 0_usize..4).prop_map(|(before, limit)| Op::Purge(before, limit)),
        8 => query().prop_map(Op::List),
    ]
}

#[derive(Default)]
struct Model {
    records: Vec<Stored>,
    deleted: Vec<Stored>,
    tombstones: Vec<RecordingSid>,
    tokens: Vec<(AccountSid, [u8; 16], RecordingSid)>,
}

impl Model {
    fn place_of(&self, n: u64) -> Option<usize> {
        self.records
            .iter()
            .position(|stored| stored.record.sid == sid(n))
    }

    fn insert(&mut self, new: &Stored) -> Insert {
        if let Some(token) = new.token {
            let account = new.record.account;
            let first = self
                .tokens
                .iter()
                .find(|known| (known.0, known.1) == (account, token));
            if let Some(&(.., first)) = first {
                let first = self
                    .records
                    .iter()
                    .find(|stored| stored.record.sid == first)
                    .unwrap();
                return Insert::Repeated(Box::new(first.clone()));
            }
        }
        let sid = new.record.sid;
        if self.records.iter().any(|stored| stored.record.sid == sid)
            || self.tombstones.contains(&sid)
        {
            return Insert::Taken;
        }
        if let Some(token) = new.token {
            self.tokens.push((new.record.account, token, sid));
        }
        self.deleted.retain(|stored| stored.record.sid != sid);
        self.records.push(new.clone());
        Insert::New
    }

    fn remove(&mut self, place: usize) -> Stored {
        let gone = self.records.remove(place);
        self.tokens.retain(|(.., sid)| *sid != gone.record.sid);
        gone
    }

    /// What all lists are of.
    fn all(&self) -> impl Iterator<Item = &Stored> {
        self.records.iter().chain(&self.deleted)
    }

    fn purge(&mut self, before_ms: i64, limit: usize) -> usize {
        // A key has no time before 1970.
        let time = |stored: &Stored| stored.record.updated_ms.max(0);
        self.deleted
            .sort_by_key(|stored| (time(stored), stored.record.sid));
        let due = self.deleted.iter();
        let due = due.take_while(|stored| time(stored) < before_ms);
        let due = due.take(limit).count();
        self.deleted.drain(..due);
        due
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn it_is_as_the_model_says(ops in prop::collection::vec(op(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = open(&dir);
        let mut model = Model::default();
        for op in ops {
            match op {
                Op::Insert(n, account, call, time, stage) => {
                    let new = stored(n, account, call, time, stage);
                    prop_assert_eq!(catalog.insert(&new, Told::default()).unwrap(), model.insert(&new));
                }
                Op::Put(n, stage) => {
                    let Some(place) = model.place_of(n) else { continue };
                    model.records[place].record.stage = stage;
                    catalog.put(&model.records[place]).unwrap();
                }
                Op::Remove(n) => {
                    catalog.remove(sid(n)).unwrap();
                    if let Some(place) = model.place_of(n) {
                        model.remove(place);
                    }
                }
                Op::Bury(n, account_n, keep_ms) => {
                    let place = model.place_of(n)
                        .filter(|&place| model.records[place].record.account == account(account_n));
                    let live = |place: usize| model.records[place].record.stage == Stage::Live;
                    let expected = match place {
                        None => Deletion::Unknown,
                        Some(place) if live(place) => Deletion::StillLive,
                        Some(place) => {
                            let gone = model.remove(place);
                            model.tombstones.push(sid(n));
                            model.deleted.extend(keep_ms.map(|ms| gone.deleted(ms)));
                            Deletion::Deleted
                        }
                    };
                    prop_assert_eq!(catalog.bury(account(account_n), sid(n), keep_ms).unwrap(), expected);
                }
                Op::Purge(before_ms, limit) => {
                    let expected = model.purge(before_ms, limit);
                    prop_assert_eq!(catalog.purge(before_ms, limit).unwrap(), expected);
                }
                Op::Forget(n) => {
                    catalog.forget(sid(n)).unwrap();
                    model.tombstones.retain(|buried| *buried != sid(n));
                }
                Op::List(query) => {
                    prop_assert_eq!(catalog.list(&query).unwrap(), naive(model.all(), &query));
                }
            }
        }
        for reopened in [false, true] {
            if reopened {
                drop(catalog);
                catalog = open(&dir);
            }
            assert_sound(&catalog);
            prop_assert_eq!(catalog.total().unwrap(), model.records.len() as u64);
            let mut live: Vec<_> = model.records.iter().map(|stored| &stored.record)
                .filter(|record| record.stage == Stage::Live).map(|record| record.sid).collect();
            live.sort_unstable();
            prop_assert_eq!(catalog.live().unwrap(), live);
            model.tombstones.sort_unstable();
            prop_assert_eq!(&catalog.buried().unwrap(), &model.tombstones);
            let mut all = Vec::new();
            while let Some((sid, stored)) = catalog.after(all.last().map(|(sid, _)| *sid), 1).unwrap().pop() {
                all.push((sid, stored));
            }
            model.records.sort_by_key(|stored| stored.record.sid);
            let expected: Vec<_> = model.records.iter()
                .map(|stored| (stored.record.sid, Some(stored.clone()))).collect();
            prop_assert_eq!(all, expected);
            model.deleted.sort_by_key(|stored| stored.record.sid);
            let expected: Vec<_> = model.deleted.iter()
                .map(|stored| (stored.record.sid, Some(stored.clone()))).collect();
            prop_assert_eq!(catalog.deleted_after(None, 99).unwrap(), expected);
        }
    }
}

#[test]
fn two_thousand_recordings_are_paged_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(&dir);
    let mut records = Vec::new();
    for n in 0..2_000 {
        // Many in one second, some months apart, every fifth not listed, every seventh deleted.
        let apart = if n % 10 == 0 { 3_000_000_000 } else { 700 };
        let created_ms = T0 + i64::try_from(n).unwrap() * apart;
        let stage = match n {
            n if n % 7 == 0 => Stage::Deleted,
            n if n % 5 == 0 => Stage::Absent,
            _ => Stage::Completed,
        };
        let call = u8::try_from(n % 2).unwrap();
        records.push(stored(3 * n + 1, 1, call, created_ms, stage));
        catalog.place(records.last().unwrap(), None).unwrap();
    }
    assert_sound(&catalog);
    assert_eq!(catalog.total().unwrap(), 1_714);
    let query = |page, page_size| Query {
        account: account(1),
        call: None,
        named: None,
        from_ms: None,
        until_ms: None,
        which: Which::Completed,
        at: PageAt::Number(page),
        page_size,
    };
    for (page_size, which, listed) in [
        (50, Which::Completed, 1_372),
        (999, Which::Undeleted, 1_714),
        (1_000, Which::WithDeleted, 2_000),
        (37, Which::WithDeleted, 2_000),
    ] {
        let query = |page, page_size| Query {
            which,
            ..query(page, page_size)
        };
        let mut paged = Vec::new();
        for page in 0.. {
            let Page { records, total, .. } = catalog.list(&query(page, page_size)).unwrap();
            assert_eq!(total, listed);
            if records.is_empty() {
                break;
            }
            paged.extend(records);
        }
        let whole = naive(&records, &query(0, 2_000));
        assert!(paged == whole.records);
        // Forward by cursors, and back again.
        let at = |at| Query {
            at,
            ..query(0, page_size)
        };
        let mut forward = catalog.list(&query(0, page_size)).unwrap().records;
        while let Some(last) = forward.last() {
            let page = catalog.list(&at(PageAt::After(Cursor::of(last)))).unwrap();
            assert_eq!((page.first, page.total), (forward.len() as u64, listed));
            if page.records.is_empty() {
                break;
            }
            forward.extend(page.records);
        }
        assert!(forward == whole.records);
        let mut back = forward.split_off(forward.len() - 1);
        while let Some(first) = back.first() {
            let page = catalog
                .list(&at(PageAt::Before(Cursor::of(first))))
                .unwrap();
            if page.records.is_empty() {
                break;
            }
            back.splice(0..0, page.records);
        }
        assert!(back == whole.records);
    }
    let far = catalog.list(&query(u64::MAX, 1_000)).unwrap();
    assert_eq!((far.records.len(), far.total), (0, 1_372));
    for which in [Which::Completed, Which::Undeleted, Which::WithDeleted] {
        for call_n in [None, Some(0)] {
            for (from_ms, until_ms) in [
                (Some(T0 + 5_000), None),
                (None, Some(T0 + 900_000)),
                (Some(T0 + 5_000), Some(T0 + 900_000)),
                (Some(T0 + 900_000), Some(T0 + 5_000)),
            ] {
                for page in [0, 1, 3] {
                    let query = Query {
                        call: call_n.map(call),
                        named: None,
                        from_ms,
                        until_ms,
                        which,
                        ..query(page, 100)
                    };
                    assert!(
                        catalog.list(&query).unwrap() == naive(&records, &query),
                        "{query:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_record_of_unknown_version_is_corrupt_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(&dir);
    catalog
        .place(&stored(1, 1, 1, T0, Stage::Completed), None)
        .unwrap();
    catalog.scribble(sid(1), &[200, 1, 2, 3]);
    let is_named = |error| matches!(error, StoreError::Corrupt { sid: named } if named == sid(1));
    assert!(is_named(catalog.get(sid(1)).unwrap_err()));
    assert!(is_named(
        catalog.bury(account(1), sid(1), None).unwrap_err()
    ));
    assert_eq!(catalog.after(None, 9).unwrap(), [(sid(1), None)]);
}

#[test]
fn a_list_is_of_one_instant_while_writers_run() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(&dir);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let lister = scope.spawn(|| {
            let mut lists = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) || lists == 0 {
                let query = Query {
                    account: account(1),
                    call: None,
                    named: None,
                    from_ms: None,
                    until_ms: None,
                    which: [Which::Completed, Which::Undeleted, Which::WithDeleted][lists % 3],
                    at: PageAt::Number(0),
                    page_size: 1_000,
                };
                let page = catalog.list(&query).unwrap();
                assert_eq!(page.records.len() as u64, page.total);
                lists += 1;
            }
        });
        let writers = [0, 1].map(|writer| {
            let catalog = &catalog;
            scope.spawn(move || {
                for n in 0..100 {
                    let n = 2 * n + writer;
                    let created_ms = T0 + i64::try_from(n).unwrap() * 100;
                    let mut stored = stored(n, 1, 1, created_ms, Stage::Live);
                    stored.token = None;
                    assert_eq!(
                        catalog.insert(&stored, Told::default()).unwrap(),
                        Insert::New
                    );
                    stored.record.stage = Stage::Completed;
                    catalog.put(&stored).unwrap();
                    if n % 3 == 0 {
                        catalog.bury(account(1), sid(n), Some(T0)).unwrap();
                        catalog.purge(i64::MAX, usize::from(n % 2 == 0)).unwrap();
                    }
                }
            })
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        lister.join().unwrap();
    });
    assert_sound(&catalog);
}

#[test]
fn what_drifts_is_told() {
    for stage in [Stage::Completed, Stage::Deleted] {
        let dir = tempfile::tempdir().unwrap();
        let catalog = open(&dir);
        let record = stored(1, 1, 1, T0, stage);
        let mut keys = change::count_keys(&record.record);
        let counts = keys.len();
        for of in key::Index::EACH {
            for scope in change::scopes(&record.record) {
                keys.push(key::index(of, scope, &record.record));
            }
        }
        keys.push(key::by_sid(&record.record));
        keys.push(key::purge(&record.record));
        for (n, key) in keys.into_iter().enumerate() {
            catalog.place(&record, None).unwrap();
            assert_sound(&catalog);
            let is_there = catalog.table_has(&key);
            // What is there goes; what is not there comes; a count is another.
            let replacements = match (n < counts, is_there) {
                (true, _) => vec![None, Some(count::encode([5, 6, 7]))],
                (false, true) => vec![None],
                (false, false) => vec![Some(Vec::new())],
            };
            for replacement in replacements {
                catalog.place(&record, None).unwrap();
                catalog.overwrite(&key, replacement.as_deref());
                let mut differences = Vec::new();
                catalog
                    .check(&mut |difference| differences.push(difference))
                    .unwrap();
                assert!(!differences.is_empty(), "{stage:?} {}", hex::encode(&key));
                catalog.wipe();
            }
        }
        assert_sound(&catalog);
    }
}

#[test]
fn counts_of_before_there_were_deleted_ones_are_read() {
    // What commit 06cb6c9 wrote for 300 records, 5 of them listed.
    let old = [0xac, 0x02, 0x05];
    assert_eq!(count::decode(&old).unwrap(), [300, 5, 0]);
    assert_eq!(count::encode([300, 5, 0]), old);
    let new = count::encode([300, 5, 128]);
    assert_eq!(new, [0xac, 0x02, 0x05, 0x80, 0x01]);
    assert_eq!(count::decode(&new).unwrap(), [300, 5, 128]);
    for bad in [&old[..1], &new[..4], &[1, 2, 3, 4]] {
        assert!(count::decode(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_deleted_record_that_cannot_be_read_is_told_and_purged_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(&dir);
    let gone = stored(1, 1, 1, T0, Stage::Deleted);
    catalog.place(&gone, None).unwrap();
    catalog.overwrite(&key::record(&gone.record), Some(&[200, 1]));
    assert!(matches!(
        catalog.get_deleted(sid(1)).unwrap_err(),
        StoreError::Corrupt { .. }
    ));
    let mut differences = Vec::new();
    catalog.check(&mut |what| differences.push(what)).unwrap();
    assert!(differences[0].contains(&sid(1).to_string()));
    assert_eq!(catalog.purge(i64::MAX, 9).unwrap(), 1);
    assert_eq!(catalog.get_deleted(sid(1)).unwrap(), None);
    assert!(!catalog.table_has(&key::record(&gone.record)));
    assert_eq!(catalog.purge(i64::MAX, 9).unwrap(), 0);
}
