//! What systemd is told: ready, stopping, alive (sd_notify(3)). Without systemd nothing happens.
//!
//! `run` calls these: [`ready`] when a call could be taken, [`stopping`] when the end begins, and
//! [`watchdog`] as a task in between.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{error, warn};

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
