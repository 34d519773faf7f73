//! The binary under test: where it is, built when it is not fresh, and free of the test's own
//! environment.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::peer;

/// The binary under test, with nothing of the test's own environment that would configure it.
#[must_use]
pub fn reeld() -> Command {
    clean(Command::new(path()))
}

/// A command with nothing of the test's own environment that would configure a daemon.
pub(crate) fn clean(mut command: Command) -> Command {
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
pub(crate) fn path() -> &'static Path {
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
        peer::finish("cargo", cargo, &[], Duration::from_secs(1_800)).success();
        folder.join("reeld")
    })
}
