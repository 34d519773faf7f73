//! A daemon of a test's own: the binary `reeld serve` on a temporary folder and ports of its own.
//!
//! [`crate::setup`] says how it is configured and starts it. What it writes to stderr is kept,
//! printed when the test fails, and searched at the end: a panic of any of its threads, or a token
//! in the log, fails every test.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use toml::{Table, Value};

use crate::binary::{self, reeld};
use crate::client::Client;
use crate::patience::wait_for;
use crate::peer::{self, Finished};
use crate::port_block::PortBlock;
use crate::script::Law;
use crate::supervisor::Supervisor;
use crate::tape::Tape;

/// From the start of the process to `/readyz`: recovery of all a test left is within it.
const READY_BOUND: Duration = Duration::from_secs(60);
/// From SIGTERM to the end of the process.
const STOP_BOUND: Duration = Duration::from_secs(60);
/// A command line that talks to the daemon or opens the folder itself.
const COMMAND_BOUND: Duration = Duration::from_secs(120);

/// The data folder's name in the test's own folder.
pub(crate) const DATA: &str = "data";

/// In place of a path that is asked for: the daemon speaks TLS, so its log is waited for.
pub(crate) const TLS: &str = "";

/// A running daemon. Dropping it stops it.
#[derive(Debug)]
pub struct Daemon {
    folder: TempDir,
    _ports: PortBlock,
    config: PathBuf,
    data_dir: PathBuf,
    log: PathBuf,
    environment: Vec<(String, OsString)>,
    /// What runs the binary in its place; nothing where it runs by itself.
    wrapper: Vec<OsString>,
    child: Option<Child>,
    client: Client,
    supervisor: Option<Supervisor>,
}

impl Daemon {
    /// Starts one with this configuration and waits until `path` is answered with 200.
    pub(crate) fn start(
        folder: TempDir,
        ports: PortBlock,
        text: &str,
        environment: Vec<(String, OsString)>,
        supervisor: Option<Supervisor>,
        wrapper: Vec<OsString>,
        path: &str,
    ) -> Self {
        let config = folder.path().join("reeld.toml");
        fs::write(&config, text).expect("the temporary folder can be written");
        let log = folder.path().join("stderr.log");
        let scheme = if path == TLS { "https" } else { "http" };
        let base = format!("{scheme}://{}:{}", Ipv4Addr::LOCALHOST, ports.first());
        let child = serve(&config, &log, &environment, supervisor.as_ref(), &wrapper);
        let mut daemon = Self {
            data_dir: folder.path().join(DATA),
            folder,
            _ports: ports,
            config,
            log,
            environment,
            wrapper,
            child: Some(child),
            client: Client::new(&base, "", ""),
            supervisor,
        };
        daemon.wait_answer(path);
        let (account, token) = daemon.credentials();
        daemon.client = Client::new(&base, &account, &token);
        daemon
    }

