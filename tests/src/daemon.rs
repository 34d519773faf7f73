//! A daemon of a test's own: the binary `reeld serve` on a temporary folder and ports of its own.
//!
//! [`Setup`] says how it is configured and starts it; [`Daemon`] is the running process. What it
//! writes to stderr is kept, printed when the test fails, and searched at the end: a panic of any
//! of its threads, or a token in the log, fails every test.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use toml::{Table, Value};

use crate::client::Client;
use crate::patience::wait_for;
use crate::peer::{self, Finished};
use crate::port_block::PortBlock;

/// From the start of the process to `/readyz`: recovery of all a test left is within it.
const READY_BOUND: Duration = Duration::from_secs(60);
/// From SIGTERM to the end of the process.
const STOP_BOUND: Duration = Duration::from_secs(60);
/// A command line that talks to the daemon or opens the folder itself.
const COMMAND_BOUND: Duration = Duration::from_secs(120);

/// `store.media`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// Plain files.
    Local,
    /// In sled.
    Sled,
}

impl MediaKind {
    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Sled => "sled",
        }
    }
}

/// How a daemon is configured: what a test says, over defaults that keep tests apart.
#[derive(Debug)]
pub struct Setup {
    folder: Arc<TempDir>,
    ports: PortBlock,
    table: Table,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// A daemon with room for 16 calls of two tracks, and time for their ports to rest.
    #[must_use]
    pub fn new() -> Self {
        Self::with_ports(128)
    }

    /// A daemon with so many media ports: four a call.
    ///
    /// # Panics
    /// When there is no temporary folder or no free ports.
    #[must_use]
    pub fn with_ports(count: u16) -> Self {
        let folder = tempfile::Builder::new().prefix("reeld-test-").tempdir();
        let ports = PortBlock::take(count);
        let mut setup = Self {
            folder: Arc::new(folder.expect("the temporary folder can be written")),
            ports,
            table: Table::new(),
        };
        let listen = format!("{}:{}", Ipv4Addr::LOCALHOST, setup.ports.first());
        let range = setup.ports.range();
        let data = setup.data_dir().display().to_string();
        setup = setup
            .set("data_dir", data)
            .set("api.listen", listen)
            .set("media.ports", range);
        setup
    }

    /// With this media store.
    #[must_use]
    pub fn media(self, kind: MediaKind) -> Self {
        self.set("store.media", kind.as_str())
    }

    /// With this value at this key (`capture.max_recordings`).
    ///
    /// # Panics
    /// When a part of the key before the last names a value.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        let mut parts: Vec<&str> = key.split('.').collect();
        let last = parts.pop().unwrap_or(key);
        let mut table = &mut self.table;
        for part in parts {
            let entry = table
                .entry(part)
                .or_insert_with(|| Value::Table(Table::new()));
            table = entry
                .as_table_mut()
                .unwrap_or_else(|| panic!("{key}: {part} is no table"));
        }
        table.insert(last.to_owned(), value.into());
        self
    }

    /// Where its data lies.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The ports that it may use; the API listens on the first, over TCP.
    #[must_use]
    pub const fn ports(&self) -> &PortBlock {
        &self.ports
    }

    /// The configuration file as it would be written.
    #[must_use]
    pub fn text(&self) -> String {
        self.table.to_string()
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it ends or is not ready in time.
    #[must_use]
    pub fn start(self) -> Daemon {
        let config = self.folder.path().join("reeld.toml");
        fs::write(&config, self.text()).expect("the temporary folder can be written");
        let data_dir = self.data_dir();
        let log = self.folder.path().join("stderr.log");
        let base = format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.ports.first());
        let child = serve(&config, &log);
        let mut daemon = Daemon {
            folder: self.folder,
            _ports: self.ports,
            config,
            data_dir,
            log,
            child: Some(child),
            client: Client::new(&base, "", ""),
        };
        daemon.wait_ready();
        let (account, token) = daemon.credentials();
        daemon.client = Client::new(&base, &account, &token);
        daemon
    }
}

/// A running daemon. Dropping it stops it.
#[derive(Debug)]
pub struct Daemon {
    folder: Arc<TempDir>,
    _ports: PortBlock,
    config: PathBuf,
    data_dir: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    client: Client,
}

