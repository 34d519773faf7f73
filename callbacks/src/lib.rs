//! Status callbacks: where they may go, how they are signed and sent.
//!
//! `api` checks a callback's URL with [`Target`] when a recording is started; the daemon lets
//! [`run`] send, for as long as it runs, what the store's outbox has. It calls `store` and the
//! network, and knows nothing of calls.
//!
//! An event's way: `run` takes it when it is due → `round` (Twilio's rules: a few tries within
//! seconds) → `form` and `signature` → `connect` (an address that `allow` has) → an answer of 2xx,
//! or a later round, with a backoff, until `Settings::retry_for` is over and the event is given up
//! on: it stays in the store and is logged.
//!
//! Invariants: no connection is made to an address that `callbacks.allow` has not, whatever a name
//! stands for, and no redirect is followed; TLS is always checked; connections at once, those to
//! one host, lookups, time, and bytes read of an answer are bounded; an answer's head says what came of
//! an event, and nothing of its body is kept. `figures` counts it all.

#![forbid(unsafe_code)]

mod allow;
mod connect;
mod failure;
mod figures;
mod form;
mod names;
mod round;
mod run;
mod signature;
mod target;

pub use allow::Allow;
pub use figures::Figures;
pub use run::{Settings, run};
pub use target::Target;
