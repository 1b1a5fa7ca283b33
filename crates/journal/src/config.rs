//! The settings section `journal`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use humantime_serde::re::humantime::parse_duration;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::hosts::{each_server, split};

/// Replaces a secret. No character of it is escaped in a URL.
const MASK: &str = "***";
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TEN_YEARS: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);

/// The record of callbacks and attempts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// Its database, for instance `postgres://user:password@host/ringback`. None: with the embedded
    /// broker, the journal is a file in the data directory; with RabbitMQ, there is no journal.
    #[serde(serialize_with = "masked_url")]
    pub url: Option<SecretString>,
    /// How long callbacks that have ended are kept, with their attempts.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// How long the audit log is kept.
    #[serde(
        serialize_with = "in_days",
        deserialize_with = "humantime_serde::deserialize"
    )]
    pub audit_retention: Duration,
    /// How long the rollups are kept: figures per minute of callees, targets and apps.
    #[serde(
        serialize_with = "in_days",
        deserialize_with = "humantime_serde::deserialize"
    )]
    pub rollup_retention: Duration,
    /// The name of `dead_letters.retention` before that setting existed. While it is set, it is used
    /// in its place.
    #[serde(with = "humantime_serde")]
    pub body_retention: Option<Duration>,
    /// How long after its due time a callback is marked `unaccounted`, if by all evidence its message
    /// is nowhere. None: two days, or a day longer than the longest wait of the retry schedules. 0 or
    /// `never`: never.
    #[serde(
        serialize_with = "duration_or_never",
        deserialize_with = "read_duration_or_never"
    )]
    pub unaccounted_after: Option<Duration>,
    /// Whether the message of a callback that waits after its first failure, delay or deferral is kept
    /// in the journal, so that it can be looked at, retried now and recovered. It is erased when the
    /// callback is delivered or cancelled.
    pub keep_waiting: bool,
    /// How long the message of a delivered callback is kept, so that it can be replayed. 0: not at
    /// all.
    #[serde(
        serialize_with = "humantime_serde::serialize",
        deserialize_with = "read_duration"
    )]
    pub keep_delivered: Duration,
    /// Whether up to 4 KiB of what a target answers to an attempt that did not deliver is kept,
    /// masked, for operators who may see payloads.
    pub keep_answers: bool,
    /// How many records each process buffers in memory before it drops any.
    pub buffer: usize,
    /// A directory in which each process keeps the records that cannot be written at present, so that
    /// it may be killed. None: with a data directory, `spool` in it; with RabbitMQ, they are in memory
    /// alone.
    pub spool_dir: Option<PathBuf>,
    /// How many messages may wait in the journal's queue before new callbacks are answered 503.
    pub max_backlog: u64,
}

/// What records carry for operators, beside what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The messages of callbacks that wait.
    pub waiting: bool,
    /// The messages of delivered callbacks.
    pub delivered: bool,
    /// What targets answered.
    pub answers: bool,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            url: None,
            retention: 30 * DAY,
            audit_retention: 365 * DAY,
            rollup_retention: 30 * DAY,
            body_retention: None,
            unaccounted_after: None,
            keep_waiting: true,
            keep_delivered: Duration::ZERO,
            keep_answers: true,
            buffer: 100_000,
            spool_dir: None,
            max_backlog: 1_000_000,
        }
    }
}

impl JournalConfig {
    /// Where a process keeps the records that cannot be written at present. `data_dir`: its data
    /// directory, if it has one.
    pub fn spool_directory(&self, data_dir: Option<&Path>) -> Option<PathBuf> {
        let in_data_dir = || data_dir.map(|directory| directory.join("spool"));
        self.spool_dir.clone().or_else(in_data_dir)
    }

    /// What records carry.
    #[must_use]
    pub const fn keep(&self) -> Keep {
        Keep {
            waiting: self.keep_waiting,
            delivered: !self.keep_delivered.is_zero(),
            answers: self.keep_answers,
        }
    }

