//! A restart in mid-call, by a supervisor that keeps descriptors as systemd does: the same recordings go on,
//! and no packet is lost.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use reeld_tests::client::{Client, Started, call_sid};
use reeld_tests::daemon::Daemon;
use reeld_tests::receiver::{Answer, Receiver};
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{MediaKind, Sender, Setup, Tape, Voice, for_each_media, judge};

for_each_media!(the_same_recordings_go_on_and_no_packet_is_lost);

/// Packets of each track.
const PACKETS: usize = 400;

/// Both tracks of each call, spread over a packet's time.
fn parts(started: &[Started]) -> (Vec<Part>, Vec<Tape>) {
    let tracks = started
        .iter()
        .flat_map(|one| [one.inbound(), one.outbound()]);
    let count = 2 * started.len() as u64;
    let parts = (0..count).zip(tracks).map(|(seed, to)| {
        let tape = Tape::noise(Law::Mu, seed, PACKETS * 160);
        let mut script = Voice::new(seed).say(tape.codes());
        let offset = Duration::from_micros(seed * 20_000 / count);
        script.0.iter_mut().for_each(|cue| cue.at += offset);
        let sender = Sender::new();
        (Part { sender, to, script }, tape)
    });
    parts.unzip()
}

fn assert_exact(client: &Client, started: &[Started], tapes: &[Tape], ended_by: &str) {
    for (call, started) in started.iter().enumerate() {
        let json = client.wait_completed(&started.sid);
        assert_eq!(json["ended_by"], ended_by, "{json}");
        assert_eq!(json["recovered"], false, "{json}");
        let wav = client.wav(&started.sid);
        for (track, name) in ["inbound", "outbound"].into_iter().enumerate() {
            judge::exact(wav.dual()[track], &tapes[2 * call + track].samples());
            let counts = &json["tracks"][name];
            assert_eq!(counts["packets"], PACKETS, "call {call}, {name}: {counts}");
            for lost in ["lost", "late", "foreign", "kernel_dropped"] {
                assert_eq!(counts[lost], 0, "call {call}, {name}, {lost}: {counts}");
            }
        }
    }
}

fn start(client: &Client, calls: u64, form: &[(&str, &str)]) -> Vec<Started> {
    let dual = [("RecordingChannels", "dual")];
    let form = [&dual, form].concat();
    let calls = 0..calls;
    calls
        .map(|call| client.start(&call_sid(call), &form))
        .collect()
}

fn the_same_recordings_go_on_and_no_packet_is_lost(media: MediaKind) {
    // By hand, REELD_RESTARTED_CALLS=500: how long they take is printed.
    let calls = std::env::var("REELD_RESTARTED_CALLS");
    let calls = calls.map_or(30, |calls| calls.parse().expect("a number"));
    let receiver = Receiver::start(|_| Answer::of(200));
    let setup = Setup::with_ports(u16::try_from(4 * (calls + 2)).expect("few"));
    let setup = setup
        .media(media)
        .set("callbacks.allow", vec!["loopback"])
        // What is late by more is not heard: two daemons that start beside a busy disk held up our own sender.
        .set("capture.reorder_window", "2s")
        .supervised(Vec::new());
    let mut daemon = setup.start();
    let client = daemon.client().clone();
    let url = receiver.url("/status");
    let form = [
        ("RecordingStatusCallback", &*url),
        ("RecordingStatusCallbackEvent", "in-progress completed"),
    ];
    let started = start(&client, calls, &form);
    let (parts, tapes) = parts(&started);
    let playing = Playing::start(parts);
    for sent in [PACKETS / 4, PACKETS / 2] {
        playing.wait_until(0, sent);
        let since = Instant::now();
        assert!(daemon.terminate().success());
        let ended = since.elapsed();
        assert_eq!(
            daemon.supervisor().names(),
            ["reeld-api", "reeld-sockets", "reeld-state"]
        );
        daemon.start_again();
        println!(
            "{calls} calls: {ended:?} to the end, {:?} until the next takes calls",
            since.elapsed()
        );
        // What was taken is not kept: the next start would find it.
        assert!(daemon.supervisor().names().is_empty());
        assert!(
            daemon
                .supervisor()
                .said()
                .iter()
                .any(|said| said.trim() == "BARRIER=1")
        );
    }
    for one in &started {
        assert_eq!(client.recording(&one.sid)["status"], "processing");
    }
    let sent = playing.finish();
    let gaps = sent[0].windows(2).map(|pair| pair[1] - pair[0]);
    println!("the sender's longest gap: {:?}", gaps.max());
    for one in &started {
        client.stop(one);
    }
    assert_exact(&client, &started, &tapes, "stopped");
    let told = receiver.wait(2 * started.len());
    assert_eq!(told.len(), 2 * started.len());
    let log = daemon.log();
    assert!(!log.contains("ERROR"), "{log}");
    assert!(daemon.terminate().success());
    daemon.command(&["verify"]).success();
}

