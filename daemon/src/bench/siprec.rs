//! `reeld bench siprec`: recording clients' calls that come and go at a steady rate, each held exact; and how long it is from
//! a BYE until the file can be fetched.
//!
//! Called by [`super::Bench::run`]; `client` has the signalling. A daemon of its own takes new calls at the rate that is
//! asked for; each speaks on both tracks for its time and hangs up, so that from then on as many end as begin. The clock
//! starts when the BYE is sent and is read when a HEAD of the WAV has its 200.

mod client;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZero;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use reeld_model::{CallSid, Track};
use serde::Serialize;

use self::client::{Client, Session};
use super::bounds;
use super::call::Call;
use super::daemon::Daemon;
use super::load::PACKETS_A_SECOND;
use super::options::Options;
use super::percentile::{millis, percentile};
use super::report::{Machine, SHOWN, print};
use super::{descriptors, hands, interrupt};
use crate::caller::{self, Plan, Seeded, Sent, Sockets, Sound, Stream};
use crate::customer::{Customer, text};

/// From BYE until the file can be fetched, the most as the 99th percentile, milliseconds.
const FETCHABLE_MS_P99: f64 = 100.0;

/// The arguments of `reeld bench siprec`.
#[derive(Debug, Args)]
pub struct Siprec {
    /// Calls in all, recorded dual: two tracks each
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    calls: u32,
    /// New calls a second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    rate: u32,
    /// How long each call speaks
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    #[command(flatten)]
    options: Options,
}

/// All figures of one run. Names and units are part of what scripts read, so they stay.
#[derive(Debug, Clone, Serialize)]
struct Report {
    machine: Machine,
    calls: u32,
    /// New ones, and as many that end.
    calls_a_second: u32,
    /// That each call spoke.
    seconds: u32,
    packets_sent: u64,
    packets_recorded: u64,
    /// Tracks that equal what was said, sample for sample, of two for each call.
    tracks_exact: usize,
    tracks: u32,
    /// From INVITE to 200.
    answered_ms_p50: f64,
    answered_ms_p99: f64,
    answered_ms_most: f64,
    /// From BYE until the WAV could be fetched.
    fetchable_ms_p50: f64,
    fetchable_ms_p99: f64,
    fetchable_ms_most: f64,
    /// The most that a sender was behind its clock.
    sender_behind_ms: f64,
}

/// Calls that began within one second.
struct Batch {
    client: Client,
    calls: Vec<(Call, Session)>,
}

/// What came of them.
struct Ended {
    calls: Vec<Call>,
    /// From BYE until the WAV could be fetched.
    waits: Vec<Duration>,
    sent: Sent,
}

