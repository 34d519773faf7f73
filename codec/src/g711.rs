//! ITU-T G.711: one byte a sample, µ-law (payload type 0) and A-law (payload type 8).
//!
//! Called by `capture` for each packet, and by what makes G.711 for tests and demonstrations. It
//! calls nothing. Payload types and packet sizes do not belong here.
//!
//! Decoding is one look into a table that the compiler builds from the recommendation's own
//! construction. Decoded values are G.711's, scaled to 16 bits (µ-law's 14 by 4, A-law's 13 by 8),
//! as every common decoder gives them. Encoding takes the decision values of G.711 tables 1a to 2b:
//! a sample goes to the interval that it lies in.
//!
//! <https://www.itu.int/rec/T-REC-G.711>

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The companding law of a G.711 stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Law {
    /// µ-law: RTP's PCMU, payload type 0 (RFC 3551 §4.5.14).
    Mu,
    /// A-law: RTP's PCMA, payload type 8 (RFC 3551 §4.5.14).
    A,
}

/// Its samples a second.
pub const RATE_HZ: u32 = 8_000;

/// What each µ-law byte sounds like.
pub const MU_TABLE: [i16; 256] = table(Law::Mu);

/// What each A-law byte sounds like.
pub const A_TABLE: [i16; 256] = table(Law::A);

/// µ-law's bias: it makes the segments of a magnitude begin at powers of two.
const MU_BIAS: i16 = 0x84;

/// The largest magnitude that has a µ-law code of its own; louder samples take the same code.
const MU_CLIP: i16 = i16::MAX - MU_BIAS;

/// Every second bit is inverted on the line (G.711 §2, A-law).
const A_INVERT: u8 = 0x55;

impl Law {
    /// What each byte of this law sounds like.
    #[must_use]
    pub const fn table(self) -> &'static [i16; 256] {
        match self {
            Self::Mu => &MU_TABLE,
            Self::A => &A_TABLE,
        }
    }

    /// The byte that means silence: it decodes to the smallest positive value.
    #[must_use]
    pub const fn silence(self) -> u8 {
        encode_sample(self, 0)
    }
}

/// Decodes one byte.
#[must_use]
pub const fn decode_sample(law: Law, code: u8) -> i16 {
    law.table()[code as usize]
}

/// Encodes one sample.
#[must_use]
pub const fn encode_sample(law: Law, sample: i16) -> u8 {
    match law {
        Law::Mu => encode_mu(sample),
        Law::A => encode_a(sample),
    }
}

/// Decodes `codes` into the start of `samples`, as many as both have room for; returns how many.
pub fn decode(law: Law, codes: &[u8], samples: &mut [i16]) -> usize {
    let table = law.table();
    for (sample, &code) in samples.iter_mut().zip(codes) {
        *sample = table[usize::from(code)];
    }
    codes.len().min(samples.len())
}

/// Decodes `codes` onto the end of `samples`.
pub fn decode_to(law: Law, codes: &[u8], samples: &mut Vec<i16>) {
    let table = law.table();
    samples.extend(codes.iter().map(|&code| table[usize::from(code)]));
}

/// Encodes `samples` onto the end of `codes`.
pub fn encode(law: Law, samples: &[i16], codes: &mut Vec<u8>) {
    codes.extend(samples.iter().map(|&sample| encode_sample(law, sample)));
}

const fn table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code: u8 = 0;
    loop {
        table[code as usize] = match law {
            Law::Mu => expand_mu(code),
            Law::A => expand_a(code),
        };
        if code == u8::MAX {
            return table;
        }
        code += 1;
    }
}

/// All bits are inverted on the line; then sign, 3 bits of segment, 4 bits of step.
const fn expand_mu(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 7;
    let step = (code & 0x0f) as i16;
    let magnitude = (((step << 3) + MU_BIAS) << segment) - MU_BIAS;
    if code & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// Sign, 3 bits of segment, 4 bits of step; the first two segments have steps of one size.
const fn expand_a(code: u8) -> i16 {
    let code = code ^ A_INVERT;
    let segment = (code >> 4) & 7;
    let middle = (((code & 0x0f) as i16) << 4) + 8;
    let magnitude = if segment == 0 {
        middle
    } else {
        (middle + 0x100) << (segment - 1)
    };
    if code & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "3 bits of segment, 4 of step"
)]
const fn encode_mu(sample: i16) -> u8 {
    // Saturating: −32768 has no positive counterpart.
    let magnitude = sample.saturating_abs();
    let clipped = if magnitude > MU_CLIP {
        MU_CLIP
    } else {
        magnitude
    };
    let biased = clipped + MU_BIAS;
    // The bias makes bit 7 the lowest leading bit, so a segment is counted from there.
    let segment = (8 - biased.leading_zeros()) as u8;
    let step = (biased >> (segment + 3)) as u8 & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (segment << 4) | step)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "3 bits of segment, 4 of step"
)]
const fn encode_a(sample: i16) -> u8 {
    // One's complement: 0 is the first decision value, so −1 is the first negative sample.
    let magnitude = if sample < 0 { !sample } else { sample };
    // The first segment lies below 256; each further one has one more bit.
    let segment = (8 - (magnitude | 0xff).leading_zeros()) as u8;
    let shift = if segment < 2 { 4 } else { segment + 3 };
    let step = (magnitude >> shift) as u8 & 0x0f;
    let sign = if sample < 0 { 0 } else { 0x80 };
    (sign | (segment << 4) | step) ^ A_INVERT
}
