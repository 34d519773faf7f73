//! `reeld demo`: a proof that anyone can run. A daemon of its own in a temporary folder, a call played
//! into it over RTP, and the three representations fetched through the API, held to what was said,
//! and left as files.
//!
//! `cli` calls [`run`]; it calls [`crate::run()`], as `serve` does, [`crate::caller`] for the call, and
//! the API over HTTP, as anybody would. What the answers must be is `judge`'s. Nothing but loopback
//! is opened. Every wait has a bound. With `--rtpengine` the call goes through a real one (`rtpengine`).

mod judge;
mod rtpengine;

use std::fmt::Arguments;
use std::fs;
use std::io::{Write, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};

use anyhow::{Context, anyhow, ensure};
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

/// Plays the demonstration and tells of it on standard output; by way of an rtpengine, which must be installed then.
///
/// # Errors
/// Anything was not as it has to be; the files so far are kept.
pub fn run(by_rtpengine: bool) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("reeld-demo-")
        .tempdir()?
        .keep();
    say(format_args!(
        "A daemon of its own, on loopback alone, in {}",
        folder.display()
    ))?;
    let mut engine = if by_rtpengine {
        let engine = Rtpengine::start(&folder)?;
        say(format_args!(
            "An rtpengine beside it, control socket {}",
            engine.ng()
        ))?;
        Some(engine)
    } else {
        None
    };
    let ng = engine.as_ref().map(Rtpengine::ng);
    let daemon = Daemon::start(&folder.join("data"), ng)?;
    let told = play(&daemon, &folder, engine.as_mut());
    let stopped = daemon.stop();
    told.and(stopped).with_context(|| {
        format!(
            "the demonstration failed; its files are in {}",
            folder.display()
        )
    })
}

/// The demonstration, against a daemon that runs.
fn play(daemon: &Daemon, folder: &Path, engine: Option<&mut Rtpengine>) -> anyhow::Result<()> {
    let customer = Customer::new(daemon.listen, credentials::read(&daemon.data_dir)?)?;
    say(format_args!(
        "It serves {}, account {}",
        customer.base, customer.account
    ))?;

    let call = CallSid::from_external(customer.account, "reeld demo");
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
    let sid = customer::text(&started, "sid")?;
    let mut streams = [
        stream(&started, Track::Inbound)?,
        stream(&started, Track::Outbound)?,
    ];
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
    ))?;
    post(
        &format!("{recordings}/{sid}.json"),
        &[("Status", "stopped")],
        200,
    )?;
    say(format_args!("  200"))?;

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
    say(format_args!("  {}", judge::wav(&wav, &streams)?))?;
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

fn say(line: Arguments<'_>) -> anyhow::Result<()> {
    Ok(writeln!(stdout(), "{line}")?)
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
    data_dir: PathBuf,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
    _logging: Logging,
}

impl Daemon {
    /// Starts one, beside an rtpengine where there is one, and waits until it can take a recording.
    fn start(data_dir: &Path, ng: Option<SocketAddr>) -> anyhow::Result<Self> {
        // A port that is free now; should somebody take it before the daemon does, it says so.
        let listen = TcpListener::bind((LOOPBACK, 0))?.local_addr()?;
        let mut config = Config {
            data_dir: data_dir.to_owned(),
            ..Config::default()
        };
        config.api.listen = listen;
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
