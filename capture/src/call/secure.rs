//! Datagrams as they come: those of a track with keys without their protection, all others as they are.
//!
//! Called by [`crate::call`], of which it is a part, and by `ingest`; calls [`crate::srtp`]. What is not authentic
//! is counted and goes no further, so that it is neither a source nor sound.

use std::net::SocketAddr;

use reeld_model::{Mono, Track};

use super::{Call, Port};
use crate::srtp::Opened;

impl Call {
    /// Takes a datagram that came to a port of a track.
    pub fn handle_datagram(
        &mut self,
        track: Track,
        port: Port,
        from: SocketAddr,
        arrival: Mono,
        datagram: &[u8],
    ) {
        let Some(state) = &mut self.tracks[track.index()] else {
            return;
        };
        let Some(srtp) = &mut state.srtp else {
            return self.handle_clear(track, port, from, arrival, datagram);
        };
        let mut clear = std::mem::take(&mut self.clear);
        match srtp.open(datagram, arrival, &mut clear) {
            Opened::Clear => self.handle_clear(track, port, from, arrival, &clear),
            Opened::AsItIs => self.handle_clear(track, port, from, arrival, datagram),
            Opened::Again => state.counts().duplicates += 1,
            Opened::Forged => {
                if srtp.refuses_first() {
                    tracing::warn!(
                        call = %self.open.call,
                        track = track.as_str(),
                        "a packet is not authentic under the keys of its Sdp, and is not heard"
                    );
                }
                state.counts().unauthentic += 1;
            }
        }
        self.clear = clear;
    }

    /// What a key of ours is drawn for, which no other is: the call since it was opened, its answer, its track.
    pub(super) fn name_of_key(&self, track: Track) -> Vec<u8> {
        let call = format!(
            "reeld srtp {} {} {} {} {}",
            self.open.account,
            self.open.call,
            self.opened_at_ms,
            self.answers,
            track.as_str()
        );
        call.into_bytes()
    }
}
