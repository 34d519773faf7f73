//! What a filter of the kernel's relies on: who is not [`Source::only`]'s is foreign for a second, whatever comes.

use super::*;
use proptest::prelude::*;

const START: Mono = Mono(1 << 50);

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Two addresses, two ports each.
fn address(number: u8) -> SocketAddr {
    SocketAddr::from((
        [192, 0, 2, 1 + number / 2],
        40_000 + 2 * u16::from(number % 2),
    ))
}

fn rule(of: SocketAddr, with_port: bool) -> SourceRule {
    SourceRule {
        address: of.ip(),
        port: with_port.then_some(of.port()),
    }
}

/// A call's numbers at a time of it: one packet in 20 ms, as a sender has them or who pretends to be it.
fn packet(ssrc: u32, at: Mono) -> [u8; 12] {
    let count = u32::try_from(at.since(START).as_millis() / 20).unwrap();
    let [.., high, low] = count.to_be_bytes();
    let mut bytes = [0x80, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[4..8].copy_from_slice(&(count * 160).to_be_bytes());
    bytes[8..].copy_from_slice(&ssrc.to_be_bytes());
    bytes
}

fn admit(source: &mut Source, from: SocketAddr, at: Mono, ssrc: u32) -> Admission {
    let bytes = packet(ssrc, at);
    let crate::packet::Datagram::Rtp(packet) = crate::packet::read(&bytes) else {
        panic!("it is RTP");
    };
    source.admit(from, at, &packet, &["0.0.0.0/0".parse().unwrap()])
}

/// Five packets of a source, 20 ms apart; when the last came.
fn lock(source: &mut Source, from: SocketAddr) -> Mono {
    let at = |number| START + ms(20) * number;
    (0..5).for_each(|number| drop(admit(source, from, at(number), 1)));
    assert_eq!(source.heard().map(|heard| heard.address), Some(from));
    at(4)
}

#[test]
fn one_source_alone_is_heard_until_a_second_after_its_last_packet() {
    let mut source = Source::default();
    assert_eq!(source.only(START), None, "nobody is heard");
    let last = lock(&mut source, address(0));
    let alone = Some(rule(address(0), true));
    assert_eq!(source.only(last), alone);
    assert_eq!(source.only(last + ms(999)), alone);
    assert_eq!(source.only(last + ms(1_000)), None);
    // It has moved: packets of where it was may be late.
    let moved = last + ms(2_000);
    assert!(matches!(
        admit(&mut source, address(2), moved, 1),
        Admission::Begins { .. }
    ));
    assert_eq!(source.only(moved + ms(499)), None);
    assert_eq!(source.only(moved + ms(500)), Some(rule(address(2), true)));
}

#[test]
fn a_rule_is_as_narrow_as_it_says_for_ever() {
    let mut source = Source::default();
    source.set_rule(Some(rule(address(0), false)));
    assert_eq!(source.only(START), Some(rule(address(0), false)));
    let last = lock(&mut source, address(0));
    assert_eq!(source.only(last), Some(rule(address(0), true)));
    let silent = last + ms(60_000);
    assert_eq!(source.only(silent), Some(rule(address(0), false)));
    source.set_rule(Some(rule(address(3), true)));
    assert_eq!(source.only(silent), Some(rule(address(3), true)));
}

proptest! {
    #[test]
    fn who_is_shut_out_would_be_foreign(
        steps in prop::collection::vec((0_u8..4, 0_u32..2, 0_u64..1_500, 0_u8..10), 1..400),
        one in 0_u8..4,
    ) {
        let mut source = Source::default();
        let mut now = START;
        // What was said when; it holds for a second, or until there is a new rule.
        let mut said: Option<(SourceRule, Mono)> = None;
        for (from, ssrc, pause, what) in steps {
            // Most packets are a sender's own, 20 ms apart.
            let (from, ssrc, pause) = if what < 7 { (one, 0, 20) } else { (from, ssrc, pause) };
            now = now + ms(pause);
            if what == 9 && pause % 10 == 0 {
                source.set_rule(Some(rule(address(from), ssrc == 0)));
                said = None;
            }
            let before = source.heard().map(|heard| (heard.address, heard.ssrc));
            let admission = admit(&mut source, address(from), now, ssrc);
            if let Some((only, at)) = said
                && now.since(at) < ms(1_000)
                && !fits(only, address(from))
            {
                prop_assert!(matches!(admission, Admission::Foreign), "{admission:?}");
                let after = source.heard().map(|heard| (heard.address, heard.ssrc));
                prop_assert_eq!(before, after);
            }
            if said.is_none_or(|(_, at)| now.since(at) >= ms(500)) {
                said = source.only(now).map(|only| (only, now));
            }
        }
    }
}
