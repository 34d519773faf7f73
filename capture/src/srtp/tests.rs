//! A sender and what arrives of its packets: lost, late, twice, under new keys, in another process.

use proptest::prelude::*;

use super::suite::Suite;
use super::*;

/// A sender that protects: it counts its own packets, and so knows their indices.
pub(crate) struct Twin {
    master: Master,
    session: Session,
    reports: u32,
}

impl Twin {
    pub(crate) fn new(suite: Suite, seed: u8) -> Self {
        Self::with_mki(suite, seed, &[])
    }

    fn with_mki(suite: Suite, seed: u8, mki: &[u8]) -> Self {
        let bytes = (0..suite.inline_bytes()).map(|at| seed ^ u8::try_from(at * 7).unwrap_or(1));
        let master = Master::new(suite, bytes.collect(), mki.to_vec()).unwrap();
        Self {
            session: Session::new(&master),
            master,
            reports: 0,
        }
    }

    /// Of the key in an answer.
    pub(crate) fn answered(value: &str) -> Self {
        let crypto = Crypto::choose([value].into_iter()).unwrap();
        Self {
            session: Session::new(&crypto.master),
            master: crypto.master,
            reports: 0,
        }
    }

    pub(crate) fn crypto(&self, tag: u32) -> Crypto {
        Crypto {
            tag,
            master: self.master.clone(),
        }
    }

    /// The value of its attribute in an offer.
    pub(crate) fn attribute(&self) -> String {
        Crypto::value(1, &self.master)
    }

    /// Protects a packet with the simplest header, whose index has this rollover counter.
    pub(crate) fn seal(&self, packet: &[u8], roc: u64) -> Vec<u8> {
        let mut packet = packet.to_vec();
        let ssrc = u32::from_be_bytes(packet[8..12].try_into().unwrap());
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let index = roc << 16 | u64::from(sequence);
        assert!(self.session.seal_rtp(&mut packet, 12, (ssrc, index)));
        packet
    }

    pub(crate) fn seal_report(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut packet = packet.to_vec();
        let ssrc = u32::from_be_bytes(packet[4..8].try_into().unwrap());
        self.session.seal_rtcp(&mut packet, ssrc, self.reports);
        self.reports += 1;
        packet
    }

    /// Opens a packet of ours.
    pub(crate) fn open(&self, packet: &[u8], roc: u64) -> Option<Vec<u8>> {
        let mut clear = Vec::new();
        let ssrc = u32::from_be_bytes(packet[8..12].try_into().unwrap());
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let index = roc << 16 | u64::from(sequence);
        (self.session)
            .open_rtp(packet, 12, (ssrc, index), &mut clear)
            .then_some(clear)
    }

    fn packet(&self, ssrc: u32, index: u64) -> Vec<u8> {
        self.seal(&clear(ssrc, index), index >> 16)
    }
}

/// A packet in the clear, with its index as its sound.
fn clear(ssrc: u32, index: u64) -> Vec<u8> {
    let [.., high, low] = index.to_be_bytes();
    let mut packet = vec![0x80, 0, high, low, 0, 0, 0, 0];
    packet.extend(ssrc.to_be_bytes());
    packet.extend(index.to_be_bytes());
    packet
}

fn offered(srtp: &mut Option<Box<Srtp>>, twin: Option<&Twin>) {
    let crypto = twin.map(|twin| twin.crypto(1));
    Srtp::offered(srtp, crypto.as_ref(), |bytes| bytes.fill(9));
}

/// A track with the keys of a sender.
fn track(twin: &Twin) -> Box<Srtp> {
    let mut srtp = None;
    offered(&mut srtp, Some(twin));
    srtp.unwrap()
}

fn second(number: u64) -> Mono {
    Mono(number * 1_000_000_000)
}

fn open(srtp: &mut Srtp, packet: &[u8]) -> Opened {
    open_at(srtp, packet, 1)
}

fn open_at(srtp: &mut Srtp, packet: &[u8], at: u64) -> Opened {
    srtp.open(packet, second(at), &mut Vec::new())
}

fn hand_over(srtp: &Srtp) -> Box<Srtp> {
    let kept = rmp_serde::to_vec_named(srtp).unwrap();
    rmp_serde::from_slice(&kept).unwrap()
}

const PLAIN: Suite = Suite::AesCm128Sha1Tag80;

