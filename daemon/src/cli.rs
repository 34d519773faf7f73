//! The command line: `reeld <command>`, as contract.md, "Commands", has it.
//!
//! `bin/reeld.rs` calls [`main`] and nothing else does. A command's arguments and what it prints are
//! here and below; what it does is the library's. Exit codes: 0, 1 for a failure explained in one
//! line on standard error, 2 for bad usage (clap's).

mod account;
mod audit;
mod callbacks;
mod check_config;
mod hold;
mod import;
mod link;
mod rewrap;
mod serve;
mod show;
mod source;
mod status;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use source::Source;

/// Records phone calls from RTP and serves them by Twilio's Recordings API.
#[derive(Debug, Parser)]
#[command(name = "reeld", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon in the foreground
    Serve(serve::Serve),
    /// Proves itself: records a call of its own and leaves its WAV, MP3 and XML in a folder
    Demo(crate::demo::Demo),
    /// Makes, lists, removes accounts and gives them new tokens
    #[command(subcommand)]
    Account(account::Account),
    /// Makes recordings out of captures (pcap, pcapng), WAV and MP3 files
    Import(import::Import),
    /// Reads a configuration and says what is wrong with it
    CheckConfig(check_config::CheckConfig),
    /// Reads every record and its media back, and says what is missing, orphaned or damaged
    Verify(verify::Verify),
    /// After a rotation of the encryption key: brings every recording's data key under the new one
    Rewrap(rewrap::Rewrap),
    /// Shows a recording and what happened to its sound
    Show(show::Show),
    /// Puts recordings on legal hold, so that nothing deletes them, or releases them; or lists them
    Hold(hold::Hold),
    /// Prints a link to a recording that needs no credentials, and expires
    Link(link::Link),
    /// Shows the callbacks that wait or were given up on, and sends them again
    #[command(subcommand)]
    Callbacks(callbacks::Callbacks),
    /// Measures, beside a baseline in the same run
    #[command(subcommand)]
    Bench(crate::bench::Bench),
    /// Shows who fetched, deleted, started and stopped what
    Audit(audit::Audit),
    /// Says whether a daemon has the data folder, and how it is
    Status(status::Status),
}

/// Runs the command that the process's arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Demo(demo) => demo.run().map(|()| ExitCode::SUCCESS),
        Command::Account(account) => account.run(),
        Command::Import(import) => import.run(),
        Command::CheckConfig(check) => check.run(),
        Command::Verify(verify) => verify.run(),
        Command::Rewrap(rewrap) => rewrap.run(),
        Command::Show(show) => show.run(),
        Command::Hold(hold) => hold.run(),
        Command::Link(link) => link.run(),
        Command::Callbacks(callbacks) => callbacks.run(),
        Command::Audit(audit) => audit.run(),
        Command::Bench(bench) => bench.run(),
        Command::Status(status) => status.run(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // Standard error may be closed; there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "reeld: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes in one line.
fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
