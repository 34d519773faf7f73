//! reeld, the daemon.

pub mod caller;
