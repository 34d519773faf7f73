//! What stands for lost packets: the sound before and after them, carried on.
//!
//! Called by `capture` for gaps whose samples are lost. It calls nothing. Which gaps are concealed,
//! and what codecs do for themselves (Opus), does not belong here.
//!
//! The waveform of the last pitch period is repeated, after 10 ms the last two, after 20 ms the
//! last three, joined over a quarter of a period; from 10 ms on it fades, to silence at 60 ms
//! (ITU-T G.711 Appendix I). A recorder also knows what follows: that is carried back in the same
//! way, and the two are crossfaded. The sound around the gap is not changed, so the repetition
//! itself bends to meet both edges.
//!
//! The same sound gives the same samples; nothing is allocated.
//!
//! <https://www.itu.int/rec/T-REC-G.711-199909-I!AppI>

#[cfg(test)]
mod tests;

/// Pitch periods that are looked for, in tenths of a millisecond: 200 to 66 Hz; of a higher voice
/// a multiple of its period is found.
const SHORTEST: usize = 50;
const LONGEST: usize = 150;

/// Sound that is compared with what came a period before it, in tenths of a millisecond.
const COMPARED: usize = 200;

/// How far into the gap one more period is repeated, in tenths of a millisecond.
const ONE_MORE: usize = 100;

/// Periods that are repeated at most.
const MOST_PERIODS: usize = 3;

/// Where fading begins and ends, in tenths of a millisecond into the gap.
const FADE_FROM: usize = 100;
const FADE_TO: usize = 600;

/// What follows is carried back this far into a gap that is longer than [`FADE_TO`], in tenths of a
/// millisecond: enough not to begin with a click.
const LEAD_IN: usize = 200;

/// Correlations below this are of sound without a pitch.
const VOICED: f32 = 0.5;

/// Samples before a gap that are of use at `rate_hz`: 48.75 ms, as in the appendix.
#[must_use]
pub const fn history(rate_hz: u32) -> usize {
    (rate_hz as usize * 4_875).div_ceil(100_000)
}

/// Fills `gap`, which lies between `before` and `after`, all of one channel at `rate_hz`. Of
/// `before` the last [`history`] samples count, of `after` the first 20 ms; either may be shorter or
/// empty. Returns whether there was sound to carry on; if not, `gap` is silence.
pub fn conceal(before: &[i16], after: &[i16], rate_hz: u32, gap: &mut [i16]) -> bool {
    let tenths = |tenths: usize| tenths * rate_hz as usize / 10_000;
    gap.fill(0);
    let before = &before[before.len().saturating_sub(history(rate_hz))..];
    let after = &after[..after.len().min(tenths(COMPARED))];
    let forward = Wave::of(Edge::End(before), tenths, None);
    let known = forward.as_ref().filter(|wave| wave.voiced);
    let backward = Wave::of(Edge::Start(after), tenths, known.map(|wave| wave.period));
    let length = gap.len();
    let carried_back = match backward {
        None => 0,
        Some(_) if length > tenths(FADE_TO) => tenths(LEAD_IN),
        Some(_) => length,
    };
    if forward.is_none() && backward.is_none() {
        return false;
    }
    for (at, sample) in gap.iter_mut().enumerate() {
        let ahead = forward.as_ref().map_or(0.0, |wave| wave.at(at, tenths));
        let left = length - 1 - at;
        let mixed = match &backward {
            Some(wave) if left < carried_back => {
                let back = wave.at(left, tenths);
                let share = (left + 1) as f32 / (carried_back + 1) as f32;
                // Where nothing came before, what follows fades in.
                ahead * share + back * (1.0 - share)
            }
            _ => ahead,
        };
        #[expect(clippy::cast_possible_truncation, reason = "it saturates, as is meant")]
        let rounded = mixed.round() as i16;
        *sample = rounded;
    }
    true
}

/// Sound that ends or begins at a gap, seen from there.
#[derive(Debug, Clone, Copy)]
enum Edge<'a> {
    /// The gap follows it.
    End(&'a [i16]),
    /// It follows the gap.
    Start(&'a [i16]),
}

impl Edge<'_> {
    const fn len(self) -> usize {
        match self {
            Self::End(samples) | Self::Start(samples) => samples.len(),
        }
    }

    /// The sample `distance` (≥ 1) away from the gap.
    fn away(self, distance: usize) -> f32 {
        let sample = match self {
            Self::End(samples) => samples[samples.len() - distance],
            Self::Start(samples) => samples[distance - 1],
        };
        f32::from(sample)
    }
}

