//! `reeld demo` records a call with nothing but itself, prints the three representations and leaves
//! files that any player plays.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reeld_tests::binary::reeld;
use reeld_tests::{Wav, peer};

#[test]
fn the_demo_leaves_playable_files() {
    leaves_playable_files(&["demo"]);
}

#[test]
fn the_demo_of_a_recording_client_does_too() {
    leaves_playable_files(&["demo", "--siprec"]);
}

#[test]
fn the_demo_by_a_real_rtpengine_is_the_same_proof() {
    leaves_playable_files(&["demo", "--rtpengine"]);
}

fn leaves_playable_files(args: &[&str]) {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut command = reeld();
    // Where a demo may put its files is its own choice; here that is cleaned up.
    command
        .args(args)
        .current_dir(folder.path())
        .env("TMPDIR", folder.path());
    let run = peer::finish("reeld", command, &[], Duration::from_secs(120)).success();
    let said = run.text();
    let file = |extension: &str| -> PathBuf {
        let mut words = said
            .split_whitespace()
            .map(|word| word.trim_matches(|c| "'\"(),:".contains(c)));
        let path =
            words.find(|word| word.ends_with(extension) && folder.path().join(word).exists());
        folder
            .path()
            .join(path.unwrap_or_else(|| panic!("no {extension} file is named in:\n{said}")))
    };
    let wav = Wav::read(&fs::read(file(".wav")).expect("it can be read"));
    assert!(wav.frames() >= 8_000, "a second at least");
    assert!(
        wav.channels
            .iter()
            .all(|channel| channel.iter().any(|&sample| sample != 0))
    );
    let xml = fs::read_to_string(file(".xml")).expect("it can be read");
    let document = roxmltree::Document::parse(&xml).expect("well-formed XML");
    let duration = document
        .descendants()
        .find(|node| node.has_tag_name("Duration"));
    let seconds: f64 = duration
        .and_then(|node| node.text()?.parse().ok())
        .expect("a Duration");
    let mp3 = file(".mp3").display().to_string();
    let args = [
        "-v",
        "error",
        "-show_entries",
        "format=duration",
        "-of",
        "csv=p=0",
        &mp3,
    ];
    let seen = peer::run("ffprobe", args, &[], Duration::from_secs(30))
        .success()
        .text();
    let seen: f64 = seen.trim().parse().expect("a number");
    let spoken = wav.frames() as f64 / 8_000.0;
    // ffprobe counts LAME's delay too (see mp3.rs).
    assert!(
        (spoken..spoken + 0.25).contains(&seen),
        "{seen} s of MP3, {spoken} s of WAV"
    );
    assert!(
        (spoken - seconds).abs() <= 0.5,
        "{spoken} s of WAV, {seconds} s by the XML"
    );
    assert!(
        said.contains("<Recording>") || said.contains("<Duration>"),
        "the XML is printed:\n{said}"
    );
}
