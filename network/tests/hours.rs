//! Long calls: an hour with clocks that disagree, and a hold of half an hour without a packet.

use reeld_network::sender::Stamp;
use reeld_network::{Scenario, play, seeds};

/// Half an hour in samples.
const HOLD: u64 = 1_800 * 8_000;

#[test]
fn clocks_200_ppm_apart_each_way_are_in_step_after_an_hour() {
    let hour = |seed| play(&Scenario::of(seed, 3_600).with_skews([200, -200]));
    seeds(0..20, hour).demand("an hour at ±200 ppm");
}

#[test]
fn clocks_500_ppm_off_are_in_step_after_twenty_minutes() {
    let minutes = |seed: u64| {
        let skews = if seed.is_multiple_of(2) {
            [500, -500]
        } else {
            [-500, 500]
        };
        play(&Scenario::of(seed, 1_200).with_skews(skews))
    };
    seeds(0..16, minutes).demand("20 minutes at ±500 ppm");
}

#[test]
fn a_hold_of_half_an_hour_is_in_the_file() {
    let held = |seed: u64| {
        let stamp = [Stamp::Runs, Stamp::Stands, Stamp::Anew][(seed % 3) as usize];
        play(&Scenario::of_a_hold(seed, HOLD, stamp))
    };
    seeds(0..24, held).demand("a hold of half an hour");
}
