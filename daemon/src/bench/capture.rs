//! `reeld bench capture`: many calls at once through a daemon, every file held to what was said.
//!
//! CPU is the daemon's, user and system, all threads, from the first packet to the last recording
//! that can be fetched. The bare loop ([`super::bare`]) gets the same streams in the same run.

use std::io::{Cursor, Write as _, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use reeld_codec::wav;
use reeld_model::{CallSid, Track};
use serde_json::{Value, json};

use super::bare::Bare;
use super::child::Daemon;
use crate::caller::{self, Plan, Sent, Sockets, Sound, Stream};
use crate::customer::{Customer, media_address, text};

/// The sounds' seed: the same in every run, so that runs can be compared.
const SEED: u64 = 0x5EED;

/// Packets of 20 ms in a second.
const PACKETS_A_SECOND: u64 = 50;

#[derive(Debug, Args)]
pub struct Capture {
    /// Calls at once, two tracks each
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=2_500))]
    calls: u16,
    /// How long each call is
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    seconds: u16,
    /// Where the daemon under measurement keeps its data; a temporary folder if not given
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Prints JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// One call under way.
struct Call {
    path: String,
    sid: String,
    streams: [Stream; 2],
}

/// What was counted over all recordings.
#[derive(Default)]
struct Checked {
    exact: u64,
    recorded: u64,
    kernel_dropped: u64,
    late: u64,
    problems: Vec<String>,
}

impl Capture {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let temporary = tempfile::Builder::new().prefix("reeld-bench-").tempdir()?;
        let folder = self
            .data_dir
            .clone()
            .unwrap_or_else(|| temporary.path().join("data"));
        let (report, good) = self.measure(&folder)?;
        let text = if self.json {
            format!("{report:#}\n")
        } else {
            table(&report)
        };
        stdout().write_all(text.as_bytes())?;
        Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn measure(&self, folder: &Path) -> anyhow::Result<(Value, bool)> {
        let daemon = Daemon::start(folder, usize::from(self.calls))?;
        let customer = daemon.customer(folder)?;
        let resident_before = daemon.resident()?;
        let calls = (0..u64::from(self.calls))
            .map(|number| self.open(&customer, number))
            .collect::<anyhow::Result<Vec<_>>>()?;

        let cpu_before = daemon.cpu()?;
        let sent = send(calls.iter().flat_map(|call| call.streams.clone()).collect())?;
        let resident = daemon.resident()?;
        let mut ready = Vec::new();
        for call in &calls {
            let asked = Instant::now();
            let path = format!("{}/Recordings/{}.json", call.path, call.sid);
            customer.post(&path, &[("Status", "stopped")], 200)?;
            customer.wait_for(&customer.path(&format!("/Recordings/{}", call.sid)))?;
            ready.push(asked.elapsed());
        }
        let cpu = daemon.cpu()?.saturating_sub(cpu_before);

        let mut checked = Checked::default();
        for call in &calls {
            check(&customer, call, &mut checked)?;
        }
        drop(daemon);

        let bare = Bare::start(calls.len() * 2)?;
        let streams = calls
            .iter()
            .flat_map(|call| call.streams.clone())
            .zip(&bare.addresses);
        let sent_bare = send(
            streams
                .map(|(stream, to)| Stream { to: *to, ..stream })
                .collect(),
        )?;
        let bare = bare.stop()?;

        let packets: u64 = sent.packets.iter().sum();
        let lost = packets.saturating_sub(checked.recorded + checked.kernel_dropped);
        let good = lost == 0
            && checked.kernel_dropped == 0
            && checked.problems.is_empty()
            && checked.exact == 2 * u64::from(self.calls);
        ready.sort();
        let per_packet = micros(cpu) / count(packets);
        let bare_per_packet = micros(bare.cpu) / count(bare.packets);
        let report = json!({
            "calls": self.calls,
            "tracks": 2 * u64::from(self.calls),
            "seconds": self.seconds,
            "packets_sent": packets,
            "packets_recorded": checked.recorded,
            "packets_lost_by_reeld": lost,
            "packets_dropped_by_kernel": checked.kernel_dropped,
            "packets_late": checked.late,
            "tracks_exact": checked.exact,
            "problems": checked.problems,
            "cpu_us_per_packet": round(per_packet),
            "bare_loop_packets": bare.packets,
            "bare_loop_packets_sent": sent_bare.packets.iter().sum::<u64>(),
            "bare_loop_cpu_us_per_packet": round(bare_per_packet),
            "cpu_ratio_to_bare_loop": round(per_packet / bare_per_packet),
            "resident_bytes_before": resident_before,
            "resident_bytes": resident,
            "resident_bytes_per_call": resident.saturating_sub(resident_before) / u64::from(self.calls),
            "fetchable_ms_p50": round(millis(percentile(&ready, 50))),
            "fetchable_ms_p99": round(millis(percentile(&ready, 99))),
            "sender_behind_ms": round(millis(sent.latest)),
        });
        Ok((report, good))
    }

