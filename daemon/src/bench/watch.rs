//! What processes need while packets flow: their memory's peak, and their processor time in steady state.
//!
//! Called by `load` for the daemon and by `peer` for the others, who are looked at alike; it calls `usage`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::load::PACKETS_A_SECOND;
use super::percentile::round;
use super::usage::Process;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);

/// What was seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watched {
    /// The most memory that the processes had together, bytes.
    pub(super) resident_peak: u64,
    /// Processor time between the two looks of the steady state.
    cpu: Duration,
    /// From one to the other.
    wall: Duration,
}

impl Watched {
    /// Processor time a packet in steady state, of so many streams.
    pub(super) fn cpu_us_per_packet(&self, streams: usize) -> f64 {
        let packets = self.wall.as_secs_f64() * (streams as u64 * PACKETS_A_SECOND) as f64;
        if packets > 0.0 {
            round(self.cpu.as_secs_f64() * 1e6 / packets)
        } else {
            0.0
        }
    }
}

/// Runs `work`, which sends for so many seconds, and looks at `processes` meanwhile. The steady state is from a
/// quarter of that time to seven eighths: after starts, before ends.
pub(super) fn during<R>(
    processes: &[Process],
    seconds: u32,
    work: impl FnOnce() -> R,
) -> anyhow::Result<(R, Watched)> {
    let over = AtomicBool::new(false);
    let (from, to) = {
        let whole = Duration::from_secs(seconds.into());
        (whole / 4, whole * 7 / 8)
    };
    thread::scope(|scope| {
        let watching = scope.spawn(|| -> anyhow::Result<Watched> {
            let begun = Instant::now();
            let mut watched = Watched::default();
            let (mut first, mut last) = (None, None);
            loop {
                let ends = over.load(Ordering::Relaxed);
                watched.resident_peak = watched.resident_peak.max(resident(processes)?);
                let now = begun.elapsed();
                if first.is_none() && now >= from {
                    first = Some((now, run_times(processes)?));
                }
                if last.is_none() && now >= to {
                    last = Some((now, run_times(processes)?));
                }
                if ends {
                    break;
                }
                thread::sleep(LOOK);
            }
            if let (Some((from, before)), Some((to, after))) = (first, last) {
                watched.cpu = spent(&before, &after);
                watched.wall = to.saturating_sub(from);
            }
            Ok(watched)
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        let watched = watching
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((result, watched))
    })
}

fn resident(processes: &[Process]) -> anyhow::Result<u64> {
    processes.iter().map(|process| process.resident()).sum()
}

/// By thread; no two of the machine have the same id.
fn run_times(processes: &[Process]) -> anyhow::Result<BTreeMap<String, Duration>> {
    let mut by_thread = BTreeMap::new();
    for process in processes {
        by_thread.extend(process.run_times()?);
    }
    Ok(by_thread)
}

/// What threads ran from one look to the other: those that live at the second, since one that has ended
/// took its count with it.
fn spent(before: &BTreeMap<String, Duration>, after: &BTreeMap<String, Duration>) -> Duration {
    let since = |(thread, ran): (&String, &Duration)| {
        ran.saturating_sub(before.get(thread).copied().unwrap_or_default())
    };
    after.iter().map(since).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_end_take_nothing_from_the_others() {
        let look = |times: &[(&str, u64)]| {
            let times = times
                .iter()
                .map(|&(name, ms)| (name.to_owned(), Duration::from_millis(ms)));
            times.collect::<BTreeMap<_, _>>()
        };
        let before = look(&[("1", 100), ("2", 5_000)]);
        let after = look(&[("1", 150), ("3", 7)]);
        assert_eq!(spent(&before, &after), Duration::from_millis(57));
    }

    #[test]
    fn the_steady_state_is_seen_and_shared_by_its_packets() {
        let this = Process(std::process::id());
        let ((), watched) = during(&[this], 1, || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(1) {
                std::hint::black_box(begun);
            }
        })
        .unwrap();
        assert!(watched.resident_peak > 1 << 20, "{watched:?}");
        // From a quarter to seven eighths of a second, of a thread that is busy if the machine lets it.
        assert!(watched.wall >= Duration::from_millis(500), "{watched:?}");
        assert!(watched.cpu >= Duration::from_millis(20), "{watched:?}");
        let made_up = Watched {
            cpu: Duration::from_millis(30),
            wall: Duration::from_secs(3),
            ..watched
        };
        assert_eq!(made_up.cpu_us_per_packet(20), 10.0);
        assert_eq!(Watched::default().cpu_us_per_packet(20), 0.0);
    }
}
