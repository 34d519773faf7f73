//! What systemd is told: ready, stopping, alive (sd_notify(3)). Without systemd nothing happens.
//!
//! `run` calls these: [`ready`] when a call could be taken, [`stopping`] when the end begins, and
//! [`watchdog`] as a task in between. `handover` keeps descriptors there over a restart: [`store`], [`forget`],
//! and [`settled`] before the process may go.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sd_notify::NotifyState;
use tracing::{error, warn};

/// How long systemd may take to read what it was told before the process goes.
const SETTLES: Duration = Duration::from_secs(1);

/// How long systemctl may take to say what is asked of the service.
const ANSWERS: Duration = Duration::from_secs(5);

/// Whether somebody keeps descriptors for the next process and will start one: a supervisor is there, and where
/// it is systemd it is not asked to stop the service for good.
pub async fn keeps_descriptors() -> bool {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return false;
    }
    if !matches!(sd_notify::booted(), Ok(true)) {
        return true;
    }
    match job().await {
        Ok(Some(job)) => job == "restart",
        // Of another supervisor's making, on a machine with systemd.
        Ok(None) => true,
        Err(error) => {
            warn!(
                error = format!("{error:#}"),
                "a restart cannot be told from a stop; calls end with this process"
            );
            false
        }
    }
}

/// What systemd is doing with the unit that this process is of; `None` where that is nothing.
async fn job() -> anyhow::Result<Option<String>> {
    let cgroup = std::fs::read_to_string("/proc/self/cgroup")?;
    let Some(unit) = unit(&cgroup) else {
        return Ok(None);
    };
    let mut systemctl = tokio::process::Command::new("systemctl");
    systemctl.args(["list-jobs", "--plain", "--no-legend", "--no-pager"]);
    systemctl.kill_on_drop(true);
    let output = tokio::time::timeout(ANSWERS, systemctl.output()).await??;
    anyhow::ensure!(
        output.status.success(),
        "systemctl list-jobs: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(job_of(unit, &String::from_utf8_lossy(&output.stdout)).map(str::to_owned))
}

/// The service in a process's `/proc/PID/cgroup`.
fn unit(cgroup: &str) -> Option<&str> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut parts = path.rsplit('/');
    parts.find(|part| part.ends_with(".service"))
}

/// The kind of a unit's job in what `systemctl list-jobs` prints: number, unit, kind, state.
fn job_of<'a>(unit: &str, jobs: &'a str) -> Option<&'a str> {
    jobs.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        (words.next() == Some(unit)).then(|| words.next()).flatten()
    })
}

/// Has a descriptor kept for the next process, under `name`. It is not watched: an end whose other end is gone
/// is what is kept.
///
/// # Errors
/// What the notification socket says.
pub fn store(name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let state = [
        NotifyState::FdStore,
        NotifyState::FdName(name),
        NotifyState::Custom("FDPOLL=0"),
    ];
    sd_notify::notify_with_fds(&state, &[descriptor])
}

/// Has what is kept under `name` forgotten.
pub fn forget(name: &str) {
    tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
}

/// Waits until all that was told has been read (`BARRIER=1`, sd_notify_barrier(3)): who is gone by then cannot
/// be told from a stranger. Blocks.
pub fn settled() {
    let settle = || {
        let (ours, theirs) = io::pipe()?;
        sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[theirs.as_fd()])?;
        drop(theirs);
        let mut wait = [PollFd::new(ours.as_fd(), PollFlags::empty())];
        let limit = PollTimeout::try_from(SETTLES).unwrap_or(PollTimeout::MAX);
        Ok::<_, io::Error>(poll(&mut wait, limit)?)
    };
    match settle() {
        Ok(0) => warn!("the supervisor does not say that it has what it was told"),
        Ok(_) => {}
        Err(error) => warn!(%error, "the supervisor may lack what it was told"),
    }
}

/// Says that the service can be used.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Says that the service is ending.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Feeds the watchdog for as long as `alive` says that all is well, and ends at once where there is
/// none. When `alive` says no, nothing is fed, and systemd restarts the service after `WatchdogSec`:
/// a restart recovers what was recorded, a hung thread records nothing more.
pub async fn watchdog(mut alive: impl FnMut() -> bool) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    // Thrice in the time allowed, so that one late tick restarts nothing.
    let mut ticks = tokio::time::interval((limit / 3).max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        if alive() {
            tell(&[NotifyState::Watchdog]);
        } else {
            error!(
                ?limit,
                "a part of the daemon has stopped; the watchdog is not fed"
            );
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, ?state, "systemd was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_told_from_a_stop_by_the_units_own_job() {
        let cgroup = "1:name=systemd:/x\n0::/system.slice/reeld.service\n";
        assert_eq!(unit(cgroup), Some("reeld.service"));
        assert_eq!(
            unit("0::/system.slice/system-reeld.slice/reeld@a.service/threads\n"),
            Some("reeld@a.service")
        );
        assert_eq!(unit("0::/user.slice/session-1.scope\n"), None);
        let jobs = "  17 other-reeld.service stop running\n 1234 reeld.service restart running\n";
        assert_eq!(job_of("reeld.service", jobs), Some("restart"));
        assert_eq!(job_of("other-reeld.service", jobs), Some("stop"));
        assert_eq!(job_of("eld.service", jobs), None);
        assert_eq!(job_of("reeld.service", ""), None);
    }
}
