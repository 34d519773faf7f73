//! ITU-T G.722 at 64 kbit/s: one byte for two samples of 16 kHz (payload type 9).
//!
//! Called by `capture` for each packet in the order of its sequence, and by what makes G.722 for
//! tests. It calls nothing. Order, loss and the RTP clock, which says 8000 for 16 kHz by an old
//! mistake (RFC 3551 §4.5.2), do not belong here.
//!
//! Our own, since the crates that have it (audio-codec 0.4, ezk-g722 0.1) begin with a step size of
//! 0 where the recommendation begins with 32 and 8: their first half second is up to 36 dB off.
//! This one is ffmpeg's to the bit, for any bytes. Names of blocks are the recommendation's.
//!
//! The state adapts with every byte, so packets decoded out of order, or anew in the middle, sound
//! wrong for some milliseconds and then right again. Nothing is allocated.
//!
//! <https://www.itu.int/rec/T-REC-G.722>

#[cfg(test)]
mod tests;

/// Samples a second, whatever the RTP clock says.
pub const RATE_HZ: u32 = 16_000;

/// Samples of one byte.
pub const SAMPLES_OF_BYTE: usize = 2;

/// The step sizes at the beginning (G.722 table 9: DETL, DETH).
const FIRST_STEPS: [i32; 2] = [32, 8];

/// Half of the quadrature mirror filter (table 11), which is symmetric.
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];

/// Outputs of the inverse quantizers of 6, 4 (low band) and 2 bits (high band); table 12 to 17.
const INVERSE_6: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192,
    -10_232, -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008,
    -3_576, -3_168, -2_776, -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008,
    16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000,
    5_456, 4_944, 4_464, 4_008, 3_576, 3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432,
    136, -432, -136,
];
const INVERSE_4: [i32; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288,
    4_240, 2_584, 1_200, 0,
];
const INVERSE_2: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];

/// What a code of 4 and of 2 bits adds to the logarithm of the step size.
const LOG_4: [i32; 16] = [
    -60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60,
];
const LOG_2: [i32; 4] = [798, -214, 798, -214];

/// The logarithm at most, and the shift that makes a step size of it, in each band.
const LOG_MOST: [i32; 2] = [18_432, 22_528];
const LOG_SHIFT: [i32; 2] = [8, 10];

/// Powers of two between 1 and 2, times 2048.
const ANTILOG: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656,
    2_714, 2_774, 2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520,
    3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];

/// Decision levels of the low band, and the codes of what lies below each, negative and positive.
const LEVELS: [i32; 30] = [
    0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940,
    1_023, 1_121, 1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];
const NEGATIVE: [u8; 31] = [
    0, 63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11,
    10, 9, 8, 7, 6, 5, 4,
];
const POSITIVE: [u8; 31] = [
    0, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39,
    38, 37, 36, 35, 34, 33, 32,
];

/// The decision level of the high band.
const HIGH_LEVEL: i32 = 564;

/// Decodes one stream.
#[derive(Debug, Clone)]
pub struct Decoder {
    bands: [Band; 2],
    qmf: [i32; 24],
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at its initial state.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bands: [Band::new(FIRST_STEPS[0]), Band::new(FIRST_STEPS[1])],
            qmf: [0; 24],
        }
    }

    /// Decodes `codes` into the start of `samples`, as many as both have room for; returns how many
    /// samples.
    pub fn decode(&mut self, codes: &[u8], samples: &mut [i16]) -> usize {
        let pairs = samples.chunks_exact_mut(SAMPLES_OF_BYTE);
        let count = pairs.len().min(codes.len()) * SAMPLES_OF_BYTE;
        for (pair, &code) in pairs.zip(codes) {
            let (code_low, code_high) = (usize::from(code & 0x3f), usize::from(code >> 6));
            let [low, high] = &self.bands;
            let heard_low = low.s + ((low.step * INVERSE_6[code_low]) >> 15);
            let heard_low = heard_low.clamp(-16_384, 16_383);
            let high_difference = (high.step * INVERSE_2[code_high]) >> 15;
            let heard_high = (high.s + high_difference).clamp(-16_384, 16_383);
            adapt(&mut self.bands, code_low, code_high);
            self.qmf.copy_within(2.., 0);
            self.qmf[22] = heard_low + heard_high;
            self.qmf[23] = heard_low - heard_high;
            let [even, odd] = filter(&self.qmf);
            pair.copy_from_slice(&[saturate(odd >> 11), saturate(even >> 11)]);
        }
        count
    }
}

/// Encodes one stream.
#[derive(Debug, Clone)]
pub struct Encoder {
    bands: [Band; 2],
    qmf: [i32; 24],
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder at its initial state.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bands: [Band::new(FIRST_STEPS[0]), Band::new(FIRST_STEPS[1])],
            qmf: [0; 24],
        }
    }

    /// Encodes `samples` of 16 kHz onto the end of `codes`; an odd last one is left.
    pub fn encode(&mut self, samples: &[i16], codes: &mut Vec<u8>) {
        codes.extend(samples.chunks_exact(SAMPLES_OF_BYTE).map(|pair| {
            self.qmf.copy_within(2.., 0);
            self.qmf[22] = pair[0].into();
            self.qmf[23] = pair[1].into();
            let [even, odd] = filter(&self.qmf);
            let low = quantize_low(((even + odd) >> 14) - self.bands[0].s, self.bands[0].step);
            let high = quantize_high(((even - odd) >> 14) - self.bands[1].s, self.bands[1].step);
            adapt(&mut self.bands, low.into(), high.into());
            (high << 6) | low
        }));
    }
}

