//! `reeld bench capture`: many dual calls at once through a daemon, each held exact, and the same
//! packets into a bare receive loop.
//!
//! Called by [`super::run`]. The order: start the daemon, open the calls, send, stop, fetch and
//! compare, end the daemon, then the bare loop; so neither disturbs the other.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use reeld_model::{CallSid, Track};

use crate::caller::{self, Plan, Seeded, Sockets, Sound, Stream, dual};
use crate::customer::{self, Customer};

use super::bare;
use super::daemon::Daemon;
use super::report::{Machine, Report};
use super::usage::{self, Process};

/// Packets a second of one stream.
const PACKETS_A_SECOND: u64 = 50;

/// Requests at once.
const HANDS: usize = 4;

/// How often resident memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// From the last packet to the end of the measured time: a tick, the reorder window, a block.
const DRAIN: Duration = Duration::from_millis(500);

/// Descriptors beside the streams' sockets.
const SPARE_DESCRIPTORS: u64 = 256;

/// Differences that a failure shows.
const SHOWN: usize = 5;

/// The arguments of `reeld bench capture`.
#[derive(Debug, Args)]
pub(super) struct Capture {
    /// Calls at once, recorded dual: two streams each
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=3_000))]
    calls: u32,
    /// How long each call lasts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Where the daemon's folder is made, and removed again [default: the system's temporary folder]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// What the sounds and the start values come from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Capture {
    /// Measures and prints.
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let sockets = self.sockets()?;
        let daemon = Daemon::start(self.data_dir.as_deref(), self.calls)?;
        let measured = self.measure(&daemon, sockets);
        let (mut report, plan, differences) = measured.with_context(|| daemon.log())?;
        daemon.stop()?;
        let bare = bare::measure(plan, IpAddr::V4(Ipv4Addr::LOCALHOST))?;
        report.bare_cpu_us_per_packet = per_packet(bare.cpu, bare.received);
        report.bare_packets_lost = bare.sent.saturating_sub(bare.received).max(bare.dropped);
        report.cpu_ratio = report.cpu_us_per_packet / report.bare_cpu_us_per_packet;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{report}");
        }
        if !differences.is_empty() || report.packets_lost > 0 {
            bail!(
                "{} packets lost, {} channels not exact: {}",
                report.packets_lost,
                differences.len(),
                differences[..differences.len().min(SHOWN)].join("; ")
            );
        }
        Ok(())
    }

    fn measure(
        &self,
        daemon: &Daemon,
        sockets: Sockets,
    ) -> anyhow::Result<(Report, Plan, Vec<String>)> {
        let (customer, process) = (daemon.customer(), daemon.process());
        let memory_before = process.resident()?;
        let calls: Vec<_> = (0..u64::from(self.calls))
            .map(|call| self.call_sid(call))
            .collect();
        let recordings = by_hands(&calls, |&call| Started::on(customer, call))?;
        let plan = self.plan(&recordings, sockets);
        let ports = recordings
            .iter()
            .flat_map(|recording| recording.to.map(|to| to.port()));
        let ports: BTreeSet<u16> = ports.collect();

        let (cpu_before, threads_before) = (process.cpu()?, process.cpu_by_thread()?);
        let (sent, memory_peak) = watching_memory(process, || {
            let sent = caller::send(&plan, &AtomicBool::new(false));
            std::thread::sleep(DRAIN);
            sent
        })?;
        let sent = sent?;
        let cpu = process.cpu()?.saturating_sub(cpu_before);
        let threads = process.cpu_by_thread()?;
        let kernel_drops = usage::dropped(&ports)?;

        let mut waits = by_hands(&recordings, |recording| {
            recording.stop_until_fetchable(customer)
        })?;
        waits.sort();
        let pairs: Vec<_> = recordings
            .iter()
            .zip(plan.streams.as_chunks::<2>().0)
            .collect();
        let checked = by_hands(&pairs, |(recording, streams)| {
            recording.check(customer, streams)
        })?;
        let differences: Vec<_> = checked
            .iter()
            .flat_map(|checked| checked.differences.clone())
            .collect();
        let packets_sent = sent.packets.iter().sum::<u64>();
        let packets_recorded = checked.iter().map(|checked| checked.packets).sum::<u64>();
        let by_thread = threads.into_iter().map(|(name, after)| {
            let before = threads_before.get(&name).copied().unwrap_or_default();
            let spent = per_packet(after.saturating_sub(before), packets_sent);
            (name, spent)
        });
        let report = Report {
            machine: Machine::here(),
            calls: self.calls,
            seconds: self.seconds,
            packets_sent,
            packets_recorded,
            packets_lost: packets_sent.saturating_sub(packets_recorded),
            kernel_drops,
            channels_exact: (2 * self.calls).saturating_sub(u32::try_from(differences.len())?),
            cpu_us_per_packet: per_packet(cpu, packets_sent),
            cpu_us_per_packet_by_thread: by_thread.filter(|&(_, spent)| spent > 0.0).collect(),
            bare_cpu_us_per_packet: 0.0,
            cpu_ratio: 0.0,
            bare_packets_lost: 0,
            memory_bytes_per_call: memory_peak.saturating_sub(memory_before)
                / u64::from(self.calls),
            memory_bytes_before: memory_before,
            memory_bytes_peak: memory_peak,
            stop_to_fetchable_ms_p50: percentile(&waits, 50),
            stop_to_fetchable_ms_p99: percentile(&waits, 99),
            sender_latest_ms: sent.latest.as_secs_f64() * 1_000.0,
        };
        Ok((report, plan, differences))
    }

    /// Raises the limit of descriptors, for the daemon too, and says how many the sender can have.
    fn sockets(&self) -> anyhow::Result<Sockets> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        // The daemon takes a pair of ports for each stream.
        let streams = 2 * u64::from(self.calls);
        if 2 * streams + SPARE_DESCRIPTORS > hard {
            bail!(
                "{} calls need {} descriptors; the limit is {hard}",
                self.calls,
                2 * streams
            );
        }
        // The bare loop has a socket a stream beside the sender's.
        let room = 2 * streams + SPARE_DESCRIPTORS <= hard;
        Ok(if room {
            Sockets::PerStream
        } else {
            Sockets::PerThread
        })
    }

    fn plan(&self, recordings: &[Started], sockets: Sockets) -> Plan {
        let packets = u64::from(self.seconds) * PACKETS_A_SECOND;
        let mut seeds = Seeded::new(self.seed);
        let mut streams = Vec::with_capacity(2 * recordings.len());
        for (call, recording) in (0..).zip(recordings) {
            for track in Track::ALL {
                let sound = Sound::voice(self.seed, call, track);
                let to = recording.to[track.index()];
                streams.push(Stream::new(to, sound, packets, seeds.next_u64()));
            }
        }
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Plan {
            streams,
            sockets,
            from,
            threads: NonZero::<usize>::MIN,
        }
    }

    fn call_sid(&self, call: u64) -> CallSid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.seed.to_be_bytes());
        bytes[8..].copy_from_slice(&call.to_be_bytes());
        CallSid::from_bytes(bytes)
    }
}