/// An edge's sound, carried on into the gap.
#[derive(Debug)]
struct Wave<'a> {
    edge: Edge<'a>,
    /// In samples.
    period: usize,
    voiced: bool,
    /// Samples over which parts are joined.
    join: usize,
    /// Periods that the edge is long enough for, at most [`MOST_PERIODS`].
    periods: usize,
    /// What the last sample lies above the one a period before it.
    step: f32,
}

impl<'a> Wave<'a> {
    /// `None` where there is no sound, or too little of it to repeat. `known` is the period that
    /// was found at the gap's other edge.
    fn of(edge: Edge<'a>, tenths: impl Fn(usize) -> usize, known: Option<usize>) -> Option<Self> {
        let near = edge.len().min(tenths(COMPARED));
        if (1..=near).all(|distance| edge.away(distance) == 0.0) {
            return None;
        }
        let (period, likeness) = period(edge, &tenths, known)?;
        let join = (period / 4).min(edge.len().saturating_sub(period)).max(1);
        let periods = ((edge.len() - join.min(edge.len())) / period).clamp(1, MOST_PERIODS);
        Some(Self {
            edge,
            period,
            voiced: likeness >= VOICED,
            join,
            periods,
            step: edge.away(1) - edge.away(period + 1),
        })
    }

    /// The sample `at` samples into the gap, seen from the edge.
    fn at(&self, at: usize, tenths: impl Fn(usize) -> usize) -> f32 {
        let (from, to) = (tenths(FADE_FROM), tenths(FADE_TO));
        if at >= to {
            return 0.0;
        }
        let gain = 1.0 - at.saturating_sub(from) as f32 / (to - from) as f32;
        // Sound without a pitch buzzes least with the longest repetition.
        let more = at / tenths(ONE_MORE);
        let wanted = if self.voiced { 1 + more } else { MOST_PERIODS };
        let periods = wanted.min(self.periods);
        let mut sample = self.repeated(at, periods);
        let since = at - more * tenths(ONE_MORE);
        if self.voiced && more > 0 && wanted <= self.periods && since < self.join {
            let share = (since + 1) as f32 / (self.join + 1) as f32;
            sample = sample * share + self.repeated(at, periods - 1) * (1.0 - share);
        }
        if at < self.join {
            sample += self.step_at(periods) * (1.0 - (at + 1) as f32 / (self.join + 1) as f32);
        }
        sample * gain
    }

    /// What the edge's last sample lies above the one that the repetition follows on from.
    fn step_at(&self, periods: usize) -> f32 {
        let from = periods * self.period + 1;
        if periods == 1 || from > self.edge.len() {
            self.step
        } else {
            self.edge.away(1) - self.edge.away(from)
        }
    }

    /// The last `periods` periods, again and again, each joined to the next.
    fn repeated(&self, at: usize, periods: usize) -> f32 {
        let cycle = periods * self.period;
        let left = cycle - at % cycle;
        let sample = self.edge.away(left);
        if left > self.join {
            return sample;
        }
        let before = self.edge.away((left + cycle).min(self.edge.len()));
        let share = (self.join + 1 - left) as f32 / (self.join + 1) as f32;
        sample * (1.0 - share) + before * share
    }
}

/// The period at which an edge's sound is most like itself, in samples, and how much: at most 1.
/// `None` where there is too little of it.
fn period(
    edge: Edge<'_>,
    tenths: impl Fn(usize) -> usize,
    known: Option<usize>,
) -> Option<(usize, f32)> {
    let (shortest, longest) = match known {
        Some(known) => (known - known / 7, known + known / 7),
        None => (tenths(SHORTEST), tenths(LONGEST)),
    };
    let longest = longest.min(edge.len() / 2);
    if longest < shortest.max(1) {
        return None;
    }
    let compared = tenths(COMPARED).min(edge.len() - longest);
    // At higher rates every 8 kHz sample is enough to begin with.
    let stride = tenths(5).max(4) / 4;
    let coarse = best(edge, (shortest..=longest).step_by(stride), compared, stride)?;
    if stride == 1 {
        return Some(coarse);
    }
    let around = (coarse.0 - stride + 1).max(shortest)..=(coarse.0 + stride - 1).min(longest);
    best(edge, around, compared, 1)
}

/// The best of `lags`, comparing every `stride`th of `compared` samples.
fn best(
    edge: Edge<'_>,
    lags: impl Iterator<Item = usize>,
    compared: usize,
    stride: usize,
) -> Option<(usize, f32)> {
    lags.map(|lag| {
        let (mut product, mut here, mut there) = (0.0, 1.0, 1.0);
        for distance in (1..=compared).step_by(stride) {
            let (one, other) = (edge.away(distance), edge.away(distance + lag));
            product += one * other;
            here += one * one;
            there += other * other;
        }
        (lag, product / f32::sqrt(here * there))
    })
    .max_by(|a, b| a.1.total_cmp(&b.1))
}
