//! What goes over the local socket: one JSON object a line. Both ends are this program, of the same
//! version or the one before an upgrade, so that a field may be added and none changed.

use std::fmt;

use reeld_model::{AccountSid, KeySid, RecordingSid};
use reeld_store::{
    Account, ApiKey, AuditEntry, AuditQuery, DeadEvent, Event, Finding, Health, Hold, Rewrapped,
    VerifyProgress, VerifyReport,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::shown::Shown;
use crate::import::{Done, Job};

/// What a client can ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Makes an account.
    AccountAdd {
        /// Its Sid; chosen where none is given.
        sid: Option<AccountSid>,
        /// Its name to people.
        name: String,
    },
    /// Lists the accounts.
    AccountList,
    /// Removes an account; its recordings stay.
    AccountRemove {
        /// Which.
        sid: AccountSid,
    },
    /// Gives an account a new token.
    AccountRotate {
        /// Which.
        sid: AccountSid,
    },
    /// Makes an API key of an account.
    KeyAdd {
        /// Whose.
        account: AccountSid,
        /// Its name to people.
        name: String,
    },
    /// Lists the API keys.
    KeyList,
    /// Removes an API key.
    KeyRemove {
        /// Which.
        sid: KeySid,
    },
    /// Signs a link to a recording.
    Link {
        /// Which.
        sid: RecordingSid,
        /// One of `reeld_api::link::FORMATS`, or none for the WAV.
        format: Option<String>,
        /// How long it is good for, seconds.
        expires_in_s: u64,
    },
    /// Reads every record and its media back.
    Verify,
    /// Brings every recording's data key under the current encryption key.
    Rewrap,
    /// What is known of a recording.
    Show {
        /// Which.
        sid: RecordingSid,
    },
    /// Puts a recording on legal hold.
    Hold {
        /// Which.
        sid: RecordingSid,
    },
    /// Releases a recording from it.
    Release {
        /// Which.
        sid: RecordingSid,
    },
    /// The recordings that are on hold.
    Holds,
    /// The callbacks that wait.
    CallbacksPending,
    /// The callbacks that were given up on.
    CallbacksDead,
    /// Sends both again, now.
    CallbacksRetry,
    /// How the daemon is.
    Status,
    /// Entries of the audit trail.
    Audit(AuditQuery),
    /// Imports the open file that comes beside this line.
    Import(Job),
}

/// What it is answered. All but [`Reply::Progress`] are final.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Reply {
    /// An account with a new token, shown this once.
    Token {
        /// Whose.
        sid: AccountSid,
        /// Its token.
        token: Token,
    },
    /// The accounts.
    Accounts {
        /// All of them.
        accounts: Vec<AccountLine>,
    },
    /// A new API key, its secret shown this once.
    Key {
        /// Its Sid.
        sid: KeySid,
        /// Whose it is.
        account: AccountSid,
        /// Its secret.
        secret: Token,
    },
    /// The API keys.
    Keys {
        /// All of them.
        keys: Vec<KeyLine>,
    },
    /// A signed link.
    Link {
        /// Path and query of its URL.
        path: String,
    },
    /// The account or key is gone.
    Removed,
    /// How far a verify or an import is.
    Progress {
        /// Recordings looked at; of an import, bytes read.
        done: u64,
        /// Recordings to look at, as far as is known; of an import, bytes to read.
        total: u64,
        /// Bytes of media read.
        bytes: u64,
    },
    /// What a verify found.
    Report {
        /// Records found whole.
        records: u64,
        /// Bytes of media read.
        bytes: u64,
        /// What is wrong, a sentence each.
        findings: Vec<String>,
    },
    /// What became of the data keys.
    Rewrapped {
        /// Recordings whose key was brought under the current one.
        rewrapped: u64,
        /// Recordings whose key was under it.
        current: u64,
        /// Recordings in clear.
        clear: u64,
        /// Recordings that are left as they were.
        left: u64,
        /// Why, of the first of them.
        problems: Vec<String>,
    },
    /// What is known of a recording.
    Recording(Box<Shown>),
    /// Recordings that are on hold: all of them, or the one that was put there.
    Holds {
        /// By their Sids.
        holds: Vec<HoldLine>,
    },
    /// How the daemon is.
    Status(Status),
    /// Some callbacks.
    Callbacks {
        /// Recordings that have some waiting.
        waiting: usize,
        /// Callbacks given up on.
        dead: usize,
        /// Those asked for, `MOST_CALLBACKS` at most.
        callbacks: Vec<CallbackLine>,
    },
    /// All callbacks are tried again.
    Retried {
        /// Recordings that have some waiting.
        waiting: usize,
    },
    /// Entries of the audit trail, the newest first.
    Audit {
        /// Those asked for.
        entries: Vec<AuditEntry>,
    },
    /// What came of an import.
    Imported(Done),
    /// It was not done, and why.
    Refused {
        /// In one line.
        reason: String,
    },
}

/// An account, without its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLine {
    /// Its Sid.
    pub sid: AccountSid,
    /// Its name to people.
    pub name: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Whether it comes from the configuration.
    pub configured: bool,
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLine {
    /// Its Sid.
    pub sid: KeySid,
    /// Whose it is.
    pub account: AccountSid,
    /// Its name to people.
    pub name: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_ms: i64,
}

/// A recording that is on legal hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldLine {
    /// Which.
    pub sid: RecordingSid,
    /// Whose it is.
    pub account: AccountSid,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: i64,
}

/// Entries of the audit trail that are shown at once.
pub const MOST_AUDIT: usize = 10_000;

