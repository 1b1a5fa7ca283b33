//! How do a file and the environment become settings, and which of them is to blame?

use std::collections::HashMap;
use std::path::Path;

use config::{Config, ConfigError, File, FileFormat, Source, Value, ValueKind};

use super::{AppSettings, CalleeSettings, Marks, Settings, SettingsError, check};

/// What every environment variable that is a setting begins with.
pub(super) const ENV_PREFIX: &str = "RINGBACK__";

/// What stands between the parts of such a variable's name.
const ENV_SEPARATOR: &str = "__";

/// The sections that hold sections, each under a name of the operator's own choice, which keeps its
/// case. What the name stands for, as a sentence has it.
const NAMED: [(&str, &str); 3] = [
    ("callees", "NUMBER"),
    ("apps", "APP"),
    ("admin.tokens", "NAME"),
];

/// The process's environment as [`Settings::load`] takes it.
///
/// Bytes that are not UTF-8 become U+FFFD: a setting that holds them is refused or seen,
/// whereas `std::env::vars` would panic over a variable that is none of ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    })
}

impl Settings {
    /// Loads the settings: defaults, then `file`, then `env`.
    ///
    /// Variables that do not begin with `RINGBACK__` are not ours and are passed over.
    ///
    /// # Errors
    /// One sentence naming the file, the key or the variable that cannot be used.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        Ok(Self::load_marked(file, env)?.0)
    }

    pub(super) fn load_marked(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Marks), SettingsError> {
        let file_name = file.map(|path| path.display().to_string());
        let text = read(file)?;
        let tree = Config::builder()
            .add_source(File::from_str(&text, FileFormat::Toml))
            .add_source(Environment::read(env.into_iter())?)
            .build()
            .map_err(|error| not_toml(file_name.as_deref(), &error))?;
        let origins = Origins {
            root: tree.cache.clone(),
            file_name,
        };
        sections_are_tables(&origins)?;
        let marks = Marks::of(&origins.root);
        let settings: Self = tree
            .try_deserialize()
            .map_err(|error| origins.explain(error))?;
        check::check(&settings).map_err(|bad| origins.refuse(&bad.key, bad.reason))?;
        Ok((settings, marks))
    }

    /// The files that the settings name, whose content counts as theirs.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let apps = self.apps.values().flat_map(AppSettings::files);
        let callees = self.callees.values().flat_map(CalleeSettings::files);
        apps.chain(callees)
            .chain(self.dispatcher.ca_file.as_deref())
    }
}

/// The environment variable that sets a dotted key.
pub(super) fn variable_of(key: &str) -> String {
    let plain = |key: &str| key.to_uppercase().replace('.', ENV_SEPARATOR);
    let named = NAMED.iter().find_map(|(section, _)| {
        let rest = key.strip_prefix(section)?.strip_prefix('.')?;
        Some((section, rest.rsplit_once('.')?))
    });
    match named {
        Some((section, (name, last))) => {
            let (section, last) = (plain(section), plain(last));
            format!("{ENV_PREFIX}{section}{ENV_SEPARATOR}{name}{ENV_SEPARATOR}{last}")
        }
        None => format!("{ENV_PREFIX}{}", plain(key)),
    }
}

fn read(file: Option<&Path>) -> Result<String, SettingsError> {
    let Some(path) = file else {
        return Ok(String::new());
    };
    std::fs::read_to_string(path).map_err(|error| SettingsError::Unreadable {
        path: path.display().to_string(),
        reason: error.to_string(),
    })
}

