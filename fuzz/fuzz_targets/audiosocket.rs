//! Fuzz target: an AudioSocket connection's bytes, in reads and at times that bytes among them say.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = reeld_signal::audiosocket::fuzz::session(data);
});
