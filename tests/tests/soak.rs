//! Calls that come and go for minutes, with faults among them: memory, descriptors, disk and latency
//! are in the last quarter what they were in the second, and each file is exact.
//!
//! Mixed in are: a disk that fails for seconds, a receiver of callbacks that goes away, datagrams of
//! strangers, SSRCs that change in mid-call, encodings, deletions, retention, and clients that take
//! nothing. A call that a failing disk met keeps what it had; every other one is compared.
//!
//! `make test` runs half a minute; `make soak` sets `MINUTES`, `CALLS`, `SEED` and the file `TALLY`.
//! What hours make of a call is tried in virtual time (`network/tests/hours.rs`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reeld_tests::client::{call_sid, media_address};
use reeld_tests::patience::wait_for;
use reeld_tests::receiver::{Answer, Then};
use reeld_tests::script::Law;
use reeld_tests::tape::Dice;
use reeld_tests::torture::tally::{Tally, number};
use reeld_tests::torture::was_late;
use reeld_tests::{Client, Daemon, Receiver, Sender, Setup, Tape, Voice, Wav, judge, peer};
use reqwest::Method;

/// A leg has a daemon of its own; a longer soak has more of them.
const LEG_MINUTES: u64 = 20;
/// From a disk that works again to recordings that are whole.
const BOUND: Duration = Duration::from_secs(90);

/// Packets by which a track knows whom to listen to (`capture/src/source.rs`); after fewer a recording
/// is absent.
const LISTENED: usize = 5;

/// How long and how much.
#[derive(Debug, Clone, Copy)]
struct Plan {
    seconds: u64,
    calls: u64,
    seed: u64,
    /// A call's length, in packets: from, to.
    packets: (usize, usize),
    /// Between two samples of what is held to be flat.
    sample: Duration,
    /// The disk fails for `fault.1` of each `fault.0`, the receiver of callbacks is away as often.
    fault: (Duration, Duration),
    retention: &'static str,
}

impl Plan {
    fn of_environment(minutes: u64) -> Self {
        if minutes == 0 {
            return Self {
                seconds: number("SECONDS", 32),
                calls: number("CALLS", 24),
                seed: number("SEED", 1),
                packets: (50, 150),
                sample: Duration::from_millis(500),
                fault: (Duration::from_secs(12), Duration::from_secs(1)),
                retention: "3s",
            };
        }
        Self {
            seconds: 60 * minutes,
            calls: number("CALLS", 200),
            seed: number("SEED", 1),
            packets: (500, 3_000),
            sample: Duration::from_secs(15),
            fault: (Duration::from_secs(150), Duration::from_secs(4)),
            retention: "1min",
        }
    }
}

#[test]
fn what_goes_on_for_long_stays_as_it_is() {
    let minutes = number("MINUTES", 0);
    let mut tally = Tally::of_environment();
    loop {
        let left = minutes.saturating_sub(tally.get("minutes"));
        if minutes > 0 && left == 0 {
            break;
        }
        let plan = Plan::of_environment(left.min(LEG_MINUTES));
        leg(plan, &mut tally);
        tally.add("minutes", left.min(LEG_MINUTES));
        tally.add("legs", 1);
        tally.save();
        if minutes == 0 {
            break;
        }
    }
    println!("{}", tally.text());
}

/// What callers, receivers and the faults share.
#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    /// The disk fails, or has failed and not everything works again.
    is_bad: AtomicBool,
    /// How often the disk has failed.
    faults: AtomicU64,
    /// The receiver of callbacks is away.
    is_away: AtomicBool,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    findings: Mutex<Vec<String>>,
    /// From the end of a call to its file, in milliseconds, since the last sample.
    finished_ms: Mutex<Vec<u64>>,
    /// Completed: whether a callback has told of it.
    told: Mutex<BTreeMap<String, bool>>,
}

impl Shared {
    fn count(&self, name: &'static str, more: u64) {
        *lock(&self.counts).entry(name).or_default() += more;
    }

