//! The Info frame: the first frame of a stream, silent, that says how long the rest is.
//!
//! Called by [`super::encode`]. LAME writes one of its own only when a file is complete; here all
//! its numbers are known beforehand. The layout is that of Xing's header ("Info" where the bit
//! rate is constant) with LAME's extension, as its `VbrTag.c` writes it:
//! <http://gabriel.mp3-tech.org/mp3infotag.html>.
//!
//! What cannot be known before the sound is seen, its peak, loudness and checksum, is zero, which
//! is the tag's way to say so.

use super::{DELAY, Layout, Version};

/// Frames, bytes, table of contents and quality follow.
const FIELDS: u32 = 0b1111;

/// Bit 0 of LAME's method byte: a constant bit rate.
const CONSTANT_BIT_RATE: u8 = 1;

/// The frame's bytes. `version` is LAME's, such as `3.100`; `lowpass_hz` what it cuts off.
pub(super) fn frame(layout: Layout, total_frames: u64, version: &str, lowpass_hz: u32) -> Vec<u8> {
    let size = usize::try_from(layout.frame_bytes()).unwrap_or_default();
    let total_bytes = saturate(layout.total_bytes(total_frames));

    let mut frame = Vec::with_capacity(size);
    frame.extend(header(layout));
    // Side information of zeros: no granule has any bits, so a decoder that knows nothing of Info
    // frames hears silence.
    frame.resize(frame.len() + side_bytes(layout), 0);
    frame.extend(b"Info");
    frame.extend(FIELDS.to_be_bytes());
    frame.extend(saturate(layout.mp3_frames(total_frames)).to_be_bytes());
    frame.extend(total_bytes.to_be_bytes());
    // At a constant bit rate a hundredth of the time is a hundredth of the bytes, out of 256.
    frame.extend((0..100_u16).map(|i| u8::try_from(i * 256 / 100).unwrap_or(u8::MAX)));
    frame.extend(u32::from(super::lame::QUALITY_IN_TAG).to_be_bytes());

    // LAME's extension, 36 bytes from here.
    let mut encoder = [0; 9];
    for (slot, byte) in encoder
        .iter_mut()
        .zip("LAME".bytes().chain(version.bytes()))
    {
        *slot = byte;
    }
    frame.extend(encoder);
    frame.push(CONSTANT_BIT_RATE);
    frame.push(u8::try_from(lowpass_hz.div_ceil(100)).unwrap_or(u8::MAX));
    frame.extend([0; 8]); // peak, loudness by two measures: unknown
    frame.push(0x10); // the psychoacoustic model, LAME's only one since 3.98
    frame.push(layout.kbps);
    // Two numbers of 12 bits.
    let cut = saturate((DELAY << 12) | layout.padding(total_frames)).to_be_bytes();
    frame.extend(&cut[1..]);
    // Stereo mode, and the source's rate in four steps.
    let rate_step = match layout.rate_hz {
        0..=32_000 => 0,
        32_001..48_000 => 1,
        48_000.. => 2,
    };
    frame.push(u8::from(layout.stereo) << 2 | rate_step << 6);
    frame.extend([0; 3]); // no gain changed, no surround, no preset
    frame.extend(total_bytes.to_be_bytes());
    frame.extend([0; 2]); // checksum of the sound: unknown
    let checksum = crc16(&frame);
    frame.extend(checksum.to_be_bytes());
    frame.resize(size, 0);
    frame
}

/// The four bytes that begin every frame (ISO/IEC 11172-3 §2.4.1.3; ISO/IEC 13818-3 §2.4.2.3 for
/// MPEG-2, and MPEG-2.5's version beside it).
fn header(layout: Layout) -> [u8; 4] {
    let version: u8 = match layout.version {
        Version::Mpeg1 => 0b11,
        Version::Mpeg2 => 0b10,
        Version::Mpeg25 => 0b00,
    };
    let rates: &[u8] = match layout.version {
        Version::Mpeg1 => &[32, 40, 48, 56, 64, 80, 96, 112, 128],
        Version::Mpeg2 | Version::Mpeg25 => &[8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112],
    };
    // Index 0 is the "free" format's.
    let bit_rate = rates
        .iter()
        .zip(1_u8..)
        .find(|(kbps, _)| **kbps == layout.kbps);
    let bit_rate = bit_rate.map_or(0, |(_, index)| index);
    let sample_rate: u8 = match layout.rate_hz {
        11_025 | 22_050 | 44_100 => 0,
        12_000 | 24_000 | 48_000 => 1,
        _ => 2, // 8, 16 and 32 kHz
    };
    let mode: u8 = if layout.stereo { 0 } else { 3 };
    [
        0xff,
        0xe3 | version << 3,
        bit_rate << 4 | sample_rate << 2,
        mode << 6 | 0x04,
    ]
}

/// Bytes of side information (ISO/IEC 11172-3 §2.4.1.7; ISO/IEC 13818-3 §2.4.1.7).
const fn side_bytes(layout: Layout) -> usize {
    match (layout.version, layout.stereo) {
        (Version::Mpeg1, true) => 32,
        (Version::Mpeg1, false) | (Version::Mpeg2 | Version::Mpeg25, true) => 17,
        (Version::Mpeg2 | Version::Mpeg25, false) => 9,
    }
}

/// The tag's fields have 32 bits; [`super::encode`] refuses what does not fit.
fn saturate(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// CRC-16/ARC, as LAME computes it over all of the frame that comes before.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| {
            if crc & 1 == 0 {
                crc >> 1
            } else {
                crc >> 1 ^ 0xa001
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_16_arc() {
        assert_eq!(crc16(b"123456789"), 0xbb3d);
    }

    #[test]
    fn frame_has_its_size_and_says_what_follows() {
        for (channels, rate_hz) in super::super::tests::LAYOUTS {
            let layout = Layout::of(channels, rate_hz).unwrap();
            let samples = u64::from(rate_hz);
            let frame = frame(layout, samples, "3.100", 4_000);
            assert_eq!(frame.len() as u64, layout.frame_bytes());
            let tag = 4 + side_bytes(layout);
            assert!(
                frame.len() >= tag + 156,
                "{layout:?} has no room for the tag"
            );
            assert_eq!(&frame[tag..tag + 4], b"Info");
            assert_eq!(&frame[tag + 120..tag + 129], b"LAME3.100");
            let cut = &frame[tag + 141..tag + 144];
            let (delay, padding) = (
                u64::from(cut[0]) << 4 | u64::from(cut[1]) >> 4,
                u64::from(cut[1] & 0x0f) << 8 | u64::from(cut[2]),
            );
            assert_eq!(delay, DELAY);
            assert_eq!((delay + padding + samples) % layout.frame_samples(), 0);
        }
    }
}
