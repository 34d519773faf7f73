//! Where media threads put their outputs.

use std::sync::mpsc::{SyncSender, TrySendError};

use reeld_capture::Output;
use reeld_ingest::Sink;

/// The writers' queues; a recording always goes to the same one, so its outputs stay in order.
pub(super) struct Queues(Vec<SyncSender<Output>>);

impl Queues {
    pub(super) fn new(queues: Vec<SyncSender<Output>>) -> Self {
        Self(queues)
    }
}

impl Sink for Queues {
    fn push(&mut self, output: Output) -> Result<(), Output> {
        // A Sid is random, so any of its bytes spreads recordings evenly.
        let queue = usize::from(output.recording().as_bytes()[15]) % self.0.len();
        self.0[queue].try_send(output).map_err(|error| match error {
            TrySendError::Full(output) | TrySendError::Disconnected(output) => output,
        })
    }
}
