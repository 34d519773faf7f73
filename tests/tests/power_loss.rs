//! A loss of power at any moment: what no fsync had reached is dropped, reordered or cut, and what
//! was acknowledged is there all the same.
//!
//! A daemon runs under calls on a disk that remembers (`tests/faults/log.c`). Of what was done to its
//! folder states are made that a power loss could have left at some moment, often the very moment at
//! which something was acknowledged, and a daemon comes up on each. Then the inquest is that of
//! `tests/tests/torture.rs`.
//!
//! `make test` tries a few states of a fixed seed; `make torture` sets `STATES`, `SEED` and the file
//! `TALLY`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reeld_tests::tape::Dice;
use reeld_tests::torture::caller::World;
use reeld_tests::torture::disk_log::{self, Entry};
use reeld_tests::torture::inquest::{self, Inquest};
use reeld_tests::torture::tally::{Tally, number};
use reeld_tests::torture::torn::{self, Disk, Style};
use reeld_tests::torture::{Clock, Crash, Mark};
use reeld_tests::{Daemon, MediaKind, Receiver, Setup, peer};

/// States that are made of one run of calls.
const STATES_OF_A_RUN: u64 = 12;
/// Runs on one folder, each on the last state of the one before; the next folder has the other kind
/// of media.
const RUNS_OF_A_FOLDER: u64 = 3;
/// Callers at once.
const CALLERS: u64 = 5;
/// Numbers of calls that one caller may use in a run.
const CALLS: u64 = 1_000;
/// The longest tape, in packets: five seconds.
const PACKETS: usize = 250;
/// What a loss of power may cost: what a kill costs and `capture.fsync`, a second, and the time that
/// the sync takes (docs/ref/reliability.md).
const MOST_LOST: Duration = Duration::from_millis(2_700);

#[test]
fn what_was_acknowledged_outlives_a_loss_of_power() {
    let (states, seed) = (number("STATES", 12), number("SEED", 1));
    let mut tally = Tally::of_environment();
    while tally.get("torn states") < states {
        let left = states - tally.get("torn states");
        let media = if tally.get("folders").is_multiple_of(2) {
            MediaKind::Local
        } else {
            MediaKind::Sled
        };
        // Short runs have both kinds of media too.
        let left = left
            .min(RUNS_OF_A_FOLDER * STATES_OF_A_RUN)
            .min(states.div_ceil(2));
        a_folder(media, seed, left, &mut tally);
        tally.add("folders", 1);
        tally.save();
    }
    println!("{}", tally.text());
    assert_eq!(tally.get("lost"), 0);
}

/// A folder, and what was done to it in its latest run of calls.
struct Folder {
    daemon: Daemon,
    world: World,
    receiver: Receiver,
    library: PathBuf,
    log: PathBuf,
}

/// What a run of calls left: the folder before it, all that was done to it, and when.
struct Run {
    before: Disk,
    log: Vec<Entry>,
    /// The daemon was ready.
    ready: Mark,
    /// Whose calls they were.
    account: String,
    /// The log's lengths over time.
    times: Vec<(Instant, Mark)>,
}

fn a_folder(media: MediaKind, seed: u64, states: u64, tally: &mut Tally) {
    let tools = tempfile::tempdir().expect("the temporary folder can be written");
    let (log, library) = (tools.path().join("disk.log"), library(tools.path()));
    let setup = Setup::with_ports(512)
        .media(media)
        .set("callbacks.allow", vec!["loopback"])
        .set("callbacks.retry_first", "1s")
        .set("log.level", "warn");
    let under = setup.data_dir();
    let before = Disk::of_folder(&under);
    let daemon = setup
        .environment("DISK_UNDER", &under)
        .environment("DISK_LOG", &log)
        .environment("LD_PRELOAD", &library)
        .start();
    let world = World {
        clock: Clock::of_log(&log),
        packets: PACKETS,
        ..World::default()
    };
    let receiver = world.receiver(seed);
    let mut folder = Folder {
        daemon,
        world,
        receiver,
        library,
        log,
    };
    let mut dice = Dice::new(seed * 1_000_003 + tally.get("torn states"));
    let mut before = Some(before);
    let mut done = 0;
    while done < states {
        let before = before.take().unwrap_or_else(|| folder.start_logged());
        let run = folder.run(before, tally.get("runs"), &mut dice);
        tally.add("runs", 1);
        tally.add("operations of the disk", run.log.len() as u64);
        let book = folder.world.ledger.book().clone();
        let acknowledged = marks(&book);
        for _ in 0..STATES_OF_A_RUN.min(states - done) {
            let mark = moment(&run, &acknowledged, &mut dice);
            let mut styles = Style::ALL.into_iter().zip(0..);
            let next = styles.find(|(_, number)| *number == tally.get("torn states") % 6);
            let style = next.expect("there are six").0;
            *folder.world.ledger.book() = book.as_of(mark);
            let findings = folder.lose_power(media, &run, mark, style, &mut dice, tally);
            let text = findings.join("\n");
            let state = tally.get("torn states");
            assert!(
                findings.is_empty(),
                "state {state}, {style:?} at {mark}:\n{text}"
            );
            tally.add(&format!("torn: {}", style.name()), 1);
            tally.add("torn states", 1);
            tally.save();
            done += 1;
        }
    }
}

impl Folder {
    /// Starts the daemon on the disk that remembers; the folder before that.
    fn start_logged(&mut self) -> Disk {
        self.daemon.terminate();
        let book = self.world.ledger.book().as_of(Mark::MAX);
        *self.world.ledger.book() = book;
        fs::remove_file(&self.log).expect("the last run's log is there");
        let before = Disk::of_folder(self.daemon.data_dir());
        let library = self.library.clone().into_os_string();
        self.daemon.set_environment("LD_PRELOAD", Some(library));
        self.daemon.start_again();
        before
    }

