//! Writes the output of commands to stdout; notices and logs go to stderr.

use std::io::{self, ErrorKind, Write};

use runtime::program::as_called;
use runtime::text;

/// Writes `text` and a line end. Control and format characters become escapes, and commands are named
/// as they can be typed.
///
/// # Errors
/// When stdout cannot be written. A reader that closed the pipe (`| head`) is not an error.
pub fn print_line(text: &str) -> io::Result<()> {
    print_line_to(text).map(drop)
}

/// Whether somebody still reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// It was written.
    Present,
    /// The pipe is closed: further output is for nobody.
    Gone,
}

/// The same as [`print_line`], for output that goes on until nobody reads it.
pub(super) fn print_line_to(text: &str) -> io::Result<Readers> {
    print(&text::lines(&as_called(text)))
}

/// Writes a line to stderr, beside the output. A stderr that cannot be written is not an error: the
/// output is what was asked for.
pub fn print_notice(line: &str) {
    let line = as_called(line);
    let _ = writeln!(io::stderr().lock(), "{}", text::one_line(&line));
}

fn print(text: &str) -> io::Result<Readers> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(Readers::Present),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Readers::Gone),
        Err(error) => Err(error),
    }
}

/// Writes a JSON object as one line.
pub(super) fn print_json(value: &impl serde::Serialize) -> io::Result<()> {
    print_json_to(value).map(drop)
}

/// The same as [`print_json`], for output that goes on until nobody reads it.
pub(super) fn print_json_to(value: &impl serde::Serialize) -> io::Result<Readers> {
    print(&text::json(
        &serde_json::to_string(value).map_err(io::Error::other)?,
    ))
}

/// Writes a JSON response: to a parser it is unchanged. It ends with one line end.
///
/// # Errors
/// Those of [`print_line`].
pub fn print_body(body: &[u8]) -> io::Result<()> {
    print(&text::json(String::from_utf8_lossy(body).trim_end())).map(drop)
}
