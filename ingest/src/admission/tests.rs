//! In virtual time: steps in order, at once up, late and without flapping down, and the cause named.

use proptest::prelude::*;

use super::*;

const EVERY: Duration = Duration::from_millis(200);

fn at(ms: u64) -> Mono {
    Mono(0) + Duration::from_millis(ms)
}

fn calm() -> Readings {
    Readings {
        backlog_most: 1_000,
        most_ends: 100,
        memory_used: 100,
        memory_most: 1_000,
        ..Readings::default()
    }
}

#[test]
fn each_reading_alone_refuses_recordings_and_is_named() {
    let second = Duration::from_secs(1);
    for (readings, word) in [
        (
            Readings {
                tick_lag: MOST_LAG,
                ..calm()
            },
            "250 ms behind",
        ),
        (
            Readings {
                backlog_bytes: 500,
                ..calm()
            },
            "500 of 1000 bytes wait",
        ),
        (
            Readings {
                oldest_block: 2 * second,
                ..calm()
            },
            "waited 2.0 s",
        ),
        (
            Readings {
                longest_sync: 5 * second,
                ..calm()
            },
            "taken 5.0 s",
        ),
        (
            Readings {
                ends: 100,
                ..calm()
            },
            "100 ended recordings",
        ),
        (
            Readings {
                memory_used: 950,
                ..calm()
            },
            "950 of 1000 bytes of memory",
        ),
    ] {
        let mut judge = Judge::default();
        assert_eq!(judge.handle_readings(at(0), calm()).step, Step::Free);
        let verdict = judge.handle_readings(at(200), readings);
        let cause = verdict.refuses_recordings().expect(word).to_string();
        assert!(cause.contains(word), "{cause}");
    }
}

#[test]
fn overload_has_an_order() {
    let mut judge = Judge::default();
    let mut steps = vec![];
    for bytes in (0..=500).step_by(25) {
        let readings = Readings {
            backlog_bytes: bytes,
            ..calm()
        };
        let verdict = judge.handle_readings(at(bytes), readings);
        steps.push(verdict.step);
        assert_eq!(verdict.refuses_encodes().is_some(), bytes >= 375, "{bytes}");
        assert_eq!(
            verdict.refuses_recordings().is_some(),
            bytes >= 500,
            "{bytes}"
        );
    }
    steps.dedup();
    assert_eq!(steps, Step::ALL);
}

#[test]
fn a_stall_is_over_two_seconds_after_it_and_a_reading_in_between_begins_them_anew() {
    let mut judge = Judge::default();
    let stalled = Readings {
        oldest_block: Duration::from_secs(3),
        ..calm()
    };
    let nearly = Readings {
        oldest_block: Duration::from_millis(1_700),
        ..calm()
    };
    judge.handle_readings(at(0), stalled);
    assert_eq!(
        judge.handle_readings(at(200), calm()).step,
        Step::NoRecordings
    );
    // It is still named as it was when it was worst.
    assert_eq!(
        judge.handle_readings(at(1_900), nearly).cause,
        Some(Cause::OldestBlock(Duration::from_secs(3)))
    );
    assert_eq!(
        judge.handle_readings(at(2_300), calm()).step,
        Step::NoRecordings
    );
    assert_eq!(
        judge.handle_readings(at(4_200), calm()).step,
        Step::NoRecordings
    );
    let over = judge.handle_readings(at(4_300), calm());
    assert_eq!((over.step, over.cause), (Step::Free, None));
}

#[test]
fn a_flooded_socket_refuses_nobody_unless_media_threads_are_behind() {
    let mut judge = Judge::default();
    judge.handle_readings(at(0), calm());
    let flooded = Readings {
        kernel_dropped: 1_000_000,
        ..calm()
    };
    assert_eq!(judge.handle_readings(at(200), flooded).step, Step::Free);
    let behind = Readings {
        tick_lag: TICK / 2,
        ..flooded
    };
    let verdict = judge.handle_readings(at(400), behind);
    assert_eq!(verdict.refuses_recordings(), Some(Cause::Drops(1_000_000)));
    // Old drops do not count.
    assert_eq!(
        judge.handle_readings(at(20_000), behind).step,
        Step::NoRecordings
    );
    assert_eq!(judge.handle_readings(at(22_000), behind).step, Step::Free);
}

proptest! {
    #[test]
    fn it_never_flaps_and_always_says_why(
        pressures in prop::collection::vec(0..1_500_u64, 1..200),
    ) {
        let mut judge = Judge::default();
        let (mut now, mut before, mut last_pressed) = (at(0), Step::Free, at(0));
        for pressure in pressures {
            now = now + EVERY;
            let readings = Readings { ends: pressure, most_ends: 1_000, ..calm() };
            let Verdict { step, cause, .. } = judge.handle_readings(now, readings);
            prop_assert_eq!(cause.is_some(), step > Step::Free);
            // Up at once, and never less than the pressure asks for.
            prop_assert!(step >= step_at(pressure));
            prop_assert!(step <= before.max(step_at(pressure)));
            if step < before {
                prop_assert!(now.since(last_pressed) >= HOLD, "taken back after {:?}", now.since(last_pressed));
            }
            // What keeps a step: four fifths of what it is taken at.
            if step_at(pressure * 5 / 4) >= step {
                last_pressed = now;
            }
            before = step;
        }
        for _ in 0..=(HOLD.as_millis() / EVERY.as_millis()) {
            now = now + EVERY;
            before = judge.handle_readings(now, calm()).step;
        }
        prop_assert_eq!(before, Step::Free);
    }
}
