//! What does a dispatcher tell the ingress whose caller waits?

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Answer;
use crate::json::to_json;

/// How the first attempt ended, told to whoever waits at a message's `reply_to`.
///
/// A courtesy: it may be lost, and nothing depends on it but the answer to one waiting caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The callback it is about.
    pub request_id: Uuid,
    /// How it stands.
    pub code: ReplyCode,
}

/// How a callback stands after its first attempt, by the contract's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplyCode {
    /// The target has answered 2xx.
    #[serde(rename = "000")]
    Delivered,
    /// It will be tried again.
    #[serde(rename = "202")]
    Retrying,
    /// It was given up.
    #[serde(rename = "500500")]
    GivenUp,
}

impl Reply {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        to_json(self, 80)
    }

    /// Reads a reply. `None`: the bytes are none, and worth no more than a lost one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl From<ReplyCode> for Answer {
    fn from(code: ReplyCode) -> Self {
        match code {
            ReplyCode::Delivered => Self::Accepted,
            ReplyCode::Retrying => Self::Retrying,
            ReplyCode::GivenUp => Self::GivenUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Reply, ReplyCode};
    use crate::Answer;

    #[test]
    fn a_reply_is_read_as_it_was_written() {
        for (code, text) in [
            (ReplyCode::Delivered, "000"),
            (ReplyCode::Retrying, "202"),
            (ReplyCode::GivenUp, "500500"),
        ] {
            let request_id = Uuid::from_u128(7);
            let reply = Reply { request_id, code };
            let bytes = reply.encode();
            let told = format!(
                r#"{{"request_id":"00000000-0000-0000-0000-000000000007","code":"{text}"}}"#
            );
            assert_eq!(String::from_utf8_lossy(&bytes), told);
            assert_eq!(Reply::decode(&bytes), Some(reply));
            assert_eq!(Answer::from(code).code(), text);
        }
    }

    #[test]
    fn other_bytes_are_no_reply() {
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
