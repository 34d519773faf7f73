//! Fuzz target: bytes as a recording client's metadata.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = reeld_signal::siprec::fuzz::metadata(data);
});
