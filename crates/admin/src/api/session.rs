//! The value of the console's session cookie: when it ends, and an HMAC over that under a key derived
//! from the operator's token.
//!
//! Every process that knows the hash of the token can check it, nothing is stored, and it is void as
//! soon as the token is gone. Who knows the hash can make one, so hashes are kept like secrets.

use std::time::Duration;

use delivery::auth::KeyHash;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How long a session lasts.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// What the key is derived for: another use of the same hash gets another key.
const PURPOSE: &[u8] = b"ringback console session, version 1";

/// The longest value that is looked at.
const MAX_VALUE_BYTES: usize = 128;

/// The value for the holder of this token, until `expires_at`, Unix seconds.
pub(crate) fn issue(token: &KeyHash, expires_at: u64) -> Option<String> {
    let mac = mac(token, expires_at)?.finalize().into_bytes();
    let digits: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{expires_at}.{digits}"))
}

/// Whether the value was issued for this token, and has not expired at `now`, Unix seconds.
pub(super) fn is_valid(value: &str, token: &KeyHash, now: u64) -> bool {
    let Some((expires_at, given)) = parse(value) else {
        return false;
    };
    let lifetime = LIFETIME.as_secs();
    // A time beyond the lifetime was issued by a clock that is wrong, or by nobody.
    let is_current = expires_at > now && expires_at - now <= lifetime + lifetime / 12;
    let is_ours = mac(token, expires_at).is_some_and(|mac| mac.verify_slice(&given).is_ok());
    is_current && is_ours
}

fn parse(value: &str) -> Option<(u64, [u8; 32])> {
    if value.len() > MAX_VALUE_BYTES {
        return None;
    }
    let (expires_at, digits) = value.split_once('.')?;
    let mut mac = [0; 32];
    if digits.len() != 2 * mac.len() || !digits.is_ascii() {
        return None;
    }
    for (at, byte) in mac.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some((expires_at.parse().ok()?, mac))
}

/// `None` never happens: HMAC accepts keys of any length.
fn mac(token: &KeyHash, expires_at: u64) -> Option<Hmac<Sha256>> {
    let mut key = Hmac::<Sha256>::new_from_slice(token.to_string().as_bytes()).ok()?;
    key.update(PURPOSE);
    let key = key.finalize().into_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(expires_at.to_string().as_bytes());
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_763_900_000;

    #[test]
    fn a_session_is_valid_for_its_token_until_it_expires() {
        let (token, other) = (KeyHash::of(b"token"), KeyHash::of(b"other"));
        let ends = NOW + LIFETIME.as_secs();
        let value = issue(&token, ends).unwrap();
        assert!(is_valid(&value, &token, NOW));
        assert!(is_valid(&value, &token, ends - 1));
        assert!(!is_valid(&value, &token, ends));
        assert!(!is_valid(&value, &other, NOW));
    }

    #[test]
    fn no_part_of_a_session_can_be_changed() {
        let token = KeyHash::of(b"token");
        let ends = NOW + 60;
        let value = issue(&token, ends).unwrap();
        let (_, mac) = value.split_once('.').unwrap();
        let swapped = if mac.ends_with('0') { '1' } else { '0' };
        for changed in [
            format!("{}.{mac}", ends + 1),
            format!("{value}0"),
            format!("{}{swapped}", &value[..value.len() - 1]),
            format!("{ends}.{}", &mac[2..]),
            format!("{ends}.{}", "乐".repeat(22)),
            mac.to_owned(),
            String::new(),
            "x".repeat(10_000),
        ] {
            assert!(!is_valid(&changed, &token, NOW), "{changed}");
        }
        // Issued for longer than a session lasts.
        let long = issue(&token, NOW + 100 * LIFETIME.as_secs()).unwrap();
        assert!(!is_valid(&long, &token, NOW));
    }
}
