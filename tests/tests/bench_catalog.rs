//! `reeld bench catalog` asks a daemon of its own for lists that are as long as they were to be, says in
//! JSON what they took, and leaves nothing behind. Its bounds are those of a million recordings and no
//! test's matter.

use std::fs;
use std::time::Duration;

use reeld_tests::binary::reeld;
use reeld_tests::peer;
use serde_json::Value;

/// On a machine with other work too; alone it takes a tenth.
const BOUND: Duration = Duration::from_secs(400);

#[test]
fn its_figures_are_of_both_shapes_and_of_every_kind() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut command = reeld();
    command.args([
        "bench",
        "catalog",
        "--recordings",
        "2000",
        "--inserts",
        "40",
    ]);
    command.args(["--writers", "4", "--requests", "3", "--json", "--data-dir"]);
    command.arg(folder.path());
    let text = peer::finish("reeld", command, &[], BOUND).success().text();
    let report: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(report["recordings"], 2_000, "{report}");
    for shape in ["over_a_year", "in_one_day"] {
        let of = &report[shape];
        let lists = of["lists"].as_array().expect("kinds of lists");
        assert!(lists.len() > 15, "{report}");
        for list in lists {
            assert_eq!(list["requests"], 3, "{report}");
            assert!(list["ms_p99"].as_f64().expect("a time") > 0.0, "{report}");
        }
        assert_eq!(of["deletes"]["requests"], 40, "{report}");
        for figure in ["start_ms", "start_after_crash_ms", "fill_a_second"] {
            assert!(of[figure].as_f64().expect("a figure") > 0.0, "{report}");
        }
        assert!(of["resident_bytes_after"].as_u64().expect("bytes") > 1 << 20);
        // A record and its places have more than 300 bytes.
        assert!(of["disk_bytes"].as_u64().expect("bytes") > 2_000 * 300);
    }
    let left = fs::read_dir(folder.path()).expect("the folder is still there");
    assert_eq!(left.count(), 0);
}