impl Siprec {
    /// Measures and prints.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let stop = interrupt::watch()?;
        let folder = super::folder(self.options.data_dir.as_deref())?;
        // As many live at once as come while one speaks, and those that end meanwhile.
        let live = self.calls.min(self.rate * (self.seconds + 10));
        descriptors::raise(8 * u64::from(live), live)?;
        // A port that is free now; should somebody take it before the daemon does, the daemon says so.
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let sip = format!("[sip]\nlisten = \"{server}\"\n");
        let daemon = Daemon::start_with(folder, live, &sip)?;
        let measured = self.measure(daemon.customer(), server, stop);
        let (report, differences) = measured.with_context(|| daemon.log())?;
        daemon.stop()?;
        print(&report, self.options.json)?;
        ensure!(
            differences.is_empty(),
            "{} tracks are not exact: {}",
            differences.len(),
            differences[..differences.len().min(SHOWN)].join("; ")
        );
        ensure!(
            report.sender_behind_ms <= millis(bounds::BEHIND),
            "the sender was {} ms behind its clock, which says nothing of so many calls",
            report.sender_behind_ms
        );
        ensure!(
            report.fetchable_ms_p99 < FETCHABLE_MS_P99,
            "from BYE until the file could be fetched: p99 {} ms, and {FETCHABLE_MS_P99} is the bound",
            report.fetchable_ms_p99
        );
        Ok(())
    }

    fn measure(
        &self,
        customer: &Customer,
        server: SocketAddr,
        stop: &AtomicBool,
    ) -> anyhow::Result<(Report, Vec<String>)> {
        let mut answered = Vec::new();
        let ended = thread::scope(|scope| {
            let mut speaking = Vec::new();
            let begun = Instant::now();
            let numbers: Vec<u32> = (0..self.calls).collect();
            for numbers in numbers.chunks(usize::try_from(self.rate)?) {
                let mut batch = Batch {
                    client: Client::new(server)?,
                    calls: Vec::new(),
                };
                for &number in numbers {
                    interrupt::check()?;
                    let due = begun + Duration::from_secs(1) * number / self.rate;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    answered.push(self.begin(customer, &mut batch, number)?);
                }
                speaking.push(scope.spawn(|| self.speak(customer, batch, stop)));
            }
            let ended = speaking.into_iter().map(|batch| {
                batch
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            ended.collect::<anyhow::Result<Vec<Ended>>>()
        })?;
        interrupt::check()?;
        let mut waits: Vec<_> = ended.iter().flat_map(|batch| batch.waits.clone()).collect();
        waits.sort();
        answered.sort();
        let calls: Vec<_> = ended.iter().flat_map(|batch| &batch.calls).collect();
        let checked = hands::each(&calls, |call| call.check(customer))?;
        let recorded = checked.iter().map(|checked| checked.packets).sum();
        let differences: Vec<_> = checked
            .into_iter()
            .flat_map(|checked| checked.differences)
            .collect();
        let sent = |of: fn(&Sent) -> u64| ended.iter().map(|batch| of(&batch.sent)).sum();
        let latest = ended.iter().map(|batch| batch.sent.latest).max();
        let tracks = 2 * self.calls;
        let report = Report {
            machine: Machine::here(),
            calls: self.calls,
            calls_a_second: self.rate,
            seconds: self.seconds,
            packets_sent: sent(|sent| sent.packets.iter().sum()),
            packets_recorded: recorded,
            tracks_exact: usize::try_from(tracks)?.saturating_sub(differences.len()),
            tracks,
            answered_ms_p50: percentile(&answered, 50),
            answered_ms_p99: percentile(&answered, 99),
            answered_ms_most: percentile(&answered, 100),
            fetchable_ms_p50: percentile(&waits, 50),
            fetchable_ms_p99: percentile(&waits, 99),
            fetchable_ms_most: percentile(&waits, 100),
            sender_behind_ms: latest.map_or(0.0, millis),
        };
        Ok((report, differences))
    }

    /// Has one call recorded; how long the answer took.
    fn begin(
        &self,
        customer: &Customer,
        batch: &mut Batch,
        number: u32,
    ) -> anyhow::Result<Duration> {
        let seed = self.options.seed;
        let call = CallSid::from_external(customer.account, &format!("bench {seed} {number}"));
        let (session, took) = batch.client.invite(call)?;
        let path = customer.path(&format!("/Calls/{call}"));
        let shown = customer.json(&format!("{path}.json"))?;
        let sid = text(&shown["recordings"][0], "sid")?.to_owned();
        let packets = u64::from(self.seconds) * PACKETS_A_SECOND;
        let mut seeds = Seeded::new(seed ^ u64::from(number).rotate_left(32));
        let streams = Track::ALL.map(|track| {
            let to = (Ipv4Addr::LOCALHOST, session.ports[track.index()]).into();
            let sound = Sound::voice(seed, number.into(), track);
            Stream::new(to, sound, packets, seeds.next_u64())
        });
        batch.calls.push((Call { path, sid, streams }, session));
        Ok(took)
    }

    /// Speaks on all calls of a batch, and hangs up one after another, at the rate that they came at.
    fn speak(
        &self,
        customer: &Customer,
        mut batch: Batch,
        stop: &AtomicBool,
    ) -> anyhow::Result<Ended> {
        let streams = batch.calls.iter();
        let plan = Plan {
            streams: streams.flat_map(|(call, _)| call.streams.clone()).collect(),
            sockets: Sockets::PerStream,
            from: IpAddr::V4(Ipv4Addr::LOCALHOST),
            threads: NonZero::<usize>::MIN,
            bundle: NonZero::<usize>::MIN,
            ahead: false,
        };
        let sent = caller::send(&plan, stop)?;
        let mut waits = Vec::new();
        let first = Instant::now();
        for (place, (call, session)) in (0_u32..).zip(&batch.calls) {
            interrupt::check()?;
            let due = first + Duration::from_secs(1) * place / self.rate;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let begun = Instant::now();
            batch.client.bye(session)?;
            call.wait_until_fetchable(customer)?;
            waits.push(begun.elapsed());
        }
        Ok(Ended {
            calls: batch.calls.into_iter().map(|(call, _)| call).collect(),
            waits,
            sent,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(
            f,
            "{} recording clients' calls of {} s, {} new ones a second, sender behind by {:.1} ms at most",
            self.calls, self.seconds, self.calls_a_second, self.sender_behind_ms
        )?;
        writeln!(
            f,
            "packets sent {}, recorded {}; tracks exact {} of {}",
            self.packets_sent, self.packets_recorded, self.tracks_exact, self.tracks
        )?;
        writeln!(f, "{:<26} {:>8} {:>8} {:>8}", "ms", "p50", "p99", "most")?;
        for (name, times) in [
            (
                "from INVITE to 200",
                [
                    self.answered_ms_p50,
                    self.answered_ms_p99,
                    self.answered_ms_most,
                ],
            ),
            (
                "from BYE to fetchable",
                [
                    self.fetchable_ms_p50,
                    self.fetchable_ms_p99,
                    self.fetchable_ms_most,
                ],
            ),
        ] {
            let [p50, p99, most] = times;
            writeln!(f, "{name:<26} {p50:>8.2} {p99:>8.2} {most:>8.2}")?;
        }
        Ok(())
    }
}
