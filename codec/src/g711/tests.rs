//! Both laws against the recommendation, by formulas that share nothing with the tables.

use proptest::prelude::*;

use super::*;

/// G.711 table 2 (µ-law), note: y = 2^s (33 + 2m) − 33 in units of a 14-bit scale.
fn itu_mu(code: u8) -> i32 {
    let bits = i32::from(code) ^ 0xff;
    let (segment, step) = (bits / 16 % 8, bits % 16);
    let value = 2_i32.pow(u32::try_from(segment).unwrap()) * (33 + 2 * step) - 33;
    if bits >= 128 { -4 * value } else { 4 * value }
}

/// G.711 table 1 (A-law): the middle of each interval of a 13-bit scale, built from the
/// recommendation's segments: two of 16 steps of 2, then six whose step doubles.
fn itu_a(code: u8) -> i32 {
    let character = i32::from(code) ^ 0x55;
    let wanted = character % 128;
    let (mut low, mut step) = (0, 2);
    for number in 0..128 {
        if number % 16 == 0 && number >= 32 {
            step *= 2;
        }
        if number == wanted {
            let doubled_middle = 2 * low + step;
            // A 13-bit value is in units of 8 of 16 bits, halved for its middle and again for
            // the scale of ±4096 with steps of 2.
            let value = doubled_middle * 4;
            return if character >= 128 { value } else { -value };
        }
        low += step;
    }
    unreachable!("128 positive codes")
}

#[test]
fn every_code_decodes_as_the_recommendation_says() {
    for code in 0..=u8::MAX {
        assert_eq!(
            i32::from(decode_sample(Law::Mu, code)),
            itu_mu(code),
            "µ-law {code:#04x}"
        );
        assert_eq!(
            i32::from(decode_sample(Law::A, code)),
            itu_a(code),
            "A-law {code:#04x}"
        );
    }
}

#[test]
fn known_values() {
    for (code, sample) in [
        (0x00, -32124),
        (0x7f, 0),
        (0x80, 32124),
        (0xff, 0),
        (0xfe, 8),
    ] {
        assert_eq!(decode_sample(Law::Mu, code), sample, "µ-law {code:#04x}");
    }
    for (code, sample) in [
        (0x2a, -32256),
        (0xaa, 32256),
        (0x55, -8),
        (0xd5, 8),
        (0x00, -5504),
    ] {
        assert_eq!(decode_sample(Law::A, code), sample, "A-law {code:#04x}");
    }
    assert_eq!((Law::Mu.silence(), Law::A.silence()), (0xff, 0xd5));
}

#[test]
fn each_decoded_value_encodes_to_itself() {
    for law in [Law::Mu, Law::A] {
        for code in 0..=u8::MAX {
            let sample = decode_sample(law, code);
            let again = encode_sample(law, sample);
            assert_eq!(decode_sample(law, again), sample, "{law:?} {code:#04x}");
            // µ-law has two zeros; all else is one to one.
            if sample != 0 {
                assert_eq!(again, code, "{law:?}");
            }
        }
    }
}

#[test]
fn every_sample_takes_the_code_of_its_interval() {
    for law in [Law::Mu, Law::A] {
        let mut last = i16::MIN;
        for sample in i16::MIN..=i16::MAX {
            let code = encode_sample(law, sample);
            let value = decode_sample(law, code);
            assert!(value >= last, "{law:?} {sample}: louder in, softer out");
            last = value;
            let (bits, smallest) = match law {
                Law::Mu => (!code, 8),
                Law::A => (code ^ 0x55, 16),
            };
            let segment = i32::from(bits >> 4 & 7);
            let doublings = match law {
                Law::Mu => segment,
                Law::A => (segment - 1).max(0),
            };
            let half_step = (smallest << doublings) / 2;
            let loudest = i32::from(law.table().iter().copied().max().unwrap());
            let heard = i32::from(sample).clamp(-loudest, loudest);
            assert!(
                (i32::from(value) - heard).abs() <= half_step,
                "{law:?} {sample} as {value}"
            );
        }
    }
}

proptest! {
    #[test]
    fn slices_are_samples_in_order(codes in prop::collection::vec(any::<u8>(), 0..500), room in 0_usize..500) {
        for law in [Law::Mu, Law::A] {
            let mut all = vec![7];
            decode_to(law, &codes, &mut all);
            prop_assert_eq!(all.len(), codes.len() + 1);
            let mut some = vec![0; room];
            let done = decode(law, &codes, &mut some);
            prop_assert_eq!(done, room.min(codes.len()));
            prop_assert_eq!(&some[..done], &all[1..=done]);
            let mut back = Vec::new();
            encode(law, &all[1..], &mut back);
            for (&code, &again) in codes.iter().zip(&back) {
                prop_assert_eq!(decode_sample(law, code), decode_sample(law, again));
            }
        }
    }
}
