//! The command line's end: asks the daemon that has the data folder, or opens the folder itself when
//! nobody has it.
//!
//! `cli` calls [`reach`], then [`Reached::ask`]. As root, the folder's owner is taken before anything
//! in it is touched ([`crate::owner`]): what root would make there, the daemon could not use.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reeld_config::Config;
use reeld_store::{Store, StoreError};

use super::message::{Reply, Request};
use super::{data_path, fitting, receive, runtime_path, work};
use crate::import::{self, Done, Job};
use crate::{owner, settings};

/// How long a daemon that holds the folder may take to answer on its socket: it starts or stops.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two tries.
const STEP: Duration = Duration::from_millis(50);

/// A reply's longest line, bytes; a report of a ruined archive is the longest.
const MAX_LINE: u64 = 64 << 20;

/// Who carries a request out.
pub enum Reached {
    /// The daemon.
    Daemon(UnixStream),
    /// This process, which holds the folder now.
    Folder(Store),
}

/// Finds the daemon, or opens the folder. A folder that is not there is made only where `may_make`
/// is set: elsewhere it is a misspelt one.
///
/// # Errors
/// Somebody holds the folder and does not answer, or it cannot be opened.
pub fn reach(config: &Config, may_make: bool) -> anyhow::Result<Reached> {
    let until = Instant::now() + PATIENCE;
    let named = config.data_dir.display();
    let mut folder = None;
    loop {
        match (
            daemon(folder.as_deref().unwrap_or(&config.data_dir)),
            &folder,
        ) {
            (Ok(Some(stream)), _) => return Ok(Reached::Daemon(stream)),
            (Ok(None), _) => {}
            (Err(error), None) => return Err(error),
            // The owner may not see a runtime folder that root saw; the lock says who is there.
            (Err(_), Some(_)) => {}
        }
        let folder = match &mut folder {
            Some(folder) => folder,
            None if !may_make && !config.data_dir.exists() => {
                bail!(
                    "there is no data folder {named}: name it with --data-dir or --config (a service's is /var/lib/reeld)"
                )
            }
            // Only now, as the socket may lie where root alone can pass.
            none => none.insert(owner::enter(&config.data_dir)?),
        };
        match Store::open(settings::store(config, folder)) {
            Ok(store) => {
                settings::bound_audit(&store, config);
                return Ok(Reached::Folder(store));
            }
            Err(StoreError::Held { by }) if Instant::now() >= until => {
                bail!("{named} is held by {by}, which does not answer on its local socket")
            }
            Err(StoreError::Held { .. }) => std::thread::sleep(STEP),
            Err(error) => return Err(error).with_context(|| named.to_string()),
        }
    }
}

/// A connection to the daemon that has the folder, if one answers.
///
/// # Errors
/// One is there, and the system or it refuses us.
pub fn daemon(data_dir: &Path) -> anyhow::Result<Option<UnixStream>> {
    for path in runtime_path().into_iter().chain([data_path(data_dir)]) {
        let connected = fitting(&path).and_then(|(_folder, short)| UnixStream::connect(short));
        match connected {
            Ok(stream) => return Ok(Some(stream)),
            // No file, or one that a dead daemon has left.
            Err(error) if is_nobody(error.kind()) => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    Ok(None)
}

fn is_nobody(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory
    )
}

impl Reached {
    /// Has a request carried out. `progress` hears what comes before the final reply.
    ///
    /// # Errors
    /// It was refused, with the reason; or the daemon went away.
    pub fn ask(self, request: Request, progress: &mut dyn FnMut(Reply)) -> anyhow::Result<Reply> {
        let reply = match self {
            Self::Daemon(stream) => over(stream, &request, progress)?,
            Self::Folder(store) => {
                let uid = nix::unistd::getuid().as_raw();
                work::carry_out(&store, uid, request, progress)
            }
        };
        if let Reply::Refused { reason } = reply {
            bail!(reason);
        }
        Ok(reply)
    }
}

impl Reached {
    /// Has an open file imported.
    ///
    /// # Errors
    /// It was refused, with the reason; or the daemon went away. What is wrong with the file is in
    /// the answer.
    pub fn import(
        &self,
        config: &Config,
        job: Job,
        file: File,
        progress: &mut dyn FnMut(u64, u64),
    ) -> anyhow::Result<Done> {
        match self {
            Self::Folder(store) => {
                let settings = settings::capture(config);
                Ok(import::run(
                    store,
                    &settings,
                    &job,
                    file,
                    &mut |done, total| {
                        progress(done, total);
                        true
                    },
                ))
            }
            Self::Daemon(stream) => {
                receive::send(stream, &line(&Request::Import(job))?, &file)?;
                let reply = answered(stream, &mut |reply| {
                    if let Reply::Progress { done, total, .. } = reply {
                        progress(done, total);
                    }
                })?;
                match reply {
                    Reply::Imported(done) => Ok(done),
                    Reply::Refused { reason } => bail!(reason),
                    Reply::Token { .. }
                    | Reply::Accounts { .. }
                    | Reply::Removed
                    | Reply::Progress { .. }
                    | Reply::Report { .. }
                    | Reply::Rewrapped { .. }
                    | Reply::Recording(_)
                    | Reply::Status(_)
                    | Reply::Audit { .. }
                    | Reply::Callbacks { .. }
                    | Reply::Key { .. }
                    | Reply::Keys { .. }
                    | Reply::Link { .. }
                    | Reply::Holds { .. }
                    | Reply::Retried { .. } => {
                        bail!("the daemon answered something else than was asked")
                    }
                }
            }
        }
    }
}

fn line(request: &Request) -> anyhow::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    Ok(line)
}

fn over(
    mut stream: UnixStream,
    request: &Request,
    progress: &mut dyn FnMut(Reply),
) -> anyhow::Result<Reply> {
    stream.write_all(&line(request)?)?;
    answered(&stream, progress)
}

fn answered(stream: &UnixStream, progress: &mut dyn FnMut(Reply)) -> anyhow::Result<Reply> {
    stream.shutdown(Shutdown::Write)?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if lines.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            bail!("the daemon went away before it answered");
        }
        let reply: Reply = serde_json::from_str(&line).context(
            "the daemon answered what this program does not know; are they one version?",
        )?;
        if !reply.is_progress() {
            return Ok(reply);
        }
        progress(reply);
    }
}
