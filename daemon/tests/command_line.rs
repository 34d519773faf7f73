//! The command line as a shell sees it, without a daemon: exit codes, what goes to which stream, one
//! line for a failure.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;
use std::process::{Command, Output};

fn reeld(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reeld"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn bad_usage_is_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["nope"][..],
        &[],
        &["account"],
        &["account", "remove", "me"],
        &["verify", "--fast"],
        &["serve", "--port", "1"],
    ] {
        let output = reeld(arguments, folder.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            !output.stderr.is_empty() && output.stdout.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn help_is_there_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        "serve",
        "account",
        "check-config",
        "verify",
        "status",
        "demo",
    ] {
        let output = reeld(&[command, "--help"], folder.path());
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(text(&output.stdout).contains("Usage: reeld"), "{command}");
    }
}

#[test]
fn a_failure_is_1_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["account", "list"][..],
        &["verify"],
        &["verify", "--rebuild"],
        &["status"],
        &["serve", "--config", "none.toml"],
        &["serve", "--listen", "nowhere"],
    ] {
        let output = reeld(arguments, folder.path());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(
            said.starts_with("reeld: ") && said.lines().count() == 1,
            "{arguments:?}: {said}"
        );
    }
    // Nothing was made by asking for what is not there.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn check_config_says_ok_and_what_a_crash_costs() {
    let folder = tempfile::tempdir().unwrap();
    let output = reeld(&["check-config"], folder.path());
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    assert!(said.starts_with("ok\n"), "{said}");
    assert!(
        said.contains("kill -9 costs") && said.contains("power loss costs"),
        "{said}"
    );
}

#[test]
fn check_config_lists_every_problem_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reeld.toml");
    std::fs::write(&file, "[api]\nlisten = 'here'\n\n[captrue]\n").unwrap();
    let output = reeld(&["check-config", "reeld.toml"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<&str> = text(&output.stderr).lines().collect();
    assert!(
        lines[0].starts_with("reeld.toml:2: api.listen: \"here\" is no address"),
        "{lines:?}"
    );
    assert_eq!(
        lines[1],
        "reeld.toml:4: captrue: there is no such key; the nearest is capture"
    );
    assert_eq!(lines.len(), 2);
}
