//! `reeld bench end`: from the end of a call until its `completed` callback has come and its media can
//! be fetched, while other calls are live; of short recordings and of long ones.
//!
//! Called by [`super::Bench::run`]. Three kinds of ends, one end after another:
//!
//! - a call that was sent in real time is completed through the API;
//! - a recording of the same length, out of virtual time (`tape`), whose call ends;
//! - one of an hour the same way: it shows what the length costs.
//!
//! The clock starts when the end is asked for and is read when the receiver has the whole request,
//! and again when a HEAD of the `.wav` at the `RecordingUrl` that it names, sent then, has its 200.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::Serialize;

use super::call::Call;
use super::house::House;
use super::options::Options;
use super::percentile::{millis, percentile};
use super::receiver::Receiver;
use super::report::{Machine, print};
use super::tape::{Tape, Wanted};
use super::{descriptors, hands, interrupt};
use crate::caller::{self, Plan, Seeded, Sockets};
use crate::settings;

/// More packets than a live call has before the measurement is over: an hour of them.
const PACKETS: u64 = 180_000;

/// Between two ends.
const PAUSE: Duration = Duration::from_millis(20);

/// From the sync of a recording out of virtual time to its end, at most, milliseconds: what
/// `capture.fsync` is. Any part of it, so that ends are spread over the syncer's seconds.
const SYNC_MS: u32 = 1_000;

/// Between two looks at a signal while calls are live.
const LOOK: Duration = Duration::from_millis(50);

/// The arguments of `reeld bench end`.
#[derive(Debug, Args)]
pub struct End {
    /// Calls that stay live, recorded dual: two tracks each
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_500))]
    calls: u32,
    /// Ends of each kind
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=500))]
    ends: u32,
    /// How long a short recording is at least
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// How long a long recording is
    #[arg(long, default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(1..=14_400))]
    long_seconds: u32,
    #[command(flatten)]
    options: Options,
}

/// An end as it was seen.
struct Seen {
    callback: Duration,
    fetchable: Duration,
    /// Of the recording, by its callback.
    seconds: u64,
}

/// All figures of one run. Names and units are part of what scripts read, so they stay.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Report {
    machine: Machine,
    /// Calls live throughout, two tracks each.
    calls: u32,
    /// Through the API, of calls that were sent in real time.
    short: Figures,
    /// Out of virtual time.
    short_virtual: Figures,
    /// Out of virtual time.
    long_virtual: Figures,
    /// The most that the sender of the live calls was behind its clock.
    sender_behind_ms: f64,
}

/// Ends of one kind.
#[derive(Debug, Clone, Default, Serialize)]
struct Figures {
    ends: usize,
    /// Of the recordings, the least and the most.
    seconds: [u64; 2],
    /// From the end until the callback has come.
    callback_ms_p50: f64,
    callback_ms_p99: f64,
    callback_ms_most: f64,
    /// From the end until the media's head has been answered with 200.
    fetchable_ms_p50: f64,
    fetchable_ms_p99: f64,
    fetchable_ms_most: f64,
}