/// The adaptive predictor and quantizer of one band: what encoder and decoder have in common.
#[derive(Debug, Clone)]
struct Band {
    /// The predicted signal, and the part of it that the zeros predict.
    s: i32,
    sz: i32,
    /// The last two reconstructed and partially reconstructed signals, the newest first.
    r: [i32; 2],
    p: [i32; 2],
    /// The last six quantized differences, the newest first.
    d: [i32; 6],
    /// Coefficients of the poles and of the zeros.
    a: [i32; 2],
    b: [i32; 6],
    /// The logarithm of the step size, and that.
    log: i32,
    step: i32,
}

impl Band {
    const fn new(step: i32) -> Self {
        Self {
            s: 0,
            sz: 0,
            r: [0; 2],
            p: [0; 2],
            d: [0; 6],
            a: [0; 2],
            b: [0; 6],
            log: 0,
            step,
        }
    }

    /// Blocks LOGSCL and SCALEL, or LOGSCH and SCALEH.
    fn scale(&mut self, added: i32, band: usize) {
        self.log = (((self.log * 127) >> 7) + added).clamp(0, LOG_MOST[band]);
        let mantissa = ANTILOG[usize::try_from((self.log >> 6) & 31).unwrap_or_default()];
        let shift = LOG_SHIFT[band] - (self.log >> 11);
        let step = if shift < 0 {
            mantissa << -shift
        } else {
            mantissa >> shift
        };
        self.step = step << 2;
    }

    /// Block 4: the predictor takes the quantized difference `d`.
    fn predict(&mut self, d: i32) {
        let r = limit(self.s + d);
        let p = limit(self.sz + d);
        let alike = |one: i32, other: i32| (one < 0) == (other < 0);

        // UPPOL2.
        let a1 = limit(self.a[0] << 2);
        let moved = if alike(p, self.p[0]) { limit(-a1) } else { a1 };
        let leak = if alike(p, self.p[1]) { 128 } else { -128 };
        let a2 = leak + (moved >> 7) + ((self.a[1] * 32_512) >> 15);
        self.a[1] = a2.clamp(-12_288, 12_288);
        // UPPOL1.
        let leak = if alike(p, self.p[0]) { 192 } else { -192 };
        let most = 15_360 - self.a[1];
        self.a[0] = limit(leak + ((self.a[0] * 32_640) >> 15)).clamp(-most, most);
        // UPZERO.
        let step = if d == 0 { 0 } else { 128 };
        for (b, &before) in self.b.iter_mut().zip(&self.d) {
            let leak = if alike(d, before) { step } else { -step };
            *b = limit(leak + ((*b * 32_640) >> 15));
        }
        // DELAYA.
        self.d.copy_within(..5, 1);
        self.d[0] = d;
        self.p = [p, self.p[0]];
        self.r = [r, self.r[0]];
        // FILTEP, FILTEZ, PREDIC.
        let doubled = |(coefficient, value): (&i32, &i32)| (coefficient * limit(value * 2)) >> 15;
        let poles: i32 = self.a.iter().zip(&self.r).map(doubled).sum();
        let zeros: i32 = self.b.iter().zip(&self.d).map(doubled).sum();
        self.sz = limit(zeros);
        self.s = limit(limit(poles) + self.sz);
    }
}

/// Both bands take the code of a pair of samples.
fn adapt(bands: &mut [Band; 2], code_low: usize, code_high: usize) {
    let [low, high] = bands;
    let difference = (low.step * INVERSE_4[code_low >> 2]) >> 15;
    low.scale(LOG_4[code_low >> 2], 0);
    low.predict(difference);
    let difference = (high.step * INVERSE_2[code_high]) >> 15;
    high.scale(LOG_2[code_high], 1);
    high.predict(difference);
}

/// The even and the odd half of the quadrature mirror filter.
fn filter(qmf: &[i32; 24]) -> [i32; 2] {
    let mut sums = [0; 2];
    for (pair, tap) in qmf.chunks_exact(2).zip(0..12) {
        sums[0] += pair[0] * QMF[tap];
        sums[1] += pair[1] * QMF[11 - tap];
    }
    sums
}

/// Block QUANTL.
fn quantize_low(difference: i32, step: i32) -> u8 {
    let difference = limit(difference);
    let magnitude = if difference < 0 {
        !difference
    } else {
        difference
    };
    let above = |level: &&i32| magnitude >= (**level * step) >> 12;
    let interval = 1 + LEVELS[1..].iter().take_while(above).count();
    if difference < 0 {
        NEGATIVE[interval]
    } else {
        POSITIVE[interval]
    }
}

/// Block QUANTH.
fn quantize_high(difference: i32, step: i32) -> u8 {
    let difference = limit(difference);
    let magnitude = if difference < 0 {
        !difference
    } else {
        difference
    };
    let outer = magnitude >= (HIGH_LEVEL * step) >> 12;
    match (difference < 0, outer) {
        (true, true) => 0,
        (true, false) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}

fn limit(value: i32) -> i32 {
    value.clamp(i16::MIN.into(), i16::MAX.into())
}

#[expect(clippy::cast_possible_truncation, reason = "limited before")]
fn saturate(value: i32) -> i16 {
    limit(value) as i16
}
