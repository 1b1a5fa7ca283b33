//! The settings file: each key with its meaning, and its default as a comment.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use runtime::Config as _;

use super::reference::{ReferenceEntry, entries};
use crate::app::settings::Settings;
use crate::error::CommandError;

/// The longest line of a comment, in characters.
const WIDTH: usize = 100;

/// The table of an app in the reference: in the file it is that of the first app.
const APP: &str = "apps.ID";

/// What is set in the file; all else has its default.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    pub(super) app: &'a str,
    pub(super) key_hash: &'a str,
    pub(super) signing_secret: &'a str,
    pub(super) data_dir: &'a str,
    pub(super) broker_url: Option<&'a str>,
    pub(super) journal_url: Option<&'a str>,
}

impl Chosen<'_> {
    /// The values that are set, in TOML, by their keys in the reference.
    fn values(&self) -> BTreeMap<&'static str, String> {
        let mut values = BTreeMap::from([
            ("auth.mode", quoted("bearer")),
            ("apps.ID.keys", format!("[{}]", quoted(self.key_hash))),
            (
                "apps.ID.signing_secrets",
                format!("[{}]", quoted(self.signing_secret)),
            ),
        ]);
        match self.broker_url {
            Some(url) => values.insert("broker.url", quoted(url)),
            None => values.insert("broker.data_dir", quoted(self.data_dir)),
        };
        values.extend(self.journal_url.map(|url| ("journal.url", quoted(url))));
        values
    }
}