    /// Reports each bad value: its key within the section, and the reason.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        if let Some(url) = &self.url
            && let Err(reason) = each_server(url.expose_secret())
                .iter()
                .try_for_each(|url| validate_url(url))
        {
            report("url", reason.to_owned());
        }
        for (key, value) in [
            ("retention", Some(self.retention)),
            ("audit_retention", Some(self.audit_retention)),
            ("rollup_retention", Some(self.rollup_retention)),
            ("body_retention", self.body_retention),
        ] {
            if let Some(value) = value
                && !(HOUR..=TEN_YEARS).contains(&value)
            {
                let value = duration_text(value);
                report(key, format!("{value} is not between 1h and 87600h"));
            }
        }
        if let Some(path) = &self.spool_dir
            && !path.is_absolute()
        {
            let reason = format!("{} is not an absolute path", path.display());
            report("spool_dir", reason);
        }
        if !self.keep_delivered.is_zero() && !(HOUR..=TEN_YEARS).contains(&self.keep_delivered) {
            let value = duration_text(self.keep_delivered);
            let reason = format!("{value} is neither 0 nor between 1h and 87600h");
            report("keep_delivered", reason);
        }
        if let Some(value) = self.unaccounted_after
            && value > TEN_YEARS
        {
            let value = duration_text(value);
            report(
                "unaccounted_after",
                format!("{value} is longer than 87600h"),
            );
        }
        for (key, checked) in [
            ("buffer", between(self.buffer, 1_000..=10_000_000)),
            ("max_backlog", between(self.max_backlog, 1..=1_000_000_000)),
        ] {
            if let Err(reason) = checked {
                report(key, reason);
            }
        }
    }
}

impl JournalConfig {
    /// How long after its due time a callback may be marked `unaccounted`, where messages wait for at
    /// most `longest_delay`. `None`: never.
    ///
    /// # Errors
    /// A sentence when that is less than a message may wait: a callback whose last record was lost
    /// would be marked while its next attempt is still to come.
    pub fn unaccounted_after(&self, longest_delay: Duration) -> Result<Option<Duration>, String> {
        match self.unaccounted_after {
            None => Ok(Some((2 * DAY).max(longest_delay.saturating_add(DAY)))),
            Some(Duration::ZERO) => Ok(None),
            Some(after) if after < longest_delay => {
                let [after, longest] = [after, longest_delay].map(duration_text);
                Err(format!(
                    "{after} is less than a callback may wait for its next attempt ({longest}); write \
                     a longer time, or never"
                ))
            }
            Some(after) => Ok(Some(after)),
        }
    }
}

fn between<T: PartialOrd + Display + Copy>(
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    let (min, max) = range.into_inner();
    Err(format!("{value} is not between {min} and {max}"))
}

/// Refuses a URL that the PostgreSQL client cannot use. The directory of a socket may be given in
/// the parameter `host`.
fn validate_url(text: &str) -> Result<(), &'static str> {
    let not_a_url =
        "it is not a PostgreSQL URL (write postgres://user:password@host:5432/ringback)";
    let url = Url::parse(text).map_err(|_| not_a_url)?;
    let host = url.host_str().is_some_and(|host| !host.is_empty())
        || url.query_pairs().any(|(key, _)| key == "host");
    if !matches!(url.scheme(), "postgres" | "postgresql") || !host {
        return Err(not_a_url);
    }
    // A raw `/`, `?` or `#` in the password ends it early, and the rest would be shown as a path.
    let rest = [Some(url.path()), url.query()];
    if url.fragment().is_some() || rest.into_iter().flatten().any(|part| part.contains('@')) {
        return Err("percent-encode the special characters of its password (# is %23, / is %2F)");
    }
    Ok(())
}

/// In days, if they are whole: `365days` is easier to read than years and months of average length.
fn in_days<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    match duration.as_secs() / DAY.as_secs() {
        days @ 1.. if DAY * u32::try_from(days).unwrap_or(0) == *duration => {
            format!("{days}days").serialize(to)
        }
        _ => humantime_serde::serialize(duration, to),
    }
}

