//! The settings whose values are secret: their `file:` and `env:` are read, no error shows what
//! stands there, and people are shown the reference.

use config::{Value, ValueKind};

use super::fingerprint::FileFingerprints;
use super::resolved_reference::ResolvedReference;
use super::secret_ref::SecretRef;

/// A key whose value is a secret, or may be one by mistake.
#[derive(Debug, Clone, Copy)]
pub struct SecretSetting {
    /// The dotted key, with `*` for a name of the operator's choice: `apps.*.secrets`. What stands
    /// below it is secret too.
    pub key: &'static str,
    /// Who reads `env:NAME` and `file:/path` there.
    pub form: SecretForm,
}

/// Who reads the variable or the file that a secret setting names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretForm {
    /// The loader: the setting is one text.
    Text,
    /// The loader: the setting is a URL, or several, whose user and password may change while the
    /// process runs. Their change counts as one of the key `KEY.credentials`.
    Url,
    /// The loader: the setting is a list of texts.
    List,
    /// The type of the setting, [`SecretRef`], where it is used. Or nobody: the setting is no
    /// secret, but stands beside one.
    Unread,
}

impl SecretSetting {
    /// A text that the loader reads.
    #[must_use]
    pub const fn text(key: &'static str) -> Self {
        let form = SecretForm::Text;
        Self { key, form }
    }

    /// A URL that the loader reads. Its user and password may change while the process runs.
    #[must_use]
    pub const fn url(key: &'static str) -> Self {
        let form = SecretForm::Url;
        Self { key, form }
    }

    /// A list of texts that the loader reads.
    #[must_use]
    pub const fn list(key: &'static str) -> Self {
        let form = SecretForm::List;
        Self { key, form }
    }

    /// What the loader leaves as it is.
    #[must_use]
    pub const fn unread(key: &'static str) -> Self {
        let form = SecretForm::Unread;
        Self { key, form }
    }
}

/// The keys of the URLs among them.
pub(super) fn urls(secrets: &[SecretSetting]) -> impl Iterator<Item = &'static str> {
    let urls = secrets.iter().filter(|it| it.form == SecretForm::Url);
    urls.map(|secret| secret.key)
}

/// A reference that cannot be read: the key, and why.
pub(super) type UnreadSecret = (String, String);

/// What [`resolve`] has read.
#[derive(Debug)]
pub(super) struct ResolvedReferences {
    /// The fingerprints of the files, taken before they are read, so that the next comparison finds a
    /// change in between.
    pub(super) files: FileFingerprints,
    /// The references, which people are shown.
    pub(super) references: Vec<ResolvedReference>,
}

/// Replaces each reference by what it refers to.
pub(super) fn resolve(
    root: &mut Value,
    secrets: &[SecretSetting],
) -> Result<ResolvedReferences, UnreadSecret> {
    let mut found = ResolvedReferences {
        files: FileFingerprints::of([]),
        references: Vec::new(),
    };
    for secret in secrets {
        if secret.form != SecretForm::Unread {
            resolve_at(root, secret.key, secret.form, &mut found, &[])?;
        }
    }
    Ok(found)
}

fn resolve_at(
    value: &mut Value,
    pattern: &str,
    form: SecretForm,
    found: &mut ResolvedReferences,
    path: &[String],
) -> Result<(), UnreadSecret> {
    if pattern.is_empty() {
        let resolved = resolve_value(value, form, found, path);
        return resolved.map_err(|reason| (path.join("."), reason));
    }
    let ValueKind::Table(table) = &mut value.kind else {
        return Ok(());
    };
    let (first, rest) = pattern.split_once('.').unwrap_or((pattern, ""));
    let mut names: Vec<String> = table
        .keys()
        .filter(|name| matches(first, name))
        .cloned()
        .collect();
    // Sorted, so that the same mistake is always reported first.
    names.sort_unstable();
    for name in names {
        if let Some(inner) = table.get_mut(&name) {
            resolve_at(inner, rest, form, found, &within(path, name))?;
        }
    }
    Ok(())
}

fn resolve_value(
    value: &mut Value,
    form: SecretForm,
    found: &mut ResolvedReferences,
    path: &[String],
) -> Result<(), String> {
    if form == SecretForm::List
        && let ValueKind::String(text) = &value.kind
        && !text.trim().is_empty()
    {
        let items = text.split(',').map(|item| Value::new(None, item.trim()));
        value.kind = ValueKind::Array(items.collect());
    }
    match (&mut value.kind, form) {
        (ValueKind::Array(items), SecretForm::List) => {
            for (position, item) in items.iter_mut().enumerate() {
                resolve_text(item, found, within(path, position.to_string()))?;
            }
        }
        _ => resolve_text(value, found, path.to_owned())?,
    }
    Ok(())
}

fn resolve_text(
    value: &mut Value,
    found: &mut ResolvedReferences,
    path: Vec<String>,
) -> Result<(), String> {
    let ValueKind::String(text) = &value.kind else {
        return Ok(());
    };
    let reference = SecretRef::new(text);
    if reference.is_indirect() {
        let files = FileFingerprints::of(reference.file());
        found.files = found.files.clone().and(&files);
        let text = text.trim().to_owned();
        value.kind = ValueKind::String(reference.read_text()?);
        found.references.push(ResolvedReference { path, text });
    }
    Ok(())
}

fn within(path: &[String], name: String) -> Vec<String> {
    path.iter().cloned().chain([name]).collect()
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern == "*" || pattern == name
}

/// Where the reader of settings is: inside a secret, or beside secrets.
#[derive(Debug, Clone)]
pub(super) enum Secrecy {
    /// What stands here is not shown.
    Secret,
    /// The patterns of the keys below that are secret.
    Open(Vec<&'static str>),
}

impl Secrecy {
    /// At the root of the settings.
    pub(super) fn root(secrets: &[SecretSetting]) -> Self {
        Self::Open(secrets.iter().map(|secret| secret.key).collect())
    }

    /// At the key `name` below.
    pub(super) fn enter(&self, name: &str) -> Self {
        let Self::Open(patterns) = self else {
            return Self::Secret;
        };
        let mut below = Vec::new();
        for pattern in patterns {
            match pattern.split_once('.') {
                None if matches(pattern, name) => return Self::Secret,
                Some((first, rest)) if matches(first, name) => below.push(rest),
                None | Some(_) => {}
            }
        }
        Self::Open(below)
    }

    pub(super) fn is_secret(&self) -> bool {
        matches!(self, Self::Secret)
    }
}
