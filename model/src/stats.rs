//! What happened to the packets of a track: the counts that go with each recording.

use serde::{Deserialize, Serialize};

/// Counts of one track, over a recording or over a call. Every datagram that came to the
/// track's ports is in one of `packets`, `duplicates`, `late`, `foreign`, `malformed`, `stun`, `rtcp` and
/// `unauthentic`; `reordered`, `undecodable`, `events` and `comfort_noise` say what was among `packets`.
///
/// A record on disk holds this in postcard's order: a new field is another version of the record
/// (`store/src/stored.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrackStats {
    /// RTP packets taken into the track.
    pub packets: u64,
    /// Their payload, in bytes.
    pub payload_bytes: u64,
    /// Packets that never came, by sequence number (RFC 3550 §A.3, never negative).
    pub lost: u64,
    /// Packets that came twice; heard once.
    pub duplicates: u64,
    /// Packets that came after their place had been written, or further ahead of time than the reorder
    /// window; not heard.
    pub late: u64,
    /// Packets that came out of order and still found their place.
    pub reordered: u64,
    /// Packets from a source that the track does not listen to; not heard.
    pub foreign: u64,
    /// Datagrams that are not RTP: too short, another version, a length that does not fit.
    pub malformed: u64,
    /// STUN (RFC 5389) and DTLS (RFC 6347) datagrams on the media port, told apart by RFC 7983.
    pub stun: u64,
    /// RTCP packets, on either port.
    pub rtcp: u64,
    /// Packets of a payload type that is not mapped to a codec; silence stands in their place.
    pub undecodable: u64,
    /// RFC 4733 telephone-event packets.
    pub events: u64,
    /// RFC 3389 comfort-noise packets.
    pub comfort_noise: u64,
    /// Segments of the timeline: one for each SSRC and each break.
    pub segments: u64,
    /// Packets that the kernel dropped for want of room in the receive buffer (SO_RXQ_OVFL).
    pub kernel_dropped: u64,
    /// Samples of the timeline that were made up for lost packets.
    pub concealed: u64,
    /// Samples of the timeline between packets that hold silence or comfort noise: losses beyond
    /// concealment, pauses of the sender, events.
    pub filled: u64,
    /// Samples that were added to keep pace with our clock, or left out: the drift's correction.
    pub corrected: u64,
    /// Packets that are not authentic under the track's SRTP keys (RFC 3711 §3.3), RTCP among them; not heard.
    #[serde(default)]
    pub unauthentic: u64,
}

impl TrackStats {
    /// Adds `other` to this, field by field.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, u64::saturating_add);
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = *self;
        difference.combine(earlier, u64::saturating_sub);
        difference
    }

    fn combine(&mut self, other: &Self, op: fn(u64, u64) -> u64) {
        // Destructured, so that a new field cannot be forgotten.
        let Self {
            packets,
            payload_bytes,
            lost,
            duplicates,
            late,
            reordered,
            foreign,
            malformed,
            stun,
            rtcp,
            undecodable,
            events,
            comfort_noise,
            segments,
            kernel_dropped,
            concealed,
            filled,
            corrected,
            unauthentic,
        } = self;
        for (mine, theirs) in [
            (packets, other.packets),
            (payload_bytes, other.payload_bytes),
            (lost, other.lost),
            (duplicates, other.duplicates),
            (late, other.late),
            (reordered, other.reordered),
            (foreign, other.foreign),
            (malformed, other.malformed),
            (stun, other.stun),
            (rtcp, other.rtcp),
            (undecodable, other.undecodable),
            (events, other.events),
            (comfort_noise, other.comfort_noise),
            (segments, other.segments),
            (kernel_dropped, other.kernel_dropped),
            (concealed, other.concealed),
            (filled, other.filled),
            (corrected, other.corrected),
            (unauthentic, other.unauthentic),
        ] {
            *mine = op(*mine, theirs);
        }
    }
}
