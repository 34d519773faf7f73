//! A thousand seeds of a minute: whatever the network does, the length is right, each marker is at
//! its place, and the tracks are in step.

use reeld_network::play::{Tape, True, play_ideal, play_with};
use reeld_network::{Scenario, play, seeds};

#[test]
fn a_thousand_calls_are_as_long_as_they_were_and_in_step() {
    seeds(0..1_000, |seed| play(&Scenario::of(seed, 60))).demand("a minute");
}

#[test]
fn a_bye_ends_a_recording_where_it_came() {
    seeds(0..100, |seed| play(&Scenario::of_a_bye(seed))).demand("a bye");
}

#[test]
fn a_seed_plays_the_same_twice() {
    let play = |_| {
        let mut tape = Tape::default();
        let verdict = play_with(&Scenario::of(77, 60), &mut True, Some(&mut tape));
        (tape.file, verdict.stats, verdict.checked)
    };
    assert!(play(0) == play(1));
}

#[test]
fn the_judge_has_nothing_to_say_of_the_truth() {
    seeds(0..200, |seed| play_ideal(&Scenario::of(seed, 60))).demand("the truth");
}
