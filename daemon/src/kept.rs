//! What signalling keeps in the data folder for the next daemon: a file for its own eyes.
//!
//! Called by `siprec` and `rtpengine`. What is in it is `signal`'s; a crash leaves the file before or the new one.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::clock;

/// Writes it in place of the one that is there.
///
/// # Errors
/// As of the file system; the one that is there stays.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    std::fs::rename(&new, path)
}

/// Reads it; nothing where there is none, or none that can be read: the log has that.
pub(crate) async fn read(path: &Path) -> Option<Vec<u8>> {
    match tokio::fs::read(path).await {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "what the daemon before kept cannot be read");
            None
        }
    }
}

/// As [`read`], and removes it.
pub(crate) async fn take(path: &Path) -> Option<Vec<u8>> {
    let bytes = read(path).await?;
    if let Err(error) = tokio::fs::remove_file(path).await {
        tracing::error!(%error, path = %path.display(), "what the daemon before kept stays");
    }
    Some(bytes)
}

/// A number of the system's CSPRNG, for names that must be unique.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|error| {
        tracing::error!(%error, "the system gives no randomness");
        clock::monotonic_ns().rotate_left(17)
    })
}
