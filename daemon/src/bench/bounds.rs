//! What `--check` holds measurements to: reeld's promises, and why they are what they are.
//!
//! Called by `capture` and `growth` for their figures; it calls nobody. Ratios are of one run, so that the machine
//! counts little. Losses, inexact recordings and a late sender are no bounds: they fail every run.

use std::time::Duration;

/// From so many tracks on a packet's cost is held to the bare loop's. Below that the daemon wakes for few
/// packets each time, and both cost next to nothing.
pub(super) const TRACKS: u32 = 1_000;

/// The daemon's processor time a packet, over that of a loop that waits in epoll, receives one packet and
/// throws it away: the most, as the median of the runs. Recording may cost no more than receiving one by
/// one does, since packets are received in batches.
pub(super) const CPU_RATIO: f64 = 1.0;

/// Resident memory a track on top of the base, the most: two seconds of 16-bit sound are 32 KiB, and as
/// much again is for what is known of the stream and its call.
pub(super) const RESIDENT_PER_TRACK: u64 = 64 << 10;

/// Resident memory before the first call, the most.
pub(super) const RESIDENT_BASE: u64 = 60 << 20;

/// A peer's processor time a packet over the daemon's, in steady state, the least.
pub(super) const PEER_RATIO: f64 = 15.0;

/// The most that the sender may be behind its clock: as much as a jitter buffer would bear. What is later
/// than that is no load of so many calls, but fewer and bursts.
pub(super) const BEHIND: Duration = Duration::from_millis(200);

/// What a figure may have grown by, from the least at fewer calls, and still count as the same: runs of the
/// same load on a machine of two cores differ by as much.
pub(super) const GROWTH: f64 = 1.15;

/// From so many calls on what a further call takes of memory is compared: below that it is the base's own that is seen.
pub(super) const GROWTH_CALLS: u32 = 100;

/// Fails with what was missed, if anything was.
pub(super) fn hold(missed: &[String]) -> anyhow::Result<()> {
    anyhow::ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}
