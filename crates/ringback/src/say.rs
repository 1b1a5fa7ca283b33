//! How does a command speak to people? Logs go to stderr; this is stdout.

use std::io::{self, ErrorKind, Write};

/// Writes `text` and a line's end to stdout.
///
/// # Errors
/// When stdout cannot be written. A reader who has seen enough (`| head`) is no error.
pub(crate) fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
