//! reeld, the daemon: wiring, the recorder, the command line.
//!
//! [`run()`] is the whole daemon; `bin/reeld.rs` reaches it through [`cli`], tests by themselves.

#![forbid(unsafe_code)]

mod aside;
mod audiosocket;
pub mod bench;
pub mod caller;
pub mod cli;
pub mod clock;
pub mod credentials;
pub mod customer;
pub mod demo;
mod handover;
pub mod import;
mod kept;
mod ledger;
mod load;
mod memory;
mod mend;
pub mod notify;
mod open;
pub mod owner;
mod purge;
pub mod recorder;
mod retain;
mod rtpengine;
pub mod run;
mod scrub;
pub mod settings;
mod siprec;
pub mod socket;
pub mod telemetry;
mod tls;
mod work;

pub use run::run;