/// The word for a duration of 0.
const NEVER: &str = "never";

fn duration_or_never<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(Duration::ZERO) => NEVER.serialize(to),
        duration => humantime_serde::serialize(duration, to),
    }
}

fn read_duration_or_never<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Setting {
        Text(String),
        Number(u64),
    }
    let setting: Option<Setting> = Option::deserialize(from)?;
    let duration = setting.map(|setting| match setting {
        Setting::Number(0) => Ok(Duration::ZERO),
        Setting::Text(text) if matches!(text.as_str(), NEVER | "0") => Ok(Duration::ZERO),
        Setting::Number(number) => Err(format!("{number} has no unit")),
        Setting::Text(text) => parse_duration(&text).map_err(|error| error.to_string()),
    });
    let advice = "write for instance 2days, or never";
    let refused = |reason| D::Error::custom(format_args!("{reason} ({advice})"));
    duration.transpose().map_err(refused)
}

/// A duration, or 0 without a unit.
fn read_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    read_duration_or_never(from).map(Option::unwrap_or_default)
}

/// The URL without its password.
fn masked_url<S: Serializer>(url: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    let masked = |url: &SecretString| {
        let url = url.expose_secret();
        let first = each_server(url).into_iter().next().unwrap_or_default();
        let shown = masked_server(&first);
        // All servers, in the place of the first.
        match (split(url), split(&shown)) {
            (Some((_, servers, _)), Some((before, _, rest))) if servers.contains(',') => {
                format!("{before}{servers}{rest}")
            }
            _ => shown,
        }
    };
    url.as_ref().map(masked).serialize(to)
}

/// The URL of one server without its password.
fn masked_server(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return MASK.to_owned();
    };
    // PostgreSQL also takes a password there; other parameters are worth showing.
    if url.query_pairs().any(|(key, _)| key == "password") {
        url.set_query(Some(MASK));
    }
    // Only a URL that cannot hold a password refuses to have it replaced.
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.to_owned();
    }
    url.to_string()
}

