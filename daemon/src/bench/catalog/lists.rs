//! The lists that are asked for, and how long each takes.
//!
//! Called by `catalog`. Each kind has many targets, so that no answer is of what the one before left in
//! a cache. The time is from the request's first byte to the answer's last, over one connection that is
//! kept alive. Before it is timed, each kind's first answer is checked by what it says of itself.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::Value;

use super::inserts;
use super::records::{Records, Shape};
use crate::bench::connection::Connection;
use crate::bench::interrupt;
use crate::bench::percentile::{millis, percentile};
use crate::caller::Seeded;
use crate::customer::{Customer, text};

/// Recordings a page: the API's default.
const PAGE_SIZE: u32 = 50;

/// Targets of a kind.
const TARGETS: u32 = 200;

/// Recordings that are deleted.
const DELETES: u32 = 200;

/// How long requests of one kind took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Times {
    pub(super) what: &'static str,
    pub(super) requests: usize,
    pub(super) ms_p50: f64,
    pub(super) ms_p99: f64,
    pub(super) ms_most: f64,
}

impl Times {
    fn of(what: &'static str, mut times: Vec<Duration>) -> Self {
        times.sort();
        Self {
            what,
            requests: times.len(),
            ms_p50: percentile(&times, 50),
            ms_p99: percentile(&times, 99),
            ms_most: times.last().copied().map_or(0.0, millis),
        }
    }
}

/// Requests of one kind.
struct Kind {
    what: &'static str,
    targets: Vec<String>,
}

/// Asks for lists, then deletes; `inserted` recordings came after the filled ones.
pub(super) fn measure(
    customer: &Customer,
    records: &Records,
    requests: u32,
    inserted: u32,
) -> anyhow::Result<(Vec<Times>, Times)> {
    let kinds = kinds(customer, records, inserted)?;
    let mut connection = Connection::open(customer.address()?, &customer.authorization())?;
    let mut lists = Vec::new();
    for Kind { what, targets } in kinds {
        let mut times = Vec::new();
        for target in targets.iter().cycle().take(usize::try_from(requests)?) {
            interrupt::check()?;
            let begun = Instant::now();
            connection.get(target)?;
            times.push(begun.elapsed());
        }
        lists.push(Times::of(what, times));
    }
    let mut times = Vec::new();
    for number in 0..DELETES.min(inserted) {
        interrupt::check()?;
        let sid = inserts::sid(records, number);
        let target = customer.path(&format!("/Recordings/{sid}.json"));
        let begun = Instant::now();
        let answer = connection.ask("DELETE", &target)?;
        times.push(begun.elapsed());
        ensure!(answer.status == 204, "{target} answered {}", answer.status);
    }
    Ok((lists, Times::of("deleted, its file too", times)))
}

