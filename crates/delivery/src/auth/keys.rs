//! Hashes of keys, and signing secrets. Of a key, only the hash is stored.
//!
//! A fast hash is enough: keys are 256 random bits, which cannot be guessed at any speed. Slow
//! hashes are for passwords.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretSlice};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The prefix of a hash's text.
const HASH_PREFIX: &str = "sha256:";

/// The prefix of a secret's text (Standard Webhooks 1.0, "Signature scheme").
const SECRET_PREFIX: &str = "whsec_";

/// The length of a secret in bytes (Standard Webhooks 1.0: 24 to 64).
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The maximum number of keys, and of secrets, at a time: the current one and the one that a
/// rotation replaces. More would only delay the end of the rotation.
pub const MAX_CREDENTIALS: usize = 2;

/// The SHA-256 of a key.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of no key.
    pub(super) const NONE: Self = Self([0; 32]);

    /// Hashes a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Parses `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.trim().strip_prefix(HASH_PREFIX)?.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
        }
        Some(Self(hash))
    }

    /// Whether both are the same, compared in constant time.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The prefix that it is looked up by.
    pub(super) fn prefix(&self) -> [u8; 8] {
        let mut prefix = [0; 8];
        prefix.copy_from_slice(&self.0[..8]);
        prefix
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HASH_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(***)")
    }
}

/// A signing secret. `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct Secret(SecretSlice<u8>);

/// Why a text is not a secret. It never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not `whsec_` and base64.
    #[error("it is not a secret (write whsec_ and base64; `ringback key` makes one)")]
    Form,
    /// Too short to be safe, or longer than webhook libraries accept.
    #[error("it has {0} bytes, not 24 to 64")]
    Length(usize),
}

impl Secret {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// Parses `whsec_` and base64 of 24 to 64 bytes.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.trim().strip_prefix(SECRET_PREFIX);
        let bytes = text.and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.ok_or(SecretError::Form)?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(SecretError::Length(bytes.len()));
        }
        Ok(Self::new(bytes))
    }

    /// The text of a secret of these bytes.
    #[must_use]
    pub fn text(bytes: &[u8]) -> String {
        format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        self.bytes().ct_eq(other.bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_as_it_is_parsed() {
        // The example of FIPS 180-4.
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of(b"abc").to_string(), text);
        assert!(KeyHash::parse(text).unwrap().same(&KeyHash::of(b"abc")));
        assert!(!KeyHash::parse(text).unwrap().same(&KeyHash::of(b"abd")));
        let upper = text.to_uppercase().replace("SHA256:", " sha256:");
        assert!(KeyHash::parse(&upper).is_some());
        let long = format!("{text}0");
        for bad in ["", "sha256:", "abc", &text[7..], &text[..70], &long] {
            assert!(KeyHash::parse(bad).is_none(), "{bad}");
        }
        assert!(KeyHash::parse(&text.replace("ba78", "+a78")).is_none());
    }

    #[test]
    fn a_secret_has_the_standards_form() {
        let text = Secret::text(&[7; 24]);
        assert_eq!(text, "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH");
        assert_eq!(Secret::parse(&text).unwrap().bytes(), [7; 24]);
        assert_eq!(Secret::parse("whsec_!").unwrap_err(), SecretError::Form);
        assert_eq!(Secret::parse(&text[6..]).unwrap_err(), SecretError::Form);
        for bytes in [0, 23, 65] {
            let text = Secret::text(&vec![7; bytes]);
            assert_eq!(
                Secret::parse(&text).unwrap_err(),
                SecretError::Length(bytes)
            );
        }
    }

    #[test]
    fn debug_shows_neither_hash_nor_secret() {
        let secret = Secret::new(b"hidden-hidden-hidden-hidden".to_vec());
        let shown = format!("{secret:?} {:?}", KeyHash::of(b"abc"));
        assert!(
            !shown.contains("hidden") && !shown.contains("ba78"),
            "{shown}"
        );
        assert!(!shown.contains("104, 105"), "{shown}");
    }
}