    fn find(&self, what: String) {
        lock(&self.findings).push(what);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// A number that is another one after each fault, and `None` within one.
    fn era(&self) -> Option<u64> {
        let faults = self.faults.load(Ordering::Acquire);
        (!self.is_bad.load(Ordering::Acquire)).then_some(faults)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is held to be flat, at one time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    resident: u64,
    descriptors: u64,
    disk: u64,
    lag_us: u64,
    /// The median, and 0 where nothing was finished.
    finish_ms: u64,
}

type Figure = fn(&Sample) -> u64;

fn leg(plan: Plan, tally: &mut Tally) {
    let tools = tempfile::tempdir().expect("the temporary folder can be written");
    let control = tools.path().join("fault");
    let ports = u16::try_from(plan.calls * 4 * 4).expect("so many calls have ports");
    let setup = Setup::with_ports(ports.max(1_024))
        .set("callbacks.allow", vec!["loopback"])
        .set("callbacks.retry_first", "1s")
        .set("callbacks.retry_most", "5s")
        .set("store.retention", plan.retention)
        .set("store.deleted_metadata", plan.retention)
        .set("encode.cache_bytes", "8MiB")
        .set("audit.max_entries", 1_000)
        .set("log.level", "error");
    let under = setup.data_dir();
    let daemon = setup
        .environment("LD_PRELOAD", library(tools.path()))
        .environment("FAULT_UNDER", &under)
        .environment("FAULT_CONTROL", &control)
        .start();
    let shared = Arc::new(Shared::default());
    let receiver = receiver(&shared);
    let url = receiver.url("");
    let mut samples = Vec::new();
    std::thread::scope(|scope| {
        let (daemon, shared, url) = (&daemon, &*shared, &url);
        for slot in 0..plan.calls {
            scope.spawn(move || {
                let first = slot * 1_000_000;
                let mut numbers = first + 1..;
                while !shared.is_over() {
                    let number = numbers.next().unwrap_or(first);
                    // A judge panics; the others go on, and the leg fails at its end.
                    let act = || call(&plan, daemon.client(), shared, url, number);
                    if std::panic::catch_unwind(AssertUnwindSafe(act)).is_err() {
                        shared.find(format!("call {number}: a judge has spoken, see above"));
                    }
                }
            });
        }
        scope.spawn(move || bother(daemon.client(), shared));
        let control = &control;
        scope.spawn(move || fail(&plan, daemon.client(), shared, control));
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(plan.seconds) {
            std::thread::sleep(plan.sample);
            samples.push(sample(daemon, shared));
        }
        shared.over.store(true, Ordering::Release);
    });
    let is_told = |sid: &String| *lock(&shared.told).get(sid).unwrap_or(&false);
    let told: Vec<String> = lock(&shared.told).keys().cloned().collect();
    wait_for("the last callbacks", BOUND, || {
        told.iter().all(is_told).then_some(())
    });
    tally.add("callbacks told", told.len() as u64);
    daemon.command(&["verify"]).success();
    for (name, count) in lock(&shared.counts).iter() {
        tally.add(name, *count);
    }
    tally.add("disk faults", shared.faults.load(Ordering::Acquire));
    write_series(&samples);
    let mut findings = lock(&shared.findings).clone();
    findings.extend(unflat(&samples, tally));
    tally.save();
    assert!(
        findings.is_empty(),
        "{}\n{}",
        tally.text(),
        findings.join("\n")
    );
    assert!(shared.faults.load(Ordering::Acquire) > 0, "no disk failed");
    for name in [
        "calls compared",
        "encoded",
        "deleted",
        "ssrc changes",
        "met by a fault",
    ] {
        assert!(lock(&shared.counts).contains_key(name), "{name}: none");
    }
}

/// One call from its start to its file, and what becomes of that.
fn call(plan: &Plan, client: &Client, shared: &Shared, url: &str, number: u64) {
    let mut dice = Dice::new(number ^ (plan.seed << 40));
    let era = shared.era();
    let form = [
        ("RecordingTrack", "inbound"),
        ("RecordingStatusCallback", url),
    ];
    let start = client.try_start(&call_sid(number), &form);
    if start.status != 201 {
        // Only a disk that fails may refuse.
        if era.is_some() && shared.era() == era {
            shared.find(format!("start: {} {}", start.status, start.text()));
        }
        shared.count("starts refused", 1);
        std::thread::sleep(Duration::from_millis(300));
        return;
    }
    let start = start.json();
    let (Some(sid), Some(to)) = (start["sid"].as_str(), media_address(&start, "inbound")) else {
        shared.find(format!("start: {start}"));
        return;
    };
    let (least, most) = plan.packets;
    let packets = least + dice.below(most - least);
    let halves = match dice.below(4) {
        0 => vec![packets / 2, packets - packets / 2],
        _ => vec![packets],
    };
    let tapes: Vec<Tape> = (0..)
        .zip(&halves)
        .map(|(half, packets)| Tape::noise(Law::Mu, number * 2 + half, packets * 160))
        .collect();
    let voices = (0..).zip(&tapes);
    let scripts = voices.map(|(half, tape)| Voice::new(number * 2 + half).say(tape.codes()));
    let script = scripts.reduce(|one, two| one.then(Duration::from_millis(20), two));
    let script = script.expect("a call has a tape");
    shared.count("packets", packets as u64);
    let playing = Sender::new().start(to, script);
    let stranger = Sender::new();
    let mut next = 100;
    while playing.sent(0) < packets && !shared.is_over() {
        std::thread::sleep(Duration::from_millis(20));
        if playing.sent(0) > next {
            next += 100;
            stranger.send(to, &dice.bytes(172));
            shared.count("datagrams of strangers", 1);
        }
    }
    let sent = playing.stop().remove(0);
    let (is_late, sent) = (was_late(&sent), sent.len());
    let ended = Instant::now();
    let path = client.path(&format!("/Calls/{}.json", call_sid(number)));
    client.post(&path, &[("Status", "completed")]).expect(200);
    let status = wait_for("a recording that is completed", BOUND, || {
        let reply = client.get(&client.path(&format!("/Recordings/{sid}.json")));
        // Retention may have been faster after a fault.
        let is_gone = reply.status == 404;
        let status = if is_gone {
            "gone".to_owned()
        } else {
            reply.json()["status"].as_str()?.to_owned()
        };
        if !matches!(&*status, "completed" | "absent" | "gone") {
            std::thread::sleep(Duration::from_millis(20));
            return None;
        }
        Some(status)
    });
    let took = ended.elapsed();
    if status == "completed" {
        lock(&shared.told).entry(sid.to_owned()).or_insert(false);
    }
    let is_clean = era.is_some() && shared.era() == era;
    if !is_clean {
        shared.count("met by a fault", 1);
        return;
    }
    if status == "absent" && sent < LISTENED {
        return;
    }
    if status != "completed" {
        shared.find(format!("{sid}: {status} after {sent} packets"));
        return;
    }
    lock(&shared.finished_ms).push(took.as_millis().try_into().unwrap_or(u64::MAX));
    let wav = client.get_public(&client.old_path(&format!("/Recordings/{sid}")));
    if wav.status != 200 {
        shared.find(format!("{sid}: its audio is answered with {}", wav.status));
        return;
    }
    if is_late {
        shared.count("calls whose sender was late", 1);
        return;
    }
    shared.count("calls compared", 1);
    shared.count("bytes compared", wav.body.len() as u64);
    let wav = Wav::read(&wav.body);
    let played: Vec<Vec<i16>> = tapes.iter().map(Tape::samples).collect();
    if let [whole] = &played[..] {
        judge::exact(wav.mono(), &whole[..sent * 160]);
    } else if sent == packets {
        shared.count("ssrc changes", 1);
        if let Err(what) = changed(wav.mono(), &played) {
            shared.find(format!("{sid}: {what}"));
        }
    }
    match dice.below(6) {
        0 => {
            let mp3 = client.old_path(&format!("/Recordings/{sid}.mp3"));
            let reply = match client.try_get_public(&mp3) {
                Ok(reply) => reply,
                // It is sent while it is encoded, so a disk that fails meanwhile can only break it off.
                Err(_) if shared.era() != era => return shared.count("encodings broken off", 1),
                Err(error) => return shared.find(format!("{sid}: its MP3 broke off: {error}")),
            };
            // A machine that falls behind puts encodings off, and says so.
            if reply.status == 503 && reply.header("retry-after").is_some() {
                shared.count("encodings put off", 1);
                return;
            }
            if reply.status != 200 && shared.era() == era {
                shared.find(format!("{sid}: its MP3 is answered with {}", reply.status));
            }
            shared.count("encoded", 1);
        }
        1 => {
            let reply = client.send(
                Method::DELETE,
                &client.path(&format!("/Recordings/{sid}.json")),
                &[],
                None,
            );
            if reply.status != 204 && shared.era() == era {
                shared.find(format!(
                    "{sid}: its deletion is answered with {}",
                    reply.status
                ));
            }
            shared.count("deleted", 1);
        }
        _ => {}
    }
}

/// Both voices of a call whose SSRC has changed, each whole but for 200 ms at the change, where the
/// second one's place is its arrival's.
fn changed(channel: &[i16], played: &[Vec<i16>]) -> Result<(), String> {
    let edge = 1_600;
    let mut from = 0;
    for (voice, tape) in played.iter().enumerate() {
        let first = if voice == 0 { 0 } else { edge };
        let last = if voice == 0 {
            tape.len() - edge
        } else {
            tape.len()
        };
        let piece = &tape[first..last];
        let found = channel[from..]
            .windows(16)
            .position(|window| *window == piece[..16]);
        let at = from + found.ok_or_else(|| format!("voice {voice} is not there"))?;
        let there = channel.get(at..at + piece.len());
        if there != Some(piece) {
            return Err(format!("voice {voice}, at {at}, is not as it was sent"));
        }
        from = at + piece.len();
    }
    Ok(())
}

/// Clients that send half a request or take nothing, a few at a time.
fn bother(client: &Client, shared: &Shared) {
    let address = client.base().trim_start_matches("http://").to_owned();
    while !shared.is_over() {
        let streams: Vec<_> = (0..4)
            .filter_map(|one| {
                let mut stream = TcpStream::connect(&address).ok()?;
                let request: &[u8] = if one % 2 == 0 {
                    b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
                } else {
                    b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
                };
                stream.write_all(request).ok()?;
                Some(stream)
            })
            .collect();
        shared.count("slow clients", streams.len() as u64);
        pause(shared, Duration::from_secs(5));
    }
}

/// The disk fails now and then, and so does the receiver of callbacks, each at its time.
fn fail(plan: &Plan, client: &Client, shared: &Shared, control: &Path) {
    let (every, length) = plan.fault;
    while !shared.is_over() {
        pause(shared, every / 2);
        shared.is_away.store(true, Ordering::Release);
        pause(shared, length * 2);
        shared.is_away.store(false, Ordering::Release);
        shared.count("receivers gone", 1);
        pause(shared, every / 2);
        if shared.is_over() {
            return;
        }
        shared.is_bad.store(true, Ordering::Release);
        shared.faults.fetch_add(1, Ordering::AcqRel);
        fs::write(control, "5").expect("it can be written");
        pause(shared, length);
        fs::remove_file(control).expect("it is there");
        wait_for("/readyz is content again", BOUND, || {
            (client.get_public("/readyz").status == 200).then_some(())
        });
        shared.is_bad.store(false, Ordering::Release);
    }
}

/// Some time passes, unless the soak is over.
fn pause(shared: &Shared, time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time && !shared.is_over() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn receiver(shared: &Arc<Shared>) -> Receiver {
    let shared = Arc::clone(shared);
    Receiver::start(move |callback| {
        if shared.is_away.load(Ordering::Acquire) {
            return Answer::Raw("", Then::Close);
        }
        let sid = callback.parameter("RecordingSid").to_owned();
        if callback.parameter("RecordingStatus") == "completed" {
            lock(&shared.told).insert(sid, true);
        }
        Answer::of(200)
    })
}

fn sample(daemon: &Daemon, shared: &Shared) -> Sample {
    let metrics = daemon.client().metrics();
    let lag = metrics
        .lines()
        .find_map(|line| line.strip_prefix("reeld_media_tick_lag_seconds "))
        .and_then(|value| value.parse::<f64>().ok())
        .unwrap_or_else(|| panic!("no lag in {metrics}"));
    let mut finished = std::mem::take(&mut *lock(&shared.finished_ms));
    finished.sort_unstable();
    let descriptors = fs::read_dir(format!("/proc/{}/fd", daemon.pid()));
    Sample {
        resident: daemon.resident_bytes(),
        descriptors: descriptors.map_or(0, |all| all.count() as u64),
        disk: bytes_below(daemon.data_dir()),
        lag_us: micros(lag),
        finish_ms: finished.get(finished.len() / 2).copied().unwrap_or(0),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a lag is short and not negative"
)]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}

/// As `du` has it.
fn bytes_below(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        // It went between listing and looking.
        Err(_) => 0,
    });
    bytes.sum()
}

