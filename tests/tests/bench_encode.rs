//! `reeld bench encode` holds reeld's MP3 against the `lame` command's: the same bytes, and no less
//! throughput. It says so in JSON, and leaves nothing behind.

use std::fs;
use std::time::Duration;

use reeld_tests::binary::reeld;
use reeld_tests::peer;
use serde_json::Value;

const BOUND: Duration = Duration::from_secs(120);

/// Short, so that the start of the `lame` command, which counts as its own, is a good part of it: what
/// the figures are is a matter of longer ones.
const SECONDS: &str = "20";

#[test]
fn it_compares_with_lame_at_the_same_settings() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut command = reeld();
    command.args(["bench", "encode", "--seconds", SECONDS, "--runs", "2"]);
    command.args(["--json", "--data-dir"]);
    command.arg(folder.path());
    let text = peer::finish("reeld", command, &[], BOUND).success().text();
    let report: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let encodings = report["encodings"].as_array().expect("a list");
    let of = |format: &str, channels: u64| {
        encodings
            .iter()
            .find(|of| of["format"] == format && of["channels"] == channels)
            .unwrap_or_else(|| panic!("no {format} of {channels} in {report}"))
    };
    for (channels, mode, kbps) in [(1, "m", "32"), (2, "s", "48")] {
        let mp3 = of("mp3", channels);
        let command = mp3["lame"]["command"].as_str().expect("a command line");
        for setting in [
            format!("-m {mode} "),
            format!("-b {kbps} "),
            "-q 7 ".to_owned(),
            "--resample 8 ".to_owned(),
        ] {
            assert!(command.contains(&setting), "no {setting:?} in {command}");
        }
        let ratio = mp3["ratio"].as_f64().expect("a ratio");
        assert!(ratio >= 0.95, "{report}");
        for speed in [
            &mp3["reeld"],
            &mp3["lame"]["speed"],
            &of("opus", channels)["reeld"],
        ] {
            let [least, median, most] =
                ["least", "median", "most"].map(|name| speed[name].as_f64().expect("a speed"));
            assert!(1.0 < least && least <= median && median <= most, "{speed}");
        }
    }
    assert_eq!(encodings.len(), 4, "{report}");
    let left = fs::read_dir(folder.path()).expect("the folder is still there");
    assert_eq!(left.count(), 0);
}

#[test]
fn without_lame_it_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut command = reeld();
    command.args(["bench", "encode", "--seconds", "1", "--runs", "1"]);
    command.arg("--data-dir").arg(folder.path());
    command.env("PATH", folder.path());
    let run = peer::finish("reeld", command, &[], BOUND);
    assert_eq!(run.status.code(), Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("package lame"), "{}", run.stderr);
    let left = fs::read_dir(folder.path()).expect("the folder is still there");
    assert_eq!(left.count(), 0);
}
