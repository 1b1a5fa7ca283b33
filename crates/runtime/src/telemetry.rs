//! Logging to stderr, and the TLS cryptography of the process.
//!
//! stdout is for the output of commands. On a terminal an event is a line for people, otherwise one
//! JSON object.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder};
use tracing_subscriber::util::SubscriberInitExt;

use crate::event_lines::{EventLines, PeopleFormat};
use crate::safe_writer::{Escaping, SafeWriter};

/// Levels for libraries that log too much at `info`. A directive in the settings overrides each of
/// them. lapin is off and sqlx nearly: the gateway logs their errors once, with the consequence.
/// Nothing is logged that strangers can cause, such as the warnings of the clients about targets and
/// names (rustls writes one for each failed handshake). The gateway records why an attempt failed.
const LIBRARY_LEVELS: &str = "lapin=off,amq_protocol=warn,actix_server=warn,actix_web=warn,actix_http=warn,\
                     hyper=error,hyper_util=error,h2=error,reqwest=error,rustls=error,\
                     hickory_resolver=error,hickory_proto=error,hickory_net=error,\
                     mio=warn,sqlx=error";

/// Errors of actix for bytes that are not HTTP: strangers can cause them, so no overall level shows
/// them.
const STRANGERS_ERRORS: &str = "actix_http::h1::dispatcher=off";

/// What is logged, and how (`log`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The format of an event.
    pub format: LogFormat,
    /// Which events are logged: a level, or directives such as `info,lapin=debug`.
    pub level: String,
}

/// The format of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// One line for people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            level: "info".to_owned(),
        }
    }
}

impl LogConfig {
    /// Reports each bad value: its key within the section, and the reason.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        if let Err(reason) = filter(&self.level) {
            report("level", reason);
        }
    }
}

/// Which process it is that logs: in every JSON event.
#[derive(Debug, Clone, Copy)]
pub struct LogIdentity<'a> {
    /// The instance, as all other processes and the operators' API name it.
    pub instance: &'a str,
    /// The program's version.
    pub version: &'a str,
}