/// A text in TOML: the escapes of JSON are among its own.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name in the head of a table.
fn name(text: &str) -> String {
    let is_bare = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    match !text.is_empty() && text.chars().all(is_bare) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// The file.
///
/// # Errors
/// The defaults cannot be read, which would be a fault of the program.
pub(super) fn settings_file(chosen: &Chosen<'_>) -> Result<String, CommandError> {
    let (values, defaults) = (chosen.values(), defaults()?);
    let mut file = format!(
        "# Settings of Ringback {}, written by `ringback init`.\n\
         # A line that begins with # and a key shows the default: remove the # to change it. A key without a\n\
         # value has none. Variables of the environment win: RINGBACK__BROKER__URL is broker.url.\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut section = String::new();
    for entry in entries() {
        let table = entry.keys[0]
            .rsplit_once('.')
            .map_or("", |(table, _)| table);
        if table != section {
            table.clone_into(&mut section);
            begin(&mut file, table, chosen.app);
        }
        file.push('\n');
        comment(&mut file, &entry);
        for key in &entry.keys {
            let name = key.rsplit_once('.').map_or(&**key, |(_, name)| name);
            // Writing to a String cannot fail.
            let _ = match (values.get(&**key), defaults.get(key)) {
                (Some(value), _) => writeln!(file, "{name} = {value}"),
                (None, Some(default)) => writeln!(file, "#{name} = {default}"),
                (None, None) => writeln!(file, "#{name} ="),
            };
        }
    }
    Ok(file)
}

/// The head of a table. That of a name is an example, but for the first app.
fn begin(file: &mut String, table: &str, app: &str) {
    let head = match table {
        APP => format!("[apps.{}]", name(app)),
        _ if is_example(table) => format!("#[{table}]"),
        _ => format!("[{table}]"),
    };
    let _ = write!(file, "\n\n{head}\n");
}

/// Whether a part of it is a placeholder: `callees.NO`.
fn is_example(table: &str) -> bool {
    table
        .split('.')
        .any(|part| part.chars().all(|char| char.is_ascii_uppercase()))
}

/// The meaning and the default in words, in lines of bounded width.
fn comment(file: &mut String, entry: &ReferenceEntry) {
    let text = format!(
        "{} Default: {}.",
        entry.meaning,
        entry.default.trim_end_matches('.')
    );
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            file.push_str(&line);
            file.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    file.push_str(&line);
    file.push('\n');
}

/// The default of each key in TOML, with the placeholders of the reference for names.
fn defaults() -> Result<BTreeMap<String, String>, CommandError> {
    let names = [
        ("RINGBACK__APPS__ID__DISABLED", "false"),
        ("RINGBACK__CALLEES__NO__PAUSED", "false"),
    ];
    let names = names.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let settings: Settings = runtime::config::load(None, names.into_iter())?;
    let (mut section, mut found) = (String::new(), BTreeMap::new());
    for line in settings.to_toml_redacted().lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').replace('"', "");
        } else if let Some((key, value)) = line.split_once(" = ")
            && !key.starts_with('#')
        {
            found.insert(format!("{section}.{key}"), value.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::app::config_check::check_start;

    const CHOSEN: Chosen<'static> = Chosen {
        app: "demo",
        key_hash: "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        signing_secret: "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        data_dir: "/var/lib/ringback \"x\"",
        broker_url: None,
        journal_url: None,
    };

    fn load(text: &str) -> Settings {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("ringback-init-{}-{number}.toml", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, text).unwrap();
        let loaded = runtime::config::load(Some(Path::new(&file)), std::iter::empty());
        std::fs::remove_file(file).unwrap();
        loaded.unwrap()
    }

    #[tokio::test]
    async fn the_file_is_accepted_and_has_the_first_app() {
        runtime::telemetry::install_crypto();
        let settings = load(&settings_file(&CHOSEN).unwrap());
        check_start(&settings).unwrap();
        let data_dir = PathBuf::from("/var/lib/ringback \"x\"");
        assert_eq!(settings.broker.data_dir, Some(data_dir));
        let app = &settings.apps["demo"];
        assert_eq!(app.keys.len(), 1);
        let secret = app.signing_secrets[0].read().unwrap();
        assert_eq!(secret.expose_secret(), CHOSEN.signing_secret);
    }

    #[tokio::test]
    async fn the_file_for_the_roles_has_their_broker_and_journal() {
        runtime::telemetry::install_crypto();
        let chosen = Chosen {
            broker_url: Some("amqp://a:b@127.0.0.1:1/%2f"),
            journal_url: Some("postgres://a:b@127.0.0.1:1/r"),
            app: "c r m",
            ..CHOSEN
        };
        let settings = load(&settings_file(&chosen).unwrap());
        check_start(&settings).unwrap();
        assert_eq!(settings.broker.data_dir, None);
        assert!(settings.apps.contains_key("c r m"));
    }

    #[test]
    fn every_key_has_its_meaning_and_its_default() {
        let file = settings_file(&CHOSEN).unwrap();
        for entry in entries() {
            for key in &entry.keys {
                let name = key.rsplit('.').next().unwrap();
                let is_there = |line: &str| {
                    let line = line.trim_start_matches('#');
                    line.strip_prefix(name)
                        .is_some_and(|rest| rest.starts_with(" ="))
                };
                assert!(file.lines().any(is_there), "{key}");
            }
        }
        for line in [
            "#listen = \"0.0.0.0:5106\"",
            "#schedule = [\"5s\",\"30s\",\"2m\",\"10m\",\"30m\",\"2h\",\"5h\",\"10h\"]",
            "#url =",
            "mode = \"bearer\"",
            "#[callees.NO]",
            "[apps.demo]",
        ] {
            assert!(file.lines().any(|found| found == line), "{line}\n{file}");
        }
        assert!(
            file.lines().all(|line| line.chars().count() <= WIDTH + 60),
            "{file}"
        );
    }

    #[test]
    fn the_defaults_that_are_shown_are_those_that_hold() {
        let file = settings_file(&CHOSEN).unwrap();
        // The file with its defaults uncommented: the sections that have no names.
        let (mut text, mut example) = (String::new(), false);
        for line in file.lines() {
            if let Some(head) = line.strip_prefix("#[").or(line.strip_prefix('[')) {
                example = line.starts_with("#[") || head.starts_with("apps.");
            }
            let is_default =
                line.starts_with('#') && !line.starts_with("# ") && !line.ends_with(" =");
            let uncommented = match is_default && !example {
                true => &line[1..],
                false => line,
            };
            text.push_str(uncommented);
            text.push('\n');
        }
        assert_ne!(text, file);
        let (all, chosen) = (load(&text), load(&file));
        assert_eq!(all.to_toml_redacted(), chosen.to_toml_redacted());
    }
}
