//! Without skew and loss the sound is exact: each channel is the reference decode, sample for sample,
//! behind silence of the right length. Jitter, order, duplicates and a late begin change none of it.

use reeld_model::Track;
use reeld_network::play::{Tape, True, play_with};
use reeld_network::sender::nanos;
use reeld_network::{Rule, Scenario, Verdict, seeds};

/// 20 ms in frames.
const CLOSE: u64 = 160;

fn exact(seed: u64) -> Verdict {
    let scenario = Scenario::of(seed, 60).without_harm();
    let mut tape = Tape::default();
    let mut verdict = play_with(&scenario, &mut True, Some(&mut tape));
    let begin = |track: usize| {
        let place = tape.sent[track].keys().next().copied().unwrap_or(0);
        nanos(place) + tape.base[track]
    };
    let file_begin = begin(0).min(begin(1));
    for track in 0..2 {
        let lead = (begin(track) - file_begin) / 125_000;
        let file: Vec<i16> = tape.file.iter().skip(track).step_by(2).copied().collect();
        let sent = whole(&tape, track);
        if !lies_in(&sent, &file, lead) {
            verdict.failures.push(reeld_network::Failure {
                rule: Rule::Exact,
                track: Some(Track::ALL[track]),
                at: 0.0,
                error_ms: f64::NAN,
                after: "exact",
            });
        }
    }
    verdict
}

/// What was sent up to the first packet that had not come by the stop.
fn whole(tape: &Tape, track: usize) -> Vec<i16> {
    let mut sent = Vec::new();
    let mut next = None;
    for (place, samples) in &tape.sent[track] {
        if next.is_some_and(|next| next != *place) {
            break;
        }
        next = Some(place + ((samples.len() as u64) << 32));
        sent.extend(samples);
    }
    sent
}

/// Whether `sent` lies in `file` within 20 ms of `lead`, but for the last 20 ms, which a stop may cut.
fn lies_in(sent: &[i16], file: &[i16], lead: u64) -> bool {
    let sent = &sent[..sent.len().saturating_sub(160)];
    let begins_with = |at: u64| {
        let behind = usize::try_from(at).ok().and_then(|at| file.get(at..));
        behind.is_some_and(|file| file.starts_with(sent))
    };
    (lead.saturating_sub(CLOSE)..=lead + CLOSE).any(begins_with)
}

#[test]
fn without_skew_and_loss_every_sample_is_the_reference_decode() {
    seeds(0..200, exact).demand("exact");
}
