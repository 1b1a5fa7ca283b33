//! Reads and merges the layers of settings, and finds which of them set a value.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::{Config as Layers, ConfigError as SourceError, File, FileFormat, Value, ValueKind};

use super::deserialize::from_value;
use super::environment::Environment;
use super::error::ConfigError;
use super::fingerprint::{FileFingerprints, KeyFingerprints};
use super::redact;
use super::resolved_reference::ResolvedReference;
use super::schema::Config;
use super::secret_setting;
use super::variable::ENV_PREFIX;

/// The file and the environment that a process reads its settings from, and can read again.
#[derive(Clone)]
pub struct Source {
    file: Option<PathBuf>,
    variables: Vec<(String, String)>,
}

/// Settings as they were read once.
#[derive(Clone)]
pub struct Loaded<T> {
    /// The settings themselves.
    pub settings: T,
    pub(crate) source: Source,
    pub(crate) keys: KeyFingerprints,
    pub(crate) files: FileFingerprints,
    references: Vec<ResolvedReference>,
    origins: Vec<SettingOrigin>,
}

/// The settings in force, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsShown {
    /// The same as by [`Loaded::to_toml_redacted`].
    pub toml: String,
    /// The keys that are set, by name. All others have their defaults.
    pub origins: Vec<SettingOrigin>,
}

/// Where a key is set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SettingOrigin {
    /// The dotted key.
    pub key: String,
    /// The variable that sets it, or the file.
    pub place: String,
}

impl<T: Config> Loaded<T> {
    /// The effective settings as TOML that can be loaded again: a secret that stands in a file or a
    /// variable is shown as the reference to it, and others are masked as `***`.
    pub fn to_toml_redacted(&self) -> String {
        let (named, inner) = (T::NAMED_SECTIONS, T::INNER_SECTIONS);
        redact::to_toml(&self.settings, named, inner, T::ORDER, &self.references)
    }

    /// The same, and where each key is set.
    pub fn shown(&self) -> SettingsShown {
        SettingsShown {
            toml: self.to_toml_redacted(),
            origins: self.origins.clone(),
        }
    }
}

impl Source {
    /// The file, if there is one, and the environment.
    pub fn new(file: Option<PathBuf>, variables: impl Iterator<Item = (String, String)>) -> Self {
        let ours = variables.filter(|(name, _)| name.starts_with(ENV_PREFIX));
        Self {
            file,
            variables: ours.collect(),
        }
    }

    /// Reads and checks the current settings.
    ///
    /// # Errors
    /// One sentence naming the file, the key or the variable that cannot be used.
    pub fn load<T: Config>(&self) -> Result<Loaded<T>, ConfigError> {
        // Before reading, so that the next comparison finds a change in between.
        let mut files = self.file_fingerprint();
        let environment = self.variables.iter().cloned();
        let environment = Environment::read(environment, T::NAMED_SECTIONS, T::INNER_SECTIONS);
        let mut merged = MergedLayers::read(self.file.as_deref(), environment)?;
        let secrets = secret_setting::resolve(&mut merged.root, T::SECRETS)
            .map_err(|(key, reason)| merged.refuse(&key, reason))?;
        let settings: T = from_value(&merged.root, T::SECRETS).map_err(|error| {
            let (key, reason) = error.into_parts();
            merged.refuse(&key, reason)
        })?;
        let mut first = None;
        settings.validate(&mut |key, reason| {
            first.get_or_insert_with(|| merged.refuse(key, reason));
        });
        if let Some(refused) = first {
            return Err(refused);
        }
        files = files.and(&secrets.files);
        files = files.and(&FileFingerprints::of(settings.files()));
        Ok(Loaded {
            settings,
            source: self.clone(),
            keys: KeyFingerprints::of(&merged.root, secret_setting::urls(T::SECRETS)),
            files,
            references: secrets.references,
            origins: merged.origins(),
        })
    }

    /// The fingerprint of the settings file, for settings that could not be read.
    pub(crate) fn file_fingerprint(&self) -> FileFingerprints {
        FileFingerprints::of(self.file.as_deref())
    }
}

/// The merged layers. Each value holds the variable that set it.
struct MergedLayers {
    root: Value,
    file_name: Option<String>,
}

impl MergedLayers {
    fn read(
        file: Option<&Path>,
        environment: Result<Environment, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let file_name = file.map(|path| path.display().to_string());
        let text = read(file)?;
        let layers = Layers::builder()
            .add_source(File::from_str(&text, FileFormat::Toml))
            .add_source(environment?)
            .build()
            .map_err(|error| not_toml(file_name.as_deref(), &error))?;
        Ok(Self {
            root: layers.cache,
            file_name,
        })
    }

    /// Where each key is set, by name.
    fn origins(&self) -> Vec<SettingOrigin> {
        let mut origins = Vec::new();
        let file = self.file_name.as_deref().unwrap_or_default();
        collect_origins(&self.root, String::new(), file, &mut origins);
        origins.sort_unstable();
        origins
    }

    /// Refuses the value of a key, naming the variable that set it, or the file.
    fn refuse(&self, key: &str, reason: String) -> ConfigError {
        let variable = find(&self.root, key).and_then(first_origin);
        let place = match (variable, &self.file_name) {
            (Some(variable), _) => variable.to_owned(),
            (None, Some(file)) => format!("{key} in {file}"),
            (None, None) => key.to_owned(),
        };
        ConfigError::Refused { place, reason }
    }
}

fn read(file: Option<&Path>) -> Result<String, ConfigError> {
    let Some(path) = file else {
        return Ok(String::new());
    };
    std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
        path: path.display().to_string(),
        reason: error.to_string(),
    })
}

/// Says where the TOML breaks, without the line itself: it may hold the broker's password.
fn not_toml(file_name: Option<&str>, error: &SourceError) -> ConfigError {
    let report = match error {
        SourceError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    // The report has a first line, the quoted source with a gutter, then the reason.
    let is_quoted = |line: &&str| {
        line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ')
            .starts_with('|')
    };
    let lines: Vec<&str> = report.lines().filter(|line| !is_quoted(line)).collect();
    let reason = lines.join(": ").replace("TOML parse error at ", "");
    ConfigError::NotToml {
        path: file_name.unwrap_or_default().to_owned(),
        reason,
    }
}

fn table(value: &Value) -> Option<&HashMap<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

/// The value of a dotted key. A name may contain dots, so the longest one wins.
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

/// Adds the origins of this value, whose dotted key is `key`, or of what is inside it.
fn collect_origins(value: &Value, key: String, file: &str, origins: &mut Vec<SettingOrigin>) {
    let Some(inside) = table(value) else {
        let place = value.origin().unwrap_or(file).to_owned();
        origins.push(SettingOrigin { key, place });
        return;
    };
    for (name, value) in inside {
        let key = match key.is_empty() {
            true => name.clone(),
            false => format!("{key}.{name}"),
        };
        collect_origins(value, key, file, origins);
    }
}

/// The variable that set this value, or something inside it.
fn first_origin(value: &Value) -> Option<&str> {
    let inside = || table(value)?.values().find_map(first_origin);
    value.origin().or_else(inside)
}
