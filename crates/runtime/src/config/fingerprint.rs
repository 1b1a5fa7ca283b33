//! Fingerprints of settings, to find changes since they were read.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use config::{Value, ValueKind};

/// Every key that is set, with a hash in the place of its value, which may be secret.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyFingerprints(BTreeMap<String, u64>);

/// Hashes of the files that settings come from. Modification times would not do: a `ConfigMap` is
/// changed by replacing a symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFingerprints(Vec<(PathBuf, u64)>);

impl FileFingerprints {
    pub(super) fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let paths = paths.into_iter();
        Self(
            paths
                .map(|path| (path.to_owned(), fingerprint(path)))
                .collect(),
        )
    }

    /// The same files as they are now.
    pub(crate) fn now(&self) -> Self {
        Self::of(self.0.iter().map(|(path, _)| path.as_path()))
    }

    /// Adds the files of `other` that are missing.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        for (path, fingerprint) in &other.0 {
            if self.0.iter().all(|(known, _)| known != path) {
                self.0.push((path.clone(), *fingerprint));
            }
        }
        self
    }
}

fn fingerprint(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    match std::fs::read(path) {
        Ok(content) => content.hash(&mut hasher),
        Err(error) => error.kind().hash(&mut hasher),
    }
    hasher.finish()
}

/// A URL, or several separated by commas, without users and passwords.
fn without_credentials(text: &str) -> String {
    let mut parts = text.split("://");
    let mut rest = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['/', '?', '#']).unwrap_or(part.len());
        let (authority, path) = part.split_at(end);
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        rest = rest + "://" + host + path;
    }
    rest
}

impl KeyFingerprints {
    /// `urls`: the keys of URLs whose user and password count as a key of their own.
    pub(super) fn of<'a>(root: &Value, urls: impl IntoIterator<Item = &'a str>) -> Self {
        let mut keys = Self::default();
        keys.add(root, "");
        for key in urls {
            keys.split_credentials(root, key);
        }
        keys
    }

    /// Tells a change of a URL's user and password from a change of the rest.
    fn split_credentials(&mut self, root: &Value, key: &str) {
        let mut at = Some(root);
        for name in key.split('.') {
            at = at.and_then(|value| match &value.kind {
                ValueKind::Table(table) => table.get(name),
                _ => None,
            });
        }
        let text = at.map(|value| value.kind.to_string());
        if let (Some(text), Some(whole)) = (text, self.0.remove(key)) {
            self.0.insert(format!("{key}.credentials"), whole);
            let mut hasher = DefaultHasher::new();
            without_credentials(&text).hash(&mut hasher);
            self.0.insert(key.to_owned(), hasher.finish());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_told_from_the_rest_of_a_url() {
        for (url, rest) in [
            ("amqp://u:p@a:1/v?x=y", "amqp://a:1/v?x=y"),
            ("amqp://u:p,w@a,amqp://u:p@b/v", "amqp://a,amqp://b/v"),
            ("postgres://me:a@one:5,two/db", "postgres://one:5,two/db"),
            ("amqp://h/a@b", "amqp://h/a@b"),
            ("no URL", "no URL"),
        ] {
            assert_eq!(without_credentials(url), rest);
        }
    }
}
