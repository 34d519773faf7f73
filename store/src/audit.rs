//! The audit trail: who fetched, deleted, started and stopped what, from where, when, and how it
//! was answered.
//!
//! `api` adds entries a batch at a time, `daemon` those of the command line, and reads them for
//! `reeld audit`; an entry's bytes are of this module's making, `catalog::trail` keeps them. No
//! token, secret or signature is ever part of an entry: there is no field for one.

use std::fmt;
use std::net::IpAddr;

use reeld_model::{AccountSid, Bringer, CallSid, KeySid, RecordingSid};
use serde::{Deserialize, Serialize};

use crate::{Store, StoreError};

/// The version of [`AuditEntry`]'s bytes.
const VERSION: u8 = 1;

/// Who did it. Kept by number: add at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Who has the account's token.
    Account(AccountSid),
    /// Who has this key's secret.
    Key(KeySid),
    /// Who has a signed link that ends then, seconds since the Unix epoch.
    Link(u64),
    /// Who knows the Sid.
    Public,
    /// A user of this machine, by uid, on the command line.
    Local(u32),
    /// What brings a call that comes by itself.
    Bringer(Bringer),
}

/// What was done. Kept by number: add at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each says itself")]
pub enum AuditAction {
    Fetch,
    Delete,
    Start,
    Pause,
    Resume,
    Stop,
    /// A change that was refused before it was known what it would be.
    Change,
    OpenCall,
    UpdateCall,
    EndCall,
    MakeLink,
    AddAccount,
    RemoveAccount,
    RotateAccount,
    AddKey,
    RemoveKey,
    /// Put on legal hold.
    Hold,
    /// Released from it.
    Release,
    /// A recording ended that a call had begun by itself.
    End,
    /// Strangers' calls, or messages, were not taken.
    TurnAway,
}

impl AuditAction {
    /// Its name in logs and lists.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Delete => "delete",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Change => "change",
            Self::OpenCall => "open-call",
            Self::UpdateCall => "update-call",
            Self::EndCall => "end-call",
            Self::MakeLink => "make-link",
            Self::AddAccount => "add-account",
            Self::RemoveAccount => "remove-account",
            Self::RotateAccount => "rotate-account",
            Self::AddKey => "add-key",
            Self::RemoveKey => "remove-key",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::End => "end",
            Self::TurnAway => "turn-away",
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(sid) => sid.fmt(f),
            Self::Key(sid) => sid.fmt(f),
            Self::Link(expires_s) => write!(f, "link-until-{expires_s}"),
            Self::Public => f.write_str("public"),
            Self::Local(uid) => write!(f, "uid-{uid}"),
            Self::Bringer(bringer) => f.write_str(bringer.as_str()),
        }
    }
}

/// One entry; kept as postcard behind a version byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When it was answered, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Who did it.
    pub who: Who,
    /// From where, of several the last; none for this machine's users.
    pub address: Option<IpAddr>,
    /// What was done.
    pub action: AuditAction,
    /// Whose it was done to.
    pub account: Option<AccountSid>,
    /// To which recording.
    pub recording: Option<RecordingSid>,
    /// To which call, where the request names it.
    pub call: Option<CallSid>,
    /// Of a fetch and a link, the representation: `wav`, `mp3`, `json` and so on; of a key, its Sid; of a call that comes
    /// by itself, its User-Agent as it begins a recording, and by what that ended; why strangers were turned away.
    pub form: String,
    /// Of a fetch, the bytes of the answer's body; 0 where nobody knows them beforehand. How many strangers were turned
    /// away.
    pub bytes: u64,
    /// The HTTP status, or 0 on the command line.
    pub status: u16,
}

/// Which entries are asked for; what is `None` is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditQuery {
    /// From this time on, milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// Of this recording.
    pub recording: Option<RecordingSid>,
    /// Of this account, as whose it was done to.
    pub account: Option<AccountSid>,
    /// At most so many, the newest.
    pub limit: usize,
}

impl AuditQuery {
    fn has(&self, entry: &AuditEntry) -> bool {
        self.since_ms.is_none_or(|since_ms| entry.at_ms >= since_ms)
            && (self.recording.is_none() || self.recording == entry.recording)
            && (self.account.is_none() || self.account == entry.account)
    }
}

impl Store {
    /// Keeps so many entries of the trail at most, from now on; 0 keeps none.
    pub fn bound_audit(&self, most: u64) {
        self.inner.catalog.trail().bound(most);
    }

