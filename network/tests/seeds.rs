//! A thousand seeds of a minute: whatever the network does, the length is right, each marker is at
//! its place, and the tracks are in step.

use reeld_network::{Scenario, play, seeds};

#[test]
fn a_thousand_calls_are_as_long_as_they_were_and_in_step() {
    seeds(0..1_000, |seed| play(&Scenario::of(seed, 60))).demand("a minute");
}
