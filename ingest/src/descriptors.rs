//! How many files and sockets the process may have open: raised once, at start.
//!
//! `switchboard` calls it. A call of two tracks takes four descriptors; the usual soft limit of
//! 1,024 is one for `select`, which nothing here uses.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors of a call with both tracks.
const A_CALL: u64 = 4;

/// Kept free for the store, the API's connections and the rest.
const THE_REST: u64 = 512;

/// Raises the soft limit of RLIMIT_NOFILE to the hard one and logs what that allows. A limit that
/// cannot be raised is logged and stays: calls beyond it are refused one by one.
pub(crate) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    match raised {
        Ok(descriptors) => {
            let calls = descriptors.saturating_sub(THE_REST) / A_CALL;
            tracing::info!(descriptors, calls, "descriptors for calls of two tracks");
        }
        Err(errno) => tracing::warn!(%errno, "the limit of open descriptors cannot be raised"),
    }
}
