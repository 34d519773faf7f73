//! A request's reply, which cannot be forgotten.
//!
//! `switchboard` makes one of each request; whoever has it fulfils it. Dropped instead (a full
//! queue, a thread that panicked, a queue that nobody reads any more), it answers by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reeld_model::{Answer, Refusal, Reply};

/// The one answer that a request gets.
pub(crate) struct Promise {
    reply: Option<Reply>,
    stopping: Arc<AtomicBool>,
}

impl Promise {
    /// A promise to call `reply` once; `stopping` says why where nobody else does.
    pub(crate) const fn new(reply: Reply, stopping: Arc<AtomicBool>) -> Self {
        Self {
            reply: Some(reply),
            stopping,
        }
    }

    /// Answers.
    pub(crate) fn fulfil(mut self, result: Result<Answer, Refusal>) {
        if let Some(reply) = self.reply.take() {
            reply(result);
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            let stopping = self.stopping.load(Ordering::Relaxed);
            reply(Err(if stopping {
                Refusal::ShuttingDown
            } else {
                Refusal::Overloaded
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_dropped_promise_answers_and_a_kept_one_answers_once() {
        for (stopping, expected) in [(false, Refusal::Overloaded), (true, Refusal::ShuttingDown)] {
            let (send, receive) = mpsc::channel();
            let reply: Reply = Box::new(move |result| send.send(result.err()).unwrap());
            drop(Promise::new(reply, Arc::new(AtomicBool::new(stopping))));
            assert_eq!(receive.iter().collect::<Vec<_>>(), [Some(expected)]);
        }
        let (send, receive) = mpsc::channel();
        let reply: Reply = Box::new(move |result| send.send(result.err()).unwrap());
        Promise::new(reply, Arc::default()).fulfil(Err(Refusal::CallUnknown));
        assert_eq!(
            receive.iter().collect::<Vec<_>>(),
            [Some(Refusal::CallUnknown)]
        );
    }
}
