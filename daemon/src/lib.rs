//! reeld, the daemon: the command line, the local socket, what systemd is told.

pub mod cli;
pub mod credentials;
pub mod notify;
pub mod owner;
pub mod settings;
pub mod socket;
pub mod telemetry;
