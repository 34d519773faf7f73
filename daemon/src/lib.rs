//! reeld, the daemon.