impl End {
    /// Measures and prints.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let stop = interrupt::watch()?;
        let all = self.calls + self.ends;
        // The daemon's two for each track, and the sender's one.
        descriptors::raise(6 * u64::from(all), all)?;
        let receiver = Receiver::start()?;
        let mut house = House::start(self.options.data_dir.as_deref(), all)?;
        let report = self.measure(&mut house, &receiver, stop);
        let stopped = house.stop();
        let report = report?;
        stopped?;
        print(&report, self.options.json)?;
        Ok(())
    }

    fn measure(
        &self,
        house: &mut House,
        receiver: &Receiver,
        stop: &AtomicBool,
    ) -> anyhow::Result<Report> {
        let numbers: Vec<_> = (0..u64::from(self.calls + self.ends)).collect();
        let (customer, url) = (house.customer(), receiver.url());
        let calls = hands::each(&numbers, |&number| {
            Call::start(customer, self.options.seed, number, PACKETS, Some(&url))
        })?;
        let plan = Plan {
            streams: calls.iter().flat_map(|call| call.streams.clone()).collect(),
            sockets: Sockets::PerStream,
            from: IpAddr::V4(Ipv4Addr::LOCALHOST),
            threads: NonZero::<usize>::MIN,
            bundle: NonZero::<usize>::MIN,
            ahead: false,
        };
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let sending = scope.spawn(|| caller::send(&plan, &over));
            let ends = self.all_ends(house, receiver, &calls, stop);
            over.store(true, Ordering::Relaxed);
            let sent = sending
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            let [short, short_virtual, long_virtual] = ends?;
            Ok(Report {
                machine: Machine::here(),
                calls: self.calls,
                short,
                short_virtual,
                long_virtual,
                sender_behind_ms: millis(sent.latest),
            })
        })
    }

    fn all_ends(
        &self,
        house: &mut House,
        receiver: &Receiver,
        calls: &[Call],
        stop: &AtomicBool,
    ) -> anyhow::Result<[Figures; 3]> {
        // A second more, so that none is shorter than it is to be.
        let until = Instant::now() + Duration::from_secs(u64::from(self.seconds) + 1);
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
        }
        let mut seen = Vec::new();
        for call in &calls[usize::try_from(self.calls)?..] {
            interrupt::check()?;
            thread::sleep(PAUSE);
            let begun = Instant::now();
            call.complete(house.customer())?;
            seen.push(look(house, receiver, &call.sid, begun)?);
        }
        let short = Figures::of(seen, self.seconds)?;
        let short_virtual = self.virtual_ends(house, receiver, self.seconds, 0)?;
        let first = u64::from(self.ends);
        let long_virtual = self.virtual_ends(house, receiver, self.long_seconds, first)?;
        Ok([short, short_virtual, long_virtual])
    }

    /// Ends of recordings out of virtual time. Each is made, ended, and deleted before the next one:
    /// a hundred of an hour need 12 GB.
    fn virtual_ends(
        &self,
        house: &mut House,
        receiver: &Receiver,
        seconds: u32,
        first: u64,
    ) -> anyhow::Result<Figures> {
        let mut seen = Vec::new();
        let (account, base) = (house.customer().account, house.customer().base.clone());
        let (store, spool) = (house.store().clone(), house.spool());
        let mut seeds = Seeded::new(self.options.seed);
        for number in first..first + u64::from(self.ends) {
            interrupt::check()?;
            let wanted = Wanted {
                account,
                base: &base,
                receiver: receiver.url(),
                seed: self.options.seed,
                number,
                seconds: seconds.into(),
            };
            let of_calls = settings::capture(house.config());
            let tape = Tape::record(&wanted, of_calls, &store, house.sink()?)?;
            tape.settle(seconds.into(), &spool, &store)?;
            thread::sleep(PAUSE + Duration::from_millis(seeds.below(SYNC_MS).into()));
            let sid = tape.sid.clone();
            let begun = Instant::now();
            tape.end(house.sink()?)?;
            seen.push(look(house, receiver, &sid, begun)?);
            store.delete(account, sid.parse()?, crate::clock::unix_ms())?;
        }
        Figures::of(seen, seconds)
    }
}

/// Waits for the callback of a recording whose end was asked for at `begun`, and for its media.
fn look(house: &House, receiver: &Receiver, sid: &str, begun: Instant) -> anyhow::Result<Seen> {
    let came = receiver.wait(sid)?;
    house
        .customer()
        .head(&format!("{}.wav", came.path))
        .with_context(|| format!("what the callback of {sid} names cannot be fetched"))?;
    Ok(Seen {
        callback: came.at.duration_since(begun),
        fetchable: begun.elapsed(),
        seconds: came.seconds,
    })
}

impl Figures {
    /// Of ends of recordings of at least `seconds`.
    fn of(seen: Vec<Seen>, seconds: u32) -> anyhow::Result<Self> {
        let times = |time: fn(&Seen) -> Duration| {
            let mut times: Vec<_> = seen.iter().map(time).collect();
            times.sort();
            times
        };
        let lengths = seen.iter().map(|seen| seen.seconds);
        let (Some(least), Some(most)) = (lengths.clone().min(), lengths.max()) else {
            bail!("nothing was measured");
        };
        ensure!(
            least >= seconds.into(),
            "a recording of {least} s was to have {seconds}"
        );
        let (callback, fetchable) = (times(|seen| seen.callback), times(|seen| seen.fetchable));
        Ok(Self {
            ends: seen.len(),
            seconds: [least, most],
            callback_ms_p50: percentile(&callback, 50),
            callback_ms_p99: percentile(&callback, 99),
            callback_ms_most: percentile(&callback, 100),
            fetchable_ms_p50: percentile(&fetchable, 50),
            fetchable_ms_p99: percentile(&fetchable, 99),
            fetchable_ms_most: percentile(&fetchable, 100),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}; {} calls live, sender behind by {:.1} ms at most",
            self.machine, self.calls, self.sender_behind_ms
        )?;
        writeln!(
            f,
            "{:<38} {:>5} {:>11} {:>8} {:>8} {:>8}",
            "from a call's end, ms", "ends", "seconds", "p50", "p99", "most"
        )?;
        for (name, of) in [
            ("through the API", &self.short),
            ("out of virtual time", &self.short_virtual),
            ("out of virtual time", &self.long_virtual),
        ] {
            let [least, most] = of.seconds;
            let mut row = |what: &str, [p50, p99, worst]: [f64; 3]| {
                writeln!(
                    f,
                    "{:<38} {:>5} {:>11} {p50:>8.1} {p99:>8.1} {worst:>8.1}",
                    format!("{name}, {what}"),
                    of.ends,
                    format!("{least} to {most}"),
                )
            };
            row(
                "callback",
                [of.callback_ms_p50, of.callback_ms_p99, of.callback_ms_most],
            )?;
            row(
                "fetchable",
                [
                    of.fetchable_ms_p50,
                    of.fetchable_ms_p99,
                    of.fetchable_ms_most,
                ],
            )?;
        }
        Ok(())
    }
}
