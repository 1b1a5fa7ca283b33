//! How are settings shown to people without giving a secret away?

use std::fmt::Write;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};
use serde_json::Value;
use url::Url;

use super::{Auth, AuthMode, HttpStatus, LogFormat, Role, Settings};

/// What stands in a secret's place. No character of it is escaped in a URL.
pub(super) const MASK: &str = "***";

impl Settings {
    /// The effective settings as TOML that can be loaded again, secrets masked as `***`: the
    /// passwords of the broker's and the journal's URL, the operators' token, apps' secrets, and passwords and query strings of callees' URLs.
    pub fn to_toml_redacted(&self) -> String {
        // Taken apart by name, so that a new section cannot be forgotten.
        let Self {
            broker,
            ingress,
            dispatcher,
            retry,
            limits,
            auth,
            apps,
            journal,
            admin,
            auto_pause,
            guard,
            callees,
            log,
        } = self;
        let mut toml = String::new();
        section(&mut toml, "broker", broker);
        section(&mut toml, "ingress", ingress);
        section(&mut toml, "dispatcher", dispatcher);
        section(&mut toml, "retry", retry);
        section(&mut toml, "limits", limits);
        section(&mut toml, "auth", auth);
        for (id, app) in apps {
            section(&mut toml, &format!("apps.{}", quoted(id)), app);
        }
        section(&mut toml, "journal", journal);
        section(&mut toml, "admin", admin);
        for (name, token) in &admin.tokens {
            section(&mut toml, &format!("admin.tokens.{}", quoted(name)), token);
        }
        section(&mut toml, "auto_pause", auto_pause);
        section(&mut toml, "guard", guard);
        for (number, callee) in callees {
            section(&mut toml, &format!("callees.{}", quoted(number)), callee);
        }
        section(&mut toml, "log", log);
        toml
    }
}

/// Writes one table. JSON's texts, numbers and lists of texts are TOML's too, but for DEL.
fn section(toml: &mut String, name: &str, settings: &impl Serialize) {
    let gap = if toml.is_empty() { "" } else { "\n" };
    let _ = writeln!(toml, "{gap}[{name}]"); // Writing to a String cannot fail.
    // Nor can this: every field is text, a number, a flag, a list of texts, or nothing.
    let Ok(Value::Object(fields)) = serde_json::to_value(settings) else {
        return;
    };
    for (key, value) in &fields {
        let _ = match value {
            Value::Null => writeln!(toml, "# {key} is not set"),
            Value::Object(inner) => {
                let items = inner.iter();
                let items = items.map(|(name, value)| format!("{} = {value}", quoted(name)));
                let items: Vec<String> = items.collect();
                writeln!(toml, "{key} = {{ {} }}", without_del(&items.join(", ")))
            }
            value => writeln!(toml, "{key} = {}", without_del(&value.to_string())),
        };
    }
}

fn quoted(text: &str) -> String {
    without_del(&Value::from(text).to_string())
}

fn without_del(json: &str) -> String {
    json.replace('\u{7f}', "\\u007F")
}

/// A URL that may carry a password or a token in its query string, without them.
pub(super) fn masked_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return MASK.to_owned();
    };
    if url.query().is_some() {
        url.set_query(Some(MASK));
    }
    url.set_fragment(None);
    without_password(url)
}

fn without_password(mut url: Url) -> String {
    // Only a URL that cannot hold a password refuses to have it replaced.
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.to_owned();
    }
    url.to_string()
}

pub(super) fn broker_url<S: Serializer>(
    url: &Option<SecretString>,
    to: S,
) -> Result<S::Ok, S::Error> {
    // The query string of an AMQP URL holds heartbeats and the like, which are worth seeing.
    let masked = |url: &SecretString| {
        Url::parse(url.expose_secret()).map_or_else(|_| MASK.to_owned(), without_password)
    };
    url.as_ref().map(masked).serialize(to)
}

pub(super) fn journal_url<S: Serializer>(
    url: &Option<SecretString>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let masked = |url: &SecretString| {
        let Ok(mut url) = Url::parse(url.expose_secret()) else {
            return MASK.to_owned();
        };
        // PostgreSQL takes a password there too; other parameters are worth seeing.
        if url.query_pairs().any(|(key, _)| key == "password") {
            url.set_query(Some(MASK));
        }
        without_password(url)
    };
    url.as_ref().map(masked).serialize(to)
}

pub(super) fn secret<S: Serializer>(
    secret: &Option<SecretString>,
    to: S,
) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|_| MASK).serialize(to)
}

pub(super) fn hash<S: Serializer>(_: &str, to: S) -> Result<S::Ok, S::Error> {
    MASK.serialize(to)
}

/// A key's hash opens nothing, but it is nobody's business.
pub(super) fn hashes<S: Serializer>(hashes: &[String], to: S) -> Result<S::Ok, S::Error> {
    let texts: Vec<&str> = hashes.iter().map(|_| MASK).collect();
    texts.serialize(to)
}

pub(super) fn callee_url<S: Serializer>(url: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    url.as_deref().map(masked_url).serialize(to)
}

pub(super) fn duration<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&duration_text(*duration))
}

pub(super) fn optional_duration<S: Serializer>(
    duration: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    duration.map(duration_text).serialize(to)
}

pub(super) fn durations<S: Serializer>(durations: &[Duration], to: S) -> Result<S::Ok, S::Error> {
    let texts: Vec<String> = durations.iter().copied().map(duration_text).collect();
    to.serialize_str(&texts.join(","))
}

/// Writes a duration as people do: in the largest unit that leaves nothing over.
pub(super) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match duration.subsec_nanos() {
        0 if seconds == 0 => "0s".to_owned(),
        0 if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        0 if seconds.is_multiple_of(60) => format!("{}min", seconds / 60),
        0 => format!("{seconds}s"),
        nanos if nanos.is_multiple_of(1_000_000) => format!("{}ms", duration.as_millis()),
        _ => humantime::format_duration(duration).to_string(),
    }
}

impl Serialize for Auth {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Self::Basic => "basic",
            Self::Bearer => "bearer",
        })
    }
}

impl Serialize for HttpStatus {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Self::ByCode => "by_code",
            Self::Always200 => "always_200",
        })
    }
}

impl Serialize for AuthMode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Self::Open => "open",
            Self::Bearer => "bearer",
            Self::Hmac => "hmac",
        })
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl Serialize for LogFormat {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Self::Auto => "auto",
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}
