//! Who sent these bytes, and when? Signatures as Standard Webhooks 1.0.0 has them.
//!
//! HMAC-SHA256 over `id.timestamp.body`, told as `v1,` and Base64. Source:
//! standard-webhooks/spec/standard-webhooks.md, "Signature scheme" and "Signing secret serialization".

use std::fmt;

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;
use thiserror::Error;

/// How far a timestamp may be from the clock, in seconds either way: what the specification's own
/// libraries hold to.
pub const TOLERANCE_SECONDS: u64 = 5 * 60;

/// The current secret and the one before it: more would only slow a rotation's end.
pub const MOST_SECRETS: usize = 2;

/// What a secret's text begins with.
const PREFIX: &str = "whsec_";
/// What a symmetric signature begins with.
const VERSION: &str = "v1,";
/// The length of a signature, in bytes, before and after Base64.
const BYTES: usize = 32;
const LETTERS: usize = 44;
/// How many signatures of a header are looked at; the rest is as if it were not there.
const MOST_READ: usize = 16;
/// The longest id, in bytes.
const LONGEST_ID: usize = 256;

/// One signing secret: 24 to 64 bytes. It is never shown and zeroed when dropped.
pub struct Secret(SecretSlice<u8>);

/// The secrets that hold at a time, newest first: one, or two while they are being changed.
#[derive(Clone, Debug)]
pub struct Secrets(Vec<Secret>);

/// Why a text is no signing secret. It never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretFlaw {
    /// The prefix is missing.
    #[error("it does not begin with whsec_")]
    Prefix,
    /// The rest is no Base64.
    #[error("what follows whsec_ is not Base64")]
    Encoding,
    /// Too few or too many bytes.
    #[error("it holds {0} bytes, not 24 to 64")]
    Length(usize),
    /// There are none, or more than [`MOST_SECRETS`].
    #[error("{0} secrets are not one or two")]
    Count(usize),
}

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureFlaw {
    /// The id is empty, too long, holds a `.` (it would blur where the timestamp begins) or
    /// something that is not visible ASCII.
    #[error("the id cannot be signed")]
    Id,
    /// The timestamp is no whole number of seconds.
    #[error("the timestamp is not a number of seconds")]
    Timestamp,
    /// The timestamp is too far from the clock.
    #[error("the timestamp is more than {TOLERANCE_SECONDS} s from now")]
    Time,
    /// No signature fits.
    #[error("no signature fits")]
    Signature,
}

impl Secret {
    /// Reads `whsec_` and Base64 of 24 to 64 bytes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, SecretFlaw> {
        let coded = text.trim().strip_prefix(PREFIX).ok_or(SecretFlaw::Prefix)?;
        // Padding may be left out, as some libraries' generators do.
        let mut padded = Zeroizing::new(coded.trim_end_matches('=').to_owned());
        while !padded.len().is_multiple_of(4) {
            padded.push('=');
        }
        let bytes = Base64::decode_vec(&padded).map_err(|_| SecretFlaw::Encoding)?;
        if (24..=64).contains(&bytes.len()) {
            Ok(Self(bytes.into()))
        } else {
            Err(SecretFlaw::Length(bytes.len()))
        }
    }

    fn mac(&self, id: &str, timestamp: u64, body: &[u8]) -> Option<Hmac<Sha256>> {
        // A key of any length is taken; the library only cannot say so in its types.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).ok()?;
        mac.update(id.as_bytes());
        mac.update(format!(".{timestamp}.").as_bytes());
        mac.update(body);
        Some(mac)
    }
}

impl Secrets {
    /// One or two secrets by their texts, newest first.
    ///
    /// # Errors
    /// The first one's flaw, or that there are too few or too many.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, SecretFlaw> {
        let secrets: Vec<Secret> = texts
            .into_iter()
            .map(Secret::parse)
            .collect::<Result<_, _>>()?;
        match secrets.len() {
            1..=MOST_SECRETS => Ok(Self(secrets)),
            other => Err(SecretFlaw::Count(other)),
        }
    }

    /// The value of `webhook-signature`: a signature by each secret, newest first, parted by spaces.
    ///
    /// `id` goes as `webhook-id`, `timestamp` (seconds since 1970) as `webhook-timestamp`.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut value = String::with_capacity(self.0.len() * (VERSION.len() + LETTERS + 1));
        for secret in &self.0 {
            let Some(mac) = secret.mac(id, timestamp, body) else {
                continue;
            };
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str(VERSION);
            let bytes: [u8; BYTES] = mac.finalize().into_bytes().into();
            value.push_str(&Base64::encode_string(&bytes));
        }
        value
    }

    /// Checks what came with a message against the clock `now` (seconds since 1970), in time that
    /// tells nothing of the secrets. `timestamp` and `signature` are the headers' values as they came.
    ///
    /// A message that holds is authentic, but may have been seen before: ids are to be remembered
    /// for twice [`TOLERANCE_SECONDS`].
    ///
    /// # Errors
    /// The first [`SignatureFlaw`], in the order of its variants.
    pub fn verify(
        &self,
        id: &str,
        timestamp: &str,
        signature: &str,
        body: &[u8],
        now: u64,
    ) -> Result<(), SignatureFlaw> {
        let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'.';
        if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(fits) {
            return Err(SignatureFlaw::Id);
        }
        let timestamp = seconds(timestamp).ok_or(SignatureFlaw::Timestamp)?;
        if now.abs_diff(timestamp) > TOLERANCE_SECONDS {
            return Err(SignatureFlaw::Time);
        }
        let fits = signature
            .split(' ')
            .take(MOST_READ)
            .filter_map(told)
            .any(|told| self.made(id, timestamp, body, &told));
        if fits {
            Ok(())
        } else {
            Err(SignatureFlaw::Signature)
        }
    }

    fn made(&self, id: &str, timestamp: u64, body: &[u8], told: &[u8; BYTES]) -> bool {
        let made = |secret: &Secret| {
            let mac = secret.mac(id, timestamp, body);
            mac.is_some_and(|mac| mac.verify_slice(told).is_ok())
        };
        self.0.iter().any(made)
    }
}

/// Digits alone, and as they would be written again: `+1` or `01` would be signed as something else.
fn seconds(text: &str) -> Option<u64> {
    let canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

/// One signature of the header; other versions are for others.
fn told(text: &str) -> Option<[u8; BYTES]> {
    let coded = text.strip_prefix(VERSION)?;
    // The decoder wants room for what its input might fill, one byte more than it does.
    let mut room = [0; BYTES + 1];
    if coded.len() != LETTERS {
        return None;
    }
    Base64::decode(coded, &mut room).ok()?.try_into().ok()
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self(self.0.expose_secret().to_vec().into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests;
