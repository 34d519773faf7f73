//! A thousand seeds of a minute: whatever the network does, the length is right, each marker is at
//! its place, and the tracks are in step.

use std::collections::BTreeSet;

use reeld_network::play::{Tape, True, play_handed_over, play_ideal, play_with};
use reeld_network::{Rule, Scenario, play, seeds};

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
fn a_call_that_goes_from_process_to_process_is_the_same_call() {
    for seed in 0..30 {
        let scenario = Scenario::of(seed, 60);
        let (mut one, mut many) = (Tape::default(), Tape::default());
        let of_one = play_with(&scenario, &mut True, Some(&mut one));
        let of_many = play_handed_over(&scenario, 5 + 7 * seed, &mut many);
        assert!(one.file == many.file, "seed {seed}");
        assert_eq!(of_one.stats, of_many.stats, "seed {seed}");
        assert_eq!(of_one.summary, of_many.summary, "seed {seed}");
    }
}

#[test]
fn the_judge_has_nothing_to_say_of_the_truth() {
    seeds(0..200, |seed| play_ideal(&Scenario::of(seed, 60), [0, 0])).demand("the truth");
}

#[test]
fn the_judge_sees_what_is_21_ms_off() {
    let broken = |seed, later| {
        let verdict = play_ideal(&Scenario::of(seed, 60), later);
        let rules = verdict.failures.iter().map(|failure| failure.rule);
        rules.collect::<BTreeSet<_>>()
    };
    for seed in 0..8 {
        assert!(broken(seed, [0, 168]).contains(&Rule::Apart), "seed {seed}");
        assert!(
            broken(seed, [-84, 84]).contains(&Rule::Apart),
            "seed {seed}"
        );
        assert!(
            broken(seed, [1_000, 1_000]).contains(&Rule::Place),
            "seed {seed}"
        );
        assert!(
            broken(seed, [8_000, 8_000]).contains(&Rule::Missing),
            "seed {seed}"
        );
    }
}