    /// Starts a recording; the streams that are to be sent into it.
    fn open(&self, customer: &Customer, number: u64) -> anyhow::Result<Call> {
        let call = CallSid::from_external(customer.account, &format!("bench {number}"));
        let path = customer.path(&format!("/Calls/{call}"));
        let form = [("RecordingChannels", "dual")];
        let started = customer.post(&format!("{path}/Recordings.json"), &form, 201)?;
        let packets = u64::from(self.seconds) * PACKETS_A_SECOND;
        let stream = |track: Track| {
            let to: SocketAddr = media_address(&started, track)?;
            let sound = Sound::voice(SEED, number, track);
            let seed = SEED ^ (number * 2 + u64::from(track == Track::Outbound));
            anyhow::Ok(Stream::new(to, sound, packets, seed))
        };
        let streams = [stream(Track::Inbound)?, stream(Track::Outbound)?];
        Ok(Call {
            path,
            sid: text(&started, "sid")?.to_owned(),
            streams,
        })
    }
}

fn send(streams: Vec<Stream>) -> anyhow::Result<Sent> {
    let plan = Plan {
        streams,
        sockets: Sockets::PerStream,
        from: IpAddr::V4(Ipv4Addr::LOCALHOST),
        threads: NonZero::<usize>::MIN,
    };
    Ok(caller::send(&plan, &AtomicBool::new(false))?)
}

/// Holds one recording to what was said in its call, and adds its counts.
fn check(customer: &Customer, call: &Call, checked: &mut Checked) -> anyhow::Result<()> {
    let record = customer.json(&customer.path(&format!("/Recordings/{}.json", call.sid)))?;
    let (_, file) = customer.get(&customer.path(&format!("/Recordings/{}", call.sid)))?;
    let mut reader = wav::Reader::new(Cursor::new(file))?;
    let mut samples = vec![0; usize::try_from(reader.frames())? * 2];
    let read = reader.read(&mut samples)?;
    samples.truncate(read);
    for (track, stream) in Track::ALL.into_iter().zip(&call.streams) {
        let counts = &record["tracks"][track.as_str()];
        let number = |name: &str| counts[name].as_u64().with_context(|| format!("no {name}"));
        checked.recorded += number("packets")?;
        checked.kernel_dropped += number("kernel_dropped")?;
        checked.late += number("late")?;
        let channel = samples.iter().skip(track.index()).step_by(2).copied();
        match stream.compare(channel) {
            Ok(_) => checked.exact += 1,
            Err(difference) => {
                checked
                    .problems
                    .push(format!("{} {}: {difference}", call.sid, track.as_str()));
            }
        }
    }
    Ok(())
}

fn table(report: &Value) -> String {
    let rows = report.as_object().into_iter().flatten();
    rows.map(|(name, value)| format!("{:<30} {value}\n", name.replace('_', " ")))
        .collect()
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "packets are far below 2^52")]
fn count(packets: u64) -> f64 {
    packets.max(1) as f64
}

/// Two decimals: more is noise.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
