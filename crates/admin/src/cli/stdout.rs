//! Writes the output of commands to stdout; notices and logs go to stderr.

use std::io::{self, ErrorKind, Write};

use runtime::text;

/// Writes `text` and a line end. Control and format characters become escapes.
///
/// # Errors
/// When stdout cannot be written. A reader that closed the pipe (`| head`) is not an error.
pub fn print_line(text: &str) -> io::Result<()> {
    print(&text::lines(text))
}

/// Writes a line to stderr, beside the output. A stderr that cannot be written is not an error: the
/// output is what was asked for.
pub(super) fn print_notice(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text::one_line(line));
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes a JSON object as one line.
pub(super) fn print_json(value: &impl serde::Serialize) -> io::Result<()> {
    print(&text::json(
        &serde_json::to_string(value).map_err(io::Error::other)?,
    ))
}

/// Writes a JSON response: to a parser it is unchanged.
pub(super) fn print_body(body: &[u8]) -> io::Result<()> {
    print(&text::json(&String::from_utf8_lossy(body)))
}
