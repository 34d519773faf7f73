//! A daemon as a child process, and what /proc says of it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::customer::{Customer, wait_ready};

/// The daemon under measurement; ended when it goes out of scope.
pub(super) struct Daemon {
    child: Child,
    pub(super) listen: SocketAddr,
}

impl Daemon {
    /// Starts one that can record `calls` calls at once, on `data_dir`.
    pub(super) fn start(data_dir: &Path, calls: usize) -> anyhow::Result<Self> {
        // A port that is free now; should somebody take it before the daemon does, it says so.
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", "--listen", &listen.to_string(), "--data-dir"])
            .arg(data_dir)
            .env("REELD_CAPTURE__MAX_RECORDINGS", calls.to_string())
            .env("REELD_LOG__LEVEL", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("the daemon cannot be started")?;
        let mut daemon = Self { child, listen };
        wait_ready(listen, || matches!(daemon.child.try_wait(), Ok(None)))?;
        Ok(daemon)
    }

    /// A customer with the credentials that the daemon made.
    pub(super) fn customer(&self, data_dir: &Path) -> anyhow::Result<Customer> {
        Customer::new(self.listen, crate::credentials::read(data_dir)?)
    }

    /// CPU time of all its threads, user and system.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // proc_pid_stat(5): the name in parentheses may hold anything; utime and stime are fields 14
        // and 15.
        let (_, fields) = stat.rsplit_once(')').context("/proc/…/stat has no name")?;
        let mut fields = fields
            .split_ascii_whitespace()
            .skip(11)
            .map(str::parse::<u64>);
        let (Some(Ok(user)), Some(Ok(system))) = (fields.next(), fields.next()) else {
            anyhow::bail!("/proc/…/stat has no CPU time");
        };
        let ticks = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100);
        let second = u64::try_from(ticks).unwrap_or(100).max(1);
        Ok(Duration::from_nanos(
            (user + system) * 1_000_000_000 / second,
        ))
    }

    /// Resident memory, bytes.
    pub(super) fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.context("/proc/…/status has no VmRSS")? * 1_024)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let ended = i32::try_from(self.child.id())
            .is_ok_and(|pid| kill(Pid::from_raw(pid), Signal::SIGTERM).is_ok());
        if !ended || self.child.wait().is_err() {
            tracing::error!(
                pid = self.child.id(),
                "the measured daemon could not be ended"
            );
        }
    }
}
