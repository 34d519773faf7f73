//! What a request does to the store. Blocking: the server calls it on a thread for that, the command
//! line directly when it has opened the folder itself. A refusal is a reply, not an error.

use reeld_store::{Store, StoreError};

use super::message::{CallbackLine, MOST_CALLBACKS, Reply, Request, Token};
use crate::clock;

/// Carries a request out. `progress` hears what comes before the final reply, which is returned.
pub fn carry_out(store: &Store, request: Request, progress: &mut dyn FnMut(Reply)) -> Reply {
    try_out(store, request, progress).unwrap_or_else(|error| Reply::Refused {
        reason: error.to_string(),
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
        Request::Verify => store.verify(&mut |now| progress(now.into()))?.into(),
        Request::Show { sid } => match store.find(sid)? {
            Some(record) => Reply::Recording(Box::new(record.into())),
            None => Reply::Refused {
                reason: format!("there is no recording {sid}"),
            },
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
        Request::Status => Reply::Status(store.health().into()),
        Request::Import(_) => Reply::Refused {
            reason: "no open file came with the request".to_owned(),
        },
    })
}

fn callbacks(store: &Store, callbacks: Vec<CallbackLine>) -> Reply {
    let (waiting, dead) = store.event_counts();
    Reply::Callbacks {
        waiting,
        dead,
        callbacks,
    }
}
