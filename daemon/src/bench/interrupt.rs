//! SIGINT and SIGTERM: a measurement ends early and leaves nothing behind.
//!
//! Called by the measurements before they begin. The first signal sets a flag that each step looks
//! at, so that the daemon is stopped and its folder removed on the way out; a second one ends the
//! process at once. Handlers do that, and no blocked signals: a child would inherit the block, and
//! not hear that it is to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Watches for the signals from now on; the flag that the first one sets.
pub(super) fn watch() -> anyhow::Result<&'static AtomicBool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let watch = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if INTERRUPTED.swap(true, Ordering::Relaxed) {
                    std::process::exit(1);
                }
            }
        });
    };
    std::thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(watch)
        .context("no thread to watch for signals")?;
    Ok(&INTERRUPTED)
}

/// Goes on, unless there was a signal.
pub(super) fn check() -> anyhow::Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}
