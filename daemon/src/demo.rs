//! `reeld demo`: a proof that anyone can run. A daemon of its own in a temporary folder, a call played
//! into it over RTP, and the three representations fetched through the API, held to what was said,
//! and left as files. The call is begun and ended through the API, or by a recording
//! client (`siprec`); or its media go through an rtpengine (`rtpengine`).
//!
//! `cli` calls [`Demo::run`]; it calls [`crate::run()`], as `serve` does, [`crate::caller`] for the call, and
//! the API over HTTP, as anybody would. What the answers must be is `judge`'s. Nothing but loopback
//! is opened. Every wait has a bound.

mod judge;
mod rtpengine;
mod siprec;

use std::fmt::Arguments;
use std::fs;
use std::io::{Write, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use reeld_config::{Config, Log, LogFormat};
use reeld_model::{CallSid, Track};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::caller::{self, Plan, Sockets, Sound, Stream};
use crate::credentials;
use crate::customer::{self, Customer};
use crate::telemetry::{self, Logging};
use rtpengine::Rtpengine;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Packets of 20 ms in each direction.
const PACKETS: u64 = 300;

/// From a recording client's call's answer to its end: the sound's six seconds, and time to begin it.
const TALK: Duration = Duration::from_millis(7_000);

/// The arguments of `reeld demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// The call comes by itself: sipp calls as a recording client (SIPREC); it has to be installed
    #[arg(long, conflicts_with = "rtpengine")]
    siprec: bool,
    /// The call's media go through a real rtpengine, which has to be installed and forks them
    #[arg(long)]
    rtpengine: bool,
}

/// What the demonstration recorded.
struct Recorded {
    sid: String,
    streams: [Stream; 2],
}

impl Demo {
    /// Plays the demonstration and tells of it on standard output.
    ///
    /// # Errors
    /// Anything was not as it has to be; the files so far are kept.
    pub fn run(self) -> anyhow::Result<()> {
        let folder = tempfile::Builder::new()
            .prefix("reeld-demo-")
            .tempdir()?
            .keep();
        say(format_args!(
            "A daemon of its own, on loopback alone, in {}",
            folder.display()
        ))?;
        let mut engine = None;
        if self.rtpengine {
            let started = Rtpengine::start(&folder)?;
            say(format_args!(
                "An rtpengine beside it, control socket {}",
                started.ng()
            ))?;
            engine = Some(started);
        }
        let ng = engine.as_ref().map(Rtpengine::ng);
        let daemon = Daemon::start(&folder.join("data"), self.siprec, ng)?;
        let told = play(&daemon, &folder, engine.as_mut());
        let stopped = daemon.stop();
        told.and(stopped).with_context(|| {
            format!(
                "the demonstration failed; its files are in {}",
                folder.display()
            )
        })
    }
}

/// The demonstration, against a daemon that runs.
fn play(daemon: &Daemon, folder: &Path, engine: Option<&mut Rtpengine>) -> anyhow::Result<()> {
    let customer = Customer::new(daemon.listen, credentials::read(&daemon.data_dir)?)?;
    say(format_args!(
        "It serves {}, account {}",
        customer.base, customer.account
    ))?;

    let call = CallSid::from_external(customer.account, "reeld demo");
    let recorded = match daemon.sip {
        Some(server) => called(&customer, call, server, folder)?,
        None => asked_for(&customer, call, engine)?,
    };
    let Recorded { sid, streams } = &recorded;

    let media = format!("/2008-08-01/Accounts/{}/Recordings/{sid}", customer.account);
    customer.wait_for(&format!("{media}.wav"))?;
    let fetch = |extension: &str, kind: &str| -> anyhow::Result<(Vec<u8>, PathBuf)> {
        let path = format!("{media}.{extension}");
        say(format_args!("\nGET {path}"))?;
        let (said, bytes) = customer.get(&path)?;
        ensure!(
            said.split(';').next() == Some(kind),
            "{path} is {said:?}, not {kind}"
        );
        say(format_args!("  200, {said}, {} bytes", bytes.len()))?;
        let file = folder.join(format!("{sid}.{extension}"));
        fs::write(&file, &bytes).with_context(|| file.display().to_string())?;
        Ok((bytes, file))
    };
    let (wav, wav_file) = fetch("wav", "audio/x-wav")?;
    say(format_args!("  {}", judge::wav(&wav, streams)?))?;
    let (mp3, mp3_file) = fetch("mp3", "audio/mpeg")?;
    say(format_args!("  {}", judge::mp3(&mp3, &wav)?))?;
    let (xml, xml_file) = fetch("xml", "application/xml")?;
    let xml = String::from_utf8(xml).context("the XML is no UTF-8")?;
    judge::xml(&xml, sid, &call.to_string(), PACKETS / 50)?;
    say(format_args!("{}", xml.trim_end()))?;

    say(format_args!(
        "\nAll is as it has to be. The files, to listen to and to keep:"
    ))?;
    for file in [wav_file, mp3_file, xml_file] {
        say(format_args!("  {}", file.display()))?;
    }
    say(format_args!(
        "The daemon's own data is in {}",
        daemon.data_dir.display()
    ))
}

