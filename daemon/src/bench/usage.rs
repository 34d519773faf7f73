//! What the kernel says of a process: processor time, resident memory, packets dropped at sockets.
//!
//! Called by the measurements; it reads `/proc` (proc(5)) and getrusage(2) and calls nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Clock ticks a second in `/proc`: the kernel's interface to user space has had this value on
/// every architecture that reeld runs on, whatever the kernel's own tick.
const TICKS_A_SECOND: u64 = 100;

/// A process that is watched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process(pub(super) u32);

impl Process {
    /// Processor time of all its threads, user and system, also of those that have ended.
    pub(super) fn cpu(self) -> anyhow::Result<Duration> {
        cpu_of(&fs::read_to_string(self.path("stat"))?).context("/proc/*/stat reads differently")
    }

    /// The processes that it has started and that live.
    pub(super) fn children(self) -> anyhow::Result<Vec<Self>> {
        let children = fs::read_to_string(self.path(&format!("task/{}/children", self.0)))?;
        let pids = children.split_whitespace().map(str::parse);
        Ok(pids.map(|pid| pid.map(Self)).collect::<Result<_, _>>()?)
    }

    /// Processor time by thread name, of the threads that live.
    pub(super) fn cpu_by_thread(self) -> anyhow::Result<BTreeMap<String, Duration>> {
        let mut by_name = BTreeMap::new();
        for task in fs::read_dir(self.path("task"))? {
            let task = task?.path();
            // A thread may end between the listing and the reading.
            let (Ok(name), Ok(stat)) = (
                fs::read_to_string(task.join("comm")),
                fs::read_to_string(task.join("stat")),
            ) else {
                continue;
            };
            let time = cpu_of(&stat).context("/proc/*/task/*/stat reads differently")?;
            *by_name.entry(family(name.trim()).to_owned()).or_default() += time;
        }
        Ok(by_name)
    }

    /// What the scheduler counts of each of its threads that live, by the thread's id, to the nanosecond: for
    /// differences too small for [`Self::cpu`]'s ticks. A thread that ends takes its count with it.
    pub(super) fn run_times(self) -> anyhow::Result<BTreeMap<String, Duration>> {
        let mut by_thread = BTreeMap::new();
        for task in fs::read_dir(self.path("task"))? {
            let task = task?;
            // A thread may end between the listing and the reading.
            let Ok(line) = fs::read_to_string(task.path().join("schedstat")) else {
                continue;
            };
            let nanos = line.split_whitespace().next();
            let nanos = nanos.and_then(|field| field.parse().ok());
            let nanos = nanos.context("/proc/*/task/*/schedstat reads differently")?;
            let thread = task.file_name().to_string_lossy().into_owned();
            by_thread.insert(thread, Duration::from_nanos(nanos));
        }
        Ok(by_thread)
    }

