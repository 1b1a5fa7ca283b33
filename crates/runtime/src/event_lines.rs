//! Log events as short lines for people, where a process has words for them.

use std::collections::BTreeMap;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Compact, Format, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// An event, with its fields as texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// Where it was logged.
    pub target: String,
    /// Its level.
    pub level: Level,
    /// Its sentence.
    pub message: String,
    /// All other fields.
    pub fields: BTreeMap<&'static str, String>,
}

impl LogEvent {
    /// The value of a field; empty if the event has none of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// How an event is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventLine {
    /// Level, module, sentence and fields.
    Usual,
    /// The time and this text.
    Text(String),
    /// Not at all.
    Nothing,
}

/// Chooses the line of each event.
pub type EventLines = Box<dyn Fn(&LogEvent) -> EventLine + Send + Sync>;

/// The format of events for people, with the lines that a process has chosen.
pub(crate) struct PeopleFormat<T> {
    pub(crate) usual: Format<Compact, T>,
    pub(crate) time: T,
    pub(crate) lines: EventLines,
}

impl<S, N, T> FormatEvent<S, N> for PeopleFormat<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    T: FormatTime,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = FieldTexts::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let log_event = LogEvent {
            target: metadata.target().to_owned(),
            level: *metadata.level(),
            message: fields.message,
            fields: fields.fields,
        };
        match (self.lines)(&log_event) {
            EventLine::Usual => self.usual.format_event(context, writer, event),
            EventLine::Nothing => Ok(()),
            EventLine::Text(text) => {
                self.time.format_time(&mut writer)?;
                writeln!(writer, " {text}")
            }
        }
    }
}

/// Collects the fields of an event.
#[derive(Default)]
struct FieldTexts {
    message: String,
    fields: BTreeMap<&'static str, String>,
}

impl FieldTexts {
    fn set(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            name => {
                self.fields.insert(name, text);
            }
        }
    }
}

impl Visit for FieldTexts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }
}
