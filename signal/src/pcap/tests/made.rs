//! Captures made for the tests: packets from the link to RTP, and files of every kind.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header,
    UdpHeader,
};

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// 20 ms of µ-law whose samples are not silence.
pub(super) fn rtp(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend((u32::from(sequence) * 160).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([0x20; 160]);
    bytes
}

/// The IP packet of a UDP datagram.
pub(super) fn ip(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    pieces(from, to, payload, usize::MAX).remove(0)
}

/// The same in fragments of so many bytes at most.
pub(super) fn pieces(
    from: SocketAddr,
    to: SocketAddr,
    payload: &[u8],
    most: usize,
) -> Vec<Vec<u8>> {
    let mut udp = Vec::new();
    let header = UdpHeader::without_ipv4_checksum(from.port(), to.port(), payload.len());
    header.unwrap().write(&mut udp).unwrap();
    udp.extend(payload);
    let is_whole = udp.len() <= most;
    let count = udp.len().div_ceil(most);
    let chunks = udp.chunks(most.min(udp.len())).enumerate();
    chunks
        .map(|(number, part)| {
            let offset =
                IpFragOffset::try_new(u16::try_from(number * most.min(8_192) / 8).unwrap());
            let (offset, more) = (offset.unwrap(), number + 1 < count);
            let mut bytes = Vec::new();
            match (from.ip(), to.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    let length = u16::try_from(part.len()).unwrap();
                    let mut header =
                        Ipv4Header::new(length, 64, IpNumber::UDP, from.octets(), to.octets())
                            .unwrap();
                    header.identification = 77;
                    header.dont_fragment = false;
                    header.fragment_offset = offset;
                    header.more_fragments = more;
                    header.write(&mut bytes).unwrap();
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    let extension = if is_whole { 0 } else { 8 };
                    let header = Ipv6Header {
                        payload_length: u16::try_from(part.len() + extension).unwrap(),
                        next_header: if is_whole {
                            IpNumber::UDP
                        } else {
                            IpNumber::IPV6_FRAGMENTATION_HEADER
                        },
                        hop_limit: 64,
                        source: from.octets(),
                        destination: to.octets(),
                        ..Ipv6Header::default()
                    };
                    header.write(&mut bytes).unwrap();
                    if !is_whole {
                        Ipv6FragmentHeader::new(IpNumber::UDP, offset, more, 77)
                            .write(&mut bytes)
                            .unwrap();
                    }
                }
                _ => panic!("one family"),
            }
            bytes.extend(part);
            bytes
        })
        .collect()
}

pub(super) fn ether_type(packet: &[u8]) -> EtherType {
    if packet[0] >> 4 == 6 {
        EtherType::IPV6
    } else {
        EtherType::IPV4
    }
}

pub(super) fn ethernet(packet: &[u8], tags: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Ethernet2Header {
        source: [2; 6],
        destination: [4; 6],
        ether_type: tags
            .first()
            .map_or(ether_type(packet), |tag| EtherType(*tag)),
    };
    header.write(&mut bytes).unwrap();
    for (number, _) in tags.iter().enumerate() {
        let next = tags
            .get(number + 1)
            .map_or(ether_type(packet).0, |tag| *tag);
        bytes.extend(7_u16.to_be_bytes());
        bytes.extend(next.to_be_bytes());
    }
    bytes.extend(packet);
    bytes
}

/// A pcap file, little-endian with microseconds: frames each with its milliseconds.
pub(super) fn pcap(link: u32, frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(0xa1b2_c3d4_u32.to_le_bytes());
    for half in [2_u16, 4] {
        bytes.extend(half.to_le_bytes());
    }
    for word in [0, 0, 65_535, link] {
        bytes.extend(word.to_le_bytes());
    }
    for (ms, frame) in frames {
        let length = u32::try_from(frame.len()).unwrap();
        for word in [
            u32::try_from(1_700_000_000 + ms / 1_000).unwrap(),
            u32::try_from(ms % 1_000 * 1_000).unwrap(),
            length,
            length,
        ] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    bytes
}

/// The same, big-endian with nanoseconds.
pub(super) fn pcap_big(link: u32, frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(0xa1b2_3c4d_u32.to_be_bytes());
    for half in [2_u16, 4] {
        bytes.extend(half.to_be_bytes());
    }
    for word in [0, 0, 65_535, link] {
        bytes.extend(word.to_be_bytes());
    }
    for (ms, frame) in frames {
        let length = u32::try_from(frame.len()).unwrap();
        for word in [
            u32::try_from(1_700_000_000 + ms / 1_000).unwrap(),
            u32::try_from(ms % 1_000 * 1_000_000).unwrap(),
            length,
            length,
        ] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(frame);
    }
    bytes
}

/// A pcapng file in either order, with an interface of milliseconds that is not used before one
/// of 2^-20 s that is.
pub(super) fn pcapng(link: u16, big: bool, frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let half = |value: u16| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let word = |value: u32| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let block = |kind: u32, body: &[u8]| {
        let padded = body.len().div_ceil(4) * 4;
        let length = word(u32::try_from(padded + 12).unwrap());
        let mut bytes = word(kind).to_vec();
        bytes.extend(length);
        bytes.extend(body);
        bytes.resize(8 + padded, 0);
        bytes.extend(length);
        bytes
    };
    let interface = |link: u16, resolution: u8| {
        let mut body = half(link).to_vec();
        body.extend(half(0));
        body.extend(word(0));
        body.extend(half(9));
        body.extend(half(1));
        body.extend([resolution, 0, 0, 0]);
        body.extend(word(0));
        block(1, &body)
    };
    let mut section = word(0x1a2b_3c4d).to_vec();
    section.extend(half(1));
    section.extend(half(0));
    section.extend([0xff; 8]);
    let mut bytes = block(0x0a0d_0d0a, &section);
    bytes.extend(interface(147, 3));
    bytes.extend(interface(link, 0x80 | 20));
    for (ms, frame) in frames {
        let stamp = (u128::from(1_700_000_000_000 + ms) << 20) / 1_000;
        let stamp = u64::try_from(stamp).unwrap();
        let mut body = word(1).to_vec();
        body.extend(word(u32::try_from(stamp >> 32).unwrap()));
        body.extend(word((stamp & 0xffff_ffff) as u32));
        let length = word(u32::try_from(frame.len()).unwrap());
        body.extend(length);
        body.extend(length);
        body.extend(frame);
        bytes.extend(block(6, &body));
    }
    bytes
}