/// A recording that was started.
struct Started {
    call: CallSid,
    sid: String,
    /// Where each track's RTP goes, in the order of [`Track::ALL`].
    to: [SocketAddr; 2],
}

impl Started {
    /// Starts a dual recording on a call that is not open yet.
    fn on(customer: &Customer, call: CallSid) -> anyhow::Result<Self> {
        let path = customer.path(&format!("/Calls/{call}/Recordings.json"));
        let answer = customer.post(&path, &[("RecordingChannels", "dual")], 201)?;
        Ok(Self {
            call,
            sid: customer::text(&answer, "sid")?.to_owned(),
            to: [
                customer::media_address(&answer, Track::Inbound)?,
                customer::media_address(&answer, Track::Outbound)?,
            ],
        })
    }

    /// Stops it and waits until its WAV can be fetched; how long that took.
    fn stop_until_fetchable(&self, customer: &Customer) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let path = customer.path(&format!(
            "/Calls/{}/Recordings/{}.json",
            self.call, self.sid
        ));
        customer.post(&path, &[("Status", "stopped")], 200)?;
        customer.wait_for(&self.media(customer, "wav"))?;
        Ok(begun.elapsed())
    }

    /// Fetches it and holds both channels against what was said.
    fn check(&self, customer: &Customer, streams: &[Stream; 2]) -> anyhow::Result<Checked> {
        let json = customer.json(&self.media(customer, "json"))?;
        let (_, file) = customer.get(&self.media(customer, "wav"))?;
        let samples = dual::samples(&file)?;
        let mut checked = Checked {
            packets: 0,
            differences: Vec::new(),
        };
        for (track, stream) in Track::ALL.into_iter().zip(streams) {
            let counted = json["tracks"][track.as_str()]["packets"].as_u64();
            checked.packets +=
                counted.with_context(|| format!("the record counts no packets: {json}"))?;
            if let Err(difference) = stream.compare(dual::channel(&samples, track)) {
                checked
                    .differences
                    .push(format!("{} {}: {difference}", self.sid, track.as_str()));
            }
        }
        Ok(checked)
    }

    fn media(&self, customer: &Customer, extension: &str) -> String {
        customer.path(&format!("/Recordings/{}.{extension}", self.sid))
    }
}