impl LogIdentity<'_> {
    fn fields(self) -> String {
        let Self { instance, version } = self;
        format!(",\"instance\":\"{instance}\",\"version\":\"{version}\"")
    }
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.level` is not a filter.
    #[error("log.level: {0}")]
    Filter(String),
    /// Logging has been started before.
    #[error("logging was started a second time")]
    AlreadyStarted,
}

/// Starts logging to stderr, for the rest of the process's life.
///
/// # Errors
/// When `log.level` is not a filter, or logging has been started before.
pub fn init(settings: &LogConfig, identity: LogIdentity<'_>) -> Result<(), TelemetryError> {
    start(settings, identity, false, None)
}

/// Starts logging for a process whose output is always for people: `log.format = "auto"` means "human"
/// even without a terminal. `lines` chooses how events are shown then.
///
/// # Errors
/// As [`init`].
pub fn init_for_people(
    settings: &LogConfig,
    identity: LogIdentity<'_>,
    lines: Option<EventLines>,
) -> Result<(), TelemetryError> {
    start(settings, identity, true, lines)
}

fn start(
    settings: &LogConfig,
    identity: LogIdentity<'_>,
    default_human: bool,
    lines: Option<EventLines>,
) -> Result<(), TelemetryError> {
    let filter = filter(&settings.level).map_err(TelemetryError::Filter)?;
    let terminal = io::stderr().is_terminal();
    // https://no-color.org: set and not empty means no colour.
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let format = if is_human(settings.format, terminal || default_human) {
        EventFormat::Human {
            colour: terminal && !plain,
        }
    } else {
        EventFormat::Json
    };
    // Once in the life of the process.
    let last_fields = Box::leak(identity.fields().into_boxed_str());
    subscriber(format, lines, filter, last_fields, io::stderr)
        .try_init()
        .map_err(|_| TelemetryError::AlreadyStarted)
}

/// Makes ring the TLS cryptography of the whole process. Call it first; a second call is harmless.
pub fn install_crypto() {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Reads `log.level`. The error says what is wrong, without the key.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, String> {
    let refuse = || format!("{level:?} is not a log level (write info, or info,lapin=debug)");
    let mut overall = None;
    for directive in level.split(',').map(str::trim) {
        if directive.is_empty() {
            return Err(refuse()); // It would parse as `error`.
        }
        if let Ok(level) = directive.parse::<LevelFilter>() {
            overall = Some(level);
        } else if !directive.contains(['=', '[']) {
            // `EnvFilter` would take a misspelt level for a module's name and log nothing.
            return Err(refuse());
        }
    }
    // Below `info`, warnings of libraries are not wanted either.
    let libraries = if overall.is_some_and(|level| level < LevelFilter::INFO) {
        ""
    } else {
        LIBRARY_LEVELS
    };
    EnvFilter::builder()
        .parse(format!("{STRANGERS_ERRORS},{libraries},{level}"))
        .map_err(|_| refuse())
}

fn is_human(format: LogFormat, auto: bool) -> bool {
    match format {
        LogFormat::Auto => auto,
        LogFormat::Human => true,
        LogFormat::Json => false,
    }
}

/// The format of events, once `auto` is resolved.
#[derive(Clone, Copy)]
enum EventFormat {
    Human { colour: bool },
    Json,
}

fn subscriber<W>(
    format: EventFormat,
    lines: Option<EventLines>,
    filter: EnvFilter,
    last_fields: &'static str,
    to: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (escaping, last_fields) = match format {
        EventFormat::Human { colour } => (Escaping::Human { colour }, ""),
        EventFormat::Json => (Escaping::Json, last_fields),
    };
    let to = SafeWriter {
        inner: to,
        escaping,
        last_fields,
    };
    let builder = SubscriberBuilder::default()
        .with_env_filter(filter)
        // Reported with eprintln!, which panics when stderr is closed: a lost log line must not end
        // a task.
        .log_internal_errors(false)
        .with_writer(to);
    match format {
        EventFormat::Human { colour } => match lines {
            None => Box::new(
                builder
                    .compact()
                    .with_timer(TimeOfDay)
                    .with_ansi(colour)
                    .finish(),
            ),
            Some(lines) => {
                let usual = tracing_subscriber::fmt::format();
                let usual = usual.compact().with_timer(TimeOfDay).with_ansi(colour);
                let format = PeopleFormat {
                    usual,
                    time: TimeOfDay,
                    lines,
                };
                Box::new(builder.with_ansi(colour).event_format(format).finish())
            }
        },
        EventFormat::Json => Box::new(
            builder
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .finish(),
        ),
    }
}

/// The time of day in UTC, to the millisecond: people know the date.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let (seconds, millis) = (since.as_secs() % 86_400, since.subsec_millis());
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(to, "{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::event_lines::EventLine;

    const IDENTITY: LogIdentity<'_> = LogIdentity {
        instance: "0198",
        version: "1.2.3",
    };

    /// Collects what is logged.
    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: EventFormat, level: &str, log: impl FnOnce()) -> String {
        logged_in_lines(format, None, level, log)
    }

    fn logged_in_lines(
        format: EventFormat,
        lines: Option<EventLines>,
        level: &str,
        log: impl FnOnce(),
    ) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let filter = filter(level).unwrap();
        let fields = Box::leak(IDENTITY.fields().into_boxed_str());
        let subscriber = subscriber(format, lines, filter, fields, move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn without_a_terminal_an_event_is_one_json_object_a_line() {
        let text = logged(EventFormat::Json, "info", || {
            tracing::info!(attempt.number = 2, "attempt ended");
            tracing::info!("line\nbreak");
        });
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["message"], "attempt ended");
        assert_eq!(lines[0]["attempt.number"], 2);
        assert_eq!(lines[0]["level"], "INFO");
        for line in lines {
            assert_eq!(
                (&line["instance"], &line["version"]),
                (&"0198".into(), &"1.2.3".into())
            );
        }
    }

    #[test]
    fn for_people_an_event_is_a_plain_line_with_the_time_of_day() {
        let text = logged(EventFormat::Human { colour: false }, "info", || {
            tracing::info!(attempt.number = 2, "attempt ended");
        });
        assert!(text.contains("attempt ended attempt.number=2"), "{text}");
        assert_eq!(text.find('Z'), Some("12:34:56.789".len()), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn a_process_chooses_its_lines_for_people_and_never_changes_the_json() {
        let choose = || -> EventLines {
            Box::new(|event| match &*event.message {
                "told" => EventLine::Text(format!("number {}\nis it", event.field("number"))),
                "hidden" => EventLine::Nothing,
                _ => EventLine::Usual,
            })
        };
        let log = || {
            tracing::info!(number = 2, name = "n", "told");
            tracing::info!("hidden");
            tracing::info!(number = 3, "usual");
        };
        let human = EventFormat::Human { colour: false };
        let text = logged_in_lines(human, Some(choose()), "info", log);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].ends_with("Z number 2 is it"), "{text}");
        assert!(
            lines[1].contains("INFO") && lines[1].ends_with("usual number=3"),
            "{text}"
        );
        let json = logged_in_lines(EventFormat::Json, Some(choose()), "info", log);
        assert_eq!(json.lines().count(), 3, "{json}");
    }

    #[test]
    fn strangers_text_is_escaped_in_both_formats_and_means_the_same_in_json() {
        let hostile =
            "a\u{202e}b\u{2066}\u{200f}\u{feff}\u{2028}\u{85}\u{7f}\u{1b}[2J\nforged: line";
        let log = || {
            tracing::info!(app_id = hostile, url = %hostile, error = ?hostile, "{hostile}");
        };
        let json = logged(EventFormat::Json, "info", log);
        assert_eq!(json.lines().count(), 1, "{json}");
        let event: serde_json::Value = serde_json::from_str(&json).unwrap();
        for field in ["app_id", "url", "message"] {
            assert_eq!(event[field], hostile, "{json}");
        }
        let plain = logged(EventFormat::Human { colour: false }, "info", log);
        let coloured = logged(EventFormat::Human { colour: true }, "info", log);
        for text in [&json, &plain, &coloured] {
            let is_left = |char| crate::text::is_unsafe(char) && char != '\u{1b}';
            assert!(!text.trim_end_matches('\n').contains(is_left), "{text:?}");
            assert!(
                text.ends_with('\n') && !text.contains("\u{1b}[2J"),
                "{text:?}"
            );
        }
        assert!(
            !json.contains('\u{1b}') && !plain.contains('\u{1b}'),
            "{plain:?}"
        );
        assert!(coloured.contains('\u{1b}'), "{coloured:?}");
        assert!(plain.contains("\\u{202e}b"), "{plain:?}");
    }

    #[test]
    fn libraries_are_quiet_unless_asked_for() {
        let chatter = || {
            tracing::info!(target: "mio::poll", "hello from the library");
            tracing::warn!(target: "mio::poll", "trouble in the library");
            tracing::warn!(target: "rustls::common_state", "caused by a stranger");
            tracing::error!(target: "actix_http::h1::dispatcher", "caused by a stranger");
        };
        for (level, logged_words) in [
            ("info", "trouble"),
            ("debug", "trouble"),
            ("info,mio=info", "hello,trouble"),
            ("error", ""),
            ("off", ""),
        ] {
            let text = logged(EventFormat::Json, level, chatter);
            assert!(!text.contains("stranger"), "{level}: {text}");
            for word in ["hello", "trouble"] {
                assert_eq!(
                    text.contains(word),
                    logged_words.contains(word),
                    "{level}: {text}"
                );
            }
        }
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        for level in ["inof", "", "info,", "lapin=loud", "info,debgu"] {
            let refused = filter(level).unwrap_err();
            assert!(
                refused.starts_with(&format!("{level:?} is not a log level")),
                "{refused}"
            );
        }
    }

    #[test]
    fn auto_follows_the_terminal_and_the_others_do_not() {
        for (format, auto, human) in [
            (LogFormat::Auto, true, true),
            (LogFormat::Auto, false, false),
            (LogFormat::Human, false, true),
            (LogFormat::Json, true, false),
        ] {
            assert_eq!(is_human(format, auto), human, "{format:?} {auto}");
        }
    }

    #[test]
    fn logging_is_started_once_and_with_a_level_that_can_be_read() {
        let with = |level: &str| LogConfig {
            format: LogFormat::Json,
            level: level.to_owned(),
        };
        let refused = init(&with("inof"), IDENTITY).unwrap_err().to_string();
        assert!(
            refused.starts_with("log.level: \"inof\" is not a log level"),
            "{refused}"
        );
        init(&with("off"), IDENTITY).unwrap();
        assert!(matches!(
            init_for_people(&with("off"), IDENTITY, None),
            Err(TelemetryError::AlreadyStarted)
        ));
    }

    #[test]
    fn crypto_can_be_installed_twice() {
        install_crypto();
        install_crypto();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
