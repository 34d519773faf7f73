//! Fuzz target: any text as an SDP offer, answered where it can be.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = reeld_capture::fuzz::sdp(text);
    }
});
