//! The configuration: as it is written (a sparse [`layer::Layer`] of keys and values, each with the
//! place where it was said) → as it is checked ([`Config`], plain data that the other crates'
//! settings are made from).
//!
//! The daemon calls [`load`] once at start, before a port is opened; `reeld check-config` calls the
//! same. Three layers lie over the defaults: the file, `REELD_` variables, flags.
//!
//! Every key is stated once, in [`key::KEYS`]: name, default, unit and meaning. `systemd/reeld.toml`
//! and `docs/ref/config.md` are held to that table by a test.
//!
//! What belongs here: names, defaults, syntax, bounds, and which values contradict each other. What
//! a value does belongs to the crate that obeys it.

#![forbid(unsafe_code)]

mod audiosocket;
mod check;
mod environment;
mod error;
mod file;
pub mod key;
pub mod layer;
mod load;
mod network;
mod open;
mod retention;
mod route;
mod settings;
mod sip;
mod value;

pub use audiosocket::AudioSocket;
pub use error::{ConfigError, Kind, Place, Problem};
pub use load::{Flags, Loaded, load};
pub use open::OpenPort;
pub use retention::Limits;
pub use route::{CallRoute, CallSource, Calls};
pub use settings::{
    AccountFile, Api, Audit, Callbacks, Capture, Config, Dtmf, Encode, Encoded, KeyPlace, Log,
    LogFormat, Media, MediaAuth, MediaKind, Rate, Record, Rtpengine, Store, TlsFiles,
};
pub use sip::Sip;