#[test]
fn what_is_not_authentic_leaves_nothing_behind() {
    for suite in Suite::ALL {
        let (twin, other) = (Twin::new(suite, 1), Twin::new(suite, 2));
        let mut srtp = track(&twin);
        assert_eq!(open(&mut srtp, &twin.packet(7, 10)), Opened::Clear);
        for ssrc in 0..100 {
            assert_eq!(open(&mut srtp, &other.packet(ssrc, 11)), Opened::Forged);
            assert_eq!(open(&mut srtp, &clear(ssrc, 11)), Opened::Forged);
        }
        let mut damaged = twin.packet(7, 11);
        damaged[13] ^= 1;
        assert_eq!(open(&mut srtp, &damaged), Opened::Forged);
        let key = srtp.now.as_ref().unwrap();
        assert_eq!(key.rtp.len(), 1);
        // Nothing of these has moved the stream on.
        assert_eq!(open(&mut srtp, &twin.packet(7, 11)), Opened::Clear);
        assert_eq!(open(&mut srtp, &twin.packet(7, 11)), Opened::Again);
        assert_eq!(open(&mut srtp, &[0, 1, 2]), Opened::AsItIs);
        assert_eq!(open(&mut srtp, &[0x80, 0, 0]), Opened::AsItIs);
    }
}

#[test]
fn many_ssrcs_of_one_key_are_known_and_no_more_than_some() {
    let twin = Twin::new(PLAIN, 1);
    let mut srtp = track(&twin);
    for ssrc in 0..100 {
        let packet = twin.packet(ssrc, 70_000);
        assert_eq!(
            open_at(&mut srtp, &packet, u64::from(ssrc)),
            Opened::Clear,
            "the first wrap may have been lost"
        );
    }
    let key = srtp.now.as_ref().unwrap();
    assert_eq!(key.rtp.len(), MOST_STREAMS);
    assert!(key.stream(99).is_some() && key.stream(0).is_none());
    assert_eq!(open(&mut srtp, &twin.packet(98, 70_000)), Opened::Again);
}

#[test]
fn a_turn_that_went_by_unseen_is_found() {
    let twin = Twin::new(PLAIN, 1);
    let mut srtp = track(&twin);
    assert_eq!(
        open_at(&mut srtp, &twin.packet(7, 70_000), 1),
        Opened::Clear
    );
    // 50,000 packets later: more than half a turn.
    let later = twin.packet(7, 120_000);
    assert_eq!(open_at(&mut srtp, &later, 2), Opened::Again);
    assert_eq!(open_at(&mut srtp, &later, 1_000), Opened::Clear);
    assert_eq!(
        open_at(&mut srtp, &twin.packet(7, 120_001), 1_000),
        Opened::Clear
    );
}

#[test]
fn a_new_key_takes_over_and_the_one_before_is_opened_for_a_moment() {
    let (old, new) = (Twin::new(PLAIN, 1), Twin::new(Suite::AeadAes256Gcm, 2));
    for goes_on in [true, false] {
        let mut srtp = Some(track(&old));
        let first = srtp.as_ref().unwrap().answer().unwrap();
        assert!(
            first.starts_with("1 AES_CM_128_HMAC_SHA1_80 inline:CQkJ"),
            "{first}"
        );
        offered(&mut srtp, Some(&old));
        assert_eq!(srtp.as_ref().unwrap().answer(), Some(first.clone()));
        let track = srtp.as_mut().unwrap();
        assert_eq!(open_at(track, &old.packet(7, 70_000), 1), Opened::Clear);
        assert_eq!(
            open_at(track, &old.packet(7, 150_000), 1_000),
            Opened::Clear
        );
        offered(&mut srtp, Some(&new));
        let track = srtp.as_mut().unwrap();
        let answer = track.answer().unwrap();
        assert!(answer.starts_with("1 AEAD_AES_256_GCM inline:"), "{answer}");
        // However long the sender takes.
        assert_eq!(
            open_at(track, &old.packet(7, 150_001), 1_500),
            Opened::Clear
        );
        // RFC 3711 has the rollover counter go on; some begin anew.
        let index = if goes_on { 150_002 } else { 18_930 };
        assert_eq!(open_at(track, &new.packet(7, index), 2_000), Opened::Clear);
        let mut track = hand_over(track);
        assert_eq!(
            open_at(&mut track, &old.packet(7, 150_003), 2_001),
            Opened::Clear
        );
        assert_eq!(
            open_at(&mut track, &new.packet(7, index + 2), 2_002),
            Opened::Clear
        );
        assert_eq!(
            open_at(&mut track, &old.packet(7, 150_005), 2_020),
            Opened::Forged
        );
        assert_eq!(track.heard(), Some("AEAD_AES_256_GCM"));
        assert!(track.before.is_empty());
    }
}

