//! The daemon's end of the local socket.
//!
//! `run` calls [`bind`] once it holds the data folder, then [`serve`] until it stops. The store's
//! calls block, so each runs on a thread for that.
//!
//! Bounds: `MAX_CLIENTS` at once, a request's line of `MAX_LINE` bytes within `PATIENCE`, a
//! reply taken within `PATIENCE`; one verify at a time, as it reads the whole disk.

use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use reeld_store::Store;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::message::{Reply, Request};
use super::{data_path, fitting, path, work};

/// Clients at once: a handful of people's shells.
const MAX_CLIENTS: usize = 8;

/// A request's longest line, bytes: a name is the longest thing in one.
const MAX_LINE: u64 = 16 * 1024;

/// How long a client may take to send its line, or to take a reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// Progress lines that wait for a slow client; those beyond are left out.
const PROGRESS_QUEUE: usize = 16;

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
/// each is one call to the store.
pub async fn serve(listener: Listener, store: Store, shutdown: impl Future<Output = ()> + Send) {
    let shared = Arc::new(Shared {
        store,
        verify: Mutex::new(()),
    });
    let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return,
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
    verify: Mutex<()>,
}

async fn answer(mut stream: UnixStream, shared: &Shared) -> anyhow::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let own = nix::unistd::geteuid().as_raw();
    let (read, mut write) = stream.split();
    if peer != own && peer != 0 {
        warn!(uid = peer, "local socket: another user was turned away");
        let reason = format!("only uid {own} and root are answered here");
        return send(&mut write, &Reply::Refused { reason }).await;
    }
    let mut line = String::new();
    let mut read = BufReader::new(read.take(MAX_LINE));
    timeout(PATIENCE, read.read_line(&mut line))
        .await
        .context("no request came")??;
    let request = match serde_json::from_str::<Request>(&line) {
        Ok(request) => request,
        Err(error) => {
            let reason = format!("no request that this daemon knows: {error}");
            return send(&mut write, &Reply::Refused { reason }).await;
        }
    };
    info!(uid = peer, ?request, "local command");

    // Held until the reply is out, so that a second verify is refused rather than queued.
    let _verify = if request == Request::Verify {
        let Ok(guard) = shared.verify.try_lock() else {
            let reason = "a verify is under way already".to_owned();
            return send(&mut write, &Reply::Refused { reason }).await;
        };
        Some(guard)
    } else {
        None
    };
    let (progress, mut lines) = mpsc::channel(PROGRESS_QUEUE);
    let store = shared.store.clone();
    let mut work = tokio::task::spawn_blocking(move || {
        work::carry_out(&store, request, &mut |line| {
            // A full queue is a slow client, who gets the next line instead.
            let _ = progress.try_send(line);
        })
    });
    let mut client = Ok(());
    let last = loop {
        tokio::select! {
            Some(line) = lines.recv(), if client.is_ok() => client = send(&mut write, &line).await,
            last = &mut work => break last.context("the store's thread died")?,
        }
    };
    client?;
    send(&mut write, &last).await
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), reply: &Reply) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    timeout(PATIENCE, write.write_all(&line))
        .await
        .context("the client takes no reply")??;
    Ok(())
}
