//! `reeld bench capture` measures a daemon of its own, says so in JSON, and leaves nothing behind,
//! also when it is told to stop in the middle.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reeld_tests::binary::reeld;
use reeld_tests::patience::wait_for;
use reeld_tests::peer;
use serde_json::Value;

const BOUND: Duration = Duration::from_secs(120);

#[test]
fn its_figures_are_of_what_it_sent() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut command = reeld();
    command.args([
        "bench",
        "capture",
        "--calls",
        "3",
        "--seconds",
        "2",
        "--json",
        "--data-dir",
    ]);
    command.arg(folder.path());
    let text = peer::finish("reeld", command, &[], BOUND).success().text();
    let report: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    // Three calls, two tracks, two seconds of 50 packets.
    for (name, value) in [
        ("packets_sent", 600),
        ("packets_recorded", 600),
        ("packets_lost_by_reeld", 0),
        ("packets_dropped_by_kernel", 0),
        ("tracks_exact", 6),
        ("bare_loop_packets", 600),
    ] {
        assert_eq!(report[name], value, "{name} in {report}");
    }
    assert!(report["fetchable_ms_p99"].as_f64() > Some(0.0), "{report}");
    assert_eq!(left_in(folder.path()), 0);
}

#[test]
fn growth_and_busy_encoders_are_held_exact_too() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let measured = |arguments: &[&str]| -> Value {
        let mut command = reeld();
        command.arg("bench").args(arguments);
        command.args(["--json", "--data-dir"]).arg(folder.path());
        let text = peer::finish("reeld", command, &[], BOUND).success().text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    let grown = measured(&["growth", "--calls", "1,2", "--seconds", "1"]);
    for (size, calls) in [(0, 1), (1, 2)] {
        let figures = &grown["sizes"][size];
        assert_eq!(figures["calls"], calls, "{grown}");
        assert_eq!(figures["packets_recorded"], 100 * calls, "{grown}");
        assert_eq!(figures["tracks_exact"], 2 * calls, "{grown}");
    }
    let busy = measured(&["capture", "--calls", "1", "--seconds", "2", "--encode"]);
    assert_eq!(busy["packets_recorded"], 200, "{busy}");
    assert!(busy["mp3s_encoded"].as_u64() > Some(0), "{busy}");
    let encoders = busy["cpu_us_per_packet_by_thread"]["encode"].as_f64();
    assert!(encoders > Some(0.0), "{busy}");
    assert_eq!(left_in(folder.path()), 0);
}

#[test]
fn it_cleans_up_when_it_is_stopped() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut command = reeld();
    command.args([
        "bench",
        "capture",
        "--calls",
        "1",
        "--seconds",
        "600",
        "--data-dir",
    ]);
    command.arg(folder.path());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = peer::spawn("reeld", command);
    // Its daemon is up once there is a credentials file.
    wait_for("the measured daemon", BOUND, || {
        let made = fs::read_dir(folder.path()).ok()?.next()?.ok()?.path();
        made.join("data/credentials.toml").exists().then_some(())
    });
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("pids are small"));
    kill(pid, Signal::SIGTERM).expect("our own child can be signalled");
    let status = peer::bounded_wait("reeld", &mut child, BOUND);
    assert_eq!(status.code(), Some(1), "{status}");
    assert_eq!(left_in(folder.path()), 0);
}

fn left_in(folder: &Path) -> usize {
    fs::read_dir(folder)
        .expect("the folder is still there")
        .count()
}
