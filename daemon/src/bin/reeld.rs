//! The program: hands over to [`reeld::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    reeld::cli::main()
}
