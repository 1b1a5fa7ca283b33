//! Which extra headers may a caller ask us to send to the target?

use serde_json::value::RawValue;

use crate::Flaw;
use crate::fields::{each_field, is_object, text};

/// The most extra headers.
const MOST: usize = 16;

/// The most bytes of names and values together.
const MOST_BYTES: usize = 4096;

/// The most characters of a refused name that are shown in an answer.
const MOST_SHOWN: usize = 64;

/// Names that are ours or the connection's: hop-by-hop (RFC 9110, section 7.6.1, with the
/// older ones that proxies still obey), and what decides where and how the body travels.
const FORBIDDEN: [&str; 11] = [
    "connection",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Families of names that are ours.
const FORBIDDEN_PREFIXES: [&str; 3] = ["content-", "webhook-", "x-callback-"];

/// Reads `options.headers`.
pub(crate) fn parse(value: &RawValue) -> Result<Vec<(String, String)>, Flaw> {
    if !is_object(value) {
        return Err(Flaw::NotObject);
    }
    let mut entries = Vec::new();
    each_field(value.get(), |name, value| entries.push((name, value)))
        .map_err(|_| Flaw::NotObject)?;
    if entries.len() > MOST {
        return Err(Flaw::TooMany { max: MOST });
    }
    let mut headers: Vec<(String, String)> = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        let name = text(name).map_err(|_| Flaw::HeaderName {
            name: shown(name.get()),
        })?;
        check_name(&name)?;
        if headers
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(&name))
        {
            return Err(Flaw::Duplicate);
        }
        let value = text(value)
            .ok()
            .filter(|value| !value.chars().any(is_forbidden_in_value));
        let value = value.ok_or_else(|| Flaw::HeaderValue { name: shown(&name) })?;
        headers.push((name.into_owned(), value.into_owned()));
    }
    if headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum::<usize>()
        > MOST_BYTES
    {
        return Err(Flaw::TooLarge { max: MOST_BYTES });
    }
    Ok(headers)
}

fn check_name(name: &str) -> Result<(), Flaw> {
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(Flaw::HeaderName { name: shown(name) });
    }
    let lower = name.to_ascii_lowercase();
    if FORBIDDEN.contains(&lower.as_str())
        || FORBIDDEN_PREFIXES
            .iter()
            .any(|prefix| lower.starts_with(prefix))
    {
        return Err(Flaw::HeaderForbidden { name: shown(name) });
    }
    Ok(())
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110, section 5.5, allows visible ASCII, space, tab and every byte from 0x80 up. The
/// control characters that UTF-8 writes with such bytes are refused all the same.
fn is_forbidden_in_value(char: char) -> bool {
    char.is_control() && char != '\t'
}

/// A name as it may stand in an answer: short, and without control characters.
fn shown(name: &str) -> String {
    let printable = |char: char| {
        if char.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            char
        }
    };
    name.chars().take(MOST_SHOWN).map(printable).collect()
}
