//! Fuzz target: bytes as an rtpengine's answers, an end of each at a NUL.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = reeld_signal::rtpengine::fuzz::answers(data);
});
