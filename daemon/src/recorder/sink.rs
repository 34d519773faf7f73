//! Where media threads put their outputs.

use std::sync::mpsc::{SyncSender, TrySendError};

use reeld_ingest::{Queued, Sink};

/// The writers' queues; a recording always goes to the same one, so its outputs stay in order.
pub(super) struct Queues(Vec<SyncSender<Queued>>);

impl Queues {
    pub(super) fn new(queues: Vec<SyncSender<Queued>>) -> Self {
        Self(queues)
    }
}

impl Sink for Queues {
    fn push(&mut self, queued: Queued) -> Result<(), Queued> {
        // A Sid is random, so any of its bytes spreads recordings evenly.
        let queue = usize::from(queued.output().recording().as_bytes()[15]) % self.0.len();
        self.0[queue].try_send(queued).map_err(|error| match error {
            TrySendError::Full(queued) | TrySendError::Disconnected(queued) => queued,
        })
    }
}
