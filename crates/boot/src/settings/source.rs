//! Where do settings come from, and what has changed there since?

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use config::{Value, ValueKind};

use super::{Settings, SettingsError, load};

/// Where a process has its settings from, so that they can be read again.
#[derive(Clone)]
pub struct Source {
    file: Option<PathBuf>,
    env: Vec<(String, String)>,
}

/// Settings as they were read once.
#[derive(Clone)]
pub struct Loaded {
    /// The settings themselves.
    pub settings: Settings,
    pub(crate) source: Source,
    pub(crate) marks: Marks,
    pub(crate) prints: Prints,
}

/// Every key that is set, each with a hash in its value's place: a value may be secret.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(BTreeMap<String, u64>);

/// What the files that settings come from looked like. Compared by content: a `ConfigMap` is changed
/// by a symbolic link that moves, and times prove nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prints(Vec<(PathBuf, u64)>);

impl Source {
    /// The file, if there is one, and the environment: see [`Settings::load`].
    pub fn new(file: Option<PathBuf>, env: impl Iterator<Item = (String, String)>) -> Self {
        let ours = env.filter(|(name, _)| name.starts_with(load::ENV_PREFIX));
        Self {
            file,
            env: ours.collect(),
        }
    }

    /// Reads the settings, as they are now.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load(&self) -> Result<Loaded, SettingsError> {
        // Before the reading: what changes in between is seen by the next look.
        let mut prints = Prints::of(self.file.iter().map(PathBuf::as_path));
        let (settings, marks) = Settings::load_marked(self.file.as_deref(), self.env.clone())?;
        prints.0.extend(Prints::of(settings.files()).0);
        Ok(Loaded {
            settings,
            source: self.clone(),
            marks,
            prints,
        })
    }

    /// The settings file's print, for settings that could not be read.
    pub(crate) fn prints(&self) -> Prints {
        Prints::of(self.file.iter().map(PathBuf::as_path))
    }
}

impl Prints {
    fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let paths = paths.into_iter();
        Self(paths.map(|path| (path.to_owned(), print(path))).collect())
    }

    /// The same files as they look now.
    pub(crate) fn now(&self) -> Self {
        Self::of(self.0.iter().map(|(path, _)| path.as_path()))
    }

    /// These, and those of the other that are not among them.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        for (path, print) in &other.0 {
            if self.0.iter().all(|(known, _)| known != path) {
                self.0.push((path.clone(), *print));
            }
        }
        self
    }
}

fn print(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    match std::fs::read(path) {
        Ok(content) => content.hash(&mut hasher),
        Err(error) => error.kind().hash(&mut hasher),
    }
    hasher.finish()
}

impl Marks {
    pub(super) fn of(root: &Value) -> Self {
        let mut marks = Self::default();
        marks.add(root, "");
        marks
    }

    fn add(&mut self, value: &Value, key: &str) {
        if let ValueKind::Table(table) = &value.kind {
            for (name, inner) in table {
                let dot = if key.is_empty() { "" } else { "." };
                self.add(inner, &format!("{key}{dot}{name}"));
            }
        } else {
            let mut hasher = DefaultHasher::new();
            value.kind.to_string().hash(&mut hasher);
            self.0.insert(key.to_owned(), hasher.finish());
        }
    }

    /// The keys that differ, in order.
    pub(crate) fn changed(&self, since: &Self) -> Vec<String> {
        let all = self.0.keys().chain(since.0.keys());
        let mut keys: Vec<String> = all
            .filter(|key| self.0.get(*key) != since.0.get(*key))
            .cloned()
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }
}
