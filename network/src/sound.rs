//! What is said: a tone of 1,004 Hz with a marker each second, as a function of wall time.
//!
//! Called by [`crate::sender`], which encodes it at its own clock's instants, and by
//! [`crate::listener`], which looks for the markers; calls `codec` for G.711. A marker is a chirp
//! of 40 ms, rising on the inbound track and falling on the outbound one, so that a matched filter
//! finds it to the sample and tells the tracks apart. It begins up to 390 ms after its second, by a
//! hash of the second's number, so that an error of whole seconds is seen too.
//!
//! Places here are instants of true time in samples at 8 kHz since the call was opened, in Q32.
//! Tables hold the sound at eighths of a sample: a clock with skew is heard where it was, to 16 µs.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use reeld_codec::g711::{self, Law};
use reeld_model::Track;

use crate::random::Random;

/// Samples a second of true time.
pub const RATE: u64 = 8_000;

/// Samples of a marker: 40 ms.
pub const MARK: usize = 320;

/// A sample in Q32.
pub const ONE: u64 = 1 << 32;

const FINE: usize = 8;
/// The tone repeats after 2,000 samples: 251 cycles.
const PERIOD: usize = 2_000 * FINE;
const TONE_HZ: f64 = 1_004.0;
const CHIRP_HZ: [f64; 2] = [500.0, 3_400.0];

struct Tables {
    /// By law.
    tone: [Vec<u8>; 2],
    /// By track and law.
    mark: [[Vec<u8>; 2]; 2],
    template: [Vec<i16>; 2],
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let laws = [Law::Mu, Law::A];
    let fine = |length: usize, wave: &dyn Fn(f64) -> f64, law| {
        let value = |at: usize| wave(at as f64 / FINE as f64) as i16;
        (0..length)
            .map(|at| g711::encode_sample(law, value(at)))
            .collect()
    };
    let tone = |at: f64| 5_000.0 * (TAU * TONE_HZ * at / RATE as f64).sin();
    Tables {
        tone: laws.map(|law| fine(PERIOD, &tone, law)),
        mark: Track::ALL
            .map(|track| laws.map(|law| fine(MARK * FINE, &|at| 14_000.0 * chirp(track, at), law))),
        template: Track::ALL.map(|track| {
            (0..MARK)
                .map(|at| (100.0 * chirp(track, at as f64)).round() as i16)
                .collect()
        }),
    }
});

fn chirp(track: Track, at: f64) -> f64 {
    let [mut from, mut to] = CHIRP_HZ;
    if track == Track::Outbound {
        std::mem::swap(&mut from, &mut to);
    }
    let at = at / RATE as f64;
    let length = MARK as f64 / RATE as f64;
    (TAU * (from * at + (to - from) * at * at / (2.0 * length))).sin()
}

/// The marker of a track, of amplitude 100.
#[must_use]
pub fn template(track: Track) -> &'static [i16] {
    &TABLES.template[track.index()]
}

/// Where marker `number` (from 1) begins.
#[must_use]
pub fn mark(number: u64) -> u64 {
    let shift = 80 * Random::new(number, 0).between(0, 39);
    (number * RATE + shift) * ONE
}

/// A piece of a marker in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The marker's number.
    pub mark: u64,
    /// Its samples in the packet.
    pub samples: u64,
}

/// The samples at `origin`, `origin + step`, … of the marker `number`: how many there are. More than
/// there can be of one that began before the origin: it is never whole.
#[must_use]
pub fn samples_of_mark(number: u64, origin: u64, step: u64) -> u64 {
    let begin = mark(number);
    if begin < origin {
        return u64::MAX;
    }
    let first = |place: u64| place.saturating_sub(origin).div_ceil(step);
    first(begin + MARK as u64 * ONE) - first(begin)
}

/// Encodes `samples` samples from `place` on onto the end of `codes`; the piece of a marker that is
/// among them. Less than 200 ms, so that there is one at most.
pub fn encode(
    track: Track,
    law: Law,
    place: u64,
    step: u64,
    samples: u64,
    codes: &mut Vec<u8>,
) -> Option<Piece> {
    let law = usize::from(law == Law::A);
    let tone = &TABLES.tone[law];
    let chirp = &TABLES.mark[track.index()][law];
    let second = place / (RATE * ONE);
    let whole = MARK as u64 * ONE;
    // The first marker that ends behind the packet's beginning.
    let number = (second.max(2) - 1..)
        .find(|number| mark(*number) + whole > place)
        .unwrap_or(1);
    let begin = mark(number);
    let mut count = 0;
    let mut at = place;
    for _ in 0..samples {
        let inside = at.wrapping_sub(begin);
        if inside < whole {
            codes.push(chirp[(inside >> 29) as usize]);
            count += 1;
        } else {
            codes.push(tone[(at >> 29) as usize % PERIOD]);
        }
        at += step;
    }
    (count > 0).then_some(Piece {
        mark: number,
        samples: count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_marker_make_it_whole() {
        let step = ONE + ONE / 2_000;
        let origin = 77 * ONE / 3;
        let mut found = 0;
        for packet in 0..200 {
            let place = origin + packet * 160 * step;
            let piece = encode(Track::Inbound, Law::A, place, step, 160, &mut Vec::new());
            found += piece
                .filter(|piece| piece.mark == 2)
                .map_or(0, |piece| piece.samples);
        }
        assert_eq!(found, samples_of_mark(2, origin, step));
    }
}
