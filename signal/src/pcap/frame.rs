//! A captured frame → the UDP datagram or TCP segment in it.
//!
//! Called by [`super`]'s passes; etherparse reads the headers, leniently: a frame that was cut by
//! the capture's snap length gives what is left of it. IP fragments are put together.
//!
//! Bounds: [`MOST_FRAGMENTED`] datagrams in pieces, 64 KiB each; the oldest goes first.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use etherparse::defrag::IpDefragBuf;
use etherparse::{
    EtherType, IpFragOffset, IpNumber, Ipv6ExtensionSlice, LaxNetSlice, LaxSlicedPacket, TcpSlice,
    TransportSlice, UdpSlice,
};

use super::file::Frame;

/// Datagrams in pieces that are kept until they are whole.
const MOST_FRAGMENTED: usize = 64;

/// A datagram or segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// A TCP segment's number; none for UDP.
    pub(crate) tcp: Option<Segment>,
    pub(crate) payload: &'a [u8],
    /// Whether the snap length has cut it.
    pub(crate) is_cut: bool,
}

/// What matters of a TCP header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) sequence: u32,
    pub(crate) begins: bool,
}

/// Takes frames apart.
#[derive(Debug, Default)]
pub(crate) struct Peeler {
    fragments: HashMap<FragmentKey, (u64, IpDefragBuf)>,
    frames: u64,
    /// Link types that are not read, with the frames of each.
    pub(crate) unknown_links: HashMap<i32, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FragmentKey {
    from: IpAddr,
    to: IpAddr,
    id: u32,
    protocol: u8,
}

/// A piece of a datagram.
struct Fragment<'a> {
    key: FragmentKey,
    offset: IpFragOffset,
    more: bool,
    protocol: IpNumber,
    payload: &'a [u8],
}

impl Peeler {
    /// Gives the packet in a frame to `take`, if there is one and it is whole now.
    pub(crate) fn peel(&mut self, frame: &Frame<'_>, take: impl FnOnce(Packet<'_>)) {
        self.frames += 1;
        let data = frame.data;
        let sliced = match frame.link {
            1 => LaxSlicedPacket::from_ethernet(data).ok(),
            // LINKTYPE_LINUX_SLL: the protocol is the last of 16 bytes.
            113 => by_ether_type(data, 14, 16),
            // LINKTYPE_LINUX_SLL2: the protocol is the first of 20 bytes.
            276 => by_ether_type(data, 0, 20),
            12 | 14 | 101 | 228 | 229 => LaxSlicedPacket::from_ip(data).ok(),
            // BSD loopback: four bytes of address family, in either order; the IP header knows.
            0 | 108 => data
                .get(4..)
                .and_then(|packet| LaxSlicedPacket::from_ip(packet).ok()),
            unknown => {
                // A file has a handful of interfaces; a hostile one does not grow this.
                if self.unknown_links.len() < 64 || self.unknown_links.contains_key(&unknown) {
                    *self.unknown_links.entry(unknown).or_default() += 1;
                }
                None
            }
        };
        let Some(sliced) = sliced else {
            return;
        };
        let Some(net) = &sliced.net else {
            return;
        };
        let (from, to, payload): (IpAddr, IpAddr, _) = match net {
            LaxNetSlice::Ipv4(ip) => (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
                ip.payload(),
            ),
            LaxNetSlice::Ipv6(ip) => (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
                ip.payload(),
            ),
            LaxNetSlice::Arp(_) => return,
        };
        if payload.fragmented {
            // A piece that is cut would leave a hole of its own.
            if !payload.incomplete
                && let Some((id, offset, more)) = place_of(net)
            {
                let key = FragmentKey {
                    from,
                    to,
                    id,
                    protocol: payload.ip_number.0,
                };
                let fragment = Fragment {
                    key,
                    offset,
                    more,
                    protocol: payload.ip_number,
                    payload: payload.payload,
                };
                self.put_together(&fragment, take);
            }
            return;
        }
        match &sliced.transport {
            Some(TransportSlice::Udp(udp)) => take(of_udp(from, to, udp, payload.incomplete)),
            Some(TransportSlice::Tcp(tcp)) => take(of_tcp(from, to, tcp, payload.incomplete)),
            Some(
                TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_),
            )
            | None => {}
        }
    }

    fn put_together(&mut self, fragment: &Fragment<'_>, take: impl FnOnce(Packet<'_>)) {
        let key = fragment.key;
        if !self.fragments.contains_key(&key)
            && self.fragments.len() >= MOST_FRAGMENTED
            && let Some(oldest) = self
                .fragments
                .iter()
                .min_by_key(|(_, (since, _))| *since)
                .map(|(key, _)| *key)
        {
            self.fragments.remove(&oldest);
        }
        let (_, buffer) = self.fragments.entry(key).or_insert_with(|| {
            let empty = IpDefragBuf::new(fragment.protocol, Vec::new(), Vec::new());
            (self.frames, empty)
        });
        if buffer
            .add(fragment.offset, fragment.more, fragment.payload)
            .is_err()
        {
            // Pieces that contradict each other are of no datagram.
            self.fragments.remove(&key);
            return;
        }
        if !buffer.is_complete() {
            return;
        }
        let Some((_, buffer)) = self.fragments.remove(&key) else {
            return;
        };
        let (from, to) = (key.from, key.to);
        match fragment.protocol {
            IpNumber::UDP => {
                if let Ok(udp) = UdpSlice::from_slice_lax(buffer.data()) {
                    take(of_udp(from, to, &udp, false));
                }
            }
            IpNumber::TCP => {
                if let Ok(tcp) = TcpSlice::from_slice(buffer.data()) {
                    take(of_tcp(from, to, &tcp, false));
                }
            }
            _ => {}
        }
    }
}

/// The frame's packet, by the EtherType at `at`, behind `header` bytes.
fn by_ether_type(data: &[u8], at: usize, header: usize) -> Option<LaxSlicedPacket<'_>> {
    let kind = data.get(at..at + 2)?;
    let kind = EtherType(u16::from_be_bytes([kind[0], kind[1]]));
    Some(LaxSlicedPacket::from_ether_type(kind, data.get(header..)?))
}

/// Where a fragment belongs: its datagram's number, its offset, whether more follow.
fn place_of(net: &LaxNetSlice<'_>) -> Option<(u32, IpFragOffset, bool)> {
    match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let id = header.identification().into();
            Some((id, header.fragments_offset(), header.more_fragments()))
        }
        LaxNetSlice::Ipv6(ip) => ip.extensions().clone().into_iter().find_map(|extension| {
            let Ipv6ExtensionSlice::Fragment(fragment) = extension else {
                return None;
            };
            let header = fragment.to_header();
            let id = header.identification;
            Some((id, header.fragment_offset, header.more_fragments))
        }),
        LaxNetSlice::Arp(_) => None,
    }
}

fn of_udp<'a>(from: IpAddr, to: IpAddr, udp: &UdpSlice<'a>, is_cut: bool) -> Packet<'a> {
    Packet {
        from: SocketAddr::new(from, udp.source_port()),
        to: SocketAddr::new(to, udp.destination_port()),
        tcp: None,
        payload: udp.payload(),
        is_cut,
    }
}

fn of_tcp<'a>(from: IpAddr, to: IpAddr, tcp: &TcpSlice<'a>, is_cut: bool) -> Packet<'a> {
    Packet {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        tcp: Some(Segment {
            sequence: tcp.sequence_number(),
            begins: tcp.syn(),
        }),
        payload: tcp.payload(),
        is_cut,
    }
}
