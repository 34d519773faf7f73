//! A datagram, told apart and checked.
//!
//! Called by [`crate::call`] for every datagram; calls rtp-rs. What is not RTP is named, so that it
//! can be counted by reason.
//!
//! RFC 3550 §5.1 (header), RFC 5761 §4 (RTP and RTCP on one port), RFC 7983 §7 (STUN, DTLS and RTP
//! on one port).

use rtp_rs::RtpReader;
use serde::{Deserialize, Serialize};

/// What a datagram on a media port is.
pub(crate) enum Datagram<'a> {
    /// A whole RTP packet.
    Rtp(RtpPacket<'a>),
    /// RTCP, by RFC 5761; its content is not checked yet.
    Rtcp(&'a [u8]),
    /// STUN, DTLS or ZRTP.
    Stun,
    /// None of these, or RTP whose lengths do not fit.
    Malformed,
}

/// An RTP packet whose lengths have been checked.
#[derive(Clone, Copy)]
pub(crate) struct RtpPacket<'a> {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    /// The payload, without padding.
    pub(crate) payload: &'a [u8],
    /// The whole datagram, for a packet that must be kept until its source is trusted.
    pub(crate) datagram: &'a [u8],
}

/// Tells apart and checks one datagram.
pub(crate) fn read(datagram: &[u8]) -> Datagram<'_> {
    match datagram {
        // RFC 7983 §7: 0-3 STUN, 16-19 ZRTP, 20-63 DTLS, 64-79 TURN channel.
        [0..=3 | 16..=79, ..] => Datagram::Stun,
        // RFC 5761 §4: second byte 192-223 is RTCP.
        [128..=191, 192..=223, ..] => Datagram::Rtcp(datagram),
        [128..=191, ..] => match RtpReader::new(datagram) {
            Ok(rtp) => Datagram::Rtp(RtpPacket {
                sequence: rtp.sequence_number().into(),
                timestamp: rtp.timestamp(),
                ssrc: rtp.ssrc(),
                payload_type: rtp.payload_type(),
                payload: rtp.payload(),
                datagram,
            }),
            Err(_) => Datagram::Malformed,
        },
        _ => Datagram::Malformed,
    }
}

/// Whether an RTCP compound packet (RFC 3550 §6.1) says BYE for `ssrc`.
pub(crate) fn says_bye(datagram: &[u8], ssrc: u32) -> bool {
    let Ok(compound) = rtcp_types::Compound::parse(datagram) else {
        return false;
    };
    compound.into_iter().any(|packet| {
        matches!(packet, Ok(rtcp_types::Packet::Bye(bye)) if bye.ssrcs().any(|gone| gone == ssrc))
    })
}

/// What a sender report says (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SenderReport {
    pub(crate) ssrc: u32,
    /// The sender's NTP time in 32.32 fixed point.
    pub(crate) ntp: u64,
    /// The RTP time stamp of the same instant.
    pub(crate) stamp: u32,
}

/// The sender report in an RTCP compound packet, if it has one.
pub(crate) fn sender_report(datagram: &[u8]) -> Option<SenderReport> {
    let compound = rtcp_types::Compound::parse(datagram).ok()?;
    compound.into_iter().find_map(|packet| match packet {
        Ok(rtcp_types::Packet::Sr(report)) => Some(SenderReport {
            ssrc: report.ssrc(),
            ntp: report.ntp_timestamp(),
            stamp: report.rtp_timestamp(),
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rtp(bytes: &[u8]) -> Option<RtpPacket<'_>> {
        match read(bytes) {
            Datagram::Rtp(packet) => Some(packet),
            Datagram::Rtcp(_) | Datagram::Stun | Datagram::Malformed => None,
        }
    }

    #[test]
    fn csrc_extension_and_padding_are_not_payload() {
        let mut bytes = vec![0b1011_0001, 0x80, 0x12, 0x34, 0, 0, 0, 7, 0, 0, 0, 9];
        bytes.extend([1, 2, 3, 4]); // CSRC
        bytes.extend([0xBE, 0xDE, 0, 1, 5, 6, 7, 8]); // extension of one word
        bytes.extend([0xAA, 0xBB]); // payload
        bytes.extend([0, 0, 3]); // padding of three
        let packet = rtp(&bytes).unwrap();
        assert_eq!(
            (packet.sequence, packet.timestamp, packet.ssrc),
            (0x1234, 7, 9)
        );
        assert_eq!(packet.payload, [0xAA, 0xBB]);
    }

    #[test]
    fn lengths_that_do_not_fit_are_malformed() {
        assert!(rtp(&[0x80; 11]).is_none());
        assert!(rtp(&[0x8F, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_none());
        let mut padded = vec![0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        padded.extend([1, 200]);
        assert!(rtp(&padded).is_none());
        assert!(matches!(read(&[]), Datagram::Malformed));
    }

    #[test]
    fn other_protocols_are_told_apart() {
        assert!(matches!(read(&[0, 1, 0, 0]), Datagram::Stun));
        assert!(matches!(read(&[22, 254, 253]), Datagram::Stun));
        assert!(matches!(read(&[0x81, 200, 0, 6]), Datagram::Rtcp(_)));
        assert!(matches!(read(&[0x45, 0, 0, 0]), Datagram::Stun));
        assert!(matches!(read(&[0xFF, 0, 0, 0]), Datagram::Malformed));
    }

    #[test]
    fn a_bye_is_for_the_ssrc_it_names() {
        // RR with no blocks, then BYE for 9.
        let bytes = [0x80, 201, 0, 1, 0, 0, 0, 9, 0x81, 203, 0, 1, 0, 0, 0, 9];
        assert!(says_bye(&bytes, 9));
        assert!(!says_bye(&bytes, 8));
        assert!(!says_bye(&bytes[..13], 9));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), ssrc: u32) {
            let _ = read(&bytes);
            let _ = says_bye(&bytes, ssrc);
            let _ = sender_report(&bytes);
        }
    }
}
