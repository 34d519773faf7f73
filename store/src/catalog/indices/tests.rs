//! A catalog as a reeld from before left it, opened.

use super::super::tests::{assert_sound, naive, open, stored};
use super::super::{Catalog as _, SledCatalog, change, key};
use super::*;
use crate::harness::{T0, account, call};
use crate::{PageAt, Query, Record, Stage, Which};

/// Where the old index of completed ones had a record.
fn old_place(scope: key::Scope, record: &Record) -> Vec<u8> {
    let mut place = key::index(Index::All, scope, record);
    match scope {
        key::Scope::Account(_) => place[0] = key::OLD_LISTED_INDEX,
        key::Scope::Call(..) | key::Scope::Name(..) => place[1] = b'L',
    }
    place
}

/// The catalog in `dir` as a reeld from before the index of unlisted ones left it, or a crash while it was made anew: of
/// the old places every `kept`-th is still there. It has no names either.
fn make_old(catalog: &SledCatalog, records: &[Stored], kept: usize) {
    for (n, Stored { record, .. }) in records.iter().enumerate() {
        for scope in change::scopes(record) {
            if let key::Scope::Name(..) = scope {
                for of in Index::EACH {
                    catalog.overwrite(&key::index(of, scope, record), None);
                }
                continue;
            }
            catalog.overwrite(&key::index(key::Index::Unlisted, scope, record), None);
            let old = old_place(scope, record);
            let is_there = record.stage == Stage::Completed && n % kept == 0;
            catalog.overwrite(&old, is_there.then_some(&[]));
        }
    }
    catalog.overwrite(&[key::INDICES], None);
}

#[test]
fn a_catalog_with_an_index_of_completed_ones_gets_the_other() {
    let stages = [
        Stage::Live,
        Stage::Completed,
        Stage::Absent,
        Stage::Deleted,
        Stage::Completed,
    ];
    let records: Vec<_> = (0..40)
        .map(|n| {
            let (account, call) = (u8::from(n % 3 == 0), u8::from(n % 4 == 0));
            let stage = stages[usize::try_from(n).unwrap() % stages.len()];
            stored(
                n,
                account,
                call,
                T0 + i64::try_from(n).unwrap() * 900,
                stage,
            )
        })
        .collect();
    for kept in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let catalog = open(&dir);
        for record in &records {
            catalog.place(record, None).unwrap();
        }
        make_old(&catalog, &records, kept);
        drop(catalog);
        let catalog = open(&dir);
        assert_sound(&catalog);
        for Stored { record, .. } in &records {
            for scope in change::scopes(record) {
                assert!(!catalog.table_has(&old_place(scope, record)));
            }
        }
        for (which, of_call) in [
            (Which::Completed, None),
            (Which::Completed, Some(call(1))),
            (Which::Undeleted, None),
        ] {
            let query = Query {
                account: account(0),
                call: of_call,
                named: None,
                from_ms: None,
                until_ms: None,
                which,
                at: PageAt::Number(1),
                page_size: 3,
            };
            assert_eq!(catalog.list(&query).unwrap(), naive(&records, &query));
        }
    }
}
