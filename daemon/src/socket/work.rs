//! What a request does to the store. Blocking: the server calls it on a thread for that, the command
//! line directly when it has opened the folder itself. A refusal is a reply, not an error.

use reeld_api::link;
use reeld_model::RecordingSid;
use reeld_store::{AuditAction, AuditEntry, AuditQuery, Link, Reach, Store, StoreError, Who};

use super::message::{CallbackLine, MOST_AUDIT, MOST_CALLBACKS, Reply, Request, Token};
use crate::clock;

/// Carries a request of the user `uid` out. `progress` hears what comes before the final reply, which
/// is returned.
pub fn carry_out(
    store: &Store,
    uid: u32,
    request: Request,
    progress: &mut dyn FnMut(Reply),
) -> Reply {
    if let Request::Hold { sid } | Request::Release { sid } = &request {
        // Who holds and who releases is for those who ask later: it is said at any level but error.
        tracing::warn!(target: "reeld::audit", uid, recording = %sid, ?request, "legal hold");
    }
    let asked = request.clone();
    let reply = try_out(store, request, progress).unwrap_or_else(|error| Reply::Refused {
        reason: error.to_string(),
    });
    if let Some(entry) = audited(store, uid, &asked, &reply)
        && let Err(error) = store.audit(&[entry])
    {
        // It is done all the same, and the log has who asked.
        tracing::error!(%error, "the audit trail lacks a local command");
    }
    reply
}

/// What the audit trail is to have of a command that was carried out.
fn audited(store: &Store, uid: u32, request: &Request, reply: &Reply) -> Option<AuditEntry> {
    let (action, account, recording, form) = match (request, reply) {
        (Request::AccountAdd { .. }, Reply::Token { sid, .. }) => {
            (AuditAction::AddAccount, Some(*sid), None, String::new())
        }
        (Request::AccountRemove { sid }, Reply::Removed) => {
            (AuditAction::RemoveAccount, Some(*sid), None, String::new())
        }
        (Request::AccountRotate { sid }, Reply::Token { .. }) => {
            (AuditAction::RotateAccount, Some(*sid), None, String::new())
        }
        (Request::KeyAdd { account, .. }, Reply::Key { sid, .. }) => {
            (AuditAction::AddKey, Some(*account), None, sid.to_string())
        }
        (Request::KeyRemove { sid }, Reply::Removed) => {
            (AuditAction::RemoveKey, None, None, sid.to_string())
        }
        (Request::Link { sid, format, .. }, Reply::Link { .. }) => (
            AuditAction::MakeLink,
            None,
            Some(*sid),
            format.clone().unwrap_or_default(),
        ),
        (Request::Hold { sid }, Reply::Holds { holds }) => (
            AuditAction::Hold,
            holds.first().map(|hold| hold.account),
            Some(*sid),
            String::new(),
        ),
        (Request::Release { sid }, Reply::Holds { .. }) => {
            // Whose it is is for the list alone: without it the entry is told by the recording.
            let record = store.find(*sid).ok().flatten();
            let account = record.map(|record| record.account);
            (AuditAction::Release, account, Some(*sid), String::new())
        }
        _ => return None,
    };
    Some(AuditEntry {
        at_ms: clock::unix_ms(),
        who: Who::Local(uid),
        address: None,
        action,
        account,
        recording,
        call: None,
        form,
        bytes: 0,
        status: 0,
    })
}

