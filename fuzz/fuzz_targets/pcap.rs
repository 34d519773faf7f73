//! Fuzz target: any bytes as a capture of the network, its calls played into nothing.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use reeld_capture::Settings;

static SETTINGS: LazyLock<Settings> = LazyLock::new(reeld_network::play::settings);

fuzz_target!(|data: &[u8]| {
    let _ = reeld_signal::pcap::fuzz(data, &SETTINGS);
});
