//! The effective settings as TOML for people, secrets masked.

use std::fmt::Write;

use secrecy::SecretString;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use url::Url;

use super::resolved_reference::ResolvedReference;
use super::variable::NamedSection;
use crate::text::is_unsafe;

/// Replaces a secret. No character of it is escaped in a URL.
pub(crate) const MASK: &str = "***";

/// The settings as TOML that can be loaded again: sections in the order of `first`, then the others
/// by name. Each entry of a named section and each of the sections in `inner` is written as a section. The fields' serialisers mask
/// secrets; `references` are shown in the place of what they refer to.
pub(super) fn to_toml(
    settings: &impl Serialize,
    named: &[NamedSection],
    inner: &[&str],
    first: &[&str],
    references: &[ResolvedReference],
) -> String {
    // Cannot fail: every key is text, and every value text, a number, a flag, a list or a table.
    let Ok(mut settings) = serde_json::to_value(settings) else {
        return String::new();
    };
    for reference in references {
        reference.show(&mut settings);
    }
    let Value::Object(mut sections) = settings else {
        return String::new();
    };
    let mut toml = String::new();
    for name in first {
        if let Some(section) = sections.remove(*name) {
            write_section(&mut toml, name, name, section, named, inner);
        }
    }
    for (name, section) in sections {
        write_section(&mut toml, &name, &name, section, named, inner);
    }
    toml
}

/// Writes one section, which `path` names in [`NamedSection`] and `header` in the file.
fn write_section(
    toml: &mut String,
    path: &str,
    header: &str,
    section: Value,
    named: &[NamedSection],
    inner: &[&str],
) {
    let Value::Object(fields) = section else {
        return;
    };
    if named.iter().any(|section| section.path == path) {
        for (name, entry) in fields {
            let header = format!("{header}.{}", quoted(&name));
            write_section(toml, "", &header, entry, named, inner);
        }
        return;
    }
    let is_section = |key: &String| {
        let paths = named.iter().map(|section| section.path);
        let mut paths = paths.chain(inner.iter().copied());
        paths.any(|within| within.strip_prefix(path) == Some(&format!(".{key}")))
    };
    let (sections, fields): (Map<_, _>, Map<_, _>) =
        fields.into_iter().partition(|(key, _)| is_section(key));
    let gap = if toml.is_empty() { "" } else { "\n" };
    let _ = writeln!(toml, "{gap}[{header}]"); // Writing to a String cannot fail.
    for (key, value) in &fields {
        let _ = match value {
            Value::Null => writeln!(toml, "# {key} is not set"),
            value => writeln!(toml, "{key} = {}", inline(value)),
        };
    }
    for (key, section) in sections {
        let (path, header) = (format!("{path}.{key}"), format!("{header}.{key}"));
        write_section(toml, &path, &header, section, named, inner);
    }
}

/// A value in TOML. JSON's strings, numbers and lists are valid TOML, except for DEL; objects are
/// not. Other control and format characters are escaped for people.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(inner) => {
            let items = inner.iter();
            let items = items.map(|(name, value)| format!("{} = {}", quoted(name), inline(value)));
            format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
        }
        value => toml_escaped(&value.to_string()),
    }
}

/// TOML has no pairs of surrogates: an escape beyond U+FFFF has eight digits.
fn toml_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        // Writing to a String cannot fail.
        let _ = match (is_unsafe(char), u32::from(char)) {
            (true, code @ ..=0xffff) => write!(escaped, "\\u{code:04X}"),
            (true, code) => write!(escaped, "\\U{code:08X}"),
            (false, _) => write!(escaped, "{char}"),
        };
    }
    escaped
}

fn quoted(text: &str) -> String {
    inline(&Value::from(text))
}

/// A URL that may carry a password, or a token in its query string, without them.
#[must_use]
pub fn masked_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return MASK.to_owned();
    };
    if url.query().is_some() {
        url.set_query(Some(MASK));
    }
    url.set_fragment(None);
    // Only a URL that cannot hold a password refuses to have it replaced.
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.to_owned();
    }
    url.to_string()
}

/// Writes `***` for a secret: for `#[serde(serialize_with = ...)]`.
///
/// # Errors
/// Those of the serializer.
pub fn mask_secret<S: Serializer>(secret: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|_| MASK).serialize(to)
}

/// Writes a URL with [`masked_url`]: for `#[serde(serialize_with = ...)]`.
///
/// # Errors
/// Those of the serializer.
pub fn mask_url<S: Serializer>(url: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    url.as_deref().map(masked_url).serialize(to)
}

/// Writes `***` for a hash: it reveals nothing usable, but is not worth showing.
///
/// # Errors
/// Those of the serializer.
pub fn mask_text<S: Serializer>(_: &str, to: S) -> Result<S::Ok, S::Error> {
    MASK.serialize(to)
}

/// Writes `***` for each of some hashes.
///
/// # Errors
/// Those of the serializer.
pub fn mask_texts<S: Serializer>(texts: &[String], to: S) -> Result<S::Ok, S::Error> {
    let masked: Vec<&str> = texts.iter().map(|_| MASK).collect();
    masked.serialize(to)
}