/// A recording that is started and stopped through the API, of a call whose media go to the daemon or through an
/// rtpengine.
fn asked_for(
    customer: &Customer,
    call: CallSid,
    engine: Option<&mut Rtpengine>,
) -> anyhow::Result<Recorded> {
    let recordings = customer.path(&format!("/Calls/{call}/Recordings"));
    let post = |path: &str, form: &[(&str, &str)], status: u16| {
        let said: Vec<String> = form
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        say(format_args!("\nPOST {path}  {}", said.join("&")))?;
        customer.post(path, form, status)
    };
    let mut form = vec![("RecordingChannels", "dual")];
    let through = engine.map(Rtpengine::call).transpose()?;
    if through.is_some() {
        say(format_args!(
            "\nA call through rtpengine: offered, and answered"
        ))?;
        form.extend([("Source", "rtpengine"), ("SipCallId", rtpengine::CALL)]);
    }
    let started = post(&format!("{recordings}.json"), &form, 201)?;
    let sid = customer::text(&started, "sid")?.to_owned();
    let mut streams = streams(&started)?;
    let [inbound, outbound] = [streams[0].to, streams[1].to];
    match through {
        None => say(format_args!(
            "  201: {sid}; send RTP to {inbound} (inbound) and {outbound} (outbound)"
        ))?,
        Some([caller, callee]) => {
            say(format_args!(
                "  201: {sid}; the caller sends to rtpengine's {caller}, the callee to {callee}; it forks to {inbound} and {outbound}"
            ))?;
            (streams[0].to, streams[1].to) = (caller, callee);
        }
    }
    send(&streams)?;
    post(
        &format!("{recordings}/{sid}.json"),
        &[("Status", "stopped")],
        200,
    )?;
    say(format_args!("  200"))?;
    Ok(Recorded { sid, streams })
}

/// A recording of a recording client's call: nobody asks for it.
fn called(
    customer: &Customer,
    call: CallSid,
    server: SocketAddr,
    folder: &Path,
) -> anyhow::Result<Recorded> {
    say(format_args!(
        "\nsipp calls sip:reeld@{server} by UDP, as a recording client does (RFC 7866)"
    ))?;
    let mut caller = siprec::Caller::start(server, call, TALK, folder)?;
    let opened = caller.opened(customer, call)?;
    let streams = streams(&opened)?;
    let (from, to) = (
        customer::text(&opened, "from")?,
        customer::text(&opened, "to")?,
    );
    say(format_args!(
        "  200: {from} calls {to}; the answer has RTP at {} (inbound) and {} (outbound)",
        streams[0].to, streams[1].to
    ))?;
    send(&streams)?;
    caller.hung_up()?;
    say(format_args!("  sipp has hung up"))?;
    let list = customer.json(&customer.path(&format!("/Recordings.json?CallSid={call}")))?;
    let sid = customer::text(&list["recordings"][0], "sid")?.to_owned();
    Ok(Recorded { sid, streams })
}

/// Speaks on both tracks to the end.
fn send(streams: &[Stream; 2]) -> anyhow::Result<()> {
    say(format_args!(
        "\nA call of {} s: G.711 µ-law, packets of 20 ms each way",
        PACKETS / 50
    ))?;
    let plan = Plan {
        streams: streams.to_vec(),
        sockets: Sockets::PerStream,
        from: LOOPBACK,
        threads: NonZero::<usize>::MIN,
        bundle: NonZero::<usize>::MIN,
        ahead: false,
    };
    let sent = caller::send(&plan, &AtomicBool::new(false))?;
    say(format_args!(
        "  sent {} and {} packets",
        sent.packets[0], sent.packets[1]
    ))
}

fn say(line: Arguments<'_>) -> anyhow::Result<()> {
    Ok(writeln!(stdout(), "{line}")?)
}

/// What is said on both tracks.
fn streams(answer: &Value) -> anyhow::Result<[Stream; 2]> {
    Ok([
        stream(answer, Track::Inbound)?,
        stream(answer, Track::Outbound)?,
    ])
}

/// What is said on a track, to where the answer wants it.
fn stream(started: &Value, track: Track) -> anyhow::Result<Stream> {
    let to = customer::media_address(started, track)?;
    // Any number does; two streams of one call need two.
    let seed = 1 + track.index() as u64;
    Ok(Stream::new(to, Sound::melody(track), PACKETS, seed))
}

/// A daemon of this process, on embedded defaults but for what keeps it apart from others.
struct Daemon {
    listen: SocketAddr,
    /// Where it takes recording clients, if it does.
    sip: Option<SocketAddr>,
    data_dir: PathBuf,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
    _logging: Logging,
}

impl Daemon {
    /// Starts one, and waits until it can take a recording; of recording clients too, with `takes_sip`, and out of the
    /// rtpengine at `ng`.
    fn start(data_dir: &Path, takes_sip: bool, ng: Option<SocketAddr>) -> anyhow::Result<Self> {
        // Ports that are free now; should somebody take one before the daemon does, it says so.
        let free = || anyhow::Ok(TcpListener::bind((LOOPBACK, 0))?.local_addr()?);
        let listen = free()?;
        let sip = takes_sip.then(free).transpose()?;
        let mut config = Config {
            data_dir: data_dir.to_owned(),
            ..Config::default()
        };
        config.api.listen = listen;
        config.sip.listen = sip;
        config.rtpengine.ng = ng;
        config.rtpengine.follow = false;
        let logging = telemetry::start(&Log {
            level: "warn".to_owned(),
            format: LogFormat::Human,
        })?;
        let runtime = tokio::runtime::Runtime::new()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("daemon".to_owned())
            .spawn(move || {
                // A sender that is dropped stops the daemon too.
                runtime.block_on(crate::run(config, async { drop(stopped.await) }))
            })?;
        let daemon = Self {
            listen,
            sip,
            data_dir: data_dir.to_owned(),
            stop,
            thread,
            _logging: logging,
        };
        match customer::wait_ready(listen, || !daemon.thread.is_finished()) {
            Ok(()) => Ok(daemon),
            // Why it ended says more than that it did.
            Err(error) => Err(daemon.stop().err().unwrap_or(error)),
        }
    }

    fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.thread
            .join()
            .map_err(|_| anyhow!("the daemon panicked"))?
    }
}
