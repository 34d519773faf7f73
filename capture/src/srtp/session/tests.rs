//! The test vectors of RFC 3711 Appendix B, RFC 6188 §7 and RFC 7714 §16 and §17.

use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

/// RFC 3711 §B.2, and RFC 6188 §7.1: the key stream of AES-CM.
#[test]
fn the_key_stream_is_the_rfcs() {
    let iv: [u8; 16] = bytes("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000")
        .try_into()
        .unwrap();
    let mut stream = [0; 48];
    let key = bytes("2B7E151628AED2A6ABF7158809CF4F3C");
    counter_mode(&Aes128::new_from_slice(&key).unwrap(), &iv, &mut stream);
    let wanted = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB
                  41E95B3BB0A2E8DD477901E4FCA894C0";
    assert_eq!(stream.as_slice(), bytes(wanted));

    let mut stream = [0; 48];
    let key = bytes("57f82fe3613fd170a85ec93c40b1f092 2ec4cb0dc025b58272147cc438944a98");
    counter_mode(&Aes256::new_from_slice(&key).unwrap(), &iv, &mut stream);
    let wanted = "92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac
                  63c4868b7096d88421b563b8c94c9a31";
    assert_eq!(stream.as_slice(), bytes(wanted));
}

/// RFC 3711 §B.3, and RFC 6188 §7.2.
#[test]
fn session_keys_are_the_rfcs() {
    let salt: [u8; SALT] = bytes("0EC675AD498AFEEBB6960B3AABE6").try_into().unwrap();
    let key = bytes("E1F97A0D3E018BE0D64FA32C06DE4139");
    for (label, wanted) in [
        (0, "C61E7A93744F39EE10734AFE3FF7A087"),
        (2, "30CBBC08863D8C85D49DB34A9AE1"),
        (1, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"),
    ] {
        let wanted = bytes(wanted);
        let mut out = vec![0; wanted.len()];
        derive(&key, &salt, label, &mut out);
        assert_eq!(out, wanted);
    }
    let salt: [u8; SALT] = bytes("3b04803de51ee7c96423ab5b78d2").try_into().unwrap();
    let key = bytes("f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6");
    for (label, wanted) in [
        (
            0,
            "5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4",
        ),
        (2, "fa31791685ca444a9e07c6c64e93"),
        (1, "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"),
    ] {
        let wanted = bytes(wanted);
        let mut out = vec![0; wanted.len()];
        derive(&key, &salt, label, &mut out);
        assert_eq!(out, wanted);
    }
}

/// A session of session keys that are given, as RFC 7714's examples have them.
fn given(suite: Suite, key: &str) -> Session {
    let half = || {
        let mut salt = [0; SALT];
        salt[..12].copy_from_slice(&bytes("517569642070726f2071756f"));
        Half {
            cipher: Cipher::new(suite, &bytes(key), || mac_of(&[])),
            salt,
        }
    };
    Session {
        suite,
        mki: Vec::new(),
        rtp: half(),
        rtcp: half(),
    }
}

const KEY_128: &str = "000102030405060708090a0b0c0d0e0f";
const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// RFC 7714 §16.1 and §16.2.
#[test]
fn rtp_with_aes_gcm_is_the_rfcs() {
    let clear = bytes(
        "8040f17b8041f8d35501a0b2 47616c6c696120657374206f6d6e69732064697669736120696e
         207061727465732074726573",
    );
    for (suite, key, sealed) in [
        (
            Suite::AeadAes128Gcm,
            KEY_128,
            "8040f17b8041f8d35501a0b2 f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a
             51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            Suite::AeadAes256Gcm,
            KEY_256,
            "8040f17b8041f8d35501a0b2 32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a02
             76ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let session = given(suite, key);
        let name = (0x5501_a0b2, 0xf17b);
        let mut packet = clear.clone();
        assert!(session.seal_rtp(&mut packet, 12, name));
        assert_eq!(packet, bytes(sealed));
        let mut opened = Vec::new();
        assert!(session.open_rtp(&packet, 12, name, &mut opened));
        assert_eq!(opened, clear);
    }
}

/// RFC 7714 §17.1 and §17.3, whose packets are the same but for the key.
#[test]
fn rtcp_with_aes_gcm_is_the_rfcs() {
    let clear = bytes(
        "81c8000d4d617273 4e5450314e545032525450200000042a0000e930 4c756e61deadbeefdeadbeef
         deadbeefdeadbeefdeadbeef",
    );
    let sealed = bytes(
        "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda
         4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
    );
    let session = given(Suite::AeadAes128Gcm, KEY_128);
    let mut packet = clear.clone();
    session.seal_rtcp(&mut packet, 0x4d61_7273, 0x5d4);
    assert_eq!(packet, sealed);
    assert_eq!(session.rtcp_index(&packet), Some(0x5d4));
    let mut opened = Vec::new();
    assert!(session.open_rtcp(&packet, 0x4d61_7273, &mut opened));
    assert_eq!(opened, clear);
}

fn master(suite: Suite, mki: &[u8]) -> Master {
    let key = (1..).take(suite.inline_bytes()).collect();
    Master::new(suite, key, mki.to_vec()).unwrap()
}

proptest! {
    /// What is sealed is opened by the same key, index and SSRC, and by no other.
    #[test]
    fn what_is_sealed_is_opened_by_its_own(
        which in 0..Suite::ALL.len(),
        body in proptest::collection::vec(any::<u8>(), 0..400),
        mki in proptest::collection::vec(any::<u8>(), 0..5),
        index in 0_u64..1 << 48,
        bit in any::<prop::sample::Index>(),
    ) {
        let session = Session::new(&master(Suite::ALL[which], &mki));
        let mut clear = vec![0x80, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        clear.extend(&body);
        let mut packet = clear.clone();
        prop_assert!(session.seal_rtp(&mut packet, 12, (7, index)));
        let mut opened = Vec::new();
        prop_assert!(session.open_rtp(&packet, 12, (7, index), &mut opened));
        prop_assert_eq!(&opened, &clear);
        prop_assert!(!session.open_rtp(&packet, 12, (7, index ^ 1 << 16), &mut opened));
        let mut damaged = packet.clone();
        let at = bit.index(damaged.len() * 8);
        damaged[at / 8] ^= 1 << (at % 8);
        prop_assert!(!session.open_rtp(&damaged, 12, (7, index), &mut opened));
        let mut rtcp = clear[..8].to_vec();
        rtcp.extend(&body);
        let report = rtcp.clone();
        session.seal_rtcp(&mut rtcp, 7, 9);
        prop_assert_eq!(session.rtcp_index(&rtcp), Some(9));
        prop_assert!(session.open_rtcp(&rtcp, 7, &mut opened));
        prop_assert_eq!(&opened, &report);
        rtcp[at % 64 / 8] ^= 1;
        prop_assert!(!session.open_rtcp(&rtcp, 7, &mut opened));
    }

    #[test]
    fn no_bytes_panic(
        which in 0..Suite::ALL.len(),
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
        mki in proptest::collection::vec(any::<u8>(), 0..5),
        header in 0_usize..80,
    ) {
        let session = Session::new(&master(Suite::ALL[which], &mki));
        let mut clear = Vec::new();
        prop_assert!(!session.open_rtp(&bytes, header, (1, 2), &mut clear));
        prop_assert!(!session.open_rtcp(&bytes, 1, &mut clear));
        let _ = session.rtcp_index(&bytes);
    }
}

/// What libsrtp 2.5 makes of a packet and of its first report, under the key 0, 1, 2 and so on: RFC 7714 has no
/// example of a session key's derivation.
#[test]
fn packets_of_libsrtp_are_opened() {
    let rtp = bytes("8000 0000 0000 0000 0000 0001 05050505050505050505");
    let rtcp = bytes("80c9000100000009");
    for (suite, sealed, report) in [
        (
            Suite::AesCm128Sha1Tag80,
            "800000000000000000000001958f6d321c69831d90a7ca36cab8c0ccd9888cec",
            "80c9000100000009800000019b5d40c7592371a998e0",
        ),
        (
            Suite::AeadAes128Gcm,
            "800000000000000000000001745c64ae721d9ebb930f094a6a2579d22de6eca653b778e91515",
            "80c900010000000972e43022a60efdd35a5d6b662847f8d680000001",
        ),
        (
            Suite::AeadAes256Gcm,
            "80000000000000000000000136e9036af58643dbefa85341838c008fdc066f235941698d6f5e",
            "80c9000100000009a55fbee378f4223414053b3577f7464580000001",
        ),
    ] {
        let key = (0..).take(suite.inline_bytes()).collect();
        let session = Session::new(&Master::new(suite, key, Vec::new()).unwrap());
        let mut opened = Vec::new();
        assert!(session.open_rtp(&bytes(sealed), 12, (1, 0), &mut opened));
        assert_eq!(opened, rtp);
        assert!(session.open_rtcp(&bytes(report), 9, &mut opened));
        assert_eq!(opened, rtcp);
    }
}
