//! Peers: ffmpeg and GStreamer, which receive the same packets and write WAV as the daemon does.
//!
//! Called by `capture` for `--peer`. One process a stream, as both are used; each has its own port, knows the
//! stream as its SDP says, and decodes it to a file in a temporary folder. Their processor time is of the steady
//! state alone, since starting them costs more than minutes of sound do.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reeld_codec::wav;

use super::percentile::{millis, round};
use super::report::PeerFigures;
use super::usage::{self, Process};
use super::watch;
use super::{bounds, interrupt};
use crate::caller::{self, Plan};

/// From a peer's start until its port is open, and from SIGINT to its end, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at something that is waited for.
const STEP: Duration = Duration::from_millis(50);

/// From the last packet to SIGINT: peers play out what they buffer.
const PLAY_OUT: Duration = Duration::from_secs(1);

/// What a peer's file may lack of what was sent, or have more, and count as of the right length.
const LENGTH: f64 = 0.1;

/// Tries to find a pair of free ports.
const TRIES: usize = 100;

/// A program that receives RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Peer {
    /// ffmpeg, from an SDP file to pcm_s16le
    Ffmpeg,
    /// gst-launch-1.0: udpsrc, rtpjitterbuffer, rtppcmudepay, mulawdec, wavenc
    Gstreamer,
}

impl Peer {
    const fn program(self) -> &'static str {
        match self {
            Self::Ffmpeg => "ffmpeg",
            Self::Gstreamer => "gst-launch-1.0",
        }
    }

    /// The first line that names its version.
    fn version(self) -> anyhow::Result<String> {
        let option = match self {
            Self::Ffmpeg => "-version",
            Self::Gstreamer => "--version",
        };
        let program = self.program();
        let output = Command::new(program)
            .arg(option)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{program} is not there, and is to be measured (--peer)"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        // "ffmpeg version 5.1 Copyright …", "gst-launch-1.0 version 1.22.0".
        let words = said.lines().next().unwrap_or_default().split_whitespace();
        Ok(words.take(3).collect::<Vec<_>>().join(" "))
    }

    /// The command that writes what comes to `port` to `out`.
    fn command(self, port: u16, out: &Path) -> anyhow::Result<Command> {
        let mut command = Command::new(self.program());
        match self {
            Self::Ffmpeg => {
                let sdp = out.with_extension("sdp");
                fs::write(
                    &sdp,
                    format!(
                        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n\
                         m=audio {port} RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
                    ),
                )?;
                command.args(["-nostdin", "-v", "warning"]);
                command.args(["-protocol_whitelist", "file,rtp,udp", "-i"]);
                command.arg(sdp).args(["-c:a", "pcm_s16le"]).arg(out);
            }
            Self::Gstreamer => {
                let caps =
                    "application/x-rtp,media=audio,clock-rate=8000,encoding-name=PCMU,payload=0";
                command.args(["-q", "-e", "udpsrc", "address=127.0.0.1"]);
                command
                    .arg(format!("port={port}"))
                    .arg(format!("caps={caps}"));
                command.args(["!", "rtpjitterbuffer", "!", "rtppcmudepay", "!", "mulawdec"]);
                command.args(["!", "wavenc", "!", "filesink"]);
                command.arg(format!("location={}", out.display()));
            }
        }
        Ok(command)
    }
}

