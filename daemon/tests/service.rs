//! The daemon as systemd runs it: folders by the environment, READY, WATCHDOG and STOPPING over its
//! socket, JSON logs without secrets, and commands that reach it through the data folder's link.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// From the start to READY, and from SIGTERM to the end.
const BOUND: Duration = Duration::from_secs(60);

/// systemd's end of the notification socket.
struct Systemd(UnixDatagram);

impl Systemd {
    /// Waits until the daemon says `what`; returns all that it said until then.
    fn wait_for(&self, what: &str) -> Vec<String> {
        let until = Instant::now() + BOUND;
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} in {said:?}");
            self.0.set_read_timeout(Some(left)).unwrap();
            let Ok(length) = self.0.recv(&mut buffer) else {
                continue;
            };
            let text = String::from_utf8_lossy(&buffer[..length]);
            said.extend(text.lines().map(str::to_owned));
            if said.iter().any(|line| line == what) {
                return said;
            }
        }
    }
}

/// The daemon, killed if a test ends before it does.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Service {
    fn stop(&mut self) -> Option<i32> {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM).unwrap();
        let until = Instant::now() + BOUND;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn command(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reeld"));
    command.args(arguments).current_dir(folder).env_clear();
    command
}

fn said_by(arguments: &[&str], folder: &Path) -> String {
    let output = command(arguments, folder).output().unwrap();
    let (out, error) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{arguments:?}: {out}{error}");
    out
}

#[test]
fn systemd_is_told_and_its_folders_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let (state, runtime) = (folder.path().join("state"), folder.path().join("run"));
    std::fs::create_dir(&state).unwrap();
    std::fs::create_dir(&runtime).unwrap();
    let notify = folder.path().join("notify");
    let systemd = Systemd(UnixDatagram::bind(&notify).unwrap());
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listen = free.local_addr().unwrap().to_string();
    drop(free);
    let mut service = command(&["serve", "--listen", &listen], folder.path());
    service
        .env("STATE_DIRECTORY", &state)
        .env("RUNTIME_DIRECTORY", &runtime)
        .env("NOTIFY_SOCKET", &notify)
        .env("WATCHDOG_USEC", "300000")
        .env("INVOCATION_ID", "0123456789abcdef0123456789abcdef")
        .stderr(Stdio::piped());
    let mut service = Service(service.spawn().unwrap());
    systemd.wait_for("READY=1");
    systemd.wait_for("WATCHDOG=1");

    // One who knows the data folder alone finds the socket in the runtime folder.
    let link = state.join("reeld.sock");
    assert_eq!(
        std::fs::read_link(&link).unwrap(),
        runtime.join("reeld.sock")
    );
    let data = state.to_str().unwrap();
    let status = said_by(&["status", "--data-dir", data], folder.path());
    assert!(
        status.contains(&format!("process {}", service.0.id())),
        "{status}"
    );
    let made = said_by(&["account", "add", "--data-dir", data], folder.path());
    let token = made
        .lines()
        .find_map(|line| line.strip_prefix("auth_token = \""))
        .unwrap();
    let token = token.trim_end_matches('"');

    let mut log = service.0.stderr.take().unwrap();
    assert_eq!(service.stop(), Some(0));
    systemd.wait_for("STOPPING=1");
    assert!(!link.is_symlink() && !runtime.join("reeld.sock").exists());
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            line["level"].is_string() && line["message"].is_string(),
            "{line}"
        );
    }
    let credentials = std::fs::read_to_string(state.join("credentials.toml")).unwrap();
    let first = credentials.split('"').nth(3).unwrap();
    assert!(text.contains("credentials.toml"), "{text}");
    assert!(
        !text.contains(first) && !text.contains(token),
        "a token is in the log"
    );
    let listed = said_by(&["account", "list", "--data-dir", data], folder.path());
    assert_eq!(listed.lines().count(), 2, "{listed}");
}
