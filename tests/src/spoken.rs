//! A call that is spoken to: noise of its own on each of its ports, in real time.

use std::net::SocketAddr;

use crate::script::Law;
use crate::sender::{Part, Playing};
use crate::{Sender, Tape, Voice};

/// Begins to say so many samples on each of these ports at once, each from a source of its own; what is said there.
#[must_use]
pub fn begin(ports: &[SocketAddr], samples: usize) -> (Playing, Vec<Tape>) {
    let tapes: Vec<Tape> = (1..)
        .take(ports.len())
        .map(|seed| Tape::noise(Law::Mu, seed, samples))
        .collect();
    let parts = ports.iter().zip(&tapes).zip(1..);
    let parts = parts.map(|((to, tape), seed)| Part {
        sender: Sender::new(),
        to: *to,
        script: Voice::new(seed).say(tape.codes()),
    });
    (Playing::start(parts.collect()), tapes)
}

/// Says all of it.
#[must_use]
pub fn speak(ports: &[SocketAddr], samples: usize) -> Vec<Tape> {
    let (playing, tapes) = begin(ports, samples);
    playing.finish();
    tapes
}
