//! The program: hands over to [`reeld::cli`].

#![forbid(unsafe_code)]

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Of the program alone: its C libraries and the tests keep the system's. What it gives back and
/// when is set where it is built (`.cargo/config.toml`).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    reeld::cli::main()
}
