//! A thread beside the servers that works until it is dropped.
//!
//! `load` and `scrub` start one each: what it waits on ends when its owner goes.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use anyhow::Context as _;

/// The thread. Dropped, it is told to end, and has ended.
pub(crate) struct Aside {
    name: &'static str,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Aside {
    /// Starts `work`, which is to return once its channel is disconnected; nothing is ever sent.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn start(
        name: &'static str,
        work: impl FnOnce(&Receiver<()>) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = channel();
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&stopped))
            .with_context(|| format!("cannot start the thread {name}"))?;
        Ok(Self {
            name,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        drop(self.stop.take());
        let thread = self.thread.take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(thread = self.name, "a thread panicked");
        }
    }
}
