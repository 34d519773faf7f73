//! A list request and its answer, as the API gives and gets them.

use reeld_model::{AccountSid, CallSid, RecordingSid};

use crate::Record;

/// Which recordings to list, newest first, ties by Sid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Whose.
    pub account: AccountSid,
    /// Only those of this call.
    pub call: Option<CallSid>,
    /// Only those that have this name; with it `call` is not looked at.
    pub named: Option<Named>,
    /// Only those created at or after this instant, milliseconds since the Unix epoch.
    pub from_ms: Option<i64>,
    /// Only those created before this instant, milliseconds since the Unix epoch.
    pub until_ms: Option<i64>,
    /// Which of them, by their stage.
    pub which: Which,
    /// Which page.
    pub at: PageAt,
    /// Records a page.
    pub page_size: u32,
}

/// What of its signalling a recording is found by, whatever the case of its letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// Who took part: an address of record, its user part alone (a telephone number), or a name.
    Participant(String),
    /// A session: its id, its communication sessions' ids, or the recording session's Call-ID.
    Session(String),
}

/// Which recordings a list has, by their stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Completed ones alone: 2008's list.
    Completed,
    /// Live and absent ones too: 2010's list.
    Undeleted,
    /// All of these, and those whose record outlives their deletion: `IncludeSoftDeleted`.
    WithDeleted,
}

/// Where a page is in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageAt {
    /// The page of this number, from 0, as the list is now.
    Number(u64),
    /// What follows a place, whatever has come or gone before it meanwhile.
    After(Cursor),
    /// What comes just before a place.
    Before(Cursor),
}

/// A place in every list: that of a recording, which may be there no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// When it was created, milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Its name.
    pub sid: RecordingSid,
}

impl Cursor {
    /// The place of `record`.
    #[must_use]
    pub const fn of(record: &Record) -> Self {
        Self {
            created_ms: record.created_ms,
            sid: record.sid,
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The page's records; empty past the end.
    pub records: Vec<Record>,
    /// How many records that match come before the page.
    pub first: u64,
    /// How many records match on all pages together, at the same instant.
    pub total: u64,
}
