//! The reply that a dispatcher sends to the ingress of a waiting caller.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Answer;
use crate::json::to_json;

/// How the first attempt ended, sent to a message's `reply_to`.
///
/// It may be lost: only the answer to one waiting caller depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The callback.
    pub request_id: Uuid,
    /// Its state.
    pub code: ReplyCode,
}

/// The state of a callback after its first attempt, by the contract's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplyCode {
    /// The target has answered 2xx.
    #[serde(rename = "000")]
    Delivered,
    /// It will be retried.
    #[serde(rename = "202")]
    Retrying,
    /// It will not be retried.
    #[serde(rename = "500500")]
    Failed,
}

impl Reply {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        to_json(self, 80)
    }

    /// Decodes a reply. `None` if the bytes are not a reply: treat it as lost.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl From<ReplyCode> for Answer {
    fn from(code: ReplyCode) -> Self {
        match code {
            ReplyCode::Delivered => Self::Accepted,
            ReplyCode::Retrying => Self::Retrying,
            ReplyCode::Failed => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Reply, ReplyCode};
    use crate::Answer;

    #[test]
    fn a_reply_is_decoded_as_it_was_encoded() {
        for (code, text) in [
            (ReplyCode::Delivered, "000"),
            (ReplyCode::Retrying, "202"),
            (ReplyCode::Failed, "500500"),
        ] {
            let request_id = Uuid::from_u128(7);
            let reply = Reply { request_id, code };
            let bytes = reply.encode();
            let expected = format!(
                r#"{{"request_id":"00000000-0000-0000-0000-000000000007","code":"{text}"}}"#
            );
            assert_eq!(String::from_utf8_lossy(&bytes), expected);
            assert_eq!(Reply::decode(&bytes), Some(reply));
            assert_eq!(Answer::from(code).code(), text);
        }
    }

    #[test]
    fn other_bytes_are_not_a_reply() {
        for bytes in [
            &b""[..],
            b"\xFF",
            b"{}",
            br#"{"request_id":"7","code":"000"}"#,
            br#"{"request_id":"00000000-0000-0000-0000-000000000007","code":"404"}"#,
            br#"{"request_id":"00000000-0000-0000-0000-000000000007"}"#,
        ] {
            assert_eq!(Reply::decode(bytes), None);
        }
    }
}
