//! How is one value read, be it TOML or the plain text of an environment variable?
//!
//! One function per kind of value. They are stricter than `config`'s own conversions, which take
//! 2.7 for 3 and `true` for 1.

mod raw;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use raw::Raw;

use super::{Auth, AuthMode, HttpStatus, LogFormat, Reference, Role};

/// Text.
pub(super) fn plain<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Raw::deserialize(from)?.text()
}

/// Text that may be left out. Blank counts as left out, as compose files hand it on.
pub(super) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = plain(from)?;
    Ok((!text.trim().is_empty()).then_some(text))
}

/// A path that may be left out.
pub(super) fn path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(optional(from)?.map(PathBuf::from))
}

/// Text that may be left out and is never shown, not even in an error.
pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    let text = optional(from)?;
    Ok(text.map(|text| SecretString::from(text.trim())))
}

/// Such texts, or where they are, as a list or parted by commas.
pub(super) fn secrets<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Reference>, D::Error> {
    let items = texts(from)?.into_iter();
    Ok(items
        .map(|item| Reference::new(item.trim().to_owned()))
        .collect())
}

/// Ports and ranges of them, as a list of numbers and texts, or parted by commas.
pub(super) fn ports<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    match Raw::deserialize(from)? {
        Raw::Whole(number) => Ok(vec![number.to_string()]),
        Raw::List(items) => {
            let item = |item| match item {
                Raw::Whole(number) => Ok(number.to_string()),
                other => other.text(),
            };
            items.into_iter().map(item).collect()
        }
        other => other.items(),
    }
}

/// `true` or `false`.
pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match Raw::deserialize(from)? {
        Raw::Flag(flag) => Ok(flag),
        Raw::Text(text) if text == "true" => Ok(true),
        Raw::Text(text) if text == "false" => Ok(false),
        other => Err(D::Error::custom(format!(
            "{} is not true or false",
            other.shown()
        ))),
    }
}

/// A whole number, not negative. Its range is checked later, but it fits its type.
pub(super) fn number<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<T, D::Error> {
    Raw::deserialize(from)?.number()
}

/// A whole number that may be left out.
pub(super) fn optional_number<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    unless_blank(from, Raw::number)
}

/// A number, with a point or without.
pub(super) fn decimal<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Raw::deserialize(from)?.decimal()
}

/// A number that may be left out.
pub(super) fn optional_decimal<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<f64>, D::Error> {
    unless_blank(from, Raw::decimal)
}

/// A duration that may be left out.
pub(super) fn optional_duration<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Duration>, D::Error> {
    unless_blank(from, |raw| match raw {
        Raw::Text(text) => parse_duration(text),
        other => Err(not_a_duration(&other.shown())),
    })
}

fn unless_blank<'de, D: Deserializer<'de>, T>(
    from: D,
    read: impl FnOnce(&Raw) -> Result<T, D::Error>,
) -> Result<Option<T>, D::Error> {
    match Raw::deserialize(from)? {
        Raw::Text(text) if text.trim().is_empty() => Ok(None),
        raw => read(&raw).map(Some),
    }
}

/// A value or where it is, that may be left out.
pub(super) fn optional_reference<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Reference>, D::Error> {
    Ok(optional(from)?.map(Reference::new))
}

/// Values, or where they are, by name.
pub(super) fn references<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, Reference>, D::Error> {
    match Raw::deserialize(from)? {
        Raw::Texts(texts) => {
            let texts = texts.into_iter();
            Ok(texts
                .map(|(name, text)| (name, Reference::new(text)))
                .collect())
        }
        _ => Err(D::Error::custom(
            "it is no section of texts (write { \"x-key\" = \"env:KEY\" })",
        )),
    }
}

/// `basic` or `bearer`, if anything.
pub(super) fn optional_auth<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Auth>, D::Error> {
    match optional(from)?.as_deref() {
        None => Ok(None),
        Some("basic") => Ok(Some(Auth::Basic)),
        Some("bearer") => Ok(Some(Auth::Bearer)),
        Some(other) => Err(D::Error::custom(format!(
            "{other:?} is none of basic, bearer"
        ))),
    }
}

/// A duration with its unit: `5s`, `2min`, `1h`.
pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    match Raw::deserialize(from)? {
        Raw::Text(text) => parse_duration(&text),
        other => Err(not_a_duration(&other.shown())),
    }
}

/// Durations, as a list or parted by commas.
pub(super) fn durations<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
    Raw::deserialize(from)?
        .items()?
        .iter()
        .map(|item| parse_duration(item))
        .collect()
}

/// An IP address and a port.
pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    parse_address(&plain(from)?)
}

/// Addresses with ports, as a list or parted by commas.
pub(super) fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SocketAddr>, D::Error> {
    Raw::deserialize(from)?
        .items()?
        .iter()
        .map(|item| parse_address(item))
        .collect()
}

/// Texts, as a list or parted by commas.
pub(super) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let items = Raw::deserialize(from)?.items()?;
    if items.iter().any(|item| item.trim().is_empty()) {
        return Err(D::Error::custom("one of its items is blank"));
    }
    Ok(items)
}

impl<'de> Deserialize<'de> for HttpStatus {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        one_of(
            from,
            &[("by_code", Self::ByCode), ("always_200", Self::Always200)],
        )
    }
}

/// How callers prove themselves; blank is not chosen.
pub(super) fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<Option<AuthMode>, D::Error> {
    match optional(from)?.as_deref() {
        None => Ok(None),
        Some("open") => Ok(Some(AuthMode::Open)),
        Some("bearer") => Ok(Some(AuthMode::Bearer)),
        Some("hmac") => Ok(Some(AuthMode::Hmac)),
        Some(text) => Err(D::Error::custom(format!(
            "{text:?} is none of open, bearer, hmac"
        ))),
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let choices = [Self::Read, Self::Replay, Self::Configure];
        one_of(from, &choices.map(|role| (role.as_str(), role)))
    }
}

impl<'de> Deserialize<'de> for LogFormat {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        one_of(
            from,
            &[
                ("auto", Self::Auto),
                ("human", Self::Human),
                ("json", Self::Json),
            ],
        )
    }
}

fn one_of<'de, D: Deserializer<'de>, T: Copy>(
    from: D,
    choices: &[(&str, T)],
) -> Result<T, D::Error> {
    let text = plain(from)?;
    choices
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, choice)| *choice)
        .ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            D::Error::custom(format!("{text:?} is none of {}", names.join(", ")))
        })
}

fn parse_duration<E: Error>(text: &str) -> Result<Duration, E> {
    humantime::parse_duration(text).map_err(|_| not_a_duration(&format!("{text:?}")))
}

fn not_a_duration<E: Error>(shown: &str) -> E {
    E::custom(format!("{shown} is not a duration (write 5s, 2min or 1h)"))
}

fn parse_address<E: Error>(text: &str) -> Result<SocketAddr, E> {
    text.trim().parse().map_err(|_| {
        E::custom(format!(
            "{text:?} is not an IP address with a port (write 127.0.0.1:5106)"
        ))
    })
}