fn kinds(customer: &Customer, records: &Records, inserted: u32) -> anyhow::Result<Vec<Kind>> {
    // Those inserted alone, and those recorded.
    let all = records.count + 2 * inserted;
    let pages = all.div_ceil(PAGE_SIZE);
    // Page 15,000 of 20,000.
    let far = pages / 4 * 3;
    let mut seeds = Seeded::new(records.seed ^ 0x0c47_a106);
    let mut any = |below: u32| u32::try_from(seeds.next_u64() % u64::from(below)).unwrap_or(0);
    let old = format!("/2008-08-01/Accounts/{}/Recordings", customer.account);
    let new = customer.path("/Recordings.json");

    let first = customer.json(&new)?;
    check(&first, 0, PAGE_SIZE)?;
    let page = customer.json(&format!("{new}?PageSize={PAGE_SIZE}&Page={far}"))?;
    check(&page, u64::from(far) * u64::from(PAGE_SIZE), PAGE_SIZE)?;

    let mut kinds = Vec::new();
    let mut kind = |what, targets: Vec<String>| kinds.push(Kind { what, targets });
    kind("2008: first page", vec![old.clone()]);
    kind(
        "2008: page at 3/4",
        near(far)
            .map(|page| format!("{old}?num=50&page={page}"))
            .collect(),
    );
    kind(
        "2008: any page",
        (0..TARGETS)
            .map(|_| format!("{old}?num=50&page={}", any(pages)))
            .collect(),
    );
    kind("2010: first page", vec![new.clone()]);
    kind(
        "2010: page at 3/4",
        near(far)
            .map(|page| format!("{new}?PageSize=50&Page={page}"))
            .collect(),
    );
    kind(
        "2010: page at 3/4, deleted ones too",
        near(far)
            .map(|page| format!("{new}?PageSize=50&Page={page}&IncludeSoftDeleted=true"))
            .collect(),
    );

    let (mut after, mut before) = (Vec::new(), Vec::new());
    for _ in 0..TARGETS {
        let page = customer.json(&format!("{new}?PageSize=50&Page={}", 1 + any(pages - 2)))?;
        after.push(text(&page, "next_page_uri")?.to_owned());
        before.push(text(&page, "previous_page_uri")?.to_owned());
    }
    kind("2010: page behind a PageToken", after);
    kind("2010: page before a PageToken", before);

    let calls = (0..TARGETS).map(|_| records.call(any(records.count)));
    kind(
        "2010: by CallSid",
        calls.map(|call| format!("{new}?CallSid={call}")).collect(),
    );
    let calls = (0..TARGETS).map(|_| records.call(any(records.count)));
    kind(
        "2008: by CallSid",
        calls.map(|call| format!("{old}?CallSid={call}")).collect(),
    );

    let days = records.shape.days();
    let of_a_day = records.count / days;
    let mut day = || records.day(any(days));
    let mut filtered = |parameters: &dyn Fn(&str, &str) -> String, list: &str| {
        (0..TARGETS)
            .map(|_| {
                let (one, other) = (day()?, day()?);
                let (from, to) = if one <= other {
                    (one, other)
                } else {
                    (other, one)
                };
                Ok(format!("{list}?{}", parameters(&from, &to)))
            })
            .collect::<anyhow::Result<Vec<_>>>()
    };
    let middle = of_a_day / PAGE_SIZE / 4 * 3;
    kind(
        "2008: a day",
        filtered(&|from, _| format!("DateCreated={from}"), &old)?,
    );
    kind(
        "2008: a day's page at 3/4",
        filtered(&|from, _| format!("DateCreated={from}&page={middle}"), &old)?,
    );
    kind(
        "2010: a day's page at 3/4",
        filtered(&|from, _| format!("DateCreated={from}&Page={middle}"), &new)?,
    );
    kind(
        "2008: from a day on",
        filtered(&|from, _| format!("DateCreated>={from}"), &old)?,
    );
    kind(
        "2008: up to a day",
        filtered(&|_, to| format!("DateCreated<={to}&page={middle}"), &old)?,
    );
    kind(
        "2010: from a day to a day",
        filtered(
            &|from, to| format!("DateCreated%3E={from}&DateCreated%3C={to}&Page={middle}"),
            &new,
        )?,
    );
    if records.shape == Shape::Day {
        let day = records.day(0)?;
        let page = customer.json(&format!(
            "{new}?DateCreated={day}&PageSize=50&Page={middle}"
        ))?;
        check(&page, u64::from(middle) * u64::from(PAGE_SIZE), PAGE_SIZE)?;
    }
    let sids = (0..TARGETS).map(|_| records.sid(any(records.count)));
    kind(
        "2010: one recording",
        sids.map(|sid| customer.path(&format!("/Recordings/{sid}.json")))
            .collect(),
    );
    Ok(kinds)
}

/// Pages about one, so that none is asked for twice in a row.
fn near(page: u32) -> impl Iterator<Item = u32> {
    (0..TARGETS).map(move |by| page.saturating_sub(by))
}

/// What a page says of itself.
fn check(page: &Value, start: u64, count: u32) -> anyhow::Result<()> {
    let items = page["recordings"]
        .as_array()
        .context("no list of recordings")?;
    let said = page["start"].as_u64();
    ensure!(
        items.len() == usize::try_from(count)? && said == Some(start),
        "a page from {start} has {} recordings from {said:?}",
        items.len()
    );
    Ok(())
}
