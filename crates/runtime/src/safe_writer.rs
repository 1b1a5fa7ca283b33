//! The writer of log events: what strangers send reaches a terminal or a log viewer only as escapes.

use std::borrow::Cow;
use std::io;

use tracing_subscriber::fmt::MakeWriter;

use crate::text;

/// How the unsafe characters of an event are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escaping {
    /// As JSON's escapes.
    Json,
    /// As `\u{202e}`, the event on one line. With `colour`, the sequences with which the subscriber
    /// colours events are kept, and no others.
    Human {
        /// Whether the subscriber colours events.
        colour: bool,
    },
}

/// Makes writers that escape each event.
pub(crate) struct SafeWriter<W> {
    pub(crate) inner: W,
    pub(crate) escaping: Escaping,
    /// The last fields of every JSON event, each after a comma.
    pub(crate) last_fields: &'static str,
}

/// Writes one event to `inner`.
pub(crate) struct SafeEventWriter<W> {
    inner: W,
    escaping: Escaping,
    last_fields: &'static str,
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for SafeWriter<W> {
    type Writer = SafeEventWriter<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        SafeEventWriter {
            inner: self.inner.make_writer(),
            escaping: self.escaping,
            last_fields: self.last_fields,
        }
    }
}

impl<W: io::Write> io::Write for SafeEventWriter<W> {
    /// Takes a whole event, as the subscriber writes it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let event = String::from_utf8_lossy(bytes);
        let event = with_last_fields(escaped(&event, self.escaping), self.last_fields);
        self.inner.write_all(event.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Adds the fields to a JSON object that is a line.
fn with_last_fields<'a>(event: Cow<'a, str>, fields: &str) -> Cow<'a, str> {
    match event.strip_suffix("}\n") {
        Some(object) if !fields.is_empty() => Cow::Owned([object, fields, "}\n"].concat()),
        _ => event,
    }
}

fn escaped(event: &str, escaping: Escaping) -> Cow<'_, str> {
    if !event.contains(text::is_unsafe) {
        return Cow::Borrowed(event);
    }
    let line = event.strip_suffix('\n');
    let (line, end) = line.map_or((event, ""), |line| (line, "\n"));
    let line = match escaping {
        Escaping::Json => text::json(line),
        Escaping::Human { colour: false } => text::one_line(line),
        Escaping::Human { colour: true } => coloured(line).into(),
    };
    Cow::Owned(format!("{line}{end}"))
}

/// The sequences of `tracing_subscriber` without their first character: reset, bold, dim, italic,
/// and the colours of the levels. A stranger who sends them can colour a line, and nothing else.
const COLOURS: [&str; 10] = [
    "[0m", "[1m", "[2m", "[3m", "[31m", "[32m", "[33m", "[34m", "[35m", "[36m",
];

fn coloured(line: &str) -> String {
    let mut safe = String::with_capacity(line.len() + 16);
    for (index, part) in line.split('\u{1b}').enumerate() {
        if index > 0 {
            let is_colour = COLOURS.iter().any(|colour| part.starts_with(colour));
            safe.push_str(if is_colour { "\u{1b}" } else { "\\u{1b}" });
        }
        safe.push_str(&text::one_line(part));
    }
    safe
}
