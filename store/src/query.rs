//! A list request and its answer, as the API gives and gets them.

use reeld_model::{AccountSid, CallSid};

use crate::Record;

/// Which recordings to list, newest first, ties by Sid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Whose.
    pub account: AccountSid,
    /// Only those of this call.
    pub call: Option<CallSid>,
    /// Only those created at or after this instant, milliseconds since the Unix epoch.
    pub from_ms: Option<i64>,
    /// Only those created before this instant, milliseconds since the Unix epoch.
    pub until_ms: Option<i64>,
    /// Whether live and absent ones are listed too (2010); else completed ones alone (2008).
    pub include_unfinished: bool,
    /// Which page, from 0.
    pub page: u64,
    /// Records a page.
    pub page_size: u32,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The page's records; empty past the end.
    pub records: Vec<Record>,
    /// How many records match on all pages together, at the same instant.
    pub total: u64,
}
