//! Fuzz target: any bytes as an encrypted recording's file: envelope, pieces and end.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    reeld_store::fuzz::encrypted(data);
});
