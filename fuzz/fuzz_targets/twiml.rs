//! Fuzz target: any text as a TwiML document that starts a recording, and what is wrong with it told of it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = reeld_api::fuzz::twiml(text);
    }
});