/// A duration in the largest unit that leaves no remainder, down to milliseconds.
fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let whole = |(_, unit): &(_, u128)| millis > 0 && millis.is_multiple_of(*unit);
    match units.into_iter().find(whole) {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(config: &JournalConfig) -> Vec<String> {
        let mut reports = Vec::new();
        config.validate(&mut |key, reason| reports.push(format!("{key}: {reason}")));
        reports
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(reports(&JournalConfig::default()), [""; 0]);
    }

    #[test]
    fn every_value_out_of_range_is_reported() {
        let config = JournalConfig {
            url: Some("mysql://host/db".into()),
            retention: Duration::from_secs(59 * 60),
            audit_retention: Duration::ZERO,
            rollup_retention: Duration::from_secs(60),
            body_retention: Some(TEN_YEARS + Duration::from_millis(1)),
            unaccounted_after: Some(TEN_YEARS + Duration::from_secs(1)),
            keep_waiting: false,
            keep_delivered: Duration::from_secs(60),
            keep_answers: false,
            buffer: 10,
            spool_dir: Some("spool".into()),
            max_backlog: 0,
        };
        assert_eq!(
            reports(&config),
            [
                "url: it is not a PostgreSQL URL \
                 (write postgres://user:password@host:5432/ringback)",
                "retention: 59m is not between 1h and 87600h",
                "audit_retention: 0s is not between 1h and 87600h",
                "rollup_retention: 1m is not between 1h and 87600h",
                "body_retention: 315360000001ms is not between 1h and 87600h",
                "spool_dir: spool is not an absolute path",
                "keep_delivered: 1m is neither 0 nor between 1h and 87600h",
                "unaccounted_after: 315360001s is longer than 87600h",
                "buffer: 10 is not between 1000 and 10000000",
                "max_backlog: 0 is not between 1 and 1000000000",
            ]
        );
    }

    #[test]
    fn a_url_needs_a_host_and_an_encoded_password() {
        for (url, valid) in [
            ("postgres://me:secret@host:5432/ringback", true),
            ("postgresql://me@host/ringback", true),
            ("postgres:///ringback?host=/run/postgresql", true),
            ("postgres:///ringback", false),
            ("postgres://me:a#b@host/ringback", false),
            ("postgres://me:a/b@host/ringback", false),
            ("host", false),
        ] {
            assert_eq!(validate_url(url).is_ok(), valid, "{url}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            (
                "postgres://me:secret@host/ringback?sslmode=require",
                "postgres://me:***@host/ringback?sslmode=require",
            ),
            (
                "postgres://me@host/ringback?password=secret",
                "postgres://me@host/ringback?***",
            ),
            ("no URL with a secret", "***"),
            (
                "postgres://me:secret@one:5432,two/ringback",
                "postgres://me:***@one:5432,two/ringback",
            ),
            ("postgres://me:sec,ret@one:port,two/ringback", "***"),
        ] {
            let config = JournalConfig {
                url: Some(url.into()),
                ..JournalConfig::default()
            };
            let json = serde_json::to_value(&config).unwrap();
            assert_eq!(json["url"], shown);
            assert!(!format!("{config:?}").contains("secret"));
        }
    }

    #[test]
    fn callbacks_are_marked_later_than_any_wait_or_never() {
        let read = |text: &str| {
            let json = serde_json::json!({ "unaccounted_after": text });
            serde_json::from_value::<JournalConfig>(json)
        };
        let hours = |hours: u32| HOUR * hours;
        for (text, longest, after) in [
            (None, hours(12), Some(hours(48))),
            (None, hours(300), Some(hours(324))),
            (Some("12h"), hours(12), Some(hours(12))),
            (Some("never"), hours(12), None),
            (Some("0"), hours(12), None),
            (Some("0s"), hours(12), None),
        ] {
            let config = text.map_or_else(JournalConfig::default, |text| read(text).unwrap());
            assert_eq!(config.unaccounted_after(longest), Ok(after), "{text:?}");
            let printed = serde_json::to_value(&config).unwrap();
            let again: JournalConfig = serde_json::from_value(printed).unwrap();
            assert_eq!(again.unaccounted_after, config.unaccounted_after);
        }
        let refused = read("11h").unwrap().unaccounted_after(hours(12));
        let reason = "11h is less than a callback may wait for its next attempt (12h); write a longer \
                      time, or never";
        assert_eq!(refused, Err(reason.to_owned()));
        for json in [r#""soon""#, "5"] {
            let json = format!(r#"{{"unaccounted_after": {json}}}"#);
            let error = serde_json::from_str::<JournalConfig>(&json).unwrap_err();
            assert!(error.to_string().contains("or never"), "{error}");
        }
        let zero: JournalConfig = serde_json::from_str(r#"{"unaccounted_after": 0}"#).unwrap();
        assert_eq!(zero.unaccounted_after(HOUR), Ok(None));
    }

    #[test]
    fn durations_are_read_from_text_and_unknown_keys_are_errors() {
        let read = serde_json::from_str::<JournalConfig>;
        let config = read(r#"{"retention": "7days", "buffer": 5000}"#).unwrap();
        assert_eq!((config.retention, config.buffer), (7 * DAY, 5_000));
        assert_eq!(config.body_retention, None);
        for text in ["365days", "36h"] {
            let read = |value| serde_json::from_value::<JournalConfig>(value).unwrap();
            let config = read(serde_json::json!({ "audit_retention": text }));
            let printed = serde_json::to_value(&config).unwrap();
            let again = read(printed.clone());
            assert_eq!(again.audit_retention, config.audit_retention);
            if text.ends_with("days") {
                assert_eq!(printed["audit_retention"], text);
            }
        }
        assert!(read(r#"{"spool": 5000}"#).is_err());
    }
}
