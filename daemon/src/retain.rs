//! Retention (`store.retention`): what is too old or too much is deleted, a few recordings at a time.
//!
//! Called by `run`, beside the servers; calls the store, which chooses, deletes and says why, and the
//! API, which keeps encoded files. Bounded: [`BATCH`] deletions and a pause, none while the load is such
//! that encodings are put off, so that capture never waits for it. Off, it does nothing at all.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use reeld_model::{Load, RecordingSid, Step};
use reeld_store::{Retained, Retainer, Retention, Store, StoreError};
use tokio::time;

use crate::clock;

/// Recordings that go at once, and the pause after them.
const BATCH: usize = 16;
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked; a short age no more than twice itself.
const SELDOM: Duration = Duration::from_secs(10);
const OFTEN: Duration = Duration::from_secs(1);

/// Deletes until `shutdown` resolves; `forget` is told of each recording that went.
pub(crate) async fn run(
    store: Store,
    retention: Retention,
    load: Load,
    forget: impl Fn(RecordingSid) + Send,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    if retention.is_off() {
        return shutdown.await;
    }
    let period = retention
        .shortest()
        .map_or(SELDOM, |age| age.clamp(OFTEN, SELDOM));
    let mut retainer = Some(Retainer::new(store.clone(), retention.clone()));
    loop {
        let mut more = false;
        if load.verdict().step < Step::NoEncodes {
            let mut turn = retainer
                .take()
                .unwrap_or_else(|| Retainer::new(store.clone(), retention.clone()));
            let passed = tokio::task::spawn_blocking(move || {
                let passed = turn.pass(clock::unix_ms(), BATCH);
                (turn, passed)
            });
            match passed.await {
                Ok((turn, passed)) => {
                    retainer = Some(turn);
                    more = heed(passed, &forget);
                }
                Err(error) => tracing::error!(%error, "retention died; it begins anew"),
            }
        }
        let pause = if more { PAUSE } else { period };
        tokio::select! {
            () = &mut shutdown => return,
            () = time::sleep(pause) => {}
        }
    }
}

/// Whether there may be more to delete now.
fn heed(passed: Result<Retained, StoreError>, forget: &impl Fn(RecordingSid)) -> bool {
    match passed {
        Ok(Retained { deleted, more }) => {
            for (record, _) in &deleted {
                forget(record.sid);
            }
            more
        }
        Err(error) => {
            tracing::error!(%error, "recordings whose time is over could not be deleted");
            false
        }
    }
}
