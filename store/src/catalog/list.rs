//! Which recordings a page has, and how many all pages have together.
//!
//! Called by `catalog::sled` while it holds the catalog still. It reads the indices and the kept
//! counts, and says where the records lie. An account's page is found by the counts
//! (`catalog::count`); a call's or a name's list is short, and walked. A list with deleted recordings is two
//! indices taken together: their counts add up, their entries are merged as they are walked.

use std::iter::Peekable;
use std::ops::Range;

use reeld_model::AccountSid;

use super::count::{self, Counted};
use super::key::{self, Index, Rank, Scope, View};
use super::names;
use crate::kv::Table;
use crate::{Cursor, PageAt, Query, StoreError, Which};

/// A page: where its records lie, how many come before it, how many there are.
#[derive(Default)]
pub(super) struct Slice {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) first: u64,
    pub(super) total: u64,
}

/// The views that together have what is listed, and share nothing.
const fn views(which: Which) -> &'static [View] {
    match which {
        Which::Completed => &[View::Listed],
        Which::Undeleted => &[View::All],
        Which::WithDeleted => &[View::All, View::Deleted],
    }
}

/// The page that is asked for.
pub(super) fn page(table: &Table, query: &Query) -> Result<Slice, StoreError> {
    let Some(bounds) = Bounds::of(query) else {
        return Ok(Slice {
            first: span(query, |_, _| Ok(0))?.start,
            ..Slice::default()
        });
    };
    let account = query.account;
    let scope = match (&query.named, query.call) {
        (Some(named), _) => Scope::Name(account, names::name(named)),
        (None, Some(call)) => Scope::Call(account, call),
        (None, None) => Scope::Account(account),
    };
    let indices = Indices {
        table,
        account,
        scope,
        views: views(query.which),
    };
    match scope {
        Scope::Account(_) => page_of_account(indices, query, bounds),
        Scope::Call(..) | Scope::Name(..) => page_walked(indices, query, bounds),
    }
}

fn page_of_account(
    indices: Indices<'_>,
    query: &Query,
    bounds: Bounds,
) -> Result<Slice, StoreError> {
    let counted = Counted {
        table: indices.table,
        account: query.account,
        views: indices.views,
    };
    let first = counted.before(Some(bounds.from))?;
    let total = counted.before(bounds.to)?.saturating_sub(first);
    let span = span(query, |cursor, counts_it| {
        let newest = key::newest(cursor.created_ms);
        let beside = indices.entries(newest, Bounds::NONE, cursor, counts_it)?;
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
        (bounds.from, 0)
    } else {
        let rank = first + span.start;
        counted.select(rank)?.ok_or_else(count::damaged)?
    };
    let wanted = span.end - span.start;
    for (place, entry) in (0_u64..).zip(indices.walk(start, bounds)) {
        if slice.keys.len() as u64 >= wanted {
            break;
        }
        let key = entry?;
        if place >= skip {
            slice.keys.push(key);
        }
    }
    Ok(slice)
}

fn page_walked(indices: Indices<'_>, query: &Query, bounds: Bounds) -> Result<Slice, StoreError> {
    let kept = match indices.scope {
        Scope::Call(account, call) if bounds == Bounds::NONE => {
            let counts = count::counts_at(indices.table, &key::call_count(account, call))?;
            Some(count::sum(counts, indices.views))
        }
        Scope::Call(..) | Scope::Name(..) | Scope::Account(_) => None,
    };
    let span = span(query, |cursor, counts_it| {
        indices.entries(bounds.from, bounds, cursor, counts_it)
    })?;
    let mut keys = Vec::new();
    let mut seen = 0;
    for entry in indices.walk(bounds.from, bounds) {
        if kept.is_some() && seen >= span.end {
            break;
        }
        let key = entry?;
        if span.contains(&seen) {
            keys.push(key);
        }
        seen += 1;
    }
    Ok(Slice {
        keys,
        first: span.start,
        total: kept.unwrap_or(seen),
    })
}

/// The indices that a list is read from, one for each view, taken together.
#[derive(Clone, Copy)]
struct Indices<'a> {
    table: &'a Table,
    account: AccountSid,
    scope: Scope,
    views: &'static [View],
}

impl Indices<'_> {
    /// Where the records lie, from a time (turned round) on and up to the end of `bounds`, in the
    /// list's order.
    fn walk(self, from: u64, bounds: Bounds) -> impl Iterator<Item = Result<Vec<u8>, StoreError>> {
        let ranks = move |of: Index| {
            let start = key::index_from(of, self.scope, from);
            let entries = self.table.range(start..bounds.end(of, self.scope));
            entries.map(|entry| key::rank(&entry?.0).ok_or_else(count::damaged))
        };
        let sides = self.views.iter().map(|view| {
            let (of, without) = view.indices();
            let less = Less {
                all: ranks(of),
                without: without.map(|without| ranks(without).peekable()),
            };
            (of, less.peekable())
        });
        let merged = Merged(sides.collect());
        merged.map(move |entry| {
            let (of, rank) = entry?;
            Ok(key::record_of(of, self.account, &rank))
        })
    }

    /// How many there are from a time (turned round) on, within `bounds`, that come before a
    /// cursor, itself counted where it is to be.
    fn entries(
        self,
        from: u64,
        bounds: Bounds,
        cursor: Cursor,
        counts_it: bool,
    ) -> Result<u64, StoreError> {
        count::entries(self.table, self.views, |of| {
            let start = key::index_from(of, self.scope, from);
            let end = cursor_end(of, self.scope, cursor, counts_it);
            start..end.min(bounds.end(of, self.scope))
        })
    }
}

/// An index's entries less those that another has.
struct Less<I: Iterator> {
    all: I,
    without: Option<Peekable<I>>,
}

impl<I: Iterator<Item = Result<Rank, StoreError>>> Iterator for Less<I> {
    type Item = Result<Rank, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rank = match self.all.next()? {
                Ok(rank) => rank,
                Err(error) => return Some(Err(error)),
            };
            let Some(without) = &mut self.without else {
                return Some(Ok(rank));
            };
            while without
                .next_if(|other| other.as_ref().is_ok_and(|other| *other < rank))
                .is_some()
            {}
            match without.peek() {
                Some(Ok(other)) if *other == rank => {}
                // What it leaves out is not known: that ends the list.
                Some(Err(_)) => return without.next(),
                Some(Ok(_)) | None => return Some(Ok(rank)),
            }
        }
    }
}

/// Several views' entries in one order.
struct Merged<I: Iterator>(Vec<(Index, Peekable<I>)>);

impl<I: Iterator<Item = Result<Rank, StoreError>>> Iterator for Merged<I> {
    type Item = Result<(Index, Rank), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let sides = self.0.iter_mut().filter_map(|(of, side)| {
            // A side that cannot be read comes first, and ends the list with its error.
            let rank = side.peek()?.as_ref().ok().copied();
            Some((rank, *of, side))
        });
        let (_, of, side) = sides.min_by_key(|(rank, ..)| *rank)?;
        side.next().map(|rank| Ok((of, rank?)))
    }
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
fn cursor_end(of: Index, scope: Scope, cursor: Cursor, behind: bool) -> Vec<u8> {
    let mut end = key::index_from(of, scope, key::newest(cursor.created_ms));
    end.extend_from_slice(cursor.sid.as_bytes());
    if behind {
        end.push(0);
    }
    end
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
    fn end(self, of: Index, scope: Scope) -> Vec<u8> {
        match self.to {
            Some(to) => key::index_from(of, scope, to),
            None => key::index_end(of, scope),
        }
    }
}
