//! ffmpeg's decode of what was sent: the reference that recordings are held to.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use crate::peer;
use crate::script::{Law, Packet};

/// ffmpeg's decode of these G.711 codes.
///
/// # Panics
/// When ffmpeg is missing or fails.
#[must_use]
pub fn decode(law: Law, codes: &[u8]) -> Vec<i16> {
    let args = [
        "-v",
        "error",
        "-f",
        law.ffmpeg_format(),
        "-ar",
        "8000",
        "-i",
        "-",
        "-f",
        "s16le",
        "-",
    ];
    let run = peer::run("ffmpeg", args, codes, Duration::from_secs(60)).success();
    let samples: Vec<i16> = run
        .stdout
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    assert_eq!(
        samples.len(),
        codes.len(),
        "ffmpeg decodes a code to a sample"
    );
    samples
}

/// ffmpeg's decode of each of the 256 codes. G.711 has no memory, so this is its decode of anything.
#[must_use]
pub fn table(law: Law) -> &'static [i16; 256] {
    static MU: OnceLock<[i16; 256]> = OnceLock::new();
    static A: OnceLock<[i16; 256]> = OnceLock::new();
    let cell = match law {
        Law::Mu => &MU,
        Law::A => &A,
    };
    cell.get_or_init(|| {
        let codes: Vec<u8> = (0..=255).collect();
        decode(law, &codes)
            .try_into()
            .expect("256 codes are 256 samples")
    })
}

/// ffmpeg's decode of the audio packets of one source, each at the place that its time stamp gives
/// it; zero where there is none. The first packet lies at 0.
///
/// # Panics
/// When there is no audio packet of `law`, or ffmpeg fails.
#[must_use]
pub fn placed(law: Law, packets: &[Packet]) -> Vec<i16> {
    let audio: Vec<&Packet> = packets
        .iter()
        .filter(|packet| packet.payload_type == law.payload_type())
        .collect();
    let first = audio.first().expect("there is audio").timestamp;
    let codes: Vec<u8> = audio
        .iter()
        .flat_map(|packet| packet.payload.iter().copied())
        .collect();
    let decoded = decode(law, &codes);
    let mut places = BTreeMap::new();
    let mut read = 0;
    for packet in audio {
        let place = packet.timestamp.wrapping_sub(first) as usize;
        places.insert(place, read..read + packet.payload.len());
        read += packet.payload.len();
    }
    let length = places
        .iter()
        .map(|(place, range)| place + range.len())
        .max()
        .unwrap_or(0);
    let mut samples = vec![0; length];
    for (place, range) in places {
        samples[place..place + range.len()].copy_from_slice(&decoded[range]);
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Voice;

    #[test]
    fn known_codes_of_g711() {
        // ITU-T G.711, tables 1a to 2b: the ends of the range and the smallest steps.
        assert_eq!(table(Law::Mu)[0x00], -32_124);
        assert_eq!(table(Law::Mu)[0xff], 0);
        assert_eq!(table(Law::A)[0xd5], 8);
        assert_eq!(table(Law::A)[0x2a], -32_256);
    }

    #[test]
    fn a_missing_packet_leaves_a_hole_of_its_length() {
        let script = Voice::new(1).say(&[0; 480]);
        let mut packets: Vec<_> = script
            .0
            .iter()
            .map(|cue| Packet::parse(&cue.bytes).unwrap())
            .collect();
        packets.remove(1);
        let samples = placed(Law::Mu, &packets);
        assert_eq!(samples.len(), 480);
        assert!(samples[160..320].iter().all(|&sample| sample == 0));
        assert!(samples[320..].iter().all(|&sample| sample == -32_124));
    }
}
