//! Who tells us of calls.
//!
//! Called by the daemon; calls `capture`. [`siprec`] is a recording server, and [`rtpengine`] follows a media proxy, for
//! calls as they are; [`pcap`] finds calls in captures of the network, for `reeld import`. Which recordings there are is decided here, by
//! signalling; what is in them is decided by `capture`, and where they go by the daemon.
//!
//! No socket and no clock: of [`siprec`] and [`rtpengine`] the daemon has both, and what is to be done for a call is
//! [`work`]; a file is read through `Read` and `Seek`, its time stamps are the time.

#![forbid(unsafe_code)]

mod offer;
pub mod pcap;
pub mod rtpengine;
mod sdp;
mod sip;
pub mod siprec;
pub mod work;
