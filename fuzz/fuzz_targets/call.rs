//! Fuzz target: any packets, times and commands for a call; what may not be broken is in `reeld_network::chaos`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(what) = reeld_network::chaos::call(data) {
        panic!("{what}");
    }
});
