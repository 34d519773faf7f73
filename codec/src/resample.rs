//! From one sample rate to another, sample k of the output at the time of k.
//!
//! Called by `capture` for tracks whose codec has another rate than the timeline, and by the
//! import. It calls nothing. Mixing channels together does not belong here.
//!
//! A windowed-sinc polyphase filter (Kaiser) over the reduced ratio of the two rates. It is our own
//! because places must be exact: rubato works in chunks and rounds its delay, and here output k
//! stands at input time k / rate with no delay at all, for any length of input a call. Flat to
//! 0.43 of the lower rate (3.44 kHz of 8 kHz), below −80 dB from 0.51 of it on; equal rates pass
//! unchanged.
//!
//! Invariants: what comes out for an input does not depend on how it was cut into calls; after a
//! flush, n samples in have given ⌈n · to / from⌉ out. Nothing is allocated after creation but
//! room in the caller's vector.
//!
//! J. O. Smith, "Digital Audio Resampling", <https://ccrma.stanford.edu/~jos/resample/>.

use crate::Error;

#[cfg(test)]
mod tests;

/// The rates that are accepted, in Hz.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;

/// The middle of the filter's edge and its width, in parts of the lower rate: from 0.43 to 0.51.
const EDGE: f64 = 0.47;
const EDGE_WIDTH: f64 = 0.08;

/// Attenuation of the stop band in decibels, which gives Kaiser's β and the filter's length.
const ATTENUATION_DB: f64 = 80.0;

/// Coefficients at most: 1 MiB. The usual ratios need less than a tenth; two rates without a
/// common factor are a mistake in somebody's SDP.
const MOST_COEFFICIENTS: usize = 262_144;

/// Samples that the delay line holds beyond one filter's length.
const CHUNK: usize = 1_024;

/// Coefficients are summed in this many lanes, so that the sum becomes SIMD.
const LANES: usize = 8;

/// A stream being brought to another rate.
#[derive(Debug, Clone)]
pub struct Resampler {
    /// The ratio of output to input, reduced.
    up: u64,
    down: u64,
    /// Coefficients of one phase: even, its middle at half.
    taps: usize,
    /// `up` phases of `taps` coefficients; none where the rates are equal.
    kernel: Box<[f32]>,
    line: Box<[f32]>,
    /// Samples in the line.
    filled: usize,
    /// The line's first sample under the next output's filter, and that output's phase.
    next: usize,
    phase: u64,
    /// Samples in and out since the last flush or reset.
    taken: u64,
    given: u64,
}

impl Resampler {
    /// A stream of `from_hz` to be brought to `to_hz`, both 8000 to 48000.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for other rates, and for two whose ratio has no small terms.
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, Error> {
        let (up, down, taps) = ratio(from_hz, to_hz)?;
        let kernel = if taps == 0 {
            Box::default()
        } else {
            kernel(up, taps, from_hz, to_hz)
        };
        let line = if taps == 0 { 0 } else { taps + CHUNK };
        let mut resampler = Self {
            up: up.into(),
            down: down.into(),
            taps,
            kernel,
            line: vec![0.0; line].into_boxed_slice(),
            filled: 0,
            next: 0,
            phase: 0,
            taken: 0,
            given: 0,
        };
        resampler.reset();
        Ok(resampler)
    }

    /// Says what [`Resampler::new`] would, and makes nothing.
    ///
    /// # Errors
    /// As there.
    pub fn accepts(from_hz: u32, to_hz: u32) -> Result<(), Error> {
        ratio(from_hz, to_hz).map(|_| ())
    }

    /// Samples of input that an output needs beyond its own time; 0 where the rates are equal.
    #[must_use]
    pub const fn lookahead(&self) -> usize {
        self.taps / 2
    }

    /// Takes `input` and appends to `output` what is determined by now.
    pub fn process(&mut self, input: &[i16], output: &mut Vec<i16>) {
        self.taken += input.len() as u64;
        if self.taps == 0 {
            self.given += input.len() as u64;
            output.extend_from_slice(input);
            return;
        }
        for part in input.chunks(CHUNK) {
            self.push(part.iter().map(|sample| f32::from(*sample)), 0);
            self.drain(u64::MAX, output);
        }
    }

    /// Appends what a flush would, and changes nothing: the next input gives these outputs again, as
    /// they are with what follows. Returns how many.
    pub fn tail(&mut self, output: &mut Vec<i16>) -> usize {
        if self.taps == 0 {
            return 0;
        }
        // Room first, so that nothing in the line moves while it is looked ahead.
        self.push(std::iter::empty(), self.lookahead());
        let (filled, next, phase, given) = (self.filled, self.next, self.phase, self.given);
        let all = (self.taken * self.up).div_ceil(self.down);
        self.push(std::iter::repeat_n(0.0, self.lookahead()), 0);
        self.drain(all, output);
        let count = usize::try_from(self.given - given).unwrap_or_default();
        (self.filled, self.next, self.phase, self.given) = (filled, next, phase, given);
        count
    }

