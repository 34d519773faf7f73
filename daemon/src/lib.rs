//! reeld, the daemon: wiring, the recorder, the command line.

pub mod bench;
pub mod caller;
pub mod cli;
pub mod credentials;
pub mod notify;
pub mod owner;
pub mod settings;
pub mod socket;
pub mod telemetry;
