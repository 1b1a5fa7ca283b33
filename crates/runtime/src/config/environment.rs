//! The environment as a layer of settings: `RINGBACK__SECTION__KEY`.

use config::{ConfigError as SourceError, Map, Source, Value, ValueKind};

use super::error::ConfigError;
use super::variable::{ENV_PREFIX, ENV_SEPARATOR, NamedSection};

/// The process's environment.
///
/// Bytes that are not UTF-8 become U+FFFD: a setting that holds them is refused or visible, whereas
/// `std::env::vars` would panic over an unrelated variable.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    })
}

/// A layer for the `config` crate, whose own environment source lower-cases all keys: callee
/// `EO001` would become `eo001`.
#[derive(Debug, Clone)]
pub(super) struct Environment(Map<String, Value>);

impl Environment {
    /// Reads the variables that are settings; the others are ignored. Values are trimmed.
    pub(super) fn read(
        variables: impl Iterator<Item = (String, String)>,
        named: &[NamedSection],
        inner: &[&str],
    ) -> Result<Self, ConfigError> {
        let mut ours: Vec<(String, String)> = variables
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        ours.sort(); // `BROKER` and `broker` are one section: the same one must always win.
        let mut root = Map::new();
        for (name, text) in ours {
            let path = path_of(&name, named, inner)?;
            insert(&mut root, &path, Value::new(Some(&name), text.trim()));
        }
        Ok(Self(root))
    }
}

impl Source for Environment {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, SourceError> {
        Ok(self.0.clone())
    }
}

/// Splits a variable's name into sections and key, or into a named section, name and key.
fn path_of(
    variable: &str,
    named: &[NamedSection],
    inner: &[&str],
) -> Result<Vec<String>, ConfigError> {
    let refuse = |shape: &str| ConfigError::Refused {
        place: variable.to_owned(),
        reason: format!("no such setting (a variable is named {shape})"),
    };
    let rest = variable.strip_prefix(ENV_PREFIX).unwrap_or(variable);
    let (section, key) = rest
        .split_once(ENV_SEPARATOR)
        .filter(|(section, key)| !section.is_empty() && !key.is_empty())
        .ok_or_else(|| refuse("RINGBACK__SECTION__KEY"))?;
    let lower = rest.to_lowercase();
    let in_named_section = named.iter().find_map(|section| {
        let prefix = format!(
            "{}{ENV_SEPARATOR}",
            section.path.replace('.', ENV_SEPARATOR)
        );
        lower.starts_with(&prefix).then_some((section, prefix))
    });
    let Some((section, prefix)) = in_named_section else {
        let dotted = lower.replace(ENV_SEPARATOR, ".");
        let within = inner.iter().find_map(|inner| {
            let key = dotted.strip_prefix(inner)?.strip_prefix('.')?;
            Some(inner.split('.').chain([key]).map(str::to_owned).collect())
        });
        return Ok(within.unwrap_or_else(|| vec![section.to_lowercase(), key.to_lowercase()]));
    };
    let (name, key) = rest[prefix.len()..]
        .rsplit_once(ENV_SEPARATOR)
        .filter(|(name, key)| !name.is_empty() && !key.is_empty())
        .ok_or_else(|| {
            let (prefix, name) = (prefix.to_uppercase(), section.placeholder);
            refuse(&format!("{ENV_PREFIX}{prefix}{name}{ENV_SEPARATOR}KEY"))
        })?;
    let key = key.to_lowercase();
    let path = section.path.split('.').chain([name, &*key]);
    Ok(path.map(str::to_owned).collect())
}

fn insert(table: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => drop(table.insert(key.clone(), value)),
        [section, rest @ ..] => {
            let empty = || Value::new(None, Map::<String, Value>::new());
            let inner = table.entry(section.clone()).or_insert_with(empty);
            if let ValueKind::Table(inner) = &mut inner.kind {
                insert(inner, rest, value);
            }
        }
    }
}
