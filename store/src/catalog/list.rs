//! Which recordings a page has, and how many all pages have together.
//!
//! Called by `catalog::sled` while it holds the catalog still. It reads the indices and the kept
//! counts, and says where the records lie. An account's page is found by the counts (`catalog::count`); a call's list
//! is short, and walked.

use std::ops::Range;

use super::count::{self, Counted};
use super::key::{self, Scope, View};
use crate::kv::Table;
use crate::{Cursor, PageAt, Query, StoreError};

/// A page: where its records lie, how many come before it, how many there are.
#[derive(Default)]
pub(super) struct Slice {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) first: u64,
    pub(super) total: u64,
}

/// The page that is asked for.
pub(super) fn page(table: &Table, query: &Query) -> Result<Slice, StoreError> {
    let view = if query.include_unfinished {
        View::All
    } else {
        View::Listed
    };
    match (Bounds::of(query), query.call) {
        (None, _) => Ok(Slice {
            first: span(query, |_, _| Ok(0))?.start,
            ..Slice::default()
        }),
        (Some(bounds), None) => page_of_account(table, query, view, bounds),
        (Some(bounds), Some(call)) => {
            page_of_call(table, query, view, Scope::Call(query.account, call), bounds)
        }
    }
}

fn page_of_account(
    table: &Table,
    query: &Query,
    view: View,
    bounds: Bounds,
) -> Result<Slice, StoreError> {
    let counted = Counted {
        table,
        account: query.account,
        view,
    };
    let scope = Scope::Account(query.account);
    let first = counted.before(Some(bounds.from))?;
    let total = counted.before(bounds.to)?.saturating_sub(first);
    let span = span(query, |cursor, counts_it| {
        let newest = key::newest(cursor.created_ms);
        let start = key::index_from(view, scope, newest);
        let beside = entries(table, start, cursor_end(view, scope, cursor, counts_it))?;
        let rank = counted.before(Some(newest))? + beside;
        Ok(rank.saturating_sub(first).min(total))
    })?;
    let mut slice = Slice {
        keys: Vec::new(),
        first: span.start,
        total,
    };
    if span.start >= total {
        return Ok(slice);
    }
    let (start, skip) = if span.start == 0 {
        (key::index_from(view, scope, bounds.from), 0)
    } else {
        let rank = first + span.start;
        counted.select(rank)?.ok_or_else(count::damaged)?
    };
    let wanted = span.end - span.start;
    for (place, entry) in (0_u64..).zip(table.range(start..bounds.end(view, scope))) {
        if slice.keys.len() as u64 >= wanted {
            break;
        }
        let (key, _) = entry?;
        if place >= skip {
            let lies = key::record_of(query.account, &key).ok_or_else(count::damaged)?;
            slice.keys.push(lies);
        }
    }
    Ok(slice)
}

fn page_of_call(
    table: &Table,
    query: &Query,
    view: View,
    scope: Scope,
    bounds: Bounds,
) -> Result<Slice, StoreError> {
    let kept = match scope {
        Scope::Call(account, call) if bounds == Bounds::NONE => {
            Some(count::counts_at(table, &key::call_count(account, call))?[view.index()])
        }
        Scope::Call(..) | Scope::Account(_) => None,
    };
    let start = key::index_from(view, scope, bounds.from);
    let end = bounds.end(view, scope);
    let span = span(query, |cursor, counts_it| {
        let to = cursor_end(view, scope, cursor, counts_it);
        entries(table, start.clone(), to.min(end.clone()))
    })?;
    let mut keys = Vec::new();
    let mut seen = 0;
    for entry in table.range(start..end) {
        if kept.is_some() && seen >= span.end {
            break;
        }
        let (key, _) = entry?;
        if span.contains(&seen) {
            keys.push(key::record_of(query.account, &key).ok_or_else(count::damaged)?);
        }
        seen += 1;
    }
    Ok(Slice {
        keys,
        first: span.start,
        total: kept.unwrap_or(seen),
    })
}

/// The places of the page in its list. `rank` tells how many come before a cursor, itself counted
/// where it is to be.
fn span(
    query: &Query,
    rank: impl FnOnce(Cursor, bool) -> Result<u64, StoreError>,
) -> Result<Range<u64>, StoreError> {
    let size = u64::from(query.page_size);
    let start = match query.at {
        PageAt::Number(page) => page.saturating_mul(size),
        PageAt::After(cursor) => rank(cursor, true)?,
        PageAt::Before(cursor) => {
            let end = rank(cursor, false)?;
            return Ok(end.saturating_sub(size)..end);
        }
    };
    Ok(start..start.saturating_add(size))
}

/// The key up to which an index comes before a cursor, or just behind it.
fn cursor_end(view: View, scope: Scope, cursor: Cursor, behind: bool) -> Vec<u8> {
    let mut end = key::index_from(view, scope, key::newest(cursor.created_ms));
    end.extend_from_slice(cursor.sid.as_bytes());
    if behind {
        end.push(0);
    }
    end
}

/// How many entries lie there.
fn entries(table: &Table, start: Vec<u8>, end: Vec<u8>) -> Result<u64, StoreError> {
    if end <= start {
        return Ok(0);
    }
    let mut count = 0;
    for entry in table.range(start..end) {
        entry?;
        count += 1;
    }
    Ok(count)
}

/// A span of creation times, turned round.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bounds {
    /// From this one on.
    from: u64,
    /// Up to before this one; to the last, without one.
    to: Option<u64>,
}

impl Bounds {
    const NONE: Self = Self { from: 0, to: None };

    /// `None` where no time can match.
    fn of(query: &Query) -> Option<Self> {
        let from = match query.until_ms {
            None => 0,
            Some(until) => key::newest(until).checked_add(1)?,
        };
        let to = query
            .from_ms
            .and_then(|from| key::newest(from).checked_add(1));
        to.is_none_or(|to| from < to).then_some(Self { from, to })
    }

    /// The key just behind the span.
    fn end(self, view: View, scope: Scope) -> Vec<u8> {
        match self.to {
            Some(to) => key::index_from(view, scope, to),
            None => key::index_end(view, scope),
        }
    }
}
