//! Encoders stand behind all else: each of their threads is at nice 19 in the scheduler's batch class,
//! and no thread that receives or writes sound is.

use std::fs;

use reeld_tests::{Daemon, Setup};

/// `SCHED_OTHER` and `SCHED_BATCH` of linux/sched.h.
const OTHER: u32 = 0;
const BATCH: u32 = 3;

/// A thread's name, niceness and scheduling class.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Thread {
    name: String,
    nice: i32,
    class: u32,
}

/// The daemon's threads, by proc_pid_stat(5).
fn threads(daemon: &Daemon) -> Vec<Thread> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("it runs");
    let stats = tasks.filter_map(|task| {
        // A thread may end between the listing and the reading.
        fs::read_to_string(task.ok()?.path().join("stat")).ok()
    });
    stats.map(|stat| read(&stat)).collect()
}

fn read(stat: &str) -> Thread {
    let (before, after) = stat.rsplit_once(')').expect("a name in brackets");
    let (_, name) = before.split_once('(').expect("a name in brackets");
    // The third field is the first one here.
    let fields: Vec<&str> = after.split_whitespace().collect();
    Thread {
        name: name.to_owned(),
        nice: fields[19 - 3].parse().expect("field 19 is the niceness"),
        class: fields[41 - 3].parse().expect("field 41 is the policy"),
    }
}

#[test]
fn encoders_are_nice_and_in_the_batch_class_and_nobody_else_is() {
    let daemon = Setup::new()
        .set("encode.workers", 3)
        .set("encode.eager", vec!["opus"])
        .start();
    let threads = threads(&daemon);
    let (encoders, others): (Vec<&Thread>, Vec<&Thread>) = threads
        .iter()
        .partition(|thread| thread.name.starts_with("encode-"));
    let mut names: Vec<&str> = encoders.iter().map(|thread| thread.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["encode-0", "encode-1", "encode-2", "encode-eager"]);
    for thread in encoders {
        assert_eq!((thread.nice, thread.class), (19, BATCH), "{thread:?}");
    }
    let own = read(&fs::read_to_string("/proc/self/stat").expect("this process has one"));
    assert!(own.nice < 19, "the test itself runs at nice 19");
    for thread in others {
        // Reading files again for their checksum stands back as well.
        let nice = match thread.name.as_str() {
            "reeld-scrub" => 19,
            _ => own.nice,
        };
        assert_eq!((thread.nice, thread.class), (nice, OTHER), "{thread:?}");
    }
    for name in ["reeld-media-", "reeld-write-", "reeld-finish-"] {
        let is_there = threads.iter().any(|thread| thread.name.starts_with(name));
        assert!(is_there, "no {name} in {threads:?}");
    }
}
