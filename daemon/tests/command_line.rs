//! The command line as a shell sees it, without a daemon: exit codes, what goes to which stream, one
//! line for a failure.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command, Output};

/// The user and group that own nothing, on every Linux.
const NOBODY: u32 = 65_534;

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
        &["show"],
        &["show", "RE1"],
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
        "show",
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
        &["show", "RE00000000000000000000000000000000"],
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

/// As under `DynamicUser`: the folder is another user's, behind one that root alone can pass.
#[test]
fn root_works_as_the_owner_of_the_folder() {
    let outer = tempfile::tempdir().unwrap();
    if std::fs::metadata(outer.path()).unwrap().uid() != 0 {
        println!("skipped: only root can become another user");
        return;
    }
    let folder = outer.path().join("data");
    std::fs::create_dir(&folder).unwrap();
    chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    let data = folder.to_str().unwrap();
    for arguments in [
        &["account", "add", "main", "--data-dir", data][..],
        &["account", "list", "--data-dir", "data"],
        &["verify", "--data-dir", "./data"],
        &["verify", "--rebuild", "--data-dir", data],
    ] {
        let output = reeld(arguments, outer.path());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
    let mut folders = vec![folder];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(
                entry.metadata().unwrap().uid(),
                NOBODY,
                "{}",
                entry.path().display()
            );
            files += 1;
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert!(files > 3, "{files}");
}

#[test]
fn the_demo_proves_itself_and_leaves_files_that_play() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_reeld"))
        .arg("demo")
        .env_clear()
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let said = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{said}{}",
        text(&output.stderr)
    );
    assert!(said.contains("All is as it has to be"), "{said}");
    for (extension, start) in [("wav", &b"RIFF"[..]), ("mp3", b"\xff"), ("xml", b"<")] {
        let file = said
            .lines()
            .find(|line| line.starts_with("  /") && line.ends_with(extension));
        let file = std::fs::read(file.unwrap().trim()).unwrap();
        assert!(file.starts_with(start), "{extension}");
    }
    // The daemon ended in order: its socket is gone and its folder is whole.
    let demo = std::fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let data = demo.join("data");
    assert!(!data.join("reeld.sock").exists());
    let verified = reeld(
        &["verify", "--data-dir", data.to_str().unwrap()],
        folder.path(),
    );
    let said = text(&verified.stdout);
    let is_whole = said.starts_with("1 recordings whole, ") && said.ends_with(", 0 findings\n");
    assert!(is_whole, "{said}");
}
