//! Judges of what was recorded: sample for sample against the reference, or piece by piece against
//! the tape that was played.

use std::collections::HashMap;

use crate::tape::Tape;

/// Silence before and after the sound, in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// Before.
    pub lead: usize,
    /// After.
    pub trail: usize,
}

/// Holds a channel to contract.md's "exact": less leading and trailing zeros it is the reference,
/// sample for sample.
///
/// # Panics
/// When it is not; the message names the first sample that differs.
#[track_caller]
pub fn exact(channel: &[i16], reference: &[i16]) -> Padding {
    let sounds = |samples: &[i16]| samples.iter().position(|&sample| sample != 0);
    let (Some(heard), Some(played)) = (sounds(channel), sounds(reference)) else {
        panic!(
            "silence: {} samples recorded, {} sent; sound in neither or one",
            channel.len(),
            reference.len()
        );
    };
    assert!(
        heard >= played,
        "{} leading zeros are recorded of the reference's {played}",
        heard
    );
    let lead = heard - played;
    let body = &channel[lead..];
    assert!(
        body.len() >= reference.len(),
        "{} samples after {lead} of padding, but {} were sent",
        body.len(),
        reference.len()
    );
    if let Some(place) = body
        .iter()
        .zip(reference)
        .position(|(one, other)| one != other)
    {
        let differing = body
            .iter()
            .zip(reference)
            .filter(|(one, other)| one != other)
            .count();
        panic!(
            "sample {place} of {} differs ({} recorded, {} sent; {differing} in all), after {lead} of padding",
            reference.len(),
            body[place],
            reference[place]
        );
    }
    let trail = &body[reference.len()..];
    if let Some(place) = sounds(trail) {
        panic!(
            "sound ({}) {place} samples after the end of what was sent",
            trail[place]
        );
    }
    Padding {
        lead,
        trail: trail.len(),
    }
}

/// A piece of a tape in a recording. What lies between two pieces is silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it lies in the recording, in samples.
    pub at: usize,
    /// Where it lies on the tape, in samples.
    pub tape: usize,
    /// Its length in samples.
    pub length: usize,
}

impl Piece {
    /// The first sample of the tape after the piece.
    #[must_use]
    pub const fn tape_end(&self) -> usize {
        self.tape + self.length
    }

    /// The first sample of the recording after the piece.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.at + self.length
    }
}

/// Samples in a row by which a place on a tape is known.
const WINDOW: usize = 8;

/// What a channel is made of: pieces of the tape, in the recording's order, and zeros between them.
///
/// # Panics
/// When a sample is neither: sound that was not played, or that was changed.
#[must_use]
#[track_caller]
pub fn pieces(channel: &[i16], tape: &Tape) -> Vec<Piece> {
    let played = tape.samples();
    let places: HashMap<&[i16], usize> = played
        .windows(WINDOW)
        .enumerate()
        .map(|(place, window)| (window, place))
        .collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < channel.len() {
        if channel[at] == 0 {
            at += 1;
            continue;
        }
        let place = channel
            .get(at..at + WINDOW)
            .and_then(|window| places.get(window))
            .copied();
        let Some(tape) = place.or_else(|| short_piece(&channel[at..], &played, &pieces)) else {
            let some = &channel[at..channel.len().min(at + WINDOW)];
            panic!(
                "sample {at} of {}: {some:?} was never played; before: {pieces:?}",
                channel.len()
            );
        };
        let length = channel[at..]
            .iter()
            .zip(&played[tape..])
            .take_while(|(one, two)| one == two)
            .count();
        pieces.push(Piece { at, tape, length });
        at += length;
    }
    pieces
}

/// The place of a piece of fewer samples than a window: it ends in silence or with the file, and is
/// looked for from the last piece on.
fn short_piece(rest: &[i16], played: &[i16], before: &[Piece]) -> Option<usize> {
    let sound = rest
        .iter()
        .position(|&sample| sample == 0)
        .unwrap_or(rest.len());
    if sound >= WINDOW {
        return None;
    }
    let from = before.last().map_or(0, Piece::tape_end);
    played[from..]
        .windows(sound)
        .position(|window| window == &rest[..sound])
        .map(|at| from + at)
}

/// Samples by which the shift of two sounds is found: two seconds.
const SHIFT_WINDOW: usize = 16_000;

/// How alike two sounds are, from -1 to 1, where `two` lies later than `one` by as many samples (up
/// to `most`) as makes their first two seconds most alike; and that shift.
#[must_use]
pub fn correlation(one: &[i16], two: &[i16], most: usize) -> (f64, usize) {
    let window = &one[..one.len().min(SHIFT_WINDOW)];
    let likeness = |shift: usize| alike(window, &two[shift.min(two.len())..]);
    let shift = (0..=most)
        .max_by(|&a, &b| likeness(a).total_cmp(&likeness(b)))
        .unwrap_or(0);
    (alike(one, &two[shift.min(two.len())..]), shift)
}

fn alike(one: &[i16], two: &[i16]) -> f64 {
    // 2^30 a product: hours of them fit an i64.
    let (mut product, mut first, mut second) = (0_i64, 0_i64, 0_i64);
    for (&a, &b) in one.iter().zip(two) {
        let (a, b) = (i64::from(a), i64::from(b));
        product += a * b;
        first += a * a;
        second += b * b;
    }
    let scale = (first as f64 * second as f64).sqrt();
    if scale == 0.0 {
        0.0
    } else {
        product as f64 / scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Law;

    #[test]
    fn padding_is_measured_also_around_zeros_of_the_reference() {
        let reference = [0, 5, 0, 6, 0];
        let channel = [0, 0, 0, 5, 0, 6, 0, 0];
        assert_eq!(exact(&channel, &reference), Padding { lead: 2, trail: 1 });
    }

    #[test]
    #[should_panic(expected = "sample 1 of 3 differs")]
    fn a_changed_sample_is_found() {
        exact(&[1, 9, 3], &[1, 2, 3]);
    }

    #[test]
    #[should_panic(expected = "but 3 were sent")]
    fn a_missing_end_is_found() {
        exact(&[1, 2], &[1, 2, 3]);
    }

    #[test]
    #[should_panic(expected = "after the end")]
    fn sound_after_the_end_is_found() {
        exact(&[1, 2, 3, 0, 4], &[1, 2, 3]);
    }

    #[test]
    fn pieces_are_found_where_they_lie() {
        let tape = Tape::noise(Law::Mu, 3, 1_000);
        let played = tape.samples();
        let channel = [
            &[0; 10],
            &played[100..300],
            &[0; 50],
            &played[500..700],
            &played[800..803],
        ]
        .concat();
        let found = pieces(&channel, &tape);
        let wanted = [
            Piece {
                at: 10,
                tape: 100,
                length: 200,
            },
            Piece {
                at: 260,
                tape: 500,
                length: 200,
            },
            Piece {
                at: 460,
                tape: 800,
                length: 3,
            },
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    #[should_panic(expected = "was never played")]
    fn a_foreign_sound_is_found() {
        let (tape, other) = (
            Tape::noise(Law::Mu, 3, 1_000),
            Tape::noise(Law::Mu, 4, 1_000),
        );
        let channel = [&tape.samples()[..100], &other.samples()[..100]].concat();
        let _ = pieces(&channel, &tape);
    }

    #[test]
    fn likeness_is_found_at_its_shift() {
        let one = Tape::noise(Law::Mu, 3, 1_000).samples();
        let two = [&[0; 30], &one[..]].concat();
        let (alike, shift) = correlation(&one, &two, 100);
        assert_eq!(shift, 30);
        assert!(alike > 0.999);
    }
}
