//! The writer of RTP headers, of its own making: a sender that shared code with the receiver would
//! share its mistakes.
//!
//! Called by [`super::send`](fn@super::send). RFC 3550 §5.1: version 2, no padding, no extension,
//! no contributing sources.

/// Bytes of a header without contributing sources or extension.
pub const HEADER_BYTES: usize = 12;

/// The fields of a packet that change or are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// First of a talkspurt (RFC 3551 §4.1).
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Time stamp, in samples.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

impl Header {
    /// The header as it goes on the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let marker = if self.marker { 0x80 } else { 0 };
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [c0, c1, c2, c3] = self.ssrc.to_be_bytes();
        [
            0x80,
            marker | (self.payload_type & 0x7f),
            s0,
            s1,
            t0,
            t1,
            t2,
            t3,
            c0,
            c1,
            c2,
            c3,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_rfc_3550_puts_them() {
        let header = Header {
            marker: true,
            payload_type: 8,
            sequence: 0x1234,
            timestamp: 0x89ab_cdef,
            ssrc: 0x0102_0304,
        };
        assert_eq!(
            header.to_bytes(),
            [0x80, 0x88, 0x12, 0x34, 0x89, 0xab, 0xcd, 0xef, 1, 2, 3, 4]
        );
    }
}