/// Sends `plan`, of `seconds`, to as many processes of the peer. `daemon` is the daemon's processor time a packet in
/// steady state: of these very streams, and under the measured load.
pub(super) fn measure(
    peer: Peer,
    mut plan: Plan,
    seconds: u32,
    daemon: [f64; 2],
    stop: &AtomicBool,
) -> anyhow::Result<PeerFigures> {
    let program = peer.version()?;
    let folder = super::folder(None)?;
    let mut running = Vec::new();
    for (number, stream) in plan.streams.iter_mut().enumerate() {
        let port = free_port()?;
        stream.to = (Ipv4Addr::LOCALHOST, port).into();
        running.push(Running::start(
            peer,
            port,
            &folder.path().join(format!("{number}.wav")),
        )?);
    }
    for one in &mut running {
        one.wait_open()?;
    }
    let processes: Vec<_> = running.iter().map(|one| Process(one.child.id())).collect();
    let (sent, watched) = watch::during(&processes, seconds, || caller::send(&plan, stop))?;
    let sent = sent?;
    interrupt::check()?;
    ensure!(
        sent.latest <= bounds::BEHIND,
        "the sender to {program} was {:.0?} behind its clock",
        sent.latest
    );
    thread::sleep(PLAY_OUT);
    let mut lengths = Vec::new();
    for one in &mut running {
        one.interrupt()?;
    }
    for one in &mut running {
        lengths.push(one.seconds()?);
    }
    let expected = f64::from(seconds);
    let streams = plan.streams.len();
    let cpu = watched.cpu_us_per_packet(streams);
    let [same, loaded] = daemon.map(|daemon| {
        if daemon > 0.0 {
            round(cpu / daemon)
        } else {
            0.0
        }
    });
    Ok(PeerFigures {
        peer: program,
        streams,
        seconds,
        packets_sent: sent.packets.iter().sum(),
        cpu_us_per_packet_steady: cpu,
        reeld_cpu_us_per_packet_steady_same_streams: daemon[0],
        cpu_ratio_to_reeld_same_streams: same,
        cpu_ratio_to_reeld_under_load: loaded,
        resident_bytes_per_stream: watched.resident_peak / streams.max(1) as u64,
        files_of_the_right_length: lengths
            .iter()
            .filter(|&&length| (length - expected).abs() <= LENGTH)
            .count(),
        shortest_file_seconds: round(lengths.iter().copied().fold(f64::INFINITY, f64::min)),
        sender_behind_ms: millis(sent.latest),
    })
}

/// An even port that is free with the one after it, which RTCP gets. Somebody may take it before the peer does, who
/// says so then.
fn free_port() -> anyhow::Result<u16> {
    for _ in 0..TRIES {
        let even = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = even.local_addr()?.port();
        if port % 2 == 0 && UdpSocket::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no pair of free ports was found in {TRIES} tries")
}

/// A peer's process. Dropping it ends it.
struct Running {
    child: Child,
    port: u16,
    out: PathBuf,
    log: PathBuf,
}

impl Running {
    fn start(peer: Peer, port: u16, out: &Path) -> anyhow::Result<Self> {
        let log = out.with_extension("log");
        let mut command = peer.command(port, out)?;
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&log)?);
        Ok(Self {
            child: command.spawn().context(peer.program())?,
            port,
            out: out.to_owned(),
            log,
        })
    }

    /// Waits until it listens.
    fn wait_open(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while usage::open_ports(&BTreeSet::from([self.port]))? == 0 {
            interrupt::check()?;
            let ended = self.child.try_wait()?;
            ensure!(
                ended.is_none() && Instant::now() < until,
                "a peer does not listen on port {}: {}",
                self.port,
                self.said()
            );
            thread::sleep(STEP);
        }
        Ok(())
    }

    /// Asks it to end its file.
    fn interrupt(&self) -> anyhow::Result<()> {
        Ok(kill(
            Pid::from_raw(i32::try_from(self.child.id())?),
            Signal::SIGINT,
        )?)
    }

    /// Waits for its end; how long its file is.
    fn seconds(&mut self) -> anyhow::Result<f64> {
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(
                Instant::now() < until,
                "a peer does not end: {}",
                self.said()
            );
            thread::sleep(STEP);
        }
        let file = File::open(&self.out).with_context(|| self.said())?;
        let reader =
            wav::Reader::new(std::io::BufReader::new(file)).with_context(|| self.said())?;
        Ok(reader.frames() as f64 / f64::from(reader.rate_hz()))
    }

    fn said(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        format!("it said: {}", log.trim())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::warn!(pid = self.child.id(), %error, "a peer could not be ended");
        }
    }
}