/// What the last quarter has more of than the second, beyond its margin.
fn unflat(samples: &[Sample], tally: &mut Tally) -> Vec<String> {
    let quarter = samples.len() / 4;
    let (second, last) = (&samples[quarter..2 * quarter], &samples[3 * quarter..]);
    let median = |of: &[Sample], what: Figure| {
        let mut all: Vec<u64> = of.iter().map(what).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let mut findings = Vec::new();
    let rules: [(&str, Figure, u64, u64); 5] = [
        ("resident bytes", |s| s.resident, 10, 24 << 20),
        ("descriptors", |s| s.descriptors, 10, 30),
        ("disk bytes", |s| s.disk, 15, 32 << 20),
        ("tick lag in µs", |s| s.lag_us, 100, 20_000),
        ("finishing in ms", |s| s.finish_ms, 100, 100),
    ];
    for (name, what, percent, more) in rules {
        let (before, after) = (median(second, what), median(last, what));
        tally.at_most(&format!("{name}, second quarter"), before);
        tally.at_most(&format!("{name}, last quarter"), after);
        if after > before + before * percent / 100 + more {
            findings.push(format!(
                "{name}: {before} in the second quarter, {after} in the last"
            ));
        }
    }
    findings
}

/// The samples, beside the tally, for who wants to draw them.
fn write_series(samples: &[Sample]) {
    let Some(tally) = std::env::var_os("TALLY").map(PathBuf::from) else {
        return;
    };
    let mut text = "resident,descriptors,disk,lag_us,finish_ms\n".to_owned();
    for s in samples {
        let Sample {
            resident,
            descriptors,
            disk,
            lag_us,
            finish_ms,
        } = s;
        text += &format!("{resident},{descriptors},{disk},{lag_us},{finish_ms}\n");
    }
    fs::create_dir_all(tally.parent().unwrap_or(Path::new("."))).expect("its folder can be made");
    fs::write(tally.with_extension("csv"), text).expect("the series can be written");
}

/// The disk that fails, compiled (`tests/faults/disk.c`).
fn library(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/disk.c");
    let library = folder.join("disk.so");
    let (source, into) = (source.display().to_string(), library.display().to_string());
    let args = ["-shared", "-fPIC", "-O1", "-o", &into, &source, "-ldl"];
    peer::run("cc", args, &[], Duration::from_secs(60)).success();
    library
}
