//! Where does everything begin? Cryptography first, then what the command line asks for.

use std::process::ExitCode;

use clap::Parser;
use ringback::Cli;

fn main() -> ExitCode {
    boot::telemetry::install_crypto();
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.sentence());
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the last word of a process that may not have begun to log"
)]
fn complain(sentence: &str) {
    eprintln!("ringback: {sentence}");
}
