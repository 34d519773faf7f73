//! Fuzz target: bytes as messages to a SIPREC server, an end of each at a NUL.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = reeld_signal::siprec::fuzz::messages(data);
});