/// Tells where the TOML breaks, without the line itself: it may hold the broker's password.
fn not_toml(file_name: Option<&str>, error: &ConfigError) -> SettingsError {
    let report = match error {
        ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    // The report is a head line, the quoted source behind a gutter, then the reason.
    let quoted = |line: &&str| {
        line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ')
            .starts_with('|')
    };
    let lines: Vec<&str> = report.lines().filter(|line| !quoted(line)).collect();
    let reason = lines.join(": ").replace("TOML parse error at ", "");
    SettingsError::NotToml {
        path: file_name.unwrap_or_default().to_owned(),
        reason,
    }
}

/// Derived sections would take a list for a section; `broker = []` is a mistake all the same.
fn sections_are_tables(origins: &Origins) -> Result<(), SettingsError> {
    let ValueKind::Table(sections) = &origins.root.kind else {
        return Ok(());
    };
    let named = NAMED.iter().flat_map(|(section, _)| {
        let found = find(&origins.root, section).and_then(table);
        let inside = found.into_iter().flatten();
        inside.map(move |(name, value)| (format!("{section}.{name}"), value))
    });
    let tops = sections.iter().map(|(name, value)| (name.clone(), value));
    for (key, value) in tops.chain(named) {
        if table(value).is_none() {
            let reason = format!("no such setting; a section is written [{key}]");
            return Err(origins.refuse(&key, reason));
        }
    }
    Ok(())
}

fn table(value: &Value) -> Option<&HashMap<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

/// The environment as a layer of settings. The `config` crate's own one lower-cases all keys, and
/// callee `EO001` would become `eo001`.
#[derive(Debug, Clone)]
struct Environment(config::Map<String, Value>);

impl Environment {
    fn read(env: impl Iterator<Item = (String, String)>) -> Result<Self, SettingsError> {
        let mut ours: Vec<(String, String)> = env
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        ours.sort(); // `BROKER` and `broker` are one section: let the same one win every time.
        let mut root = Value::new(None, config::Map::<String, Value>::new());
        for (name, text) in ours {
            let path = path_of(&name)?;
            put(&mut root, &path, Value::new(Some(&name), text));
        }
        Ok(Self(table(&root).cloned().unwrap_or_default()))
    }
}

impl Source for Environment {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Splits a variable's name into section and key, or into a section of named ones, name and key.
fn path_of(name: &str) -> Result<Vec<String>, SettingsError> {
    let refuse = |shape: &str| SettingsError::Refused {
        place: name.to_owned(),
        reason: format!("no such setting (a variable is named {shape})"),
    };
    let rest = name.strip_prefix(ENV_PREFIX).unwrap_or(name);
    let (section, key) = rest
        .split_once(ENV_SEPARATOR)
        .filter(|(section, key)| !section.is_empty() && !key.is_empty())
        .ok_or_else(|| refuse("RINGBACK__SECTION__KEY"))?;
    let whole = rest.to_lowercase();
    let named = NAMED.iter().find_map(|(named, shape)| {
        let begin = format!("{}{ENV_SEPARATOR}", named.replace('.', ENV_SEPARATOR));
        whole
            .starts_with(&begin)
            .then_some((named, shape, begin.len()))
    });
    let Some((named, shape, begin)) = named else {
        return Ok(vec![section.to_lowercase(), key.to_lowercase()]);
    };
    let shape = format!(
        "{ENV_PREFIX}{}KEY",
        whole[..begin].to_uppercase() + shape + ENV_SEPARATOR
    );
    let (name, key) = rest[begin..]
        .rsplit_once(ENV_SEPARATOR)
        .filter(|(name, key)| !name.is_empty() && !key.is_empty())
        .ok_or_else(|| refuse(&shape))?;
    let key = key.to_lowercase();
    let path = named.split('.').chain([name, &*key]);
    Ok(path.map(str::to_owned).collect())
}

fn put(at: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *at = value;
        return;
    };
    if let ValueKind::Table(table) = &mut at.kind {
        let empty = || Value::new(None, config::Map::<String, Value>::new());
        put(
            table.entry(first.clone()).or_insert_with(empty),
            rest,
            value,
        );
    }
}

/// The merged values, each of which remembers the variable that set it.
struct Origins {
    root: Value,
    file_name: Option<String>,
}

impl Origins {
    /// Turns what `config` says into our sentence.
    fn explain(&self, error: ConfigError) -> SettingsError {
        let (key, reason) = match error {
            ConfigError::At { error, key, .. } => (key.unwrap_or_default(), error.to_string()),
            ConfigError::Type { key, expected, .. } => {
                (key.unwrap_or_default(), format!("not {expected}"))
            }
            other => (String::new(), other.to_string()),
        };
        let Some((field, expected)) = reason
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split_once("`, "))
        else {
            return self.refuse(&key, reason);
        };
        let dot = if key.is_empty() { "" } else { "." };
        let reason = format!("no such setting ({})", expected.replace('`', ""));
        self.refuse(&format!("{key}{dot}{field}"), reason)
    }

    fn refuse(&self, key: &str, reason: String) -> SettingsError {
        let place = match (
            find(&self.root, key).and_then(first_origin),
            &self.file_name,
        ) {
            (Some(variable), _) => variable.to_owned(),
            (None, Some(file)) => format!("{key} in {file}"),
            (None, None) => key.to_owned(),
        };
        SettingsError::Refused { place, reason }
    }
}

/// Walks to a dotted key. A callee's number may hold dots itself, so the longest name wins.
fn find<'a>(at: &'a Value, key: &str) -> Option<&'a Value> {
    if key.is_empty() {
        return Some(at);
    }
    table(at)?
        .iter()
        .filter_map(|(name, value)| {
            let rest = key.strip_prefix(name.as_str())?;
            (rest.is_empty() || rest.starts_with('.')).then_some((rest, value))
        })
        .min_by_key(|(rest, _)| rest.len())
        .and_then(|(rest, value)| find(value, rest.trim_start_matches('.')))
}

/// The variable that set this value, or something inside it.
fn first_origin(value: &Value) -> Option<&str> {
    let inside = || table(value)?.values().find_map(first_origin);
    value.origin().or_else(inside)
}
