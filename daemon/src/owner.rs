//! Becoming the owner of the data folder, for commands that root runs on a service's folder.
//!
//! `socket::client` and `cli` call [`enter`] before anything in the folder is touched. What root made
//! there (a lock, a key, a catalog's segment) the service's unprivileged user could not open again.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::sys::prctl::set_dumpable;
use nix::unistd::{Gid, Uid, chdir, geteuid, setgid, setgroups, setuid};

/// As root, enters a folder that another user owns and becomes that user, for good; otherwise does
/// nothing. Returns the path by which the folder is to be used from now on.
///
/// That path leads through `/proc/self/cwd` then: under `DynamicUser` the folder lies in
/// `/var/lib/private`, which root alone can pass through, and sled makes every path absolute. One who
/// is in the folder already needs to pass through nothing.
///
/// # Errors
/// The system refuses.
pub fn enter(folder: &Path) -> anyhow::Result<PathBuf> {
    if !geteuid().is_root() {
        return Ok(folder.to_owned());
    }
    let owner = match std::fs::metadata(folder) {
        Ok(metadata) => metadata,
        // A folder yet to be made will be root's.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(folder.to_owned()),
        Err(error) => return Err(error).with_context(|| folder.display().to_string()),
    };
    let (uid, gid) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    if uid.is_root() {
        return Ok(folder.to_owned());
    }
    chdir(folder).with_context(|| folder.display().to_string())?;
    // Groups before the user: afterwards nobody may change them.
    setgroups(&[gid])
        .and_then(|()| setgid(gid))
        .and_then(|()| setuid(uid))
        .with_context(|| format!("becoming the owner of {}, uid {uid}", folder.display()))?;
    // A process that has changed its user may not look at its own /proc (prctl(2), PR_SET_DUMPABLE).
    set_dumpable(true)?;
    Ok(PathBuf::from("/proc/self/cwd"))
}
