//! Floods and scans of media ports: other calls are exact, and so is the track that is flooded once its source is
//! known, since the kernel drops what strangers send; a source that may change still can.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reeld_tests::binary::reeld;
use reeld_tests::client::{Started, call_sid};
use reeld_tests::script::{Law, Script};
use reeld_tests::sender::{Part, Playing};
use reeld_tests::tape::Dice;
use reeld_tests::{Client, Sender, Setup, Tape, Voice, judge, peer};
use serde_json::Value;

/// For a measurement of so few seconds, with its daemon's start and end.
const BOUND: Duration = Duration::from_secs(120);

/// From when its source is known, a track whose port is not flooded has a filter within this time.
const FILTERED: Duration = Duration::from_millis(3_500);

fn tape(seed: u64, seconds: usize) -> Tape {
    Tape::noise(Law::Mu, seed, seconds * 8_000)
}

fn say(seed: u64, seconds: usize, at: Duration) -> Script {
    let mut script = Voice::new(seed).say(tape(seed, seconds).codes());
    script.0.iter_mut().for_each(|cue| cue.at += at);
    script
}

/// What the kernel has dropped on a socket, by its own count.
fn dropped(at: SocketAddr) -> u64 {
    let table = fs::read_to_string("/proc/net/udp").expect("Linux has it");
    let port = format!(":{:04X}", at.port());
    let line = table.lines().find(|line| {
        let local = line.split_whitespace().nth(1);
        local.is_some_and(|local| local.ends_with(&port))
    });
    let drops = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
    drops.unwrap_or_else(|| panic!("no socket on {at}"))
}

/// Where all of a tape is, sample for sample.
#[track_caller]
fn place(channel: &[i16], tape: &Tape) -> usize {
    let said = tape.samples();
    let place = channel
        .windows(said.len())
        .position(|window| window == said);
    place.expect("all of it is there in one piece")
}

fn inbound(client: &Client, started: &Started) -> Value {
    let json = client.call(&started.call);
    let streams = json["streams"].as_array().expect("streams");
    let inbound = streams.iter().find(|stream| stream["track"] == "inbound");
    inbound.expect("an inbound one")["stats"].clone()
}

fn start_inbound(client: &Client, call: u64, source: Option<&str>) -> Started {
    let mut form = vec![("RecordingTrack", "inbound")];
    form.extend(source.map(|source| ("RemoteAddress", source)));
    client.start(&call_sid(call), &form)
}

/// The figures of `reeld bench flood`, which fails where one of its promises is broken. A hand's run of it sends
/// 200,000 packets a second.
#[test]
fn a_flooded_track_and_its_neighbours_are_exact() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut command = reeld();
    command.args(["bench", "flood", "--json", "--calls", "8"]);
    command.args(["--seconds", "5", "--rate", "40000", "--data-dir"]);
    command.arg(folder.path());
    let text = peer::finish("reeld", command, &[], BOUND).success().text();
    let report: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let count = |name: &str| {
        let count = report[name].as_u64();
        count.unwrap_or_else(|| panic!("{name}: {report}"))
    };
    // A sender that is held up lets go of what it owes.
    assert!(count("flood_packets") > 40_000, "{report}");
    assert_eq!(
        count("flood_packets_foreign") + count("flood_packets_without_room"),
        count("flood_packets"),
        "{report}"
    );
    assert_eq!(
        count("flooded_track_packets_recorded"),
        count("flooded_track_packets_sent"),
        "{report}"
    );
    assert_eq!(report["flooded_track_exact"], true, "{report}");
    assert_eq!(count("other_tracks_exact"), 17, "{report}");
}

#[test]
fn strangers_are_dropped_by_the_kernel_and_counted_and_the_source_may_still_move() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let started = start_inbound(client, 1, None);
    let to = started.inbound();
    let (source, moved, stranger) = (Sender::new(), Sender::new(), Sender::new());
    let part = |sender: &Sender, script| Part {
        sender: sender.clone(),
        to,
        script,
    };
    // The source falls silent after five seconds; after eight, somebody else is its successor.
    let begun = Instant::now();
    let playing = Playing::start(vec![
        part(&source, say(1, 5, Duration::ZERO)),
        part(&moved, say(2, 2, Duration::from_secs(8))),
    ]);
    std::thread::sleep(FILTERED.saturating_sub(begun.elapsed()));
    for _ in 0..1_000 {
        stranger.send(to, &[0x80; 172]);
    }
    assert_eq!(dropped(to), 1_000, "the kernel dropped all of them");
    let counts = inbound(client, &started);
    assert_eq!(
        (&counts["foreign"], &counts["kernel_dropped"]),
        (&1_000.into(), &0.into()),
        "{counts}"
    );
    let sent = playing.finish();
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    let counts = &json["tracks"]["inbound"];
    assert_eq!(
        (&counts["packets"], &counts["foreign"], &counts["lost"]),
        (&350.into(), &1_000.into(), &0.into()),
        "{counts}"
    );
    let wav = client.wav(&started.sid);
    let gap = (sent[1][0] - sent[0][0]).as_micros() * 8 / 1_000;
    let [first, second] =
        [(1, 5), (2, 2)].map(|(seed, seconds)| place(wav.mono(), &tape(seed, seconds)));
    let lies = second - first;
    assert!(
        lies.abs_diff(usize::try_from(gap).expect("seconds")) <= 320,
        "{lies}, {gap}"
    );
}

