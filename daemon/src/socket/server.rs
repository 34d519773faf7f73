//! The daemon's end of the local socket.
//!
//! `run` calls [`bind`] once it holds the data folder, then [`serve`] until it stops. The store's
//! calls block, so each runs on a thread for that.
//!
//! Bounds: `MAX_CLIENTS` at once, a request's line of `MAX_LINE` bytes within `PATIENCE`, a
//! reply taken within `PATIENCE`; one verify and one import at a time, as each reads whole disks.

use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use reeld_store::Store;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::message::{Reply, Request};
use super::receive::receive;
use super::{data_path, fitting, path, work};
use crate::import::{self, Job};

/// Clients at once: a handful of people's shells.
const MAX_CLIENTS: usize = 8;

/// A request's longest line, bytes: an import's tags are the longest thing in one.
const MAX_LINE: usize = 64 * 1024;

/// How long a client may take to send its line, or to take a reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// Progress lines that wait for a slow client; those beyond are left out.
const PROGRESS_QUEUE: usize = 16;

/// The niceness of an import's thread: what is being recorded comes first.
const NICENESS: i32 = 10;

/// A bound socket; dropping it takes its files away.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    files: Vec<PathBuf>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        for file in &self.files {
            if let Err(error) = fs::remove_file(file) {
                debug!(file = %file.display(), %error, "the local socket's file is not removed");
            }
        }
    }
}

/// Binds the socket of a data folder, which the caller must hold. Call it inside a tokio runtime.
///
/// Under systemd it lies in the runtime folder, and a link in the data folder leads to it, so that
/// a command that is told nothing but the data folder finds it.
///
/// # Errors
/// Another daemon listens there (it has another data folder, or this one would be held), or the
/// system refuses.
pub fn bind(data_dir: &Path) -> anyhow::Result<Listener> {
    let path = path(data_dir);
    clear(&path)?;
    let (_folder, short) = fitting(&path).with_context(|| path.display().to_string())?;
    let listener = UnixListener::bind(&short).with_context(|| path.display().to_string())?;
    let mut bound = Listener {
        listener,
        files: vec![path.clone()],
    };
    fs::set_permissions(&short, fs::Permissions::from_mode(0o600))
        .with_context(|| path.display().to_string())?;
    let link = data_path(data_dir);
    if link != path {
        clear(&link)?;
        let target = std::path::absolute(&path)?;
        symlink(&target, &link).with_context(|| link.display().to_string())?;
        bound.files.push(link);
    }
    info!(socket = %path.display(), "local commands are taken");
    Ok(bound)
}

/// Removes what a daemon that died has left. Somebody who answers is left alone, and so is what is
/// no socket.
fn clear(path: &Path) -> anyhow::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    if !kind.is_socket() && !kind.is_symlink() {
        bail!("{} is there and is no socket", path.display());
    }
    let (_folder, short) = fitting(path).with_context(|| path.display().to_string())?;
    if kind.is_socket() && StdStream::connect(short).is_ok() {
        bail!("another daemon listens on {}", path.display());
    }
    fs::remove_file(path).with_context(|| path.display().to_string())
}

/// Answers clients until `shutdown` is done. Requests under way are then left to end by themselves:
/// each is one call to the store. An import is told to stop; it takes out what it has made in part.
pub async fn serve(
    listener: Listener,
    store: Store,
    settings: reeld_capture::Settings,
    shutdown: impl Future<Output = ()> + Send,
) {
    let shared = Arc::new(Shared {
        store,
        settings,
        verify: Mutex::new(()),
        import: Mutex::new(()),
        stopping: AtomicBool::new(false),
    });
    let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => {
                shared.stopping.store(true, Ordering::Relaxed);
                return;
            }
            accepted = listener.listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: it would fail again at once.
                warn!(%error, "local socket: accept failed");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&clients).try_acquire_owned() else {
            warn!(
                MAX_CLIENTS,
                "local socket: too many clients; one was turned away"
            );
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Err(error) = answer(stream, &shared).await {
                debug!(
                    error = format!("{error:#}"),
                    "local socket: a client was lost"
                );
            }
            drop(place);
        });
    }
}

