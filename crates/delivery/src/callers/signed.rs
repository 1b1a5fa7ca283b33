//! Is this signature made with that secret?
//!
//! The form is that of Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp` (Unix seconds) and
//! `webhook-signature` (`v1,` and base64, several parted by spaces), HMAC-SHA256 over
//! `id.timestamp.payload`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::Secret;

/// The longest `webhook-id`, in bytes.
const MOST_ID_BYTES: usize = 128;
/// The most signatures looked at: two secrets on the caller's side, with room.
const MOST_SIGNATURES: usize = 4;
/// What one of the version that we know begins with; others are passed over, as the standard asks.
const VERSION: &str = "v1,";

/// What a signed request bears, read.
#[derive(Debug)]
pub struct Signed<'a> {
    id: &'a str,
    /// As it was written: it is signed like this.
    time: &'a str,
    timestamp: u64,
    signatures: Vec<[u8; 32]>,
}

impl<'a> Signed<'a> {
    /// Reads the three headers. `None` when one is missing or is none: an id is 1 to 128 visible
    /// ASCII characters without a dot, a time is digits.
    #[must_use]
    pub fn read(
        id: Option<&'a str>,
        time: Option<&'a str>,
        signature: Option<&str>,
    ) -> Option<Self> {
        let (id, time) = (id?, time?);
        // A dot would let a part of the id pass for the time.
        let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'.';
        if !(1..=MOST_ID_BYTES).contains(&id.len()) || !id.bytes().all(fits) {
            return None;
        }
        // `parse` alone would take a plus sign.
        if !time.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let timestamp = time.parse().ok()?;
        let known = signature?
            .split(' ')
            .filter_map(|it| it.strip_prefix(VERSION));
        let signatures: Vec<[u8; 32]> = known
            .filter_map(|it| STANDARD.decode(it).ok()?.try_into().ok())
            .take(MOST_SIGNATURES)
            .collect();
        (!signatures.is_empty()).then_some(Self {
            id,
            time,
            timestamp,
            signatures,
        })
    }

    /// The request's own name.
    #[must_use]
    pub const fn id(&self) -> &'a str {
        self.id
    }

    /// When it was signed, Unix seconds.
    #[must_use]
    pub const fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// Whether one of its signatures is made with this secret, over this payload; in a time that
    /// depends on lengths alone.
    pub(crate) fn made_with(&self, secret: &Secret, payload: &[u8]) -> bool {
        // HMAC takes keys of every length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.bytes()) else {
            return false;
        };
        for part in [
            self.id.as_bytes(),
            b".",
            self.time.as_bytes(),
            b".",
            payload,
        ] {
            mac.update(part);
        }
        let made: [u8; 32] = mac.finalize().into_bytes().into();
        let same = |all, one: &[u8; 32]| all | one.ct_eq(&made);
        self.signatures
            .iter()
            .fold(subtle::Choice::from(0), same)
            .into()
    }
}