fn try_out(
    store: &Store,
    request: Request,
    progress: &mut dyn FnMut(Reply),
) -> Result<Reply, StoreError> {
    Ok(match request {
        Request::AccountAdd { sid, name } => {
            let (sid, token) = store.add_account(sid, &name)?;
            Reply::Token {
                sid,
                token: Token(token),
            }
        }
        Request::AccountList => {
            let accounts = store.accounts()?.into_iter().map(Into::into).collect();
            Reply::Accounts { accounts }
        }
        Request::AccountRemove { sid } => match store.remove_account(sid)? {
            true => Reply::Removed,
            false => Reply::Refused {
                reason: format!("there is no account {sid}"),
            },
        },
        Request::AccountRotate { sid } => match store.rotate_account(sid)? {
            Some(token) => Reply::Token {
                sid,
                token: Token(token),
            },
            None => Reply::Refused {
                reason: format!("there is no account {sid}"),
            },
        },
        Request::KeyAdd { account, name } => match store.add_key(account, &name)? {
            Some((sid, secret)) => Reply::Key {
                sid,
                account,
                secret: Token(secret),
            },
            None => Reply::Refused {
                reason: format!(
                    "there is no account {account} here; a running daemon knows those of its configuration too"
                ),
            },
        },
        Request::KeyList => Reply::Keys {
            keys: store.keys().into_iter().map(Into::into).collect(),
        },
        Request::KeyRemove { sid } => match store.remove_key(sid)? {
            true => Reply::Removed,
            false => Reply::Refused {
                reason: format!("there is no API key {sid}"),
            },
        },
        Request::Link {
            sid,
            format,
            expires_in_s,
        } => signed_link(store, sid, format.as_deref(), expires_in_s)?,
        Request::Verify => {
            let report = store.verify(&mut |now| progress(now.into()))?;
            store.mark_findings(&report)?;
            report.into()
        }
        Request::Rewrap => store.rewrap(&mut |now| progress(now.into()))?.into(),
        Request::Show { sid } => match store.find(sid)? {
            Some(record) => Reply::Recording(Box::new(record.into())),
            None => Reply::Refused {
                reason: format!("there is no recording {sid}"),
            },
        },
        Request::Hold { sid } => match store.hold(sid, clock::unix_ms())? {
            Some(hold) => Reply::Holds {
                holds: vec![hold.into()],
            },
            None => Reply::Refused {
                reason: format!("there is no recording {sid}"),
            },
        },
        Request::Release { sid } => match store.release(sid)? {
            true => Reply::Holds { holds: Vec::new() },
            false => Reply::Refused {
                reason: format!("{sid} is not on hold"),
            },
        },
        Request::Holds => Reply::Holds {
            holds: store.holds()?.into_iter().map(Into::into).collect(),
        },
        Request::CallbacksPending => {
            let events = store.pending_events(MOST_CALLBACKS)?;
            callbacks(store, events.into_iter().map(Into::into).collect())
        }
        Request::CallbacksDead => {
            let events = store.dead_events(MOST_CALLBACKS)?;
            callbacks(store, events.into_iter().map(Into::into).collect())
        }
        Request::CallbacksRetry => Reply::Retried {
            waiting: store.retry_events(clock::unix_ms())?,
        },
        Request::Audit(query) => Reply::Audit {
            entries: store.audited(&AuditQuery {
                limit: query.limit.min(MOST_AUDIT),
                ..query
            })?,
        },
        Request::Status => Reply::Status(store.health().into()),
        Request::Import(_) => Reply::Refused {
            reason: "no open file came with the request".to_owned(),
        },
    })
}

/// A link to a recording that is there, of an account that is.
fn signed_link(
    store: &Store,
    sid: RecordingSid,
    format: Option<&str>,
    expires_in_s: u64,
) -> Result<Reply, StoreError> {
    let refused = |reason| Ok(Reply::Refused { reason });
    let Some(record) = store.find(sid)? else {
        return refused(format!("there is no recording {sid}"));
    };
    let Some(reach) = format.map_or(Some(Reach::Sound), link::reach_of) else {
        return refused("there is no such format".to_owned());
    };
    let now_s = u64::try_from(clock::unix_ms() / 1_000).unwrap_or(0);
    let link = Link {
        account: record.account,
        sid,
        reach,
        expires_s: now_s.saturating_add(expires_in_s.min(link::MOST_SECONDS)),
    };
    let Some(query) = store.signed_query(&link) else {
        // Nobody could be let in by it.
        return refused(format!(
            "the recording's account {} is gone, or is the configuration's and no daemon runs",
            record.account
        ));
    };
    Ok(Reply::Link {
        path: link::url("", &link, format, &query),
    })
}

fn callbacks(store: &Store, callbacks: Vec<CallbackLine>) -> Reply {
    let figures = store.event_figures();
    Reply::Callbacks {
        waiting: figures.recordings,
        dead: figures.dead,
        callbacks,
    }
}