struct Shared {
    store: Store,
    /// Of calls that come out of files.
    settings: reeld_capture::Settings,
    verify: Mutex<()>,
    import: Mutex<()>,
    stopping: AtomicBool,
}

async fn answer(mut stream: UnixStream, shared: &Arc<Shared>) -> anyhow::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let own = nix::unistd::geteuid().as_raw();
    if peer != own && peer != 0 {
        warn!(uid = peer, "local socket: another user was turned away");
        let reason = format!("only uid {own} and root are answered here");
        return send(&mut stream, &Reply::Refused { reason }).await;
    }
    let (line, file) = timeout(PATIENCE, receive(&stream, MAX_LINE))
        .await
        .context("no request came")??;
    let request = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => request,
        Err(error) => {
            let reason = format!("no request that this daemon knows: {error}");
            return send(&mut stream, &Reply::Refused { reason }).await;
        }
    };
    let request = match (request, file) {
        (Request::Import(job), Some(file)) => {
            info!(uid = peer, file = job.name, "local command: import");
            return import(stream, shared, job, file).await;
        }
        (request, _) => request,
    };
    info!(uid = peer, ?request, "local command");

    // Held until the reply is out, so that a second verify is refused rather than queued.
    let _verify = if request == Request::Verify {
        let Ok(guard) = shared.verify.try_lock() else {
            let reason = "a verify is under way already".to_owned();
            return send(&mut stream, &Reply::Refused { reason }).await;
        };
        Some(guard)
    } else {
        None
    };
    let (progress, mut lines) = mpsc::channel(PROGRESS_QUEUE);
    let store = shared.store.clone();
    let mut work = tokio::task::spawn_blocking(move || {
        work::carry_out(&store, peer, request, &mut |line| {
            // A full queue is a slow client, who gets the next line instead.
            let _ = progress.try_send(line);
        })
    });
    let mut client = Ok(());
    let last = loop {
        tokio::select! {
            Some(line) = lines.recv(), if client.is_ok() => client = send(&mut stream, &line).await,
            last = &mut work => break last.context("the store's thread died")?,
        }
    };
    client?;
    send(&mut stream, &last).await
}

/// Imports a file; a client that goes away stops it.
async fn import(
    mut stream: UnixStream,
    shared: &Arc<Shared>,
    job: Job,
    file: File,
) -> anyhow::Result<()> {
    // Those that wait hold a client's place each, so they are few.
    let _import = shared.import.lock().await;
    let (progress, mut lines) = mpsc::channel(PROGRESS_QUEUE);
    let gone = Arc::new(AtomicBool::new(false));
    let (their, their_gone) = (Arc::clone(shared), Arc::clone(&gone));
    let (done, is_done) = oneshot::channel();
    // A thread of its own, since its priority is lowered for good.
    std::thread::Builder::new()
        .name("reeld-import".to_owned())
        .spawn(move || {
            if let Err(error) = rustix::process::nice(NICENESS) {
                warn!(%error, "an import runs at full priority");
            }
            let made = import::run(
                &their.store,
                &their.settings,
                &job,
                file,
                &mut |done, total| {
                    // A full queue is a slow client, who gets the next line instead.
                    let _ = progress.try_send(Reply::Progress {
                        done,
                        total,
                        bytes: done,
                    });
                    !their.stopping.load(Ordering::Relaxed) && !their_gone.load(Ordering::Relaxed)
                },
            );
            // The client may be gone; the log has the recordings.
            let _ = done.send(made);
        })?;
    let mut is_done = is_done;
    let mut client = Ok(());
    let made = loop {
        tokio::select! {
            Some(line) = lines.recv(), if client.is_ok() => {
                client = send(&mut stream, &line).await;
                gone.store(client.is_err(), Ordering::Relaxed);
            }
            made = &mut is_done => break made,
        }
    };
    client?;
    let reply = made.map_or_else(
        |_| Reply::Refused {
            reason: "the import has failed; the daemon's log says why".to_owned(),
        },
        Reply::Imported,
    );
    send(&mut stream, &reply).await
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), reply: &Reply) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    timeout(PATIENCE, write.write_all(&line))
        .await
        .context("the client takes no reply")??;
    Ok(())
}
