//! What a packet's sound costs by itself: G.711 to samples, samples to a file's bytes, and a level.
//!
//! Run by `cargo bench -p reeld-codec`; compiled by `make clippy`. A packet is 20 ms, 160 bytes.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use reeld_codec::g711::{self, Law};
use reeld_codec::level::Level;
use reeld_codec::wav;

/// Samples of a packet.
const PACKET: usize = 160;

/// Samples of half a second of two tracks, as a block of the writer has them.
const BLOCK: usize = 8_000;

fn main() {
    divan::main();
}

/// All codes in turn: no branch can learn them.
fn codes(count: usize) -> Vec<u8> {
    (0..=u8::MAX)
        .map(|code| code.wrapping_mul(167))
        .cycle()
        .take(count)
        .collect()
}

fn samples(count: usize) -> Vec<i16> {
    let mut samples = Vec::new();
    g711::decode_to(Law::Mu, &codes(count), &mut samples);
    samples
}

#[divan::bench(args = [Law::Mu, Law::A])]
fn g711_decode(bencher: Bencher<'_, '_>, law: Law) {
    let codes = codes(PACKET);
    let mut samples = vec![0; PACKET];
    bencher
        .counter(BytesCount::new(PACKET))
        .bench_local(|| g711::decode(law, black_box(&codes), black_box(&mut samples)));
}

#[divan::bench]
fn wav_bytes(bencher: Bencher<'_, '_>) {
    let samples = samples(BLOCK);
    let mut bytes = Vec::with_capacity(2 * BLOCK);
    bencher.counter(BytesCount::new(2 * BLOCK)).bench_local(|| {
        bytes.clear();
        wav::samples_to_bytes(black_box(&samples), black_box(&mut bytes));
    });
}

#[divan::bench]
fn level(bencher: Bencher<'_, '_>) {
    let samples = samples(PACKET);
    bencher.bench_local(|| Level::of(black_box(&samples)));
}
