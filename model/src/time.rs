//! Two clocks: the machine's monotonic one, and a call's own in samples.
//!
//! Nobody reads a clock here. `ingest` reads CLOCK_MONOTONIC and hands it on as [`Mono`]; `capture`
//! turns it into [`MediaPlace`]. A stepped wall clock therefore moves no sample.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Samples a second of a timeline where `capture.rate` does not say otherwise: G.711's own rate.
pub const SAMPLE_RATE: u32 = 8_000;

/// An instant of the machine's monotonic clock, in nanoseconds since an arbitrary start.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Mono(pub u64);

impl Mono {
    /// Time from `earlier` to this instant; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Mono {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// A place on a call's timeline, in samples at the call's rate since it was opened. Signed, since
/// the first packet carries sound from before it arrived.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct MediaPlace(pub i64);

impl MediaPlace {
    /// The place of the instant `at` on the timeline of `rate_hz` that began at `origin`, rounded
    /// down.
    #[must_use]
    pub fn of(at: Mono, origin: Mono, rate_hz: u32) -> Self {
        let nanos = i64::try_from(i128::from(at.0) - i128::from(origin.0)).unwrap_or(i64::MAX);
        let (rate_hz, second) = (i64::from(rate_hz), 1_000_000_000);
        // Seconds and the rest apart: no product is too large for 64 bits, which a packet can afford.
        let (seconds, rest) = (nanos.div_euclid(second), nanos.rem_euclid(second));
        Self(seconds * rate_hz + rest * rate_hz / second)
    }
}

impl Add<i64> for MediaPlace {
    type Output = Self;

    fn add(self, samples: i64) -> Self {
        Self(self.0 + samples)
    }
}

impl Sub for MediaPlace {
    type Output = i64;

    /// Samples from `other` to this place.
    fn sub(self, other: Self) -> i64 {
        self.0 - other.0
    }
}

/// The time of `samples` samples at `rate_hz`, rounded down.
#[must_use]
pub fn time_of(samples: u64, rate_hz: u32) -> Duration {
    let rate_hz = u64::from(rate_hz);
    let (seconds, rest) = (samples / rate_hz, samples % rate_hz);
    Duration::from_secs(seconds) + Duration::from_nanos(rest * 1_000_000_000 / rate_hz)
}

/// Samples at `rate_hz` in `time`, rounded down.
#[must_use]
pub fn samples_in(time: Duration, rate_hz: u32) -> i64 {
    let rest = u64::from(time.subsec_nanos()) * u64::from(rate_hz) / 1_000_000_000;
    let whole = time.as_secs().saturating_mul(u64::from(rate_hz));
    i64::try_from(whole.saturating_add(rest)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_samples_from_the_origin_both_ways() {
        let origin = Mono(1_000_000_000);
        for (at, rate_hz, place) in [
            (1_020_000_000, 8_000, 160),
            (980_000_000, 8_000, -160),
            (999_999_999, 8_000, -1),
            (1_020_000_000, 44_100, 882),
            (1_010_000_000, 11_025, 110),
            (990_000_000, 11_025, -111),
        ] {
            let found = MediaPlace::of(Mono(at), origin, rate_hz);
            assert_eq!(found, MediaPlace(place), "{at} at {rate_hz} Hz");
        }
        assert_eq!(samples_in(Duration::from_millis(30), SAMPLE_RATE), 240);
        assert_eq!(samples_in(Duration::from_millis(30), 48_000), 1_440);
    }
}
