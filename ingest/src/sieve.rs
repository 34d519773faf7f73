//! A filter on a media socket: the kernel drops what strangers send before it takes up room or time.
//!
//! `inlet` attaches it; `capture` says who may pass ([`reeld_capture::Call::only_source`]). It is a classic BPF
//! program (socket(7), SO_ATTACH_FILTER), which needs no privilege and, other than `connect`, no route
//! to the source: connecting a socket that is bound to any address ties it to the one address that the route
//! back would take, loses packets while it is moved in the kernel's tables (before Linux 6.14), and has
//! reads fail for what an ICMP error says, which anybody can forge.
//!
//! The program sees a datagram from its UDP header on; SKF_NET_OFF leads to the IP header (linux/filter.h).

use std::net::IpAddr;

use reeld_model::SourceRule;
use socket2::SockFilter;

/// Instructions, of linux/bpf_common.h: class, size or operation, and mode.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const AND: u16 = 0x54;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// SKF_NET_OFF, -0x100000: where the IP header begins.
const NETWORK: u32 = 0xFFF0_0000;

/// Of the first byte of an IP header, its version (RFC 791 §3.1, RFC 8200 §3).
const VERSION: u32 = 0xF0;

/// The program that lets `only` pass. A port stands for the next one too: RTCP may come from it
/// (RFC 3550 §11).
pub(crate) fn program(only: SourceRule) -> Vec<SockFilter> {
    let mut checks = Checks(Vec::new());
    match only.address.to_canonical() {
        IpAddr::V4(address) => {
            checks.is_version(4);
            checks.is(LOAD_WORD, NETWORK + 12, &[address.to_bits()]);
        }
        IpAddr::V6(address) => {
            checks.is_version(6);
            let words = address.to_bits();
            for (place, shift) in (0..4).zip([96, 64, 32, 0]) {
                let word = u32::try_from(words >> shift & 0xFFFF_FFFF).unwrap_or_default();
                checks.is(LOAD_WORD, NETWORK + 8 + 4 * place, &[word]);
            }
        }
    }
    if let Some(port) = only.port {
        let ports = [port, port.saturating_add(1)];
        checks.is(LOAD_HALF, 0, &ports.map(u32::from));
    }
    checks.program()
}

/// What a datagram must have, one after the other.
struct Checks(Vec<Step>);

enum Step {
    Do(u16, u32),
    /// To the end that drops, where what was loaded is none of these.
    Unless(Vec<u32>),
}

impl Checks {
    fn is(&mut self, load: u16, at: u32, values: &[u32]) {
        self.0.push(Step::Do(load, at));
        self.0.push(Step::Unless(values.to_vec()));
    }

    fn is_version(&mut self, version: u32) {
        self.0.push(Step::Do(LOAD_BYTE, NETWORK));
        self.0.push(Step::Do(AND, VERSION));
        self.0.push(Step::Unless(vec![version << 4]));
    }

    fn program(self) -> Vec<SockFilter> {
        let length = |step: &Step| match step {
            Step::Do(..) => 1,
            Step::Unless(values) => values.len(),
        };
        // The end that keeps is behind the last step, and the one that drops behind that.
        let drops = self.0.iter().map(length).sum::<usize>() + 1;
        let mut program = Vec::with_capacity(drops + 1);
        for step in self.0 {
            let values = match step {
                Step::Do(code, operand) => {
                    program.push(SockFilter::new(code, 0, 0, operand));
                    continue;
                }
                Step::Unless(values) => values,
            };
            for (left, value) in (0..values.len()).rev().zip(values) {
                // Jumps count from the next instruction. A program has 20 at most.
                let over = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
                let away = if left == 0 {
                    over(drops - program.len() - 1)
                } else {
                    0
                };
                program.push(SockFilter::new(JUMP_IF_EQUAL, over(left), away, value));
            }
        }
        program.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
        program.push(SockFilter::new(RETURN, 0, 0, 0));
        program
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
    use std::time::Duration;

    /// Which of the senders a socket that is bound to `any` hears, with a filter for `only`.
    fn heard(any: IpAddr, only: SourceRule, senders: &[&UdpSocket]) -> Vec<SocketAddr> {
        let inlet = crate::inlet::media_socket((any, 0).into(), 1 << 16).unwrap();
        inlet.bind(&SocketAddr::new(any, 0).into()).unwrap();
        inlet.attach_filter(&program(only)).unwrap();
        let port = inlet.local_addr().unwrap().as_socket().unwrap().port();
        for sender in senders {
            let to = SocketAddr::new(sender.local_addr().unwrap().ip(), port);
            sender.send_to(b"?", to).unwrap();
        }
        let inlet = UdpSocket::from(inlet);
        inlet.set_nonblocking(false).unwrap();
        inlet
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let mut heard = Vec::new();
        while let Ok((_, from)) = inlet.recv_from(&mut [0; 8]) {
            heard.push(SocketAddr::new(from.ip().to_canonical(), from.port()));
        }
        heard
    }

    fn rule(of: SocketAddr, with_port: bool) -> SourceRule {
        SourceRule {
            address: of.ip(),
            port: with_port.then_some(of.port()),
        }
    }

    /// A socket and one on the next port, of an address.
    fn neighbours(address: IpAddr) -> Option<(UdpSocket, UdpSocket)> {
        (0..200).find_map(|_| {
            let one = UdpSocket::bind((address, 0)).ok()?;
            let next = one.local_addr().ok()?.port().checked_add(1)?;
            Some((one, UdpSocket::bind((address, next)).ok()?))
        })
    }

    fn each_passes_by_address_and_port(any: IpAddr, here: IpAddr, elsewhere: &UdpSocket) {
        let (source, next) = neighbours(here).expect("two ports in a row are free");
        let other = UdpSocket::bind((here, 0)).unwrap();
        let [source_at, next_at, other_at] =
            [&source, &next, &other].map(|socket| socket.local_addr().unwrap());
        let all = [elsewhere, &other, &source, &next];
        let by_port = heard(any, rule(source_at, true), &all);
        assert_eq!(by_port, [source_at, next_at]);
        let by_address = heard(any, rule(source_at, false), &all);
        assert_eq!(by_address, [other_at, source_at, next_at]);
    }

    #[test]
    fn the_source_passes_and_nobody_else_does() {
        let elsewhere = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 7), 0)).unwrap();
        let here = Ipv4Addr::LOCALHOST.into();
        each_passes_by_address_and_port(Ipv4Addr::UNSPECIFIED.into(), here, &elsewhere);
    }

    #[test]
    fn a_socket_for_both_families_keeps_them_apart() {
        let here = Ipv6Addr::LOCALHOST;
        let Ok(_) = UdpSocket::bind((here, 0)) else {
            eprintln!("skipped: this machine has no IPv6");
            return;
        };
        let any = Ipv6Addr::UNSPECIFIED.into();
        let four = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        each_passes_by_address_and_port(any, here.into(), &four);
        let six = UdpSocket::bind((here, 0)).unwrap();
        each_passes_by_address_and_port(any, Ipv4Addr::LOCALHOST.into(), &six);
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address_within() {
        let source = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let at = source.local_addr().unwrap();
        let mapped = SourceRule {
            address: Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
            port: Some(at.port()),
        };
        let any = Ipv4Addr::UNSPECIFIED.into();
        assert_eq!(heard(any, mapped, &[&source]), [at]);
    }
}