    /// A client with the credentials that the first start made.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Who supervises it.
    ///
    /// # Panics
    /// When nobody does.
    #[must_use]
    pub fn supervisor(&self) -> &Supervisor {
        self.supervisor.as_ref().expect("it is supervised")
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

    /// Waits until it has written `text` to stderr: its log has a thread of its own, behind what it tells of.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        wait_for(text, Duration::from_secs(20), || {
            self.log().contains(text).then_some(())
        });
    }

    /// What `reeld callbacks` says of those that are `pending` or `dead`.
    ///
    /// # Panics
    /// When the command fails.
    #[must_use]
    #[track_caller]
    pub fn callbacks(&self, which: &str) -> String {
        self.command(&["callbacks", which]).success().text()
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// Whether it was started, and neither killed nor stopped.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// The process id of the daemon itself, where something else runs it: the only child of the only child, and so on.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn inner_pid(&self) -> Pid {
        let mut pid = self.pid();
        let child = |pid: u32| -> Option<u32> {
            let path = format!("/proc/{pid}/task/{pid}/children");
            fs::read_to_string(path).ok()?.trim().parse().ok()
        };
        if !self.wrapper.is_empty() {
            while let Some(inner) = child(pid) {
                pid = inner;
            }
        }
        Pid::from_raw(i32::try_from(pid).expect("pids are small"))
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

    /// Kills it as the kernel would: SIGKILL. When that was: it does nothing more from then on, while it is
    /// gone only once what its threads had begun at the disk is done, which was a second on a busy machine.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_nine(&mut self) -> Instant {
        let mut child = self.child.take().expect("the daemon runs");
        child.kill().expect("our own child can be killed");
        let killed = Instant::now();
        peer::bounded_wait("reeld", &mut child, STOP_BOUND);
        killed
    }

    /// Has it read its certificates again: SIGHUP.
    ///
    /// # Panics
    /// When it does not run.
    pub fn hang_up(&self) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("pids are small"));
        kill(pid, Signal::SIGHUP).expect("our own child can be signalled");
    }

    /// Asks it to stop, as systemd does, and waits for its end.
    ///
    /// # Panics
    /// When it does not run or does not end.
    pub fn terminate(&mut self) -> ExitStatus {
        let pid = self.inner_pid();
        let mut child = self.child.take().expect("the daemon runs");
        kill(pid, Signal::SIGTERM).expect("our own child can be signalled");
        peer::bounded_wait("reeld", &mut child, STOP_BOUND)
    }

    /// Starts it again on the same folder and ports, and waits until it is ready.
    ///
    /// # Panics
    /// When it still runs, or is not ready in time.
    pub fn start_again(&mut self) {
        self.start_unwatched();
        self.wait_answer("/readyz");
    }

    /// With this variable from its next start on, or without it.
    pub fn set_environment(&mut self, name: &str, value: Option<OsString>) {
        self.environment.retain(|(known, _)| known != name);
        self.environment
            .extend(value.map(|value| (name.to_owned(), value)));
    }

    /// Takes its account's credentials from its folder again, where a torn start made new ones.
    ///
    /// # Panics
    /// As [`Daemon::credentials`].
    pub fn meet_again(&mut self) {
        let (account, token) = self.credentials();
        self.client = Client::new(self.client.base(), &account, &token);
    }

    /// Starts it again and waits for nothing.
    ///
    /// # Panics
    /// When it still runs.
    pub fn start_unwatched(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        self.child = Some(serve(
            &self.config,
            &self.log,
            &self.environment,
            self.supervisor.as_ref(),
            &self.wrapper,
        ));
    }

    /// Kills `reeld ARGS --config FILE` after this time. Whether it still ran.
    ///
    /// # Panics
    /// When it cannot be run, or had failed before.
    pub fn kill_command(&self, args: &[&str], after: Duration) -> bool {
        let mut command = reeld();
        command.args(args).arg("--config").arg(&self.config);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = peer::spawn("reeld", command);
        std::thread::sleep(after);
        child.kill().expect("our own child can be killed");
        let status = peer::bounded_wait("reeld", &mut child, STOP_BOUND);
        assert!(
            status.success() || status.code().is_none(),
            "{args:?}: {status}"
        );
        !status.success()
    }

    /// `reeld ARGS --config FILE`, run to its end beside (or without) the daemon.
    #[must_use]
    #[track_caller]
    pub fn command(&self, args: &[&str]) -> Finished {
        let mut command = reeld();
        command.args(args).arg("--config").arg(&self.config);
        peer::finish("reeld", command, &[], COMMAND_BOUND)
    }

    /// Imports so many seconds of noise as a recording, with these arguments; its Sid.
    ///
    /// # Panics
    /// When it is not imported.
    #[must_use]
    #[track_caller]
    pub fn import_noise(&self, seed: u64, seconds: usize, args: &[&str]) -> String {
        let path = self.folder().join(format!("noise-{seed}.wav"));
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(&path, spec).expect("the folder can be written");
        for sample in Tape::noise(Law::Mu, seed, seconds * 8_000).samples() {
            wav.write_sample(sample).expect("the folder can be written");
        }
        wav.finalize().expect("the folder can be written");
        let path = path.display().to_string();
        let args = [&["import", &*path], args].concat();
        let printed = self.command(&args).success().text();
        let sid = printed.split_whitespace().next();
        sid.unwrap_or_else(|| panic!("{printed}")).to_owned()
    }

    /// Every file of its data, as it is now.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.data_dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.is_file() {
                    // A file that went between listing and reading keeps nothing.
                    files.extend(fs::read(&path).ok().map(|content| (path, content)));
                }
            }
        }
        files
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

    fn wait_answer(&mut self, path: &str) {
        let url = format!("{}{path}", self.client.base());
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
            if path == TLS {
                return self.log().contains("calls are taken").then_some(());
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
        if self.child.is_none() {
            return true;
        }
        let pid = self.inner_pid();
        let Some(mut child) = self.child.take() else {
            return true;
        };
        // It may have ended by itself: then there is nobody to signal and try_wait says so.
        let _ = kill(pid, Signal::SIGTERM);
        let start = Instant::now();
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

fn serve(
    config: &Path,
    log: &Path,
    environment: &[(String, OsString)],
    supervisor: Option<&Supervisor>,
    wrapper: &[OsString],
) -> Child {
    let file = File::options().create(true).append(true).open(log);
    let file = file.expect("the temporary folder can be written");
    let mut command = match wrapper.split_first() {
        None => reeld(),
        Some((program, arguments)) => {
            let mut command = binary::clean(Command::new(program));
            command.args(arguments);
            command
        }
    };
    command.arg("serve").arg("--config").arg(config);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    if let Some(supervisor) = supervisor {
        command = supervisor.pass(&command);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file);
    peer::spawn("reeld", command)
}
