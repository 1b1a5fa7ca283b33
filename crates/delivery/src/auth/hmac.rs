//! Signatures as in Standard Webhooks 1.0: callers' headers, and the HMAC for both directions.
//!
//! The headers are `webhook-id`, `webhook-timestamp` (Unix seconds) and `webhook-signature` (`v1,`
//! and base64; several are separated by spaces): HMAC-SHA256 over `id.timestamp.payload`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::auth_error::AuthError;
use super::keys::Secret;

/// The prefix of a symmetric signature. Others are ignored, as the standard requires.
pub(crate) const VERSION: &str = "v1,";

/// The maximum length of `webhook-id`, in bytes.
const MAX_ID_BYTES: usize = 128;

/// The maximum number of signatures that are checked: the caller may use two secrets.
const MAX_SIGNATURES: usize = 4;

/// The HMAC over `id.timestamp.payload`.
pub(crate) fn sign(secret: &Secret, id: &str, timestamp: &str, payload: &[u8]) -> Option<[u8; 32]> {
    // HMAC accepts keys of any length, so this is always `Some`.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).ok()?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", payload] {
        mac.update(part);
    }
    Some(mac.finalize().into_bytes().into())
}

/// The parsed headers of a signed request.
#[derive(Debug)]
pub struct SignatureHeaders<'a> {
    id: &'a str,
    /// As it was written, because it is signed.
    timestamp_text: &'a str,
    timestamp: u64,
    signatures: Vec<[u8; 32]>,
}

impl<'a> SignatureHeaders<'a> {
    /// Parses the three headers: an id is 1 to 128 visible ASCII characters without a dot, a timestamp
    /// consists of digits.
    ///
    /// # Errors
    /// [`AuthError::Missing`] if one is absent, [`AuthError::Malformed`] if one cannot be read.
    pub fn parse(
        id: Option<&'a str>,
        timestamp: Option<&'a str>,
        signature: Option<&str>,
    ) -> Result<Self, AuthError> {
        let (Some(id), Some(timestamp), Some(signature)) = (id, timestamp, signature) else {
            return Err(AuthError::Missing);
        };
        Self::read(id, timestamp, signature).ok_or(AuthError::Malformed)
    }

    fn read(id: &'a str, timestamp_text: &'a str, signature: &str) -> Option<Self> {
        // With a dot, a part of the id could pass for the timestamp.
        let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'.';
        if !(1..=MAX_ID_BYTES).contains(&id.len()) || !id.bytes().all(fits) {
            return None;
        }
        // `parse` alone would accept a plus sign.
        if !timestamp_text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let timestamp = timestamp_text.parse().ok()?;
        let signatures: Vec<[u8; 32]> = signature
            .split(' ')
            .filter_map(|part| part.strip_prefix(VERSION))
            .filter_map(|part| STANDARD.decode(part).ok()?.try_into().ok())
            .take(MAX_SIGNATURES)
            .collect();
        (!signatures.is_empty()).then_some(Self {
            id,
            timestamp_text,
            timestamp,
            signatures,
        })
    }

    /// The request's id.
    #[must_use]
    pub const fn id(&self) -> &'a str {
        self.id
    }

    /// When it was signed, Unix seconds.
    #[must_use]
    pub const fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// Whether one of the signatures was made with this secret over this payload. The duration
    /// depends on lengths only.
    pub(crate) fn is_signed_with(&self, secret: &Secret, payload: &[u8]) -> bool {
        let Some(expected) = sign(secret, self.id, self.timestamp_text, payload) else {
            return false;
        };
        let equal = |any, signature: &[u8; 32]| any | signature.ct_eq(&expected);
        self.signatures
            .iter()
            .fold(subtle::Choice::from(0), equal)
            .into()
    }
}
