//! A daemon in this process, whose store, recorder and disk can be reached: for recordings that no call
//! has sent, and for a disk that stands still.
//!
//! Called by `end` and `stall`. It is [`crate::run()`] as `serve` runs it, with the defaults but for a folder, ports
//! and a limit of its own, and callbacks to loopback. Dropping it stops it and removes its folder.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, anyhow};
use reeld_config::Config;
use reeld_ingest::Sink;
use reeld_store::{Disk, Stall, Store};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::interrupt;
use crate::credentials;
use crate::customer::{self, Customer};
use crate::run::run_shown;

/// A running daemon.
pub(super) struct House {
    customer: Customer,
    store: Store,
    config: Config,
    stall: Stall,
    sink: Option<Box<dyn Sink>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
    // Dropped last.
    _folder: TempDir,
}

impl House {
    /// Starts one with room for `calls` calls and waits until it is ready. Its folder is made in
    /// `parent`, or where temporary files go.
    pub(super) fn start(parent: Option<&Path>, calls: u32) -> anyhow::Result<Self> {
        let folder = super::folder(parent)?;
        // The port is free for a moment; should somebody take it, the daemon says so and ends.
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listen = TcpListener::bind((loopback, 0))?.local_addr()?;
        let mut config = Config {
            data_dir: folder.path().join("data"),
            ..Config::default()
        };
        config.api.listen = listen;
        config.capture.max_recordings = usize::try_from(calls)? + 1;
        config.callbacks.allow = vec!["127.0.0.0/8".parse()?];
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("reeld-api")
            .enable_all()
            .build()?;
        let (disk, stall) = Disk::stallable();
        let (stop, stopped) = oneshot::channel::<()>();
        let (shown, parts) = mpsc::channel();
        let thread = thread::Builder::new().name("daemon".to_owned()).spawn({
            let config = config.clone();
            move || {
                runtime.block_on(run_shown(
                    config,
                    disk,
                    // A sender that is dropped stops the daemon too.
                    async { drop(stopped.await) },
                    move |store, recorder| {
                        // Where nobody waits for the parts, the daemon is told to stop.
                        let _ = shown.send((store.clone(), recorder.sink()));
                    },
                ))
            }
        })?;
        let ready = customer::wait_ready(listen, || {
            !thread.is_finished() && interrupt::check().is_ok()
        });
        let parts = ready.and_then(|()| Ok(parts.recv()?));
        let (store, sink) = match parts {
            Ok(parts) => parts,
            Err(error) => {
                drop(stop);
                // Why it ended says more than that it did.
                return Err(ended(thread).err().unwrap_or(error));
            }
        };
        let credentials = credentials::read(&config.data_dir)?;
        Ok(Self {
            customer: Customer::new(listen, credentials)?,
            store,
            config,
            stall,
            sink: Some(sink),
            stop: Some(stop),
            thread: Some(thread),
            _folder: folder,
        })
    }

    pub(super) const fn customer(&self) -> &Customer {
        &self.customer
    }

    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// What makes its disk stand still.
    pub(super) const fn stall(&self) -> &Stall {
        &self.stall
    }

    /// Where its takes lie.
    pub(super) fn spool(&self) -> PathBuf {
        self.config.data_dir.join("spool")
    }

    /// Where its media threads put their outputs.
    pub(super) fn sink(&mut self) -> anyhow::Result<&mut dyn Sink> {
        let sink = self.sink.as_mut().context("the daemon is stopping")?;
        Ok(&mut **sink)
    }

    /// Ends it and removes its folder.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    fn end(&mut self) -> anyhow::Result<()> {
        // It ends on no disk that stands still.
        self.stall.end();
        // The recorder ends when the last sink is gone.
        self.sink = None;
        self.stop = None;
        self.thread.take().map_or(Ok(()), ended)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the measured daemon did not end in order");
        }
    }
}

fn ended(thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    thread.join().map_err(|_| anyhow!("the daemon panicked"))?
}
