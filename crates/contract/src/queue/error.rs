//! Why bytes from the queue are not a message that this gateway can process.

use crate::json::error_without_values;

/// Why a message cannot be processed. Decoding it again gives the same error.
///
/// The text never holds a payload. The only part of the message that it shows is the kind, and only
/// if that is a plain word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A version that this gateway does not know.
    #[error("the message has version {0}, which this gateway does not know")]
    UnknownVersion(u64),
    /// A kind of message that this gateway does not know.
    #[error("the message is of kind {kind:?}, which this gateway does not know")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// What its writer asks readers to do with it.
        if_unknown: IfUnknown,
    },
    /// Not a message, or a damaged one.
    #[error("the bytes are not a message: {0}")]
    Malformed(String),
}

/// What happens to a message of a kind that the reader does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfUnknown {
    /// It is settled as complete: only gateways that know the kind need it.
    Drop,
    /// It is quarantined.
    Quarantine,
}

impl MessageError {
    pub(super) fn malformed(reason: &str) -> Self {
        Self::Malformed(reason.to_owned())
    }

    pub(super) fn unknown_kind(kind: &str, if_unknown: Option<&str>) -> Self {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let kind = if kind.len() <= 64 && kind.bytes().all(is_word) {
            kind
        } else {
            "?"
        };
        Self::UnknownKind {
            kind: kind.to_owned(),
            if_unknown: match if_unknown {
                Some("drop") => IfUnknown::Drop,
                Some(_) | None => IfUnknown::Quarantine,
            },
        }
    }
}

impl From<serde_json::Error> for MessageError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error_without_values(&error))
    }
}
