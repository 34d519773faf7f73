//! Fuzz target: a body of several parts, its type before its first line end.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = reeld_signal::siprec::fuzz::multipart(data);
});