/// Two calls, and a daemon that has handed them over.
fn handed_over() -> (Daemon, Vec<Started>, Vec<Tape>) {
    let mut daemon = Setup::new().supervised(Vec::new()).start();
    let started = start(daemon.client(), 2, &[]);
    let (parts, tapes) = parts(&started);
    Playing::start(parts).finish();
    assert!(daemon.terminate().success());
    (daemon, started, tapes)
}

#[test]
fn calls_that_nobody_takes_up_have_ended_in_order() {
    let (mut daemon, started, tapes) = handed_over();
    daemon.supervisor().kept().clear();
    daemon.start_again();
    assert_exact(daemon.client(), &started, &tapes, "shutdown");
}

#[test]
fn a_state_that_cannot_be_read_costs_no_recording_and_closes_the_sockets() {
    let (mut daemon, started, tapes) = handed_over();
    {
        let mut kept = daemon.supervisor().kept();
        let state = kept.iter_mut().find(|(name, _)| name == "reeld-state");
        let mut other = tempfile::tempfile().expect("a temporary file");
        other
            .write_all(b"\x81\xa7version\x63")
            .expect("it can be written");
        state.expect("it was kept").1 = other.into();
        let stray = File::open("/dev/null").expect("every Linux has it");
        kept.push(("stray".to_owned(), stray.into()));
    }
    daemon.start_again();
    let log = daemon.log();
    assert!(
        log.contains("state is of version 99, and this is version 1"),
        "{log}"
    );
    assert!(
        log.contains("a descriptor without a state was passed"),
        "{log}"
    );
    assert_exact(daemon.client(), &started, &tapes, "shutdown");
    // Its ports are free again.
    let other = daemon.client().start(&call_sid(9), &[]);
    daemon.client().stop(&other);
}

#[test]
fn who_connects_during_a_restart_waits() {
    let (mut daemon, ..) = handed_over();
    let address = daemon
        .client()
        .base()
        .trim_start_matches("http://")
        .to_owned();
    let mut early = TcpStream::connect(&address).expect("the supervisor has the listener");
    early
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: reeld\r\nConnection: close\r\n\r\n")
        .expect("it is connected");
    daemon.start_again();
    let mut answer = String::new();
    early.read_to_string(&mut answer).expect("it is answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn the_api_listens_where_a_socket_unit_says() {
    let setup = Setup::new();
    // Whom it is passed to cannot bind it.
    let address = (Ipv4Addr::LOCALHOST, setup.ports().first());
    let listener = TcpListener::bind(address).expect("the port is the test's");
    let mut daemon = setup
        .supervised(vec![("api".to_owned(), listener.into())])
        .start();
    // It is the unit's, and not stored again.
    assert!(daemon.terminate().success());
    assert_eq!(daemon.supervisor().names(), ["api"]);
    daemon.start_again();
    assert_eq!(daemon.client().get_public("/healthz").status, 200);
    assert!(
        daemon
            .log()
            .contains("the API listens where its socket unit says")
    );
}