#[test]
fn a_named_source_is_heard_through_a_flood_that_came_before_it() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let (source, stranger) = (Sender::new(), Sender::new());
    let started = start_inbound(client, 1, Some(&source.address().to_string()));
    let to = started.inbound();
    let mut rtcp = to;
    rtcp.set_port(to.port() + 1);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            let mut dice = Dice::new(7);
            let mut sent = 0_u64;
            while !stop.load(std::sync::atomic::Ordering::Acquire) {
                // 20,000 a second at most, on both ports.
                for _ in 0..20 {
                    let bytes = dice.bytes(172);
                    stranger.send(to, &bytes);
                    stranger.send(rtcp, &bytes);
                    sent += 2;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            sent
        });
        std::thread::sleep(Duration::from_secs(1));
        source.play(to, say(1, 3, Duration::ZERO));
        stop.store(true, std::sync::atomic::Ordering::Release);
        flooding.join().expect("strangers send")
    });
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    let counts = &json["tracks"]["inbound"];
    assert_eq!(
        (&counts["packets"], &counts["lost"]),
        (&150.into(), &0.into()),
        "{counts}"
    );
    assert!(sent > 2_000, "{sent}");
    let padding = judge::exact(client.wav(&started.sid).mono(), &tape(1, 3).samples());
    assert_eq!(padding.lead, 0, "from its first packet on");
}

#[test]
fn a_source_that_is_named_anew_is_heard_at_once() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let (first, second) = (Sender::new(), Sender::new());
    let started = start_inbound(client, 1, Some(&first.address().to_string()));
    let to = started.inbound();
    let playing = first.start(to, say(1, 60, Duration::ZERO));
    std::thread::sleep(FILTERED);
    second.send(to, &[0x80; 172]);
    assert_eq!(dropped(to), 1, "it is shut out");
    let path = client.path(&format!("/Calls/{}.json", started.call));
    let address = second.address().to_string();
    client
        .post(&path, &[("RemoteAddress", &address)])
        .expect(200);
    let before = inbound(client, &started)["packets"].as_u64();
    second.play(to, say(2, 2, Duration::ZERO));
    let counts = inbound(client, &started);
    assert_eq!(
        counts["packets"].as_u64(),
        before.map(|before| before + 100),
        "{counts}"
    );
    let spoke_on = playing.stop()[0].len();
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    // Who was named before is a stranger from then on.
    let counts = &json["tracks"]["inbound"];
    let all = counts["packets"].as_u64().zip(counts["foreign"].as_u64());
    let most = spoke_on as u64 + 100 + 1;
    let counted = all.map(|(packets, foreign)| packets + foreign);
    assert!(
        counted.is_some_and(|counted| (most - 2..=most).contains(&counted)),
        "{counts}, {spoke_on}"
    );
    place(client.wav(&started.sid).mono(), &tape(2, 2));
}

#[test]
fn a_scan_of_all_ports_harms_no_call() {
    let setup = Setup::with_ports(4 * 40);
    let ports = setup.ports().first()..setup.ports().first() + setup.ports().count();
    let daemon = setup.start();
    let client = daemon.client();
    let calls: Vec<Started> = (0..4)
        .map(|call| client.start(&call_sid(call), &[("RecordingChannels", "dual")]))
        .collect();
    let parts = calls.iter().zip(0..).flat_map(|(call, number)| {
        [
            (call.inbound(), 2 * number),
            (call.outbound(), 2 * number + 1),
        ]
        .map(|(to, seed)| Part {
            sender: Sender::new(),
            to,
            script: say(seed, 5, Duration::ZERO),
        })
    });
    let playing = Playing::start(parts.collect());
    playing.wait_until(0, 10);
    // One packet of each kind to each port, over and over: as a stranger begins who looks for a way in.
    let (scanner, mut dice) = (Sender::new(), Dice::new(3));
    let mut rounds = 0_u64;
    while playing.sent(7) < 240 {
        for port in ports.clone() {
            let mut bytes = dice.bytes(172);
            bytes[0] = [0x80, 0x00, 0x16, bytes[1]][dice.below(4)];
            scanner.send(SocketAddr::new(calls[0].inbound().ip(), port), &bytes);
        }
        rounds += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    playing.finish();
    assert!(rounds > 10, "{rounds}");
    for (call, number) in calls.iter().zip(0..) {
        client.stop(call);
        let json = client.wait_completed(&call.sid);
        let wav = client.wav(&call.sid);
        for ((channel, track), seed) in wav
            .dual()
            .into_iter()
            .zip(["inbound", "outbound"])
            .zip([0, 1])
        {
            judge::exact(channel, &tape(2 * number + seed, 5).samples());
            let counts = &json["tracks"][track];
            assert_eq!(
                (
                    &counts["packets"],
                    &counts["lost"],
                    &counts["kernel_dropped"]
                ),
                (&250.into(), &0.into(), &0.into()),
                "{counts}"
            );
            let reasons = ["foreign", "malformed", "stun", "rtcp"];
            let strange: u64 = reasons
                .iter()
                .filter_map(|name| counts[name].as_u64())
                .sum();
            assert_eq!(strange, 2 * rounds, "{counts}");
        }
    }
}
