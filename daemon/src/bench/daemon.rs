//! A daemon of the measurement's own: the same binary with `serve`, in a folder of its own.
//!
//! Called by `capture`, `catalog` and `http`. A child process, so that its processor time and memory are its own.
//! Dropping it stops it and removes its folder.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::interrupt;
use super::usage::Process;
use crate::credentials;
use crate::customer::{self, Customer};

/// Its configuration's name in its folder.
const CONFIG: &str = "reeld.toml";

/// From SIGTERM to the end.
const BOUND: Duration = Duration::from_secs(60);

/// Between two looks at something that is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The most of its log that an error shows, in lines.
const LOG_LINES: usize = 20;

/// A running daemon.
pub(super) struct Daemon {
    // Dropped in this order: the process first, then what it writes to.
    child: Running,
    folder: TempDir,
    customer: Customer,
}

impl Daemon {
    /// Starts one with room for `calls` calls, in a folder whose [`data_dir`] may have what an earlier one left, and
    /// waits until it is ready.
    pub(super) fn start_in(folder: TempDir, calls: u32) -> anyhow::Result<Self> {
        Self::start_with(folder, calls, "")
    }

    /// The same, with `more` tables in its configuration.
    pub(super) fn start_with(folder: TempDir, calls: u32, more: &str) -> anyhow::Result<Self> {
        // The port is free for a moment; should somebody take it, the daemon says so and ends.
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let data_dir = data_dir(&folder);
        let config = folder.path().join(CONFIG);
        let mut file = File::create(&config)?;
        writeln!(file, "data_dir = {:?}", data_dir.display().to_string())?;
        writeln!(file, "[api]\nlisten = \"{listen}\"")?;
        writeln!(file, "[capture]\nmax_recordings = {calls}")?;
        write!(file, "{more}")?;
        let mut command = reeld("serve", &config)?;
        command.stdout(Stdio::null());
        command.stderr(File::create(folder.path().join("log"))?);
        let mut child = Running(command.spawn().context("the daemon does not start")?);
        let ready = customer::wait_ready(listen, || {
            matches!(child.0.try_wait(), Ok(None)) && interrupt::check().is_ok()
        });
        ready.with_context(|| log(&folder))?;
        let customer = Customer::new(listen, credentials::read(&data_dir)?)?;
        Ok(Self {
            folder,
            child,
            customer,
        })
    }

    pub(super) const fn customer(&self) -> &Customer {
        &self.customer
    }

    pub(super) fn process(&self) -> Process {
        Process(self.child.0.id())
    }

    /// Its folder, which goes with it.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command of the command line, for this daemon.
    pub(super) fn command(&self, name: &str) -> anyhow::Result<Command> {
        reeld(name, &self.folder().join(CONFIG))
    }

    /// Ends it and removes its folder.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.stop_and_keep().map(drop)
    }

    /// Ends it; its folder, for another one.
    pub(super) fn stop_and_keep(mut self) -> anyhow::Result<TempDir> {
        let status = self.child.end()?;
        if !status.success() {
            bail!("the daemon ended with {status}:\n{}", self.log());
        }
        Ok(self.folder)
    }

    /// Kills it, as a crash does; its folder, for another one.
    pub(super) fn kill(mut self) -> anyhow::Result<TempDir> {
        self.child.0.kill()?;
        self.child.0.wait()?;
        Ok(self.folder)
    }

    /// The end of its log.
    pub(super) fn log(&self) -> String {
        log(&self.folder)
    }
}

/// Where a daemon in this folder has its data.
pub(super) fn data_dir(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// A command of this very binary, with this configuration.
fn reeld(name: &str, config: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(name).arg("--config").arg(config);
    // What the caller's environment says is for its own daemon.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("REELD_") || name == "NOTIFY_SOCKET" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    Ok(command)
}

fn log(folder: &TempDir) -> String {
    let log = fs::read(folder.path().join("log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<_> = log.lines().collect();
    let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
    format!("its log ends:\n{end}")
}

/// The child process. Dropping it ends it, however the measurement went.
struct Running(Child);

impl Running {
    /// Asks it to stop; kills it where it does not.
    fn end(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.0.try_wait()? {
            return Ok(status);
        }
        kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGTERM)?;
        let begun = Instant::now();
        while begun.elapsed() < BOUND {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        self.0.kill()?;
        Ok(self.0.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(pid = self.0.id(), %error, "the measured daemon could not be ended");
        }
    }
}
