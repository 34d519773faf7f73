//! The keeper of the data folder: tries every two seconds to put right what a disk that was full,
//! read-only or failing has made wrong (`reeld_store::Store::mend`), and says what came of it.
//!
//! Called by `run`, beside the servers; calls the store, which knows what to do. While all is well a
//! round looks at three flags. It runs until everything that was recorded is finished, and once more
//! then, so that a recording is left to the next start only where the disk still fails.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use reeld_store::{Mended, Record, Store, StoreError};
use tokio::time;

use crate::clock;

/// How often it is tried.
const PERIOD: Duration = Duration::from_secs(2);

/// Tries until `shutdown` resolves; `hear` is told of each recording that was finished so.
pub(crate) async fn run(
    store: Store,
    hear: impl Fn(&Record) + Send + Sync + Clone + 'static,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let mut last = None;
    loop {
        let is_over = tokio::select! {
            () = &mut shutdown => true,
            () = time::sleep(PERIOD) => false,
        };
        let (store, hear) = (store.clone(), hear.clone());
        let mended = tokio::task::spawn_blocking(move || {
            let mended = store.mend(clock::unix_ms())?;
            mended.finished.iter().for_each(hear);
            Ok::<_, StoreError>(mended)
        });
        match mended.await {
            Ok(Ok(mended)) => {
                last = None;
                say(&mended);
            }
            Ok(Err(error)) => {
                // The same thing is said once, not every two seconds.
                let error = Some(error.to_string());
                if error != last {
                    tracing::error!(error, "the data folder cannot be mended yet");
                    last = error;
                }
            }
            Err(error) => tracing::error!(%error, "the keeper of the data folder died"),
        }
        if is_over {
            return;
        }
    }
}

fn say(mended: &Mended) {
    let Mended {
        finished,
        reopened,
        recovery,
    } = mended;
    if *reopened {
        tracing::warn!("the catalog had failed and was opened anew");
    }
    for record in finished {
        tracing::info!(
            recording = %record.sid,
            call = %record.call,
            duration_ms = record.duration_ms(),
            ended_by = record.ended_by.map(|by| by.as_str()),
            "the recording is finished, now that the disk works"
        );
    }
    for problem in recovery.iter().flat_map(|recovery| &recovery.problems) {
        tracing::error!(problem, "recovery");
    }
}
