//! `reeld bench http` downloads the same files from a daemon and from nginx, says in JSON what each
//! cost, ends both, and leaves nothing behind. Which of them is cheaper is no test's matter.

use std::fs;
use std::time::Duration;

use reeld_tests::binary::reeld;
use reeld_tests::peer;
use serde_json::Value;

const BOUND: Duration = Duration::from_secs(120);

#[test]
fn its_figures_are_of_both_servers() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut command = reeld();
    command.args(["bench", "http", "--files", "2", "--runs", "1"]);
    command.args(["--seconds", "1", "--json", "--data-dir"]);
    command.arg(folder.path());
    // It fails where it misses its bound, which a build for tests may.
    let text = peer::finish("reeld", command, &[], BOUND).text();
    let report: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let rate = |server: &str| {
        let median = report[server]["bytes_per_cpu_second_median"].as_f64();
        median.unwrap_or_else(|| panic!("no rate of {server} in {report}"))
    };
    // Less than a modem's, or more than memory's, is no measurement.
    for server in ["reeld", "nginx"] {
        assert!((1e6..1e11).contains(&rate(server)), "{report}");
    }
    let ratio = report["ratio"].as_f64().expect("a ratio");
    assert!(
        (ratio - rate("reeld") / rate("nginx")).abs() < 0.01,
        "{report}"
    );
    let left = fs::read_dir(folder.path()).expect("the folder is still there");
    assert_eq!(left.count(), 0);
}
