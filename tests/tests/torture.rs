//! kill -9 at aimed and random moments, again and again on one folder: starting, recording,
//! finalising, encoding, deleting, sending callbacks, coming up again, and making the catalog anew.
//! After each: every recording that was acknowledged is there and exact up to what a kill may cost,
//! no finished one has changed, nobody's file is in the folder, `verify` is clean, and callbacks come
//! as promised.
//!
//! `make test` runs a few rounds of a fixed seed; `make torture` sets `ROUNDS`, `SEED` and the file
//! `TALLY`, from which a run that was stopped goes on.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reeld_tests::tape::Dice;
use reeld_tests::torture::caller::{Phase, World};
use reeld_tests::torture::inquest::{self, Inquest};
use reeld_tests::torture::tally::{Tally, number};
use reeld_tests::torture::{Clock, Crash};
use reeld_tests::{Daemon, MediaKind, Receiver, Setup};

/// Rounds on one folder; the next folder has the other kind of media.
const LIFE: u64 = 25;
/// Callers at once.
const CALLERS: u64 = 6;
/// Numbers of calls that one caller may use in a round.
const CALLS: u64 = 1_000;
/// The longest tape, in packets: three seconds.
const PACKETS: usize = 150;
/// What a kill may cost: 1.5 s (docs/ref/reliability.md).
const MOST_LOST: Duration = Duration::from_millis(1_500);
/// An aimed kill waits so long for its aim, and then comes anyhow.
const AIM_BOUND: Duration = Duration::from_secs(4);

/// What a kill is aimed at.
#[derive(Debug, Clone, Copy)]
enum Aim {
    /// A caller, or a callback.
    Phase(Phase),
    /// The daemon that comes up again, once or twice.
    Recovery,
    /// `reeld verify --rebuild`.
    Rebuild,
}

impl Aim {
    fn of_round(round: u64) -> Self {
        let phases = Phase::ALL.into_iter().map(Self::Phase);
        let aims = phases.chain([Self::Recovery, Self::Rebuild]);
        let aim = aims.zip(0..).find(|(_, number)| *number == round % 8);
        aim.expect("there are eight").0
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Phase(phase) => phase.name(),
            Self::Recovery => "recovery",
            Self::Rebuild => "rebuild",
        }
    }
}

#[test]
fn what_was_acknowledged_outlives_kills() {
    let (rounds, seed) = (number("ROUNDS", 12), number("SEED", 1));
    let mut tally = Tally::of_environment();
    while tally.get("rounds") < rounds {
        let first = tally.get("rounds");
        // Short runs have both kinds of media too.
        let life = LIFE.min(rounds.div_ceil(2)).min(rounds - first);
        let media = if tally.get("folders").is_multiple_of(2) {
            MediaKind::Local
        } else {
            MediaKind::Sled
        };
        live_and_die(media, seed, first..first + life, &mut tally);
        tally.add("folders", 1);
        tally.save();
    }
    println!("{}", tally.text());
    assert_eq!(tally.get("lost"), 0);
}

/// A folder's rounds.
fn live_and_die(media: MediaKind, seed: u64, rounds: std::ops::Range<u64>, tally: &mut Tally) {
    let mut daemon = Setup::with_ports(1_024)
        .media(media)
        .set("callbacks.allow", vec!["loopback"])
        .set("callbacks.retry_first", "1s")
        .set("log.level", "warn")
        // What is kept of deleted recordings is purged while calls go on: each second, or never here.
        .set(
            "store.deleted_metadata",
            if seed.is_multiple_of(2) { "1s" } else { "40d" },
        )
        .start();
    let world = World {
        clock: Clock::default(),
        packets: PACKETS,
        ..World::default()
    };
    let receiver = world.receiver(seed);
    let last = rounds.end - 1;
    for round in rounds {
        let mut dice = Dice::new(seed * 1_000_003 + round);
        let aim = Aim::of_round(round);
        let since = Instant::now();
        let crash = die(&mut daemon, &world, &receiver, round, aim, &mut dice, tally);
        tally.add("ms of calls", millis(since));
        come_up(&mut daemon, aim, &mut dice, tally);
        let is_deep = round == last || round % 10 == 9;
        let inquest = Inquest {
            media,
            most_lost: MOST_LOST,
            again: if is_deep { usize::MAX } else { 30 },
            seed: dice.roll(),
        };
        let since = Instant::now();
        let mut findings = inquest.hold(&daemon, &world, crash, tally);
        if is_deep {
            findings.extend(inquest::told(&daemon, &world, crash.mark, tally));
        }
        tally.add("ms of inquests", millis(since));
        tally.add("rounds", 1);
        tally.save();
        let text = findings.join("\n");
        if !findings.is_empty() {
            keep(daemon.data_dir(), round);
        }
        assert!(findings.is_empty(), "round {round}, {aim:?}:\n{text}");
    }
}

/// Calls come and go until the daemon is killed in the midst of them.
fn die(
    daemon: &mut Daemon,
    world: &World,
    receiver: &Receiver,
    round: u64,
    aim: Aim,
    dice: &mut Dice,
    tally: &mut Tally,
) -> Crash {
    world.over.store(false, Ordering::Release);
    let (client, url) = (daemon.client().clone(), receiver.url(""));
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (client, url) = (&client, &url);
            let first = (round * CALLERS + caller + 1) * CALLS;
            scope.spawn(move || world.live(client, url, first));
        }
        // The moment of the kill is what is drawn, not a wait for anything.
        pause(dice, 3_000);
        if let Aim::Phase(phase) = aim {
            let since = Instant::now();
            while !world.phases.is_any(phase) && since.elapsed() < AIM_BOUND {
                std::thread::sleep(Duration::from_micros(100));
            }
            pause(dice, 2);
        }
        for phase in Phase::ALL
            .into_iter()
            .filter(|&phase| world.phases.is_any(phase))
        {
            tally.add(&format!("killed while {}", phase.name()), 1);
        }
        tally.add(&format!("kills aimed at {}", aim.name()), 1);
        tally.add("kills", 1);
        let crash = Crash::kill();
        daemon.kill_nine();
        world.over.store(true, Ordering::Release);
        crash
    })
}

/// Up again, with what else is aimed at on the way.
fn come_up(daemon: &mut Daemon, aim: Aim, dice: &mut Dice, tally: &mut Tally) {
    match aim {
        Aim::Phase(_) => {}
        Aim::Recovery => {
            for _ in 0..=dice.below(2) {
                daemon.start_unwatched();
                pause(dice, 400);
                daemon.kill_nine();
                tally.add("kills", 1);
            }
        }
        Aim::Rebuild => {
            let after = Duration::from_millis(dice.below(120) as u64);
            let was_killed = daemon.kill_command(&["verify", "--rebuild"], after);
            tally.add("kills", u64::from(was_killed));
            tally.add("rebuilds killed", u64::from(was_killed));
            tally.add("rebuilds that were faster", u64::from(!was_killed));
        }
    }
    let since = Instant::now();
    daemon.start_again();
    tally.at_most("longest start in ms", millis(since));
}

fn millis(since: Instant) -> u64 {
    since.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
}

fn pause(dice: &mut Dice, most_ms: usize) {
    let micros = dice.below(most_ms * 1_000) as u64;
    std::thread::sleep(Duration::from_micros(micros));
}

/// Keeps a folder in which something is wrong, to be looked at.
fn keep(data: &Path, round: u64) {
    let kept = std::env::temp_dir().join(format!("reeld-torture-{}-{round}", std::process::id()));
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(data)
        .arg(&kept)
        .status();
    eprintln!("the folder is kept in {} ({copied:?})", kept.display());
}
