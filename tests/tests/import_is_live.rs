//! A capture that is played live into the daemon and the same capture imported: the same samples
//! within each segment, the same keys and counts, each segment within 20 ms of the other's place.

use std::path::PathBuf;

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::{Client, Daemon, Sender, Setup, capture_file, reference};
use serde_json::Value;

/// 20 ms at 8 kHz.
const NEAR: usize = 160;

/// What a recording says of its track that does not depend on when packets came to the millisecond.
const COUNTS: [&str; 17] = [
    "packets",
    "payload_bytes",
    "lost",
    "reordered",
    "duplicates",
    "late",
    "foreign",
    "malformed",
    "stun",
    "rtcp",
    "undecodable",
    "undecodable_types",
    "events",
    "comfort_noise",
    "segments",
    "kernel_dropped",
    "codecs",
];

fn captures() -> Vec<(PathBuf, Law)> {
    let shared = [
        "freeswitch-milliwatt.pcmu.rtp.pcap",
        "asterisk-ulaw-dtmf-2013785496.pcap",
    ];
    let mut captures: Vec<_> = shared
        .into_iter()
        .filter_map(|name| Some((capture_file::shared(name)?, Law::Mu)))
        .collect();
    captures.push((capture_file::of_sipp("g711a.pcap"), Law::A));
    captures
}

fn of_keys() -> Vec<PathBuf> {
    [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "star", "pound",
    ]
    .map(|key| capture_file::of_sipp(&format!("dtmf_2833_{key}.pcap")))
    .to_vec()
}

/// What the import said of the file, and the Sid of the recording that it made.
fn import(daemon: &Daemon, path: &std::path::Path) -> (String, Option<String>) {
    let run = daemon
        .command(&["import", &path.display().to_string()])
        .success();
    let sid = run
        .text()
        .split_whitespace()
        .find(|word| word.starts_with("RE"))
        .map(str::to_owned);
    (run.stderr.clone(), sid)
}

/// Plays all of them at once, each into a call of its own; the Sids of what was recorded.
fn play(client: &Client, paths: &[PathBuf]) -> Vec<String> {
    let playing: Vec<_> = paths
        .iter()
        .zip(1..)
        .map(|(path, number)| {
            let started = client.start(&call_sid(number), &[("RecordingTrack", "inbound")]);
            let playing = Sender::new().start(started.inbound(), capture_file::read(path));
            (started, playing)
        })
        .collect();
    playing
        .into_iter()
        .map(|(started, playing)| {
            playing.finish();
            client.stop(&started);
            started.sid
        })
        .collect()
}

fn assert_same_counts(name: &str, live: &Value, imported: &Value) {
    for count in COUNTS {
        let [live, imported] = [live, imported].map(|record| &record["tracks"]["inbound"][count]);
        assert!(!live.is_null(), "{name}: {count} is not there");
        assert_eq!(live, imported, "{name}: {count}");
    }
    assert_eq!(live["digits"], imported["digits"], "{name}");
}

/// Where each sounding run of `reference` lies in `heard`, in order.
///
/// # Panics
/// When a run is not there, sample for sample.
fn places(name: &str, heard: &[i16], reference: &[i16]) -> Vec<usize> {
    let (mut places, mut from) = (Vec::new(), 0);
    for run in runs(reference) {
        let found = heard[from..]
            .windows(run.len())
            .position(|window| window == run);
        let at = from + found.unwrap_or_else(|| panic!("{name}: a segment is not in the file"));
        places.push(at);
        from = at + run.len();
    }
    places
}

/// Runs of sound with 100 ms of silence or more between them.
fn runs(samples: &[i16]) -> Vec<&[i16]> {
    let sounds: Vec<usize> = (0..samples.len()).filter(|&at| samples[at] != 0).collect();
    let mut runs = Vec::new();
    let mut first = 0;
    for place in 0..sounds.len() {
        if sounds
            .get(place + 1)
            .is_none_or(|next| next - sounds[place] > 800)
        {
            runs.push(&samples[sounds[first]..=sounds[place]]);
            first = place + 1;
        }
    }
    runs
}

#[test]
fn sound_keys_and_counts_are_the_same() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let captures = captures();
    let paths: Vec<_> = captures.iter().map(|(path, _)| path.clone()).collect();
    let lived = play(client, &paths);
    for ((path, law), lived) in captures.iter().zip(lived) {
        let name = path.display().to_string();
        let (_, imported) = import(&daemon, path);
        let imported = imported.expect("it has sound");
        let record = client.wait_completed(&lived);
        assert_same_counts(&name, &record, &client.recording(&imported));
        let packets = capture_file::packets(&capture_file::read(path));
        let reference = reference::placed(*law, &packets);
        let [one, other] = [&lived, &imported].map(|sid| client.wav(sid).mono().to_vec());
        let [one, other] = [one, other].map(|heard| places(&name, &heard, &reference));
        for (one, other) in one.iter().zip(&other) {
            assert!(
                one.abs_diff(*other) <= NEAR,
                "{name}: {one} live, {other} imported"
            );
        }
    }
}

#[test]
fn keys_alone_are_the_same() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let paths = of_keys();
    let lived = play(client, &paths);
    for (path, lived) in paths.iter().zip(lived) {
        let record = client.wait_status(&lived, "absent");
        let digits = record["digits"].as_str().expect("it has keys");
        assert_eq!(digits.len(), 1, "{record}");
        let (told, _) = import(&daemon, path);
        assert!(
            told.contains(&format!("the keys {digits}\n")),
            "{}: {told}",
            path.display()
        );
    }
}
