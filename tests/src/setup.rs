//! How a daemon is configured: what a test says, over defaults that keep tests apart.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use tempfile::TempDir;
use toml::{Table, Value};

use crate::authority::Files;
use crate::daemon::{DATA, Daemon, TLS};
use crate::port_block::PortBlock;
use crate::sandbox::{self, Unit};
use crate::supervisor::Supervisor;

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
    folder: TempDir,
    ports: PortBlock,
    table: Table,
    environment: Vec<(String, OsString)>,
    supervisor: Option<Supervisor>,
    wrapper: Vec<OsString>,
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
            folder: folder.expect("the temporary folder can be written"),
            ports,
            table: Table::new(),
            environment: Vec::new(),
            supervisor: None,
            wrapper: Vec::new(),
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

    /// With this variable in its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// With a supervisor, which keeps and passes descriptors: these from the beginning.
    #[must_use]
    pub fn supervised(mut self, passed: Vec<(String, OwnedFd)>) -> Self {
        let supervisor = Supervisor::new(self.folder.path());
        supervisor.kept().extend(passed);
        self.supervisor = Some(supervisor);
        self
    }

    /// In the sandbox of `systemd/reeld.service` ([`crate::sandbox`]).
    #[must_use]
    pub fn sandboxed(mut self) -> Self {
        self.wrapper = sandbox::command(&Unit::new(), self.folder.path(), &self.data_dir());
        self
    }

    /// Where its data lies.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join(DATA)
    }

    /// The ports that it may use; the API listens on the first, over TCP.
    #[must_use]
    pub const fn ports(&self) -> &PortBlock {
        &self.ports
    }

    /// The configuration file as it will be written.
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
        self.start_until("/readyz")
    }

    /// Starts it where it cannot take a recording, and waits until it answers.
    ///
    /// # Panics
    /// When it ends or does not answer in time.
    #[must_use]
    pub fn start_unready(self) -> Daemon {
        self.start_until("/healthz")
    }

    /// Starts it with this certificate and waits until it takes calls. Its client speaks https, and
    /// trusts nobody: [`crate::Client::curl`] with `--cacert`, or [`crate::Authority::connect`].
    ///
    /// # Panics
    /// When it ends or is not ready in time.
    #[must_use]
    pub fn start_tls(self, files: &Files) -> Daemon {
        self.set("api.tls_cert", files.cert.display().to_string())
            .set("api.tls_key", files.key.display().to_string())
            .start_until(TLS)
    }

    fn start_until(self, path: &str) -> Daemon {
        let text = self.text();
        let Self {
            folder,
            ports,
            environment,
            wrapper,
            supervisor,
            ..
        } = self;
        Daemon::start(folder, ports, &text, environment, supervisor, wrapper, path)
    }
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
