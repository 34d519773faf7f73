//! Stamps to instants, and a wall clock that is stepped and slewed under a call.

use reeld_network::Scenario;
use reeld_network::path::{Jitter, Late};
use reeld_network::play::{Stamps, Tape, True, play_with};
use reeld_network::random::Random;

use super::*;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

fn offset(now: i64) -> Offset {
    Offset { now, before: now }
}

#[test]
fn a_stamp_maps_to_its_instant() {
    let mut offset = Offset::read();
    let real = nanos(ClockId::CLOCK_REALTIME);
    let now = monotonic();
    let arrival = offset.arrival(Some(real), now - Duration::from_secs(1), now);
    assert!(
        now.since(arrival) < Duration::from_millis(50),
        "{arrival:?} against {now:?}"
    );
    assert_eq!(offset.arrival(None, Mono(0), now), now);
}

#[test]
fn a_stamp_from_before_a_step_keeps_its_instant() {
    for step in [-DAY, -30 * SECOND, 30 * SECOND, DAY] {
        let mut offset = offset(2 * DAY);
        let came = Mono(10_020_000_000);
        let stamp = 2 * DAY + 10_020_000_000;
        offset.follow(2 * DAY + step);
        let place = offset.place(stamp, Mono(10_000_000_000), Mono(10_050_000_000));
        assert_eq!(place, Some(came), "step {step}");
    }
}

#[test]
fn no_arrival_lies_in_the_future_or_before_the_socket_was_empty() {
    let (emptied, now) = (Mono(10_000_000_000), monotonic());
    let mut offset = Offset::read();
    let real = nanos(ClockId::CLOCK_REALTIME);
    assert_eq!(offset.arrival(Some(real + DAY), emptied, now), now);
    assert_eq!(
        offset.arrival(Some(real - 10_000 * DAY), now, now),
        now - QUEUEING
    );
    assert_eq!(offset.arrival(Some(i64::MIN), now, now), now - QUEUEING);
    assert_eq!(offset.arrival(Some(i64::MAX), emptied, now), now);
}

#[test]
fn a_slew_is_followed_without_a_memory_of_it() {
    let mut offset = offset(DAY);
    offset.follow(DAY + 20_000);
    assert_eq!((offset.now, offset.before), (DAY + 20_000, DAY));
}

/// A wall clock under a call: how far it is ahead of the monotonic one changes by steps of an hour
/// and by a slew of 500 ppm.
struct Wall {
    offset: Offset,
    /// When it is stepped, and by how much in nanoseconds.
    steps: Vec<(Mono, i64)>,
    slew_ppm: i64,
    /// Arrivals that were told more than the slew of a tick away from the truth.
    wrong: usize,
}

impl Wall {
    fn ahead(&self, at: Mono) -> i64 {
        let steps = self.steps.iter().filter(|(when, _)| *when <= at);
        let stepped: i64 = steps.map(|(_, by)| by).sum();
        let run = i64::try_from(at.0).unwrap();
        1_700_000_000 * SECOND + stepped + run / 1_000_000 * self.slew_ppm
    }
}

impl Stamps for Wall {
    fn tick(&mut self, now: Mono) {
        self.offset.follow(self.ahead(now));
    }

    fn arrival(&mut self, arrival: Mono, emptied: Mono, now: Mono) -> Mono {
        let stamp = i64::try_from(arrival.0).unwrap() + self.ahead(arrival);
        let ahead = self.ahead(now);
        let told = self.offset.arrival_by(Some(stamp), emptied, now, || ahead);
        // Between two drains a slew of 500 ppm moves by 25 µs, of RTCP by 100 µs.
        let slewed = (now.0 - emptied.0) / 2_000 + 1_000;
        self.wrong += usize::from(told.0.abs_diff(arrival.0) > slewed);
        told
    }
}

#[test]
fn a_wall_clock_that_is_stepped_and_slewed_in_mid_call_changes_no_sample() {
    for seed in 0..24 {
        let mut scenario = Scenario::of(seed, 60);
        for request in [&mut scenario.start, &mut scenario.stop] {
            *request = *request / 125_000 * 125_000;
        }
        for track in &mut scenario.tracks {
            // Undelayed packets come in the middle of a sample, so that 25 µs more or less are none.
            let sender = &mut track.sender;
            sender.skew_ppm = 0;
            sender.origin = sender.origin >> 32 << 32;
            let path = &mut track.path;
            path.base = path.base / 125_000 * 125_000 + 62_500;
            path.late = Late::No;
            path.overtaken = 0.0;
            path.jitter = Jitter::None;
            path.detours.clear();
        }
        let mut random = Random::new(seed, 9);
        let hour = 3_600 * SECOND;
        let steps = (1..=6)
            .map(|step| {
                let at =
                    Mono(7 * 1_000_000_000 + ((step * 9) << 30) + random.next_u64() % (1 << 30));
                (at, random.pick(&[hour, -hour]))
            })
            .collect();
        let mut wall = Wall {
            offset: Offset { now: 0, before: 0 },
            steps,
            slew_ppm: random.pick(&[-500, 0, 500]),
            wrong: 0,
        };
        wall.tick(Mono(7_000_000_000));
        let (mut truth, mut told) = (Tape::default(), Tape::default());
        let true_verdict = play_with(&scenario, &mut True, Some(&mut truth));
        let verdict = play_with(&scenario, &mut wall, Some(&mut told));
        assert_eq!(wall.wrong, 0, "seed {seed}");
        let differs = truth.file.iter().zip(&told.file).position(|(a, b)| a != b);
        assert!(
            truth.file == told.file,
            "seed {seed}: frames {} and {}, first other sample {differs:?}",
            truth.file.len() / 2,
            told.file.len() / 2,
        );
        assert!(truth.file.len() > 16 * 50_000, "seed {seed}");
        assert_eq!(verdict.stats, true_verdict.stats, "seed {seed}");
    }
}
