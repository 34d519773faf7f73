//! nginx with a folder's files, as its Debian package is set up: sendfile and tcp_nopush on, one worker.
//!
//! Called by `http`. Its configuration, its log and what it writes are in a folder of the measurement's.
//! Dropping it ends it, by its process id.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use super::usage::Process;

/// Where it is looked for: a user's PATH may lack where Debian has it.
const NAMES: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// For its start and its end.
const PATIENCE: Duration = Duration::from_secs(10);

const STEP: Duration = Duration::from_millis(10);

/// A running nginx.
pub(super) struct Nginx {
    child: Child,
    pub(super) address: SocketAddr,
    pub(super) version: String,
}

impl Nginx {
    /// Starts one that serves the files below `root`, with its own in `folder`.
    pub(super) fn start(folder: &Path, root: &Path) -> anyhow::Result<Self> {
        let (program, version) = NAMES
            .into_iter()
            .find_map(|name| Some((name, version(name)?)))
            .context("there is no nginx to compare with; Debian has it in nginx-light")?;
        // The port is free for a moment; should somebody take it, nginx says so and ends.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = folder.join("nginx.conf");
        fs::write(&config, configuration(folder, root, address))?;
        let log = folder.join("nginx.log");
        let child = Command::new(program)
            .args(["-p".as_ref(), folder.as_os_str()])
            .args(["-e".as_ref(), log.as_os_str()])
            .args(["-c".as_ref(), config.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{program} does not start"))?;
        let mut nginx = Self {
            child,
            address,
            version,
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = nginx.child.try_wait()?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let log = fs::read_to_string(&log).unwrap_or_default();
                bail!("{program} does not serve ({ended:?}): {log}");
            }
            thread::sleep(STEP);
        }
        ensure!(
            nginx.processes()?.len() == 2,
            "nginx has other processes than two"
        );
        Ok(nginx)
    }

    /// Master and worker.
    pub(super) fn processes(&self) -> anyhow::Result<Vec<Process>> {
        let master = Process(self.child.id());
        let mut processes = master.children()?;
        processes.push(master);
        Ok(processes)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        kill(
            Pid::from_raw(i32::try_from(self.child.id())?),
            Signal::SIGTERM,
        )?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(STEP);
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(pid = self.child.id(), %error, "nginx could not be ended");
        }
    }
}

/// What `program` says of its version, if it is there.
fn version(program: &str) -> Option<String> {
    let said = Command::new(program).arg("-v").output().ok()?;
    let said = String::from_utf8_lossy(&said.stderr);
    said.trim().rsplit('/').next().map(str::to_owned)
}

fn configuration(folder: &Path, root: &Path, address: SocketAddr) -> String {
    let (folder, root) = (folder.display(), root.display());
    // As root the worker would be another user, who may not read what reeld keeps.
    let user = if Uid::effective().is_root() {
        "user root;"
    } else {
        ""
    };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|of| format!("{of}_temp_path \"{folder}/{of}\";"))
        .join(" ");
    format!(
        "daemon off; {user} worker_processes 1; pid \"{folder}/nginx.pid\";\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
         sendfile on; tcp_nopush on; access_log off; keepalive_requests 1000000;\n\
         {temporary}\n\
         types {{ audio/x-wav wav; }}\n\
         server {{ listen {address}; root \"{root}\"; }}\n\
         }}\n"
    )
}
