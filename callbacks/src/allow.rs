//! Where callbacks may go: `callbacks.allow`, on addresses.
//!
//! Called by `target` for the host that a URL names, and by `resolve` for every address that a
//! name stands for, before it is connected to: a name may stand for another address each time.
//!
//! Link-local and metadata addresses hand out a machine's secrets to whoever makes it ask, so no
//! word and no wide network opens them: a link-local one needs a network within link-local, a
//! metadata one a network of that address alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Addresses that serve secrets to a machine in a cloud and lie outside link-local: Azure,
/// Alibaba, Oracle, and AWS over IPv6.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Link-local unicast: RFC 3927, RFC 4291 §2.5.6.
const LINK_LOCAL: [(IpAddr, u8); 2] = [
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
];

/// The networks that callbacks may go to.
#[derive(Debug, Clone, Default)]
pub struct Allow(Vec<IpNet>);

impl Allow {
    /// These networks alone.
    #[must_use]
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether a callback may go to `address`.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let address = within(address);
        if address.is_unspecified() || address.is_multicast() {
            return false;
        }
        let is_metadata = METADATA.contains(&address);
        let link_local = LINK_LOCAL
            .iter()
            .filter_map(|(net, length)| IpNet::new(*net, *length).ok())
            .find(|net| net.contains(&address));
        self.0
            .iter()
            .filter(|net| net.contains(&address))
            .any(|net| {
                let is_narrow = !is_metadata || net.prefix_len() == net.max_prefix_len();
                is_narrow && link_local.is_none_or(|wide| wide.contains(net))
            })
    }
}

/// The IPv4 address that an IPv6 one carries, where it does: mapped and compatible (RFC 4291 §2.5.5),
/// translated (RFC 2765 §2.1), NAT64 (RFC 6052, RFC 8215) and 6to4 (RFC 3056) ones lead there.
fn within(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else {
        return address;
    };
    if six.is_unspecified() || six.is_loopback() {
        return address;
    }
    let [a, b, c, d, e, f, y, z] = six.segments();
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match [a, b, c, d, e, f] {
        [0x2002, ..] => four(b, c),
        [0x64, 0xff9b, ..] | [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] => four(y, z),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(nets: &[&str], address: &str) -> bool {
        let nets = nets.iter().map(|net| net.parse().expect("a network"));
        Allow::new(nets.collect()).has(address.parse().expect("an address"))
    }

    #[test]
    fn only_what_is_allowed_is_reached_however_it_is_written() {
        let public = ["8.0.0.0/8", "2000::/3"];
        assert!(has(&public, "8.8.8.8") && has(&public, "::ffff:8.8.8.8"));
        for address in [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "::ffff:127.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(!has(&public, address), "{address}");
        }
        assert!(has(&["127.0.0.0/8"], "127.0.0.1"));
        assert!(!has(&[], "8.8.8.8"));
    }

    #[test]
    fn metadata_and_link_local_need_their_own_word() {
        let all = ["0.0.0.0/0", "::/0", "fc00::/7"];
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "fe80::1",
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "0.0.0.0",
            "::",
            "::ffff:0.0.0.0",
            "224.0.0.1",
            "ff02::1",
        ] {
            assert!(!has(&all, address), "{address}");
        }
        assert!(has(&["169.254.0.0/16"], "169.254.169.254"));
        assert!(has(&["168.63.129.16/32"], "168.63.129.16"));
    }
}