    /// Calls come and go for some seconds, then the daemon is stopped: all of that is in the log.
    fn run(&mut self, before: Disk, number: u64, dice: &mut Dice) -> Run {
        let world = &self.world;
        let ready = world.clock.now();
        world.over.store(false, Ordering::Release);
        let (client, url) = (self.daemon.client().clone(), self.receiver.url(""));
        let is_over = AtomicBool::new(false);
        let mut times = Vec::new();
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut times = Vec::new();
                while !is_over.load(Ordering::Acquire) {
                    times.push((Instant::now(), world.clock.now()));
                    std::thread::sleep(Duration::from_millis(2));
                }
                times
            });
            let callers: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let (client, url) = (&client, &url);
                    let first = (number * CALLERS + caller + 1) * CALLS;
                    scope.spawn(move || world.live(client, url, first))
                })
                .collect();
            // How long calls go on is what is drawn, not a wait for anything.
            std::thread::sleep(Duration::from_millis(3_000 + dice.below(4_000) as u64));
            world.over.store(true, Ordering::Release);
            for caller in callers {
                caller.join().expect("callers do not panic");
            }
            self.daemon.terminate();
            is_over.store(true, Ordering::Release);
            times = watch.join().expect("it does not panic");
        });
        let log = disk_log::read(&self.log);
        let mut whole = before.clone();
        whole.replay(&log, Mark::MAX);
        compare(
            &whole.torn(Style::Everything, dice),
            &torn::state_of(self.daemon.data_dir()),
        );
        let findings = std::mem::take(&mut world.ledger.book().findings);
        assert!(findings.is_empty(), "{}", findings.join("\n"));
        Run {
            before,
            log,
            ready,
            account: self.daemon.client().account().to_owned(),
            times,
        }
    }

    /// A state that a loss of power can have left, a daemon that comes up on it, and its inquest.
    fn lose_power(
        &mut self,
        media: MediaKind,
        run: &Run,
        mark: Mark,
        style: Style,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> Vec<String> {
        let mut disk = run.before.clone();
        disk.replay(&run.log, mark);
        let state = disk.torn(style, dice);
        let data = self.daemon.data_dir().to_owned();
        if self.daemon.is_started() {
            self.daemon.kill_nine();
        }
        fs::remove_dir_all(&data).expect("the folder is there");
        torn::lay_down(&data, &state);
        let kept = std::env::var_os("KEEP").map(PathBuf::from);
        if let Some(kept) = kept {
            let _ = fs::remove_dir_all(&kept);
            torn::lay_down(&kept, &state);
        }
        self.daemon.set_environment("LD_PRELOAD", None);
        self.daemon.start_again();
        self.daemon.meet_again();
        let mut findings = Vec::new();
        if mark >= run.ready && self.daemon.client().account() != run.account {
            findings.push("the account of the first start is another one".to_owned());
        }
        // The last moment at which the disk had surely not come further.
        let times = &run.times;
        let then = times.iter().take_while(|(_, length)| *length < mark).last();
        let crash = Crash {
            mark: Mark::MAX,
            at: then
                .or(times.first())
                .map_or_else(Instant::now, |(at, _)| *at),
        };
        let inquest = Inquest {
            media,
            most_lost: MOST_LOST,
            again: 20,
            seed: dice.roll(),
        };
        findings.extend(inquest.hold(&self.daemon, &self.world, crash, tally));
        if findings.is_empty() {
            findings.extend(inquest::told(&self.daemon, &self.world, Mark::MAX, tally));
        }
        findings
    }
}

/// When something was acknowledged.
fn marks(book: &reeld_tests::torture::ledger::Book) -> Vec<Mark> {
    let entries = book.entries.values();
    let marks = entries.flat_map(|entry| {
        let started = entry.started.as_ref().map(|(mark, _)| *mark);
        let told = entry.told.iter().map(|(mark, _)| *mark);
        let others = [started, entry.completed, entry.deleted];
        others.into_iter().flatten().chain(told)
    });
    marks.filter(|mark| *mark > 0).collect()
}

/// A moment for a loss of power: of an acknowledgement, of the start, or of any operation.
fn moment(run: &Run, acknowledged: &[Mark], dice: &mut Dice) -> Mark {
    let start: Vec<Mark> = run.log.iter().map(|entry| entry.end).collect();
    match dice.below(10) {
        0..5 if !acknowledged.is_empty() => acknowledged[dice.below(acknowledged.len())],
        5..7 => {
            let count = start.iter().filter(|end| **end <= run.ready).count();
            start[dice.below(count)]
        }
        _ => start[dice.below(start.len())],
    }
}

/// Holds the log to be all that was done: replayed, it is the folder.
fn compare(replayed: &torn::State, real: &torn::State) {
    let wrong = |path: &&String| replayed.get(*path) != real.get(*path);
    let paths = replayed.keys().chain(real.keys());
    let wrong: Vec<&String> = paths.filter(wrong).collect();
    assert!(
        wrong.is_empty(),
        "the disk's log missed something of {wrong:?}"
    );
    assert!(real.len() > 5, "{} names in the folder", real.len());
}

/// The library, compiled.
fn library(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/log.c");
    let library = folder.join("log.so");
    let (source, into) = (source.display().to_string(), library.display().to_string());
    let args = ["-shared", "-fPIC", "-O1", "-o", &into, &source, "-ldl"];
    peer::run("cc", args, &[], Duration::from_secs(60)).success();
    library
}