    /// Bytes of it that are in memory.
    pub(super) fn resident(self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(self.path("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.context("/proc/*/status has no VmRSS")? * 1_024)
    }

    fn path(self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.0))
    }
}

/// Processor time of all children that have ended and been waited for, user and system.
pub(super) fn children_cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(
        u64::try_from(micros).unwrap_or_default(),
    ))
}

/// Processors that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Processor time of the kernel's threads that write to disks: its unbound workers, which do the writeback
/// (and what else was queued to them: it is the most that writeback can be), and the journal's.
pub(super) fn writeback() -> anyhow::Result<Duration> {
    let mut whole = Duration::ZERO;
    for process in fs::read_dir("/proc")? {
        // Most of them are no processes, and one may end between the listing and the reading.
        if let Ok(stat) = fs::read_to_string(process?.path().join("stat"))
            && writes(&stat)
        {
            whole += cpu_of(&stat).context("/proc/*/stat reads differently")?;
        }
    }
    Ok(whole)
}

/// Whether a `stat` line is of a thread that [`writeback`] counts.
fn writes(stat: &str) -> bool {
    let name = stat.split_once('(').map_or("", |(_, rest)| rest);
    name.starts_with("kworker/u") || name.starts_with("jbd2/")
}

/// How many of these UDP ports are open on this machine.
pub(super) fn open_ports(ports: &BTreeSet<u16>) -> anyhow::Result<usize> {
    let table = fs::read_to_string("/proc/net/udp")?;
    let open = table
        .lines()
        .skip(1)
        .filter_map(drops)
        .map(|(port, _)| port);
    Ok(open
        .filter(|port| ports.contains(port))
        .collect::<BTreeSet<_>>()
        .len())
}

/// Packets that the kernel dropped at the UDP sockets bound to these ports.
pub(super) fn dropped(ports: &BTreeSet<u16>) -> anyhow::Result<u64> {
    let table = fs::read_to_string("/proc/net/udp")?;
    Ok(table
        .lines()
        .skip(1)
        .filter_map(drops)
        .filter(|(port, _)| ports.contains(port))
        .map(|(_, drops)| drops)
        .sum())
}

/// Local port and drops of a line of `/proc/net/udp`.
fn drops(line: &str) -> Option<(u16, u64)> {
    let mut fields = line.split_whitespace();
    let (_, port) = fields.nth(1)?.split_once(':')?;
    Some((
        u16::from_str_radix(port, 16).ok()?,
        fields.last()?.parse().ok()?,
    ))
}

/// Fields 14 and 15 of a `stat` line, counted after the name, which may hold anything.
fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_A_SECOND))
}

/// A thread's name without the number that tells it from its siblings.
fn family(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
        .trim_end_matches(['-', ' '])
}

#[cfg(test)]
mod tests {
    use crate::caller::thread_cpu;

    use super::*;

    #[test]
    fn stat_lines_are_read_past_any_name() {
        let stat = "12 (a) b (c) S 1 2 3 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 3 0 99 1 1";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(cpu_of("nonsense"), None);
        assert_eq!((family("media-12"), family("main")), ("media", "main"));
    }

    #[test]
    fn the_kernels_writers_are_known_by_name() {
        let stat = |name: &str| {
            format!("12 ({name}) I 2 0 0 0 -1 69238880 0 0 0 0 0 250 0 0 20 0 1 0 1 0 0")
        };
        assert!(writes(&stat("kworker/u8:3-flush-254:0")) && writes(&stat("jbd2/vda-8")));
        assert!(!writes(&stat("kworker/0:1-events")) && !writes(&stat("reeld")));
        assert_eq!(
            cpu_of(&stat("jbd2/vda-8")),
            Some(Duration::from_millis(2_500))
        );
        writeback().unwrap();
    }

    #[test]
    fn drops_are_read_by_port() {
        let line = " 4242: 0100007F:4E20 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 40404 2 0000000000000000 17";
        assert_eq!(drops(line), Some((20_000, 17)));
        assert_eq!(drops(""), None);
    }

    #[test]
    fn this_process_can_be_watched() {
        let this = Process(std::process::id());
        assert!(this.resident().unwrap() > 1 << 20);
        assert!(!this.cpu_by_thread().unwrap().is_empty());
        let before = thread_cpu().unwrap();
        let mut number = 1_u64;
        while thread_cpu().unwrap() - before < Duration::from_millis(30) {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
        assert!(this.cpu().unwrap() >= Duration::from_millis(20));
        let whole: Duration = this.run_times().unwrap().values().sum();
        assert!(whole >= Duration::from_millis(20));
    }

    #[test]
    fn a_child_that_has_ended_is_counted() {
        let before = children_cpu().unwrap();
        let count = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let status = std::process::Command::new("sh")
            .args(["-c", count])
            .status();
        assert!(status.unwrap().success());
        assert!(children_cpu().unwrap() > before);
    }

    #[test]
    fn a_full_socket_shows_its_drops() {
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..2_000 {
            sender.send_to(&[0; 1_000], to).unwrap();
        }
        assert_eq!(open_ports(&BTreeSet::from([to.port()])).unwrap(), 1);
        assert!(dropped(&BTreeSet::from([to.port()])).unwrap() > 0);
    }
}
