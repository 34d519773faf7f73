//! A bad configuration is named by file, line, key and reason, by `reeld check-config` and by
//! `reeld serve`, which has opened no port then. Bad usage is exit code 2, a failure is 1.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use reeld_tests::binary::reeld;
use reeld_tests::peer::{self, Finished};

/// A file, the line that is wrong in it, its key, and words of the reason.
const BAD: &[(&str, usize, &str, &[&str])] = &[
    (
        "[capture]\nmax_recording = 3\n",
        2,
        "max_recording",
        &["max_recordings"],
    ),
    ("\n[captur]\nfsync = \"1s\"\n", 2, "captur", &["capture"]),
    (
        "[capture]\nmax_recordings = \"many\"\n",
        2,
        "capture.max_recordings",
        &[],
    ),
    (
        "[capture]\nmax_recordings = 0\n",
        2,
        "capture.max_recordings",
        &[],
    ),
    (
        "[capture]\nfsync = \"soon\"\n",
        2,
        "capture.fsync",
        &["soon"],
    ),
    (
        "[media]\nports = \"30000-20000\"\n",
        2,
        "media.ports",
        &["30000-20000"],
    ),
    (
        "[media]\nallow = [\"everybody\"]\n",
        2,
        "media.allow",
        &["everybody"],
    ),
    (
        "[api]\nmedia_auth = \"maybe\"\n",
        2,
        "api.media_auth",
        &["public", "required"],
    ),
    (
        "[api]\ntimezone = \"Mars/Olympus\"\n",
        2,
        "api.timezone",
        &["Mars/Olympus"],
    ),
    (
        "[store]\ncatalog = \"postgres://db\"\n",
        2,
        "store.catalog",
        &["not built"],
    ),
    (
        "[store]\nmedia = \"s3://bucket\"\n",
        2,
        "store.media",
        &["not built"],
    ),
    ("[sip]\nroutes = [\"AC1=\"]\n", 2, "sip.routes", &["AC"]),
    (
        "[rtpengine]\naccount = \"AC1\"\n",
        2,
        "rtpengine.account",
        &["AC"],
    ),
    (
        "[api]\ntls_cert = \"/tmp/c.pem\"\n",
        2,
        "api.tls_cert",
        &["api.tls_key"],
    ),
    (
        "[[accounts]]\nsid = \"AC1\"\nauth_token_file = \"t\"\n",
        2,
        "sid",
        &["AC1"],
    ),
    ("[capture\n", 1, "", &[]),
    (
        "[log]\nlevel = \"info\"\nlevel = \"warn\"\n",
        3,
        "level",
        &["duplicate"],
    ),
];

const BOUND: Duration = Duration::from_secs(30);

fn run(args: &[&str], env: &[(&str, &str)]) -> Finished {
    let mut command = reeld();
    command.args(args).envs(env.iter().copied());
    peer::finish("reeld", command, &[], BOUND)
}

/// Writes a file whose last table is the bad one: the API's port is one that is taken already, so
/// that a daemon that opens it first speaks of that instead.
fn serve(folder: &Path, text: &str, listen: &str, env: &[(&str, &str)]) -> Finished {
    let file = folder.join("reeld.toml");
    fs::write(&file, text).expect("the temporary folder can be written");
    let data = folder.join("data").display().to_string();
    let file = file.display().to_string();
    run(
        &[
            "serve",
            "--config",
            &file,
            "--data-dir",
            &data,
            "--listen",
            listen,
        ],
        env,
    )
}

#[test]
fn each_mistake_is_named_before_a_port_is_opened() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    let listen = taken.local_addr().expect("it is bound").to_string();
    for (text, line, key, reasons) in BAD {
        let served = serve(folder.path(), text, &listen, &[]);
        let file = folder.path().join("reeld.toml").display().to_string();
        let checked = run(&["check-config", &file], &[]);
        for (name, run) in [("serve", served), ("check-config", checked)] {
            let said = format!("{}{}", run.text(), run.stderr);
            assert_eq!(run.status.code(), Some(1), "{name} of {text}: {said}");
            let place = format!("{file}:{line}");
            assert!(
                said.contains(&place),
                "{name} of {text}: no {place} in {said}"
            );
            for word in [key].into_iter().chain(*reasons) {
                let found = said.to_lowercase().contains(&word.to_lowercase());
                assert!(found, "{name} of {text}: no {word} in {said}");
            }
            assert!(
                !said.contains("in use"),
                "{name} of {text} opened the port: {said}"
            );
        }
        assert!(
            !folder.path().join("data").exists(),
            "{text}: nothing was made"
        );
    }
}

#[test]
fn a_bad_variable_is_named() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    for (name, value) in [
        ("REELD_CAPTURE__FSYNC", "soon"),
        ("REELD_CAPTURE__FSNC", "1s"),
    ] {
        let run = serve(folder.path(), "", "127.0.0.1:0", &[(name, value)]);
        assert_eq!(run.status.code(), Some(1), "{}", run.stderr);
        assert!(run.stderr.contains(name), "{name}: {}", run.stderr);
    }
}

#[test]
fn a_missing_file_is_named() {
    for command in [
        &["serve", "--config", "/nowhere/reeld.toml"][..],
        &["check-config", "/nowhere/reeld.toml"],
    ] {
        let run = run(command, &[]);
        assert_eq!(run.status.code(), Some(1), "{}", run.stderr);
        let said = format!("{}{}", run.text(), run.stderr);
        assert!(said.contains("/nowhere/reeld.toml"), "{said}");
    }
}

#[test]
fn a_good_file_is_good_and_bad_usage_is_2() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let file = folder.path().join("reeld.toml");
    fs::write(&file, "[api]\nlisten = \"127.0.0.1:8080\"\n").expect("it can be written");
    let checked = run(&["check-config", &file.display().to_string()], &[]).success();
    let said = format!("{}{}", checked.text(), checked.stderr);
    // What a crash and what a loss of power cost (design.md, "Nothing lost").
    assert!(
        said.contains("kill -9") && said.contains("power loss"),
        "{said}"
    );
    for args in [
        &["serve", "--nonsense"][..],
        &["nonsense"],
        &["account", "nonsense"],
        &[],
    ] {
        let run = run(args, &[]);
        assert_eq!(run.status.code(), Some(2), "{args:?}: {}", run.stderr);
    }
    for command in ["serve", "demo", "account", "check-config", "verify"] {
        let help = run(&[command, "--help"], &[]).success();
        assert!(help.text().contains("Usage"), "{command}: {}", help.text());
    }
}
