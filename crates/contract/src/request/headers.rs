//! `options.headers`: extra request headers for the target.

use serde_json::value::RawValue;

use super::fields::{each_field, is_object, text};
use crate::error::ParamError;
use crate::header_name::{comparable_header, is_reserved_header};

/// The maximum number of headers.
const MAX_HEADERS: usize = 16;

/// The maximum size of all names and values.
const MAX_BYTES: usize = 4096;

/// The maximum number of characters of a refused name in an answer.
const MAX_SHOWN_CHARS: usize = 64;

/// Parses `options.headers`.
pub(super) fn parse(value: &RawValue) -> Result<Vec<(String, String)>, ParamError> {
    if !is_object(value) {
        return Err(ParamError::NotObject);
    }
    let mut entries = Vec::new();
    each_field(value.get(), |name, value| entries.push((name, value)))
        .map_err(|_| ParamError::NotObject)?;
    if entries.len() > MAX_HEADERS {
        return Err(ParamError::TooMany { max: MAX_HEADERS });
    }
    let mut headers: Vec<(String, String)> = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        let name = text(name).map_err(|_| ParamError::HeaderName {
            name: shown(name.get()),
        })?;
        check_name(&name)?;
        if headers
            .iter()
            .any(|(other, _)| comparable_header(other) == comparable_header(&name))
        {
            return Err(ParamError::Duplicate);
        }
        let value = text(value)
            .ok()
            .filter(|value| !value.chars().any(is_forbidden_in_value));
        let value = value.ok_or_else(|| ParamError::HeaderValue { name: shown(&name) })?;
        headers.push((name.into_owned(), value.into_owned()));
    }
    if headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum::<usize>()
        > MAX_BYTES
    {
        return Err(ParamError::TooLarge { max: MAX_BYTES });
    }
    Ok(headers)
}

fn check_name(name: &str) -> Result<(), ParamError> {
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(ParamError::HeaderName { name: shown(name) });
    }
    if is_reserved_header(name) {
        return Err(ParamError::HeaderForbidden { name: shown(name) });
    }
    Ok(())
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110, section 5.5, allows visible ASCII, space, tab and every byte from 0x80 up. Control
/// characters that UTF-8 encodes with such bytes are still refused.
fn is_forbidden_in_value(char: char) -> bool {
    char.is_control() && char != '\t'
}

/// A name as an answer shows it: short, without control characters.
fn shown(name: &str) -> String {
    let printable = |char: char| {
        if char.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            char
        }
    };
    name.chars().take(MAX_SHOWN_CHARS).map(printable).collect()
}
