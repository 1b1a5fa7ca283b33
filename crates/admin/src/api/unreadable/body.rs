//! What is told about an unreadable message: its id, why it cannot be decoded, and its first bytes.

use std::fmt::Write as _;

use broker::{Queue, Received};
use contract::Message;
use runtime::text;
use sha2::{Digest as _, Sha256};

use crate::api::error::ApiError;
use crate::api::view::UnreadableView;
use crate::doctor::said::say;

/// How many bytes of a body are shown.
const MAX_SHOWN_BYTES: usize = 1_024;
/// 64 bits of the hash.
const ID_BYTES: usize = 8;

/// The id of the messages with this body: equal bytes have equal ids, in every queue and process.
pub(super) fn id_of(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    let mut id = String::with_capacity(2 * ID_BYTES);
    for byte in &hash[..ID_BYTES] {
        let _ = write!(id, "{byte:02x}"); // Writing to a String cannot fail.
    }
    id
}

/// Checks an id.
///
/// # Errors
/// When it is not one.
pub(super) fn parse_id(text: &str) -> Result<String, ApiError> {
    let is_id = text.len() == 2 * ID_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id {
        return Ok(text.to_ascii_lowercase());
    }
    let shown: String = text.chars().take(50).collect();
    Err(ApiError::parameter(say!(
        "{shown:?} is not the id of an unreadable message",
        "{shown:?} 不是无法解析的消息的 ID"
    )))
}

/// The message, without its bytes.
pub(super) fn view(received: &Received) -> UnreadableView {
    let (from, quarantined_at) = received.quarantined.clone();
    let problem = problem(received);
    let reason = received.reason.clone().or_else(|| problem.clone());
    UnreadableView {
        id: id_of(&received.body),
        size: received.body.len(),
        from,
        quarantined_at,
        reason,
        readable_now: problem.is_none(),
        beginning: None,
    }
}

/// The message with the first bytes of its body.
pub(super) fn view_with_beginning(received: &Received) -> UnreadableView {
    let shown = received.body.len().min(MAX_SHOWN_BYTES);
    UnreadableView {
        beginning: Some(escaped(&received.body[..shown])),
        ..view(received)
    }
}

/// Whether it was read from the queue of records, to which it returns.
pub(super) fn is_batch(received: &Received) -> bool {
    received.quarantined.0.as_deref() == Some(Queue::Journal.as_str())
}

/// Why this version cannot decode it. `None`: it can.
fn problem(received: &Received) -> Option<String> {
    if is_batch(received) {
        let decoded = journal::decode_batch(&received.body);
        return decoded.err().map(|error| error.to_string());
    }
    let decoded = Message::decode(&received.body);
    decoded.err().map(|error| error.to_string())
}

/// Text as it is, with escapes for control and format characters; other bytes as `\xNN`.
fn escaped(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&text::lines(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_without_control_characters_and_the_id_is_that_of_the_bytes() {
        let bytes = b"\xffok\x1b[2J\xe4\xb9\x90\xe4";
        assert_eq!(escaped(bytes), "\\xffok\\u{1b}[2J\u{4e50}\\xe4");
        let id = id_of(bytes);
        assert_eq!(parse_id(&id.to_uppercase()).unwrap(), id);
        assert_ne!(id_of(b"other"), id);
        for text in ["", "7", "0123456789abcdeg", "0123456789abcdef0"] {
            assert!(parse_id(text).is_err(), "{text}");
        }
    }
}
