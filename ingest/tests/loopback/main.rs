//! The crate as the daemon uses it: real sockets on loopback, real calls, a sink that collects.

mod control;
mod ends;
mod noise;
mod rig;
mod sound;