/// What became of one call.
struct Checked {
    /// Packets of both tracks, by the recording's record.
    packets: u64,
    differences: Vec<String>,
}

/// Does `work` for each item from [`HANDS`] threads; the results in the items' order, or the first
/// error.
fn by_hands<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let failure = Mutex::new(None);
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..HANDS.min(items.len()) {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    match work(item) {
                        Ok(result) => held(&done).push((index, result)),
                        Err(error) => {
                            failed.store(true, Ordering::Relaxed);
                            held(&failure).get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = held(&failure).take() {
        return Err(error);
    }
    let mut done = std::mem::take(&mut *held(&done));
    done.sort_by_key(|&(index, _)| index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// A lock whose holder may have panicked: the panic itself is reported by the scope.
fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs `work` and returns with its result the most memory that `process` had meanwhile.
fn watching_memory<R>(process: Process, work: impl FnOnce() -> R) -> anyhow::Result<(R, u64)> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| -> anyhow::Result<u64> {
            let mut peak = process.resident()?;
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
                peak = peak.max(process.resident()?);
            }
            Ok(peak)
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        let peak = watching
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((result, peak))
    })
}

/// Microseconds of `time` for each of `packets`.
fn per_packet(time: Duration, packets: u64) -> f64 {
    time.as_secs_f64() * 1e6 / packets.max(1) as f64
}

/// The `percent`-th percentile (nearest rank) of sorted times, in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted
        .get(rank - 1)
        .map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(
            (percentile(&times, 50), percentile(&times, 99)),
            (100.0, 198.0)
        );
        assert_eq!(
            (percentile(&times[..1], 99), percentile(&[], 50)),
            (1.0, 0.0)
        );
    }

    #[test]
    fn hands_keep_the_order_and_tell_of_failure() {
        let items: Vec<u32> = (0..100).collect();
        assert_eq!(by_hands(&items, |&item| Ok(item * 2)).unwrap()[99], 198);
        let failing = by_hands(
            &items,
            |&item| if item == 50 { bail!("fifty") } else { Ok(()) },
        );
        assert_eq!(failing.unwrap_err().to_string(), "fifty");
        assert!(by_hands(&[0; 0], |_| Ok(())).unwrap().is_empty());
    }
}
