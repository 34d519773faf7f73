//! A daemon of the measurement's own: the same binary with `serve`, in a folder of its own.
//!
//! Called by `capture`. A child process, so that its processor time and memory are its own.
//! Dropping it stops it and removes its folder.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tempfile::TempDir;

use super::client::Client;
use super::usage::Process;

/// From start to ready, and from SIGTERM to the end.
const BOUND: Duration = Duration::from_secs(60);

/// Between two looks at something that is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The most of its log that an error shows, in lines.
const LOG_LINES: usize = 20;

/// A running daemon.
pub(super) struct Daemon {
    folder: TempDir,
    child: Child,
    client: Client,
}

/// `credentials.toml`, as a first start writes it.
#[derive(Deserialize)]
struct Credentials {
    account_sid: String,
    auth_token: String,
}

impl Daemon {
    /// Starts one with room for `calls` calls and waits until it is ready. Its folder is made in
    /// `parent`, or where temporary files go.
    pub(super) fn start(parent: Option<&Path>, calls: u32) -> anyhow::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("reeld-bench-");
        let folder = match parent {
            Some(parent) => builder
                .tempdir_in(parent)
                .with_context(|| parent.display().to_string()),
            None => builder.tempdir().map_err(Into::into),
        }?;
        // The port is free for a moment; should somebody take it, the daemon says so and ends.
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let data_dir = folder.path().join("data");
        let config = folder.path().join("reeld.toml");
        let mut file = File::create(&config)?;
        writeln!(file, "data_dir = {:?}", data_dir.display().to_string())?;
        writeln!(file, "[api]\nlisten = \"{listen}\"")?;
        writeln!(file, "[capture]\nmax_recordings = {calls}")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg("--config").arg(&config);
        // What the caller's environment says is for its own daemon.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("REELD_") || name == "NOTIFY_SOCKET" {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(folder.path().join("log"))?);
        let child = command.spawn().context("the daemon does not start")?;
        let client = Client::new(listen)?;
        let mut daemon = Self {
            folder,
            child,
            client,
        };
        daemon.wait_ready()?;
        let path = data_dir.join("credentials.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let Credentials {
            account_sid,
            auth_token,
        } = toml::from_str(&text)?;
        daemon.client.authenticate(account_sid, auth_token.into());
        Ok(daemon)
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Ends it and removes its folder.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        let status = self.end()?;
        if !status.success() {
            bail!("the daemon ended with {status}:\n{}", self.log());
        }
        Ok(())
    }

    /// The end of its log.
    pub(super) fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn wait_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.client.is_ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the daemon ended with {status} before it was ready:\n{}",
                    self.log()
                );
            }
            if begun.elapsed() > BOUND {
                bail!("the daemon is not ready after {BOUND:?}:\n{}", self.log());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Asks it to stop; kills it where it does not.
    fn end(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        kill(
            Pid::from_raw(i32::try_from(self.child.id())?),
            Signal::SIGTERM,
        )?;
        let begun = Instant::now();
        while begun.elapsed() < BOUND {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(pid = self.child.id(), %error, "the measured daemon could not be ended");
        }
    }
}