/// Callbacks that are shown at once.
pub const MOST_CALLBACKS: usize = 1_000;

/// A callback, without the path and query of its URL, which may have secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackLine {
    /// Of which recording.
    pub sid: RecordingSid,
    /// What it tells of it.
    pub status: String,
    /// Host and port that it goes to.
    pub host: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub made_ms: i64,
    /// When it is tried next, or was given up on, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Rounds that have failed.
    pub attempts: u32,
    /// Why the last one has.
    pub last_error: String,
}

/// How a daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Bytes free in the data folder.
    pub free_bytes: u64,
    /// Bytes that must stay free.
    pub min_free_bytes: u64,
    /// Whether the folder takes writes.
    pub writable: bool,
    /// What the disk failed at, until it works again.
    #[serde(default)]
    pub failing: Option<String>,
    /// Recordings that have ended and wait for the disk.
    #[serde(default)]
    pub unfinished: usize,
    /// Recordings whose media are damaged.
    #[serde(default)]
    pub damaged: usize,
    /// The id of the key that encrypts what is recorded now; none leaves it in clear.
    #[serde(default)]
    pub encryption_key: Option<String>,
    /// Ids of keys under which recordings may be, and that the daemon has not.
    #[serde(default)]
    pub missing_keys: Vec<String>,
}

/// A token on its way to the one who asked for it. It prints as nothing but that it is secret.
#[derive(Clone)]
pub struct Token(pub SecretString);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|token| Self(token.into()))
    }
}

impl Reply {
    /// Whether another reply follows this one.
    #[must_use]
    pub const fn is_progress(&self) -> bool {
        matches!(self, Self::Progress { .. })
    }
}

impl From<VerifyProgress> for Reply {
    fn from(progress: VerifyProgress) -> Self {
        let VerifyProgress { done, total, bytes } = progress;
        Self::Progress { done, total, bytes }
    }
}

impl From<Rewrapped> for Reply {
    fn from(done: Rewrapped) -> Self {
        let Rewrapped {
            rewrapped,
            current,
            clear,
            left,
            problems,
        } = done;
        Self::Rewrapped {
            rewrapped,
            current,
            clear,
            left,
            problems,
        }
    }
}

impl From<VerifyReport> for Reply {
    fn from(report: VerifyReport) -> Self {
        let VerifyReport {
            records,
            bytes,
            findings,
            damaged: _,
            repaired: _,
        } = report;
        Self::Report {
            records,
            bytes,
            findings: findings.iter().map(sentence).collect(),
        }
    }
}

impl From<Hold> for HoldLine {
    fn from(hold: Hold) -> Self {
        let Hold {
            sid,
            account,
            since_ms,
        } = hold;
        Self {
            sid,
            account,
            since_ms,
        }
    }
}

impl From<Event> for CallbackLine {
    fn from(event: Event) -> Self {
        Self {
            sid: event.sid,
            status: event.name().to_owned(),
            host: event.host().to_owned(),
            made_ms: event.made_ms,
            at_ms: event.next_ms,
            attempts: event.attempts,
            last_error: event.last_error,
        }
    }
}

impl From<DeadEvent> for CallbackLine {
    fn from(DeadEvent { died_ms, event }: DeadEvent) -> Self {
        Self {
            at_ms: died_ms,
            ..event.into()
        }
    }
}

impl From<Account> for AccountLine {
    fn from(account: Account) -> Self {
        let Account {
            sid,
            name,
            created_ms,
            configured,
        } = account;
        Self {
            sid,
            name,
            created_ms,
            configured,
        }
    }
}

impl From<ApiKey> for KeyLine {
    fn from(key: ApiKey) -> Self {
        let ApiKey {
            sid,
            account,
            name,
            created_ms,
        } = key;
        Self {
            sid,
            account,
            name,
            created_ms,
        }
    }
}

impl From<Health> for Status {
    fn from(health: Health) -> Self {
        let Health {
            free_bytes,
            min_free_bytes,
            writable,
            failing,
            unfinished,
            damaged,
            encryption_key,
            missing_keys,
        } = health;
        Self {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            free_bytes,
            min_free_bytes,
            writable,
            failing,
            unfinished,
            damaged,
            encryption_key: encryption_key.map(|key| key.to_string()),
            missing_keys: missing_keys.iter().map(ToString::to_string).collect(),
        }
    }
}

fn sentence(finding: &Finding) -> String {
    match finding {
        Finding::Missing(sid) => format!("{sid}: missing: there is a record and no media"),
        Finding::Orphaned(sid) => format!("{sid}: orphaned: there is media and no record"),
        Finding::Damaged(sid, what) => format!("{sid}: damaged: {what}"),
        Finding::Locked(_, what) => what.clone(),
        Finding::Drift(what) => format!("the catalog has drifted: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_as_they_are_meant() {
        let line = r#"{"do":"account-add","sid":null,"name":"main"}"#;
        let request = Request::AccountAdd {
            sid: None,
            name: "main".to_owned(),
        };
        assert_eq!(serde_json::to_string(&request).unwrap(), line);
        assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
        assert!(serde_json::from_str::<Request>(r#"{"do":"format"}"#).is_err());
    }

    #[test]
    fn a_token_goes_over_the_socket_and_into_no_log() {
        let sid = AccountSid::from_bytes([7; 16]);
        let reply = Reply::Token {
            sid,
            token: Token("hunter2".to_owned().into()),
        };
        assert!(!format!("{reply:?}").contains("hunter2"));
        let back: Reply = serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap();
        assert!(matches!(back, Reply::Token { token, .. } if token.0.expose_secret() == "hunter2"));
    }
}
