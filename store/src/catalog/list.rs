//! Which recordings a page has, and how many all pages have together.
//!
//! Called by `catalog::sled` while it holds the catalog still. It reads the indices and the kept
//! counts, and says where the records lie. An account's page is found by the counts (`catalog::count`); a call's list
//! is short, and walked.

use super::count::{self, Counted};
use super::key::{self, Scope, View};
use crate::kv::Table;
use crate::{Query, StoreError};

/// The keys of the records on the page that is asked for, and the list's length.
pub(super) fn page(table: &Table, query: &Query) -> Result<(Vec<Vec<u8>>, u64), StoreError> {
    let view = if query.include_unfinished {
        View::All
    } else {
        View::Listed
    };
    match (Bounds::of(query), query.call) {
        (None, _) => Ok((Vec::new(), 0)),
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
) -> Result<(Vec<Vec<u8>>, u64), StoreError> {
    let counted = Counted {
        table,
        account: query.account,
        view,
    };
    let scope = Scope::Account(query.account);
    let first = counted.before(Some(bounds.from))?;
    let total = counted.before(bounds.to)?.saturating_sub(first);
    let offset = query.page.saturating_mul(u64::from(query.page_size));
    if offset >= total {
        return Ok((Vec::new(), total));
    }
    let (start, skip) = if offset == 0 {
        (key::index_from(view, scope, bounds.from), 0)
    } else {
        counted.select(first + offset)?.ok_or_else(count::damaged)?
    };
    let mut keys = Vec::new();
    for (place, entry) in (0_u64..).zip(table.range(start..bounds.end(view, scope))) {
        if keys.len() as u64 >= u64::from(query.page_size) {
            break;
        }
        let (key, _) = entry?;
        if place >= skip {
            keys.push(key::record_of(query.account, &key).ok_or_else(count::damaged)?);
        }
    }
    Ok((keys, total))
}

fn page_of_call(
    table: &Table,
    query: &Query,
    view: View,
    scope: Scope,
    bounds: Bounds,
) -> Result<(Vec<Vec<u8>>, u64), StoreError> {
    let kept = match scope {
        Scope::Call(account, call) if bounds == Bounds::NONE => {
            Some(count::counts_at(table, &key::call_count(account, call))?[view.index()])
        }
        Scope::Call(..) | Scope::Account(_) => None,
    };
    let skip = query.page.saturating_mul(u64::from(query.page_size));
    let stop = skip.saturating_add(u64::from(query.page_size));
    let mut keys = Vec::new();
    let mut seen = 0;
    let start = key::index_from(view, scope, bounds.from);
    for entry in table.range(start..bounds.end(view, scope)) {
        if kept.is_some() && seen >= stop {
            break;
        }
        let (key, _) = entry?;
        if (skip..stop).contains(&seen) {
            keys.push(key::record_of(query.account, &key).ok_or_else(count::damaged)?);
        }
        seen += 1;
    }
    Ok((keys, kept.unwrap_or(seen)))
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
