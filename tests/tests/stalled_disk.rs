//! A disk that stands still for 5 s under calls: no packet is lost, every file is exact and whole, sound
//! waits in bounded memory, and meanwhile no recording is begun and `/readyz` says why. `reeld bench
//! stall` runs the daemon on a disk of its own for that, with as many calls as it is told.

use std::time::Duration;

use reeld_tests::binary::reeld;
use reeld_tests::peer;
use serde_json::Value;

const BOUND: Duration = Duration::from_secs(180);

const CALLS: u64 = 50;
/// Of each call, the stall in its middle.
const SECONDS: u64 = 13;

#[test]
fn a_disk_that_stands_still_costs_memory_alone() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut command = reeld();
    command.args(["bench", "stall", "--json", "--stall-seconds", "5"]);
    command.args(["--calls", &CALLS.to_string(), "--data-dir"]);
    command.arg(folder.path());
    let text = peer::finish("reeld", command, &[], BOUND).success().text();
    let report: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let packets = CALLS * 2 * SECONDS * 50;
    for (name, value) in [
        ("packets_sent", packets),
        ("packets_recorded", packets),
        ("packets_dropped_by_kernel", 0),
        ("tracks_exact", 2 * CALLS),
        ("frames_overrun", 0),
        ("findings", 0),
    ] {
        assert_eq!(report[name], value, "{name}: {text}");
    }
    let number = |name: &str| {
        report[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {text}"))
    };
    // 32,000 bytes a second and call: what came while nothing was written, and no more than a block
    // of each call besides.
    let second = (CALLS * 32_000) as f64;
    let waited = number("backlog_bytes_peak") / second;
    assert!((3.0..7.0).contains(&waited), "{waited} s: {text}");
    // Sound has waited for 2 s when the disk counts as standing still.
    let unready = number("unready_after_ms");
    assert!((1_500.0..4_500.0).contains(&unready), "{text}");
    assert!(number("caught_up_ms") < 5_000.0, "{text}");
    let refused = report["refused"].as_str().expect("a start was refused");
    assert!(refused.contains("for the disk"), "{refused}");
}
