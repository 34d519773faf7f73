//! Who tells us of calls.
//!
//! Called by the daemon; calls `capture`. [`siprec`] is a recording server, [`rtpengine`] follows a media proxy, and
//! [`audiosocket`] is what Asterisk connects to, for calls as they are; [`pcap`] finds calls in captures of the network, for
//! `reeld import`. What is to be done for a call that comes by itself is [`work`], and whose it is [`route`], whatever
//! brings it. Which recordings there are is decided here, by signalling; what is in them is decided by `capture`, and where
//! they go by the daemon.
//!
//! No socket and no clock: of what brings calls the daemon has both; a file is read through `Read` and `Seek`, its time
//! stamps are the time.

#![forbid(unsafe_code)]

pub mod audiosocket;
mod offer;
pub mod pcap;
pub mod route;
pub mod rtpengine;
mod sdp;
mod sip;
pub mod siprec;
pub mod work;
