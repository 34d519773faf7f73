//! What a recording's checksum costs: BLAKE3 of a block as it is written, and of a minute when it is verified.
//!
//! Run by `cargo bench -p reeld-store`; compiled by `make clippy`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// Bytes of half a second and of a minute of two tracks.
#[divan::bench(args = [16_000, 1_920_000])]
fn blake3(bencher: Bencher<'_, '_>, bytes: usize) {
    let block = vec![7; bytes];
    let mut hasher = blake3::Hasher::new();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        hasher.update(black_box(&block));
    });
    black_box(hasher.finalize());
}
