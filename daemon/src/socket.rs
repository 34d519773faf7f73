//! The local socket: how `reeld account`, `import`, `verify`, `show` and `status` reach the data folder while a daemon
//! has it. sled locks its folder, so nothing else can work beside a live service.
//!
//! `run` binds and serves it; the command line asks through [`client`]. One request a connection: a
//! JSON line in, JSON lines out, the last of them final ([`message`]); an import's file comes open
//! beside its line (`receive`). What a request does to the
//! store is [`work`]'s, the same whether the daemon carries it out or the command line, which opens
//! the folder itself when nobody holds it.
//!
//! Only the daemon's own user and root are answered (SO_PEERCRED); the file is 0600.

pub mod client;
pub mod message;
mod receive;
pub mod server;
pub mod shown;
pub mod work;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::{env, io};

#[cfg(test)]
mod tests;

pub use server::{bind, serve};

/// The socket's file name.
const NAME: &str = "reeld.sock";

/// The longest path that `sockaddr_un` holds, bytes (unix(7): 108 with the closing zero).
const MAX_PATH: usize = 107;

/// Where a daemon with this data folder listens: systemd's runtime folder if there is one.
#[must_use]
pub fn path(data_dir: &Path) -> PathBuf {
    runtime_path().unwrap_or_else(|| data_path(data_dir))
}

/// In `$RUNTIME_DIRECTORY`, which systemd sets.
fn runtime_path() -> Option<PathBuf> {
    let folders = env::var("RUNTIME_DIRECTORY").ok()?;
    let first = folders
        .split(':')
        .next()
        .filter(|folder| !folder.is_empty())?;
    Some(Path::new(first).join(NAME))
}

/// In the data folder, where one who knows nothing of systemd looks.
fn data_path(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// A path to the same socket that `sockaddr_un` can hold, through an open folder where the path
/// itself is too long. It is good as long as the folder is kept.
fn fitting(path: &Path) -> io::Result<(Option<File>, PathBuf)> {
    if path.as_os_str().len() <= MAX_PATH {
        return Ok((None, path.to_owned()));
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok((None, path.to_owned()));
    };
    let folder = File::open(folder)?;
    let short = Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name);
    Ok((Some(folder), short))
}
