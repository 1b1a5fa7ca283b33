//! How does the gateway sign what it sends, so that a target knows who sent it and when?
//!
//! As Standard Webhooks 1.0.0 has it ("Signature scheme"): HMAC-SHA256 over `id.timestamp.body`,
//! told as `v1,` and Base64. What callers sign is checked in `callers`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;

use crate::callers::{Secret, SecretFlaw};

/// The current secret and the one before it: more would only put off a rotation's end.
pub const MOST_SECRETS: usize = 2;

/// What a symmetric signature begins with.
const VERSION: &str = "v1,";
/// The length of 32 bytes in Base64.
const LETTERS: usize = 44;

/// The secrets that hold at a time, newest first: one, or two while they are being changed.
#[derive(Clone, Debug)]
pub struct Signing(Vec<Secret>);

/// Why texts are no signing secrets. It never repeats them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SigningFlaw {
    /// One is no secret.
    #[error(transparent)]
    Secret(#[from] SecretFlaw),
    /// There are none, or more than [`MOST_SECRETS`].
    #[error("{0} secrets are not one or two")]
    Count(usize),
}

impl Signing {
    /// One or two secrets by their texts (`whsec_` and Base64), newest first.
    ///
    /// # Errors
    /// The first one's flaw, or that there are too few or too many.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, SigningFlaw> {
        let secrets: Vec<Secret> = texts
            .into_iter()
            .map(Secret::parse)
            .collect::<Result<_, _>>()?;
        match secrets.len() {
            1..=MOST_SECRETS => Ok(Self(secrets)),
            other => Err(SigningFlaw::Count(other)),
        }
    }

    /// The value of `webhook-signature`: a signature by each secret, newest first, parted by spaces.
    ///
    /// `id` goes as `webhook-id` and must hold no `.`; `timestamp` (seconds since 1970) goes as
    /// `webhook-timestamp`.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let timestamp = timestamp.to_string();
        let mut value = String::with_capacity(self.0.len() * (VERSION.len() + LETTERS + 1));
        for secret in &self.0 {
            // HMAC takes keys of every length.
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.bytes()) else {
                continue;
            };
            for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
                mac.update(part);
            }
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str(VERSION);
            STANDARD.encode_string(mac.finalize().into_bytes(), &mut value);
        }
        value
    }
}

#[cfg(test)]
mod tests;
