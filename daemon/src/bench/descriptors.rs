//! The limit of open descriptors, raised for as many calls.
//!
//! Called by `capture`, `end` and `stall` before anything is opened.

use anyhow::ensure;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors beside the streams' sockets.
const SPARE: u64 = 256;

/// Raises the limit of descriptors as far as it may go, and says so where that is not enough for
/// `sockets`, which so many calls need.
pub(super) fn raise(sockets: u64, calls: u32) -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    let needed = sockets + SPARE;
    ensure!(
        needed <= hard,
        "{calls} calls need {needed} descriptors, and the limit is {hard} (ulimit -Hn)"
    );
    Ok(())
}
