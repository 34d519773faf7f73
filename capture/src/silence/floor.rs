//! The background's floor in each octave: the least that was heard lately (minimum statistics).
//!
//! Called by [`super`] with each frame's energies; it calls nothing. R. Martin, "Noise power spectral
//! density estimation based on optimal smoothing and minimum statistics", IEEE Transactions on Speech and
//! Audio Processing 9 (2001): even while somebody speaks, each octave falls to its background between
//! two sounds. So the floor falls at once, and rises when what was lower is [`SPAN`]s ago: a fan that is
//! switched on is learnt after 3.2 to 3.8 s, and no sound is a background before.

use reeld_codec::octaves::OCTAVES;
use serde::{Deserialize, Serialize};

/// Frames of a span, and spans that are remembered: 10 × 320 ms.
const SPAN: usize = 16;
const SPANS: usize = 10;

/// Of the smoothed energies, how much of a frame's is taken on: over some 80 ms.
const TAKE: f32 = 0.25;

/// A floor is never taken for lower than −60 dBov: comfort noise at −55 and a line's own noise are silence
/// also behind digital silence, and speech at −40 is well above.
const LOWEST: f32 = 1_073.741_8;

/// The floor of one channel.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Floor {
    smooth: [f32; OCTAVES],
    /// The least of each finished span, oldest overwritten, and of the one that runs.
    spans: [[f32; OCTAVES]; SPANS],
    running: [f32; OCTAVES],
    /// The least of all finished spans.
    least: [f32; OCTAVES],
    /// Spans finished, modulo their number, and frames of the running one.
    at: usize,
    frames: usize,
    empty: bool,
}

impl Default for Floor {
    fn default() -> Self {
        let unknown = [f32::INFINITY; OCTAVES];
        Self {
            smooth: [0.0; OCTAVES],
            spans: [unknown; SPANS],
            running: unknown,
            least: unknown,
            at: 0,
            frames: 0,
            empty: true,
        }
    }
}

impl Floor {
    /// Whether nothing was learnt yet.
    pub(super) fn is_empty(&self) -> bool {
        self.empty
    }

    /// Learns from a frame that was received.
    pub(super) fn learn(&mut self, energies: &[f32; OCTAVES]) {
        if std::mem::take(&mut self.empty) {
            self.smooth = *energies;
        }
        for ((smooth, least), energy) in self.smooth.iter_mut().zip(&mut self.running).zip(energies)
        {
            *smooth += TAKE * (energy - *smooth);
            *least = least.min(*smooth);
        }
        self.frames += 1;
        if self.frames == SPAN {
            self.frames = 0;
            self.spans[self.at] = std::mem::replace(&mut self.running, [f32::INFINITY; OCTAVES]);
            self.at = (self.at + 1) % SPANS;
            self.least = self.spans.iter().fold([f32::INFINITY; OCTAVES], lesser);
        }
    }

    /// The floors, as mean squares of samples.
    pub(super) fn levels(&self) -> [f32; OCTAVES] {
        if self.empty {
            return [LOWEST; OCTAVES];
        }
        lesser(self.least, &self.running).map(|level| level.max(LOWEST))
    }

    /// How loud it is now, smoothed: the mean square of all octaves.
    pub(super) fn now(&self) -> f32 {
        self.smooth.iter().sum()
    }
}

/// The lesser of each octave.
fn lesser(one: [f32; OCTAVES], other: &[f32; OCTAVES]) -> [f32; OCTAVES] {
    std::array::from_fn(|octave| one[octave].min(other[octave]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(floor: &mut Floor, frames: usize, energy: f32) -> f32 {
        for _ in 0..frames {
            floor.learn(&[energy; OCTAVES]);
        }
        floor.levels()[0]
    }

    #[test]
    fn it_falls_at_once_and_rises_when_what_was_lower_is_past() {
        let mut floor = Floor::default();
        assert_eq!(floor.levels()[0], LOWEST);
        let fan = 200_000.0;
        assert!((after(&mut floor, 50, fan) - fan).abs() < 1.0);
        assert!(after(&mut floor, 20, 5_000.0) < 6_000.0);
        assert!(
            after(&mut floor, SPAN * SPANS - SPAN, fan) < 6_000.0,
            "3 s of it are no background yet"
        );
        assert!((after(&mut floor, 3 * SPAN, fan) - fan).abs() < fan / 100.0);
        assert_eq!(after(&mut floor, 50, 1.0), LOWEST);
    }
}