#[test]
fn a_key_that_comes_back_goes_on_where_it_was() {
    let (one, two) = (Twin::new(PLAIN, 1), Twin::new(PLAIN, 2));
    let mut srtp = Some(track(&one));
    let packet = one.packet(7, 9);
    assert_eq!(open(srtp.as_mut().unwrap(), &packet), Opened::Clear);
    offered(&mut srtp, Some(&two));
    offered(&mut srtp, Some(&one));
    assert_eq!(open(srtp.as_mut().unwrap(), &packet), Opened::Again);
}

#[test]
fn an_offer_without_keys_ends_the_protection() {
    let twin = Twin::new(PLAIN, 1);
    let mut srtp = Some(track(&twin));
    offered(&mut srtp, None);
    let srtp = srtp.as_mut().unwrap();
    assert_eq!(srtp.answer(), None);
    assert_eq!(open(srtp, &twin.packet(7, 1)), Opened::Clear);
    assert_eq!(open(srtp, &clear(7, 2)), Opened::AsItIs);
    assert_eq!(open_at(srtp, &twin.packet(7, 3), 20), Opened::AsItIs);
    let mut none = None;
    offered(&mut none, None);
    assert!(none.is_none());
}

#[test]
fn reports_are_opened_once() {
    for suite in Suite::ALL {
        let mut twin = Twin::with_mki(suite, 1, &[0, 1]);
        let mut srtp = track(&twin);
        let report = [0x80, 201, 0, 1, 0, 0, 0, 9, 0x81, 203, 0, 1, 0, 0, 0, 9];
        let sealed = twin.seal_report(&report);
        let mut clear = Vec::new();
        assert_eq!(srtp.open(&sealed, second(1), &mut clear), Opened::Clear);
        assert_eq!(clear, report);
        assert_eq!(open(&mut srtp, &sealed), Opened::Again);
        assert_eq!(open(&mut srtp, &report), Opened::Forged);
        assert_eq!(srtp.heard(), None, "a report is no sound");
    }
}

#[test]
fn what_we_send_is_opened_with_the_key_of_the_answer() {
    let twin = Twin::new(Suite::AesCm256Sha1Tag32, 1);
    let mut srtp = track(&twin);
    let theirs = Twin::answered(&srtp.answer().unwrap());
    for index in 65_530..65_540 {
        let mut packet = clear(3, index);
        assert!(srtp.seal(&mut packet));
        assert_ne!(packet[12..20], clear(3, index)[12..20]);
        assert_eq!(theirs.open(&packet, index >> 16), Some(clear(3, index)));
        srtp = hand_over(&srtp);
    }
}

#[test]
fn nothing_of_a_key_is_shown() {
    let srtp = track(&Twin::new(PLAIN, 0x51));
    let shown = format!("{srtp:?}");
    let (key, _) = srtp.now.as_ref().unwrap().master.expose();
    assert!(
        !shown.contains(&format!("{}, {}", key[0], key[1])),
        "{shown}"
    );
    assert!(!shown.contains("9, 9"), "{shown}");
}

proptest! {
    /// Whatever is lost, late or twice, and whichever process has it: each packet that comes is opened once, to
    /// what was sent. The first is as far as the first wrap at most.
    #[test]
    fn packets_are_opened_once_whatever_the_way(
        which in 0..Suite::ALL.len(),
        start in 0_u64..65_536,
        mki in proptest::collection::vec(any::<u8>(), 0..3),
        steps in proptest::collection::vec((1_u64..30_000, 0_u64..400, any::<bool>()), 1..60),
    ) {
        let twin = Twin::with_mki(Suite::ALL[which], 3, &mki);
        let mut srtp = track(&twin);
        let (mut newest, mut arrived) = (start, std::collections::BTreeSet::new());
        for (ahead, back, moves) in steps {
            for index in [newest + ahead, (newest + ahead).saturating_sub(back).max(start)] {
                let mut clear_of = Vec::new();
                let opened = srtp.open(&twin.packet(5, index), second(1), &mut clear_of);
                if arrived.insert(index) {
                    prop_assert_eq!(opened, Opened::Clear, "{}", index);
                    prop_assert_eq!(clear_of, clear(5, index));
                } else {
                    prop_assert_eq!(opened, Opened::Again);
                }
            }
            newest += ahead;
            if moves {
                srtp = hand_over(&srtp);
            }
        }
    }

    #[test]
    fn no_datagram_panics(
        which in 0..Suite::ALL.len(),
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        first in 120_u8..200,
    ) {
        let mut srtp = track(&Twin::new(Suite::ALL[which], 1));
        for bytes in [bytes.clone(), [&[first], bytes.as_slice()].concat()] {
            let opened = srtp.open(&bytes, second(1), &mut Vec::new());
            prop_assert!(opened == Opened::Forged || opened == Opened::AsItIs);
            let _ = srtp.seal(&mut bytes.clone());
        }
    }
}
