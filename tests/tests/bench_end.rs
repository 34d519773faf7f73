//! `reeld bench end` measures ends of recordings whose lengths it was told, short ones through the API
//! and long ones out of virtual time, says so in JSON, and leaves nothing behind.

use std::fs;
use std::time::Duration;

use reeld_tests::binary::reeld;
use reeld_tests::peer;
use serde_json::Value;

const BOUND: Duration = Duration::from_secs(120);

#[test]
fn its_figures_are_of_recordings_as_long_as_they_were_to_be() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut command = reeld();
    command.args([
        "bench",
        "end",
        "--calls",
        "3",
        "--ends",
        "2",
        "--seconds",
        "2",
    ]);
    command.args(["--long-seconds", "600", "--json", "--data-dir"]);
    command.arg(folder.path());
    let text = peer::finish("reeld", command, &[], BOUND).success().text();
    let report: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(report["calls"], 3, "{report}");
    for (kind, least, most) in [
        ("short", 2, 10),
        ("short_virtual", 2, 2),
        ("long_virtual", 600, 600),
    ] {
        let of = &report[kind];
        assert_eq!(of["ends"], 2, "{kind} in {report}");
        for length in of["seconds"].as_array().into_iter().flatten() {
            let length = length.as_u64().expect("whole seconds");
            assert!((least..=most).contains(&length), "{kind} in {report}");
        }
        let figure = |name: &str| of[name].as_f64().expect("a time");
        assert!(figure("callback_ms_p50") > 0.0, "{kind} in {report}");
        assert!(
            figure("fetchable_ms_p50") > figure("callback_ms_p50"),
            "{kind} in {report}"
        );
        assert!(
            figure("fetchable_ms_most") >= figure("fetchable_ms_p99"),
            "{kind} in {report}"
        );
    }
    let left = fs::read_dir(folder.path()).expect("the folder is still there");
    assert_eq!(left.count(), 0);
}