    /// Adds entries to the trail, in order. Durable.
    ///
    /// # Errors
    /// What the engine says.
    pub fn audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let bytes = entries.iter().map(|entry| {
            postcard::to_extend(entry, vec![VERSION])
                .expect("an entry has no part that postcard refuses, and a Vec takes every byte")
        });
        self.inner.catalog.trail().add(bytes.collect())
    }

    /// Entries of the trail, the newest first.
    ///
    /// # Errors
    /// What the engine says, or an entry cannot be read.
    pub fn audited(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let entries = self.inner.catalog.trail().newest_first().map(|bytes| {
            decode(&bytes?).ok_or_else(|| {
                StoreError::Catalog("an entry of the audit trail cannot be read".to_owned())
            })
        });
        entries
            .filter(|entry| entry.as_ref().map_or(true, |entry| query.has(entry)))
            .take(query.limit)
            .collect()
    }

    /// Takes entries from before `before_ms` out, a few thousand at most; how many.
    ///
    /// # Errors
    /// What the engine says.
    pub fn purge_audit(&self, before_ms: i64) -> Result<u64, StoreError> {
        // What cannot be read is of no use to anybody.
        let is_over = |bytes: &[u8]| decode(bytes).is_none_or(|entry| entry.at_ms < before_ms);
        self.inner.catalog.trail().purge(is_over)
    }
}

fn decode(bytes: &[u8]) -> Option<AuditEntry> {
    match bytes.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).ok(),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MediaKind;
    use crate::harness::{account, open};

    fn entry(at_ms: i64) -> AuditEntry {
        AuditEntry {
            at_ms,
            who: Who::Account(account(1)),
            address: Some(IpAddr::from([192, 0, 2, 1])),
            action: AuditAction::Fetch,
            account: Some(account(u8::try_from(at_ms % 2).unwrap())),
            recording: None,
            call: None,
            form: "wav".to_owned(),
            bytes: 44,
            status: 206,
        }
    }

    fn times(store: &Store, query: AuditQuery) -> Vec<i64> {
        let entries = store.audited(&query).unwrap();
        entries.iter().map(|entry| entry.at_ms).collect()
    }

    const ALL: AuditQuery = AuditQuery {
        since_ms: None,
        recording: None,
        account: None,
        limit: 1_000,
    };

    #[test]
    fn entries_are_found_and_outlive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), MediaKind::Local);
        assert_eq!(times(&store, ALL), [0; 0]);
        store.audit(&[entry(1), entry(2)]).unwrap();
        store.audit(&[entry(3)]).unwrap();
        for _ in 0..2 {
            assert_eq!(times(&store, ALL), [3, 2, 1]);
            assert_eq!(times(&store, AuditQuery { limit: 2, ..ALL }), [3, 2]);
            let since_ms = Some(2);
            assert_eq!(times(&store, AuditQuery { since_ms, ..ALL }), [3, 2]);
            let account = Some(account(1));
            assert_eq!(times(&store, AuditQuery { account, ..ALL }), [3, 1]);
            let recording = Some(RecordingSid::from_bytes([1; 16]));
            assert_eq!(times(&store, AuditQuery { recording, ..ALL }), [0; 0]);
            assert_eq!(store.audited(&ALL).unwrap()[1], entry(2));
            drop(store);
            store = open(dir.path(), MediaKind::Local);
        }
        store.audit(&[entry(4)]).unwrap();
        assert_eq!(times(&store, ALL), [4, 3, 2, 1]);
    }

    #[test]
    fn the_oldest_go_by_age_and_by_number() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), MediaKind::Local);
        let ten: Vec<_> = (0..10).map(entry).collect();
        store.audit(&ten).unwrap();
        assert_eq!(store.purge_audit(3).unwrap(), 3);
        assert_eq!(store.purge_audit(3).unwrap(), 0);
        store.bound_audit(4);
        store.audit(&[entry(10)]).unwrap();
        assert_eq!(times(&store, ALL), [10, 9, 8, 7]);
        store.bound_audit(2);
        assert_eq!(store.purge_audit(0).unwrap(), 2);
        assert_eq!(times(&store, ALL), [10, 9]);
        store.bound_audit(0);
        store.audit(&[entry(11)]).unwrap();
        assert_eq!(times(&store, ALL), [10, 9]);
        assert_eq!(store.purge_audit(0).unwrap(), 2);
        drop(store);
        let store = open(dir.path(), MediaKind::Local);
        assert_eq!(times(&store, ALL), [0; 0]);
        // Their numbers are used again, and nothing of theirs is there.
        store.audit(&[entry(12)]).unwrap();
        assert_eq!(times(&store, ALL), [12]);
    }
}
