//! Networks as the configuration names them: `loopback`, `private`, `public`, or an address with or
//! without a prefix length → the networks that they stand for.
//!
//! `value` calls it. `public` is what the internet routes as ordinary unicast: everything but the
//! blocks of the IANA special-purpose registries (RFC 6890), so that a list of plain networks is all
//! that the users of an allow-list ever compare with.

use std::net::IpAddr;

use ipnet::IpNet;

const LOOPBACK: &[&str] = &["127.0.0.0/8", "::1/128"];

/// RFC 1918 and RFC 4193.
const PRIVATE: &[&str] = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// Where ordinary unicast addresses lie.
const UNICAST: &[&str] = &["0.0.0.0/0", "2000::/3"];

/// What of [`UNICAST`] is none: RFC 6890's registries, multicast (224.0.0.0/4), and the tunnels that
/// carry an IPv4 address within (Teredo in 2001::/23, 6to4), behind which anything may lie.
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
];

/// The networks of one word; `None` where it is none.
pub(crate) fn named(word: &str) -> Option<Vec<IpNet>> {
    match word {
        "loopback" => Some(nets(LOOPBACK)),
        "private" => Some(nets(PRIVATE)),
        "public" => {
            let holes = nets(SPECIAL);
            Some(
                nets(UNICAST)
                    .into_iter()
                    .flat_map(|net| without(net, &holes))
                    .collect(),
            )
        }
        other => other
            .parse::<IpNet>()
            .map(|net| net.trunc())
            .or_else(|_| other.parse::<IpAddr>().map(IpNet::from))
            .ok()
            .map(|net| vec![net]),
    }
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The parts of a network that lie in no hole.
fn without(net: IpNet, holes: &[IpNet]) -> Vec<IpNet> {
    if holes.iter().any(|hole| hole.contains(&net)) {
        return Vec::new();
    }
    if !holes.iter().any(|hole| net.contains(hole)) {
        return vec![net];
    }
    match net.subnets(net.prefix_len() + 1) {
        Ok(halves) => halves.flat_map(|half| without(half, holes)).collect(),
        // A single address that holds a hole is the hole, which the first test has caught.
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(word: &str, address: &str) -> bool {
        let address: IpAddr = address.parse().unwrap();
        named(word)
            .unwrap()
            .iter()
            .any(|net| net.contains(&address))
    }

    #[test]
    fn every_constant_is_a_network() {
        for list in [LOOPBACK, PRIVATE, UNICAST, SPECIAL] {
            assert_eq!(nets(list).len(), list.len());
        }
    }

    #[test]
    fn public_is_the_internet_and_nothing_near() {
        for address in ["8.8.8.8", "1.1.1.1", "223.255.255.255", "2606:4700::1111"] {
            assert!(allows("public", address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "2002:0a00:0001::1",
            "64:ff9b::a00:1",
        ] {
            assert!(!allows("public", address), "{address}");
        }
    }

    #[test]
    fn words_and_networks() {
        assert!(allows("loopback", "127.8.9.1") && allows("loopback", "::1"));
        assert!(allows("private", "172.16.0.1") && !allows("private", "172.32.0.1"));
        assert!(allows("192.0.2.7", "192.0.2.7") && !allows("192.0.2.7", "192.0.2.8"));
        assert_eq!(
            named("192.0.2.77/24").unwrap()[0].to_string(),
            "192.0.2.0/24"
        );
        assert!(named("localhost").is_none() && named("10.0.0.0/33").is_none());
    }
}
