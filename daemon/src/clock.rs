//! The daemon's two clocks, read nowhere else above `ingest`.

use std::time::{SystemTime, UNIX_EPOCH};

use reeld_model::Mono;

/// The time as capture has it, CLOCK_MONOTONIC.
#[must_use]
pub fn now() -> Mono {
    reeld_ingest::monotonic()
}

/// CLOCK_MONOTONIC in nanoseconds, as `ingest` stamps arrivals.
#[must_use]
pub fn monotonic_ns() -> u64 {
    now().0
}

/// The wall clock in milliseconds since the Unix epoch.
#[must_use]
pub fn unix_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The wall clock at an instant that has been, in milliseconds since the Unix epoch, as far as it was not set since.
#[must_use]
pub fn unix_ms_of(at: Mono) -> i64 {
    let ago = monotonic_ns().saturating_sub(at.0) / 1_000_000;
    unix_ms() - i64::try_from(ago).unwrap_or(0)
}
