//! How does a process tell what it does, and which TLS does it speak?
//!
//! All logs go to stderr; stdout belongs to the commands that people run. On a terminal an event
//! is a line for people, otherwise one JSON object.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder};
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{LogFormat, LogSettings};

/// Libraries that tell too much at `info`. A directive in the settings overrules each of them. lapin
/// is silent and sqlx nearly: what they tell, we tell once, with its consequence. Of what is no HTTP
/// actix tells as of an error, and any stranger could fill the log with it.
const QUIET: &str = "lapin=off,amq_protocol=warn,actix_server=warn,actix_web=warn,actix_http=warn,\
                     actix_http::h1::dispatcher=off,\
                     hyper=warn,hyper_util=warn,reqwest=warn,rustls=warn,hickory_resolver=warn,\
                     hickory_proto=warn,mio=warn,sqlx=error";

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.level` is not a filter.
    #[error("log.level: {0}")]
    Filter(String),
    /// The process logs already.
    #[error("logging was started a second time")]
    Twice,
}

/// Starts logging to stderr, for the rest of the process's life.
///
/// `default_human` makes `log.format = "auto"` mean "human" even without a terminal, for
/// processes whose output people read wherever it goes.
///
/// # Errors
/// When `log.level` is not a filter, or logging has been started before.
pub fn init(settings: &LogSettings, default_human: bool) -> Result<(), TelemetryError> {
    let filter = filter(&settings.level).map_err(TelemetryError::Filter)?;
    let terminal = io::stderr().is_terminal();
    // https://no-color.org: set and not empty means no colour.
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let look = if is_human(settings.format, terminal || default_human) {
        Look::Human {
            colour: terminal && !plain,
        }
    } else {
        Look::Json
    };
    subscriber(look, filter, io::stderr)
        .try_init()
        .map_err(|_| TelemetryError::Twice)
}

/// Makes ring the TLS cryptography of the whole process. Call it first thing; again is harmless.
pub fn install_crypto() {
    // An error means that a provider is there already: the very thing wanted.
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
            // `EnvFilter` would take a misspelt level for a module's name and fall silent.
            return Err(refuse());
        }
    }
    // Whoever asks for less than `info` wants no warnings of libraries on top.
    let quiet = if overall.is_some_and(|level| level < LevelFilter::INFO) {
        ""
    } else {
        QUIET
    };
    EnvFilter::builder()
        .parse(format!("{quiet},{level}"))
        .map_err(|_| refuse())
}

fn is_human(format: LogFormat, auto: bool) -> bool {
    match format {
        LogFormat::Auto => auto,
        LogFormat::Human => true,
        LogFormat::Json => false,
    }
}

/// How events look.
#[derive(Clone, Copy)]
enum Look {
    Human { colour: bool },
    Json,
}

fn subscriber<W>(look: Look, filter: EnvFilter, to: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = SubscriberBuilder::default()
        .with_env_filter(filter)
        // Told by eprintln!, which panics when stderr is closed: a lost log line must not end a task.
        .log_internal_errors(false)
        .with_writer(to);
    match look {
        Look::Human { colour } => Box::new(
            builder
                .compact()
                .with_timer(TimeOfDay)
                .with_ansi(colour)
                .finish(),
        ),
        Look::Json => Box::new(
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

    /// Collects what is logged.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(look: Look, level: &str, log: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = subscriber(look, filter(level).unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn without_a_terminal_an_event_is_one_json_object_a_line() {
        let text = logged(Look::Json, "info", || {
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
    }

    #[test]
    fn for_people_an_event_is_a_plain_line_with_the_time_of_day() {
        let text = logged(Look::Human { colour: false }, "info", || {
            tracing::info!(attempt.number = 2, "attempt ended");
        });
        assert!(text.contains("attempt ended attempt.number=2"), "{text}");
        assert_eq!(text.find('Z'), Some("12:34:56.789".len()), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn libraries_are_quiet_unless_asked_for() {
        let chatter = || {
            tracing::info!(target: "hyper::client", "hello from the library");
            tracing::warn!(target: "hyper::client", "trouble in the library");
        };
        for (level, told) in [
            ("info", "trouble"),
            ("debug", "trouble"),
            ("info,hyper=info", "hello,trouble"),
            ("error", ""),
            ("off", ""),
        ] {
            let text = logged(Look::Json, level, chatter);
            for word in ["hello", "trouble"] {
                assert_eq!(text.contains(word), told.contains(word), "{level}: {text}");
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
        let with = |level: &str| LogSettings {
            format: LogFormat::Json,
            level: level.to_owned(),
        };
        let refused = init(&with("inof"), false).unwrap_err().to_string();
        assert!(
            refused.starts_with("log.level: \"inof\" is not a log level"),
            "{refused}"
        );
        init(&with("off"), false).unwrap();
        assert!(matches!(
            init(&with("off"), false),
            Err(TelemetryError::Twice)
        ));
    }

    #[test]
    fn crypto_can_be_installed_twice() {
        install_crypto();
        install_crypto();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
