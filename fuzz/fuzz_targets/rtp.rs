//! Fuzz target: any bytes as an RTP packet.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = reeld_capture::fuzz::rtp(data);
});