impl Daemon {
    /// A client with the credentials that the first start made.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Where its data lies.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The test's own folder, beside the daemon's.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All that it wrote to stderr so far, over restarts.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// Resident memory in bytes, by `/proc`.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("a running process has a status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.unwrap_or_else(|| panic!("no VmRSS in {status}")) * 1_024
    }

    /// Kills it as the kernel would: SIGKILL.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_nine(&mut self) {
        let mut child = self.child.take().expect("the daemon runs");
        child.kill().expect("our own child can be killed");
        let _ = peer::bounded_wait("reeld", &mut child, STOP_BOUND);
    }

    /// Asks it to stop, as systemd does, and waits for its end.
    ///
    /// # Panics
    /// When it does not run or does not end.
    pub fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the daemon runs");
        kill(
            Pid::from_raw(i32::try_from(child.id()).expect("pids are small")),
            Signal::SIGTERM,
        )
        .expect("our own child can be signalled");
        peer::bounded_wait("reeld", &mut child, STOP_BOUND)
    }

    /// Starts it again on the same folder and ports, and waits until it is ready.
    ///
    /// # Panics
    /// When it still runs, or is not ready in time.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        self.child = Some(serve(&self.config, &self.log));
        self.wait_ready();
    }

    /// `reeld ARGS --config FILE`, run to its end beside (or without) the daemon.
    #[must_use]
    #[track_caller]
    pub fn command(&self, args: &[&str]) -> Finished {
        let mut command = reeld();
        command.args(args).arg("--config").arg(&self.config);
        peer::finish("reeld", command, &[], COMMAND_BOUND)
    }

    /// Sid and token of `credentials.toml`.
    ///
    /// # Panics
    /// When it is not there, or has another shape or mode.
    #[must_use]
    pub fn credentials(&self) -> (String, String) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.data_dir.join("credentials.toml");
        let mode = fs::metadata(&path).map(|meta| meta.permissions().mode() & 0o777);
        assert_eq!(mode.ok(), Some(0o600), "{}", path.display());
        let text = fs::read_to_string(&path).expect("root and the owner can read it");
        let table: Table = text.parse().unwrap_or_else(|error| panic!("{error}"));
        let field = |name: &str| {
            let value = table.get(name).and_then(Value::as_str);
            value
                .unwrap_or_else(|| panic!("no {name} in {}", path.display()))
                .to_owned()
        };
        (field("account_sid"), field("auth_token"))
    }

    fn wait_ready(&mut self) {
        let url = format!("{}/readyz", self.client.base());
        let http = reqwest::blocking::Client::builder()
            .no_proxy()
            .timeout(READY_BOUND)
            .build();
        let http = http.expect("a client without TLS and proxy can be built");
        wait_for("ready daemon", READY_BOUND, || {
            let child = self.child.as_mut().expect("it was started");
            if let Ok(Some(status)) = child.try_wait() {
                panic!(
                    "reeld ended ({status}) before it was ready:\n{}",
                    self.log()
                );
            }
            let reply = http.get(&url).send().ok()?;
            (reply.status().as_u16() == 200).then_some(())
        });
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let ended = self.child.is_none() || self.terminate_or_kill();
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("---- stderr of reeld ----\n{log}\n---- end of stderr ----");
            return;
        }
        assert!(ended, "reeld did not end on SIGTERM:\n{log}");
        assert!(!log.contains("panicked at"), "reeld panicked:\n{log}");
        let token = self.client.token();
        assert!(
            token.is_empty() || !log.contains(token),
            "the log has the token"
        );
    }
}

impl Daemon {
    /// Whether it ended by itself.
    fn terminate_or_kill(&mut self) -> bool {
        let Some(mut child) = self.child.take() else {
            return true;
        };
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        // It may have ended by itself: then there is nobody to signal and try_wait says so.
        let _ = kill(pid, Signal::SIGTERM);
        let start = std::time::Instant::now();
        while start.elapsed() < STOP_BOUND {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }
}

fn serve(config: &Path, log: &Path) -> Child {
    let file = File::options().create(true).append(true).open(log);
    let file = file.expect("the temporary folder can be written");
    let mut command = reeld();
    command.arg("serve").arg("--config").arg(config);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file);
    peer::spawn("reeld", command)
}

/// The binary under test, with nothing of the test's own environment that would configure it.
#[must_use]
pub fn reeld() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("REELD_") {
            command.env_remove(&name);
        }
    }
    for name in [
        "RUNTIME_DIRECTORY",
        "STATE_DIRECTORY",
        "NOTIFY_SOCKET",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command.env("RUST_BACKTRACE", "1");
    command
}

/// Where the binary is: `REELD_BIN`, or beside this test, built now if it is not fresh.
///
/// `cargo test` builds no binary of another package, so the first use in each process asks cargo,
/// which answers at once when there is nothing to do.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("REELD_BIN") {
            return path.into();
        }
        let test = std::env::current_exe().expect("Linux knows the running program");
        // target/<profile>/deps/<test>
        let folder = test
            .ancestors()
            .nth(2)
            .expect("cargo puts tests three folders deep");
        let profile = folder
            .file_name()
            .map_or("debug".into(), |name| name.to_string_lossy());
        let profile = if profile == "debug" {
            "dev".into()
        } else {
            profile
        };
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--workspace", "--bin", "reeld"]);
        cargo
            .arg("--profile")
            .arg(profile.as_ref())
            .arg("--manifest-path")
            .arg(manifest);
        if let Some(target) = folder.parent() {
            cargo.arg("--target-dir").arg(target);
        }
        let _ = peer::finish("cargo", cargo, &[], Duration::from_secs(1_800)).success();
        folder.join("reeld")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_tables() {
        let setup = Setup::new()
            .set("capture.max_recordings", 3)
            .media(MediaKind::Sled);
        let table: Table = setup.text().parse().unwrap();
        assert_eq!(table["capture"]["max_recordings"].as_integer(), Some(3));
        assert_eq!(table["store"]["media"].as_str(), Some("sled"));
        assert_eq!(
            table["media"]["ports"].as_str(),
            Some(setup.ports().range().as_str())
        );
    }
}