    /// Appends the rest, as if silence followed, and begins anew: the next input is time 0 again.
    pub fn flush(&mut self, output: &mut Vec<i16>) {
        self.tail(output);
        self.reset();
    }

    /// Begins anew without the rest of what was taken.
    pub fn reset(&mut self) {
        // The filter of output 0 begins this much before time 0.
        self.filled = self.lookahead().saturating_sub(1);
        self.line[..self.filled].fill(0.0);
        (self.next, self.phase) = (0, 0);
        (self.taken, self.given) = (0, 0);
    }

    /// Appends samples to the line, and sees to it that `more` have room: [`CHUNK`] at most together.
    fn push(&mut self, samples: impl ExactSizeIterator<Item = f32>, more: usize) {
        if self.filled + samples.len() + more > self.line.len() {
            let gone = self.next.min(self.filled);
            self.line.copy_within(gone..self.filled, 0);
            self.filled -= gone;
            self.next -= gone;
        }
        let room = &mut self.line[self.filled..self.filled + samples.len()];
        self.filled += room.len();
        for (slot, sample) in room.iter_mut().zip(samples) {
            *slot = sample;
        }
    }

    /// Appends what the line determines, up to the output `all`.
    fn drain(&mut self, all: u64, output: &mut Vec<i16>) {
        while self.next + self.taps <= self.filled && self.given < all {
            let phase = usize::try_from(self.phase).unwrap_or_default() * self.taps;
            let sum = dot(
                &self.line[self.next..self.next + self.taps],
                &self.kernel[phase..phase + self.taps],
            );
            #[expect(clippy::cast_possible_truncation, reason = "it saturates, as is meant")]
            output.push(sum.round() as i16);
            self.given += 1;
            self.phase += self.down;
            self.next += usize::try_from(self.phase / self.up).unwrap_or_default();
            self.phase %= self.up;
        }
    }
}

/// The ratio of output to input, reduced, and the coefficients of a phase: none for equal rates.
fn ratio(from_hz: u32, to_hz: u32) -> Result<(u32, u32, usize), Error> {
    let unsupported = || Error::Unsupported(format!("{from_hz} Hz to {to_hz} Hz"));
    if !RATES.contains(&from_hz) || !RATES.contains(&to_hz) {
        return Err(unsupported());
    }
    let common = gcd(from_hz, to_hz);
    let (up, down) = (to_hz / common, from_hz / common);
    if up == down {
        return Ok((up, down, 0));
    }
    let taps = taps(from_hz, to_hz);
    if up as usize * taps > MOST_COEFFICIENTS {
        return Err(unsupported());
    }
    Ok((up, down, taps))
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Coefficients of a phase, by Kaiser's formula: a multiple of what is summed at once.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "some hundreds"
)]
fn taps(from_hz: u32, to_hz: u32) -> usize {
    let width = EDGE_WIDTH * f64::from(from_hz.min(to_hz)) / f64::from(from_hz);
    let taps = (ATTENUATION_DB - 8.0) / (2.285 * std::f64::consts::TAU * width);
    (taps.ceil() as usize).next_multiple_of(LANES)
}

/// The coefficients of each phase, each phase scaled so that a constant stays what it is.
fn kernel(up: u32, taps: usize, from_hz: u32, to_hz: u32) -> Box<[f32]> {
    let beta = 0.1102 * (ATTENUATION_DB - 8.7);
    let cutoff = 2.0 * EDGE * f64::from(from_hz.min(to_hz)) / f64::from(from_hz);
    let half = taps as f64 / 2.0;
    let mut kernel = Vec::with_capacity(up as usize * taps);
    let mut phase = vec![0.0; taps];
    for number in 0..up {
        let offset = f64::from(number) / f64::from(up);
        for (tap, coefficient) in phase.iter_mut().enumerate() {
            // Input time of this coefficient, less the output's.
            let time = tap as f64 - (half - 1.0) - offset;
            let window = bessel(beta * (1.0 - (time / half).powi(2)).max(0.0).sqrt());
            *coefficient = sinc(cutoff * time) * window;
        }
        let sum: f64 = phase.iter().sum();
        #[expect(clippy::cast_possible_truncation, reason = "24 bits are 144 dB")]
        kernel.extend(phase.iter().map(|coefficient| (coefficient / sum) as f32));
    }
    kernel.into_boxed_slice()
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
}

/// The modified Bessel function of the first kind and order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-12 {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

fn dot(samples: &[f32], coefficients: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let pairs = samples
        .chunks_exact(LANES)
        .zip(coefficients.chunks_exact(LANES));
    for (samples, coefficients) in pairs {
        for lane in 0..LANES {
            lanes[lane] += samples[lane] * coefficients[lane];
        }
    }
    lanes.iter().sum()
}
