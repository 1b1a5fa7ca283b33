//! Signatures of requests to targets, so that a target can verify the sender and the time.
//!
//! As Standard Webhooks 1.0.0 defines it ("Signature scheme"): HMAC-SHA256 over
//! `id.timestamp.body`, written as `v1,` and base64. `auth/hmac.rs` checks what callers sign.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::auth::hmac::{VERSION, sign};
use crate::auth::keys::{MAX_CREDENTIALS, Secret, SecretError};

/// The length of 32 bytes in base64.
const SIGNATURE_CHARS: usize = 44;

/// Signs with the secrets in force, newest first: one, or two during a rotation.
#[derive(Clone, Debug)]
pub struct Signer(Vec<Secret>);

/// Why texts are not signing secrets. It never shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignerError {
    /// One is not a secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// There are none, or more than [`MAX_CREDENTIALS`].
    #[error("there must be one or two secrets, not {0}")]
    Count(usize),
}

impl Signer {
    /// Parses one or two secrets (`whsec_` and base64), newest first.
    ///
    /// # Errors
    /// The error of the first bad one, or that there are too few or too many.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, SignerError> {
        let secrets = texts.into_iter().map(Secret::parse);
        let secrets: Vec<Secret> = secrets.collect::<Result<_, _>>()?;
        match secrets.len() {
            1..=MAX_CREDENTIALS => Ok(Self(secrets)),
            count => Err(SignerError::Count(count)),
        }
    }

    /// The value of `webhook-signature`: a signature by each secret, newest first, separated by
    /// spaces.
    ///
    /// `id` is sent as `webhook-id` and must not contain `.`; `timestamp` (Unix seconds) is sent as
    /// `webhook-timestamp`.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let timestamp = timestamp.to_string();
        let length = self.0.len() * (VERSION.len() + SIGNATURE_CHARS + 1);
        let mut value = String::with_capacity(length);
        for secret in &self.0 {
            let Some(signature) = sign(secret, id, &timestamp, body) else {
                continue;
            };
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str(VERSION);
            STANDARD.encode_string(signature, &mut value);
        }
        value
    }
}

#[cfg(test)]
mod tests;
