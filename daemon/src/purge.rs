//! The purge of deleted recordings' records whose time is over (`store.deleted_metadata`), and of the
//! audit trail (`audit.keep`).
//!
//! Called by `run`, beside the servers; calls the store, which has the order and the durability.
//! Bounded: a few records at a time with a pause after them, so that nobody waits for a purge of
//! many. What a stop leaves is the next start's.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use reeld_store::Store;
use tokio::time;

use crate::clock;

/// Records that go at once, and the pause after them.
const BATCH: usize = 256;
const PAUSE: Duration = Duration::from_millis(50);

/// How often it is looked what is over: a record stays a minute longer than it may at most, and a
/// short time no more than twice itself.
const SELDOM: Duration = Duration::from_secs(60);
const OFTEN: Duration = Duration::from_secs(1);

/// Purges until `shutdown` resolves. `kept` is how long records are kept, `audit` entries of the audit
/// trail.
pub(crate) async fn run(
    store: Store,
    kept: Duration,
    audit: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let period = [kept, audit]
        .into_iter()
        .filter(|kept| !kept.is_zero())
        .min()
        .map_or(SELDOM, |kept| kept.clamp(OFTEN, SELDOM));
    let mut shutdown = pin!(shutdown);
    loop {
        let over = purge(&store).await;
        let trailing = purge_audit(&store, audit).await;
        let pause = if over == BATCH || trailing > 0 {
            PAUSE
        } else {
            period
        };
        tokio::select! {
            () = &mut shutdown => return,
            () = time::sleep(pause) => {}
        }
    }
}

/// Takes what is over out of the audit trail, some of it; how much.
async fn purge_audit(store: &Store, kept: Duration) -> u64 {
    let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    let before_ms = clock::unix_ms().saturating_sub(kept_ms);
    let store = store.clone();
    match tokio::task::spawn_blocking(move || store.purge_audit(before_ms)).await {
        Ok(Ok(purged)) => purged,
        Ok(Err(error)) => {
            tracing::error!(%error, "the audit trail could not be purged");
            0
        }
        Err(error) => {
            tracing::error!(%error, "the audit trail's purge died");
            0
        }
    }
}

/// Purges one batch; how many went.
async fn purge(store: &Store) -> usize {
    let store = store.clone();
    let purged = tokio::task::spawn_blocking(move || store.purge_deleted(clock::unix_ms(), BATCH));
    match purged.await {
        Ok(Ok(0)) => 0,
        Ok(Ok(purged)) => {
            tracing::info!(
                purged,
                "records of deleted recordings are gone: their time was over"
            );
            purged
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "records of deleted recordings could not be purged");
            0
        }
        Err(error) => {
            tracing::error!(%error, "the purge died");
            0
        }
    }
}
