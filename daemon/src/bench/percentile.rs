//! Percentiles of sorted times, medians, and how figures are rounded.
//!
//! Called by the measurements.

use std::time::Duration;

/// The `percent`-th percentile (nearest rank) of sorted times, in milliseconds.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().map_or(0.0, millis)
}

pub(super) fn millis(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1e3)
}

/// The middle one of these figures, rounded; 0 of none.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let upper = figures.len() / 2;
    match figures.get(upper) {
        None => 0.0,
        Some(middle) if figures.len() % 2 == 1 => round(*middle),
        Some(middle) => round(f64::midpoint(*middle, figures[upper - 1])),
    }
}

/// Two decimals: more is noise.
pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(
            (percentile(&times, 50), percentile(&times, 99)),
            (100.0, 198.0)
        );
        assert_eq!(
            (percentile(&times[..1], 99), percentile(&[], 50)),
            (1.0, 0.0)
        );
    }
}
