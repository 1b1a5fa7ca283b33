//! Installs the cryptography, then runs what the command line names.

use std::process::ExitCode;

use clap::Parser;
use ringback::Cli;

fn main() -> ExitCode {
    failpoints::setup();
    runtime::telemetry::install_crypto();
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error.sentence());
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the last output of a process that may not have started to log"
)]
fn print_error(sentence: &str) {
    let sentence = runtime::program::as_called(sentence);
    eprintln!("ringback: {}", runtime::text::lines(&sentence));
}
