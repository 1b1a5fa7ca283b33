//! Probes: messages that ask whether a work queue is worked off, and the answer.
//!
//! A probe travels like a callback and needs no journal, target or permit: the dispatcher that
//! receives it answers at once to its `reply_to`, and settles it. Work queues are first in, first
//! out, and what a dispatcher returns goes back to the head. So the answer proves that every
//! message that was ready before the probe has been received since.
//!
//! It is a message of version 2 and of the kind `probe`, with `"if_unknown":"drop"`: a gateway that
//! does not know the kind completes it without a word.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::MessageError;
use super::v2;
use crate::json::to_json;

/// The kind of a probe within version 2.
const KIND: &str = "probe";

/// A message that asks whether its queue is worked off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Names the probe in its answer.
    pub probe_id: Uuid,
    /// Where the answer goes.
    pub reply_to: String,
    /// When it was published, Unix ms, by the publisher's clock.
    pub sent_at: u64,
}

/// The bytes of a probe.
#[derive(Serialize, Deserialize)]
struct ProbeMessage<'a> {
    v: u64,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    if_unknown: Cow<'a, str>,
    probe_id: Uuid,
    #[serde(borrow)]
    reply_to: Cow<'a, str>,
    sent_at: u64,
}

/// What a dispatcher answers to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAnswer {
    /// The probe that was received.
    pub probe_id: Uuid,
    /// When, Unix ms, by the dispatcher's clock.
    pub received_at: u64,
}

impl Probe {
    /// Name and version of the format: the AMQP property `type`.
    pub const AMQP_TYPE: &'static str = "probe.v2";

    /// The bytes for the queue.
    pub fn encode(&self) -> Vec<u8> {
        let message = ProbeMessage {
            v: v2::VERSION,
            kind: KIND.into(),
            if_unknown: "drop".into(),
            probe_id: self.probe_id,
            reply_to: self.reply_to.as_str().into(),
            sent_at: self.sent_at,
        };
        to_json(&message, 256)
    }

    /// The probe in bytes that [`super::Message::decode`] did not decode, by its error. `None`: they
    /// are something else. Keys that this gateway does not know are ignored.
    pub fn in_undecoded(bytes: &[u8], error: &MessageError) -> Option<Self> {
        match error {
            MessageError::UnknownKind { kind, .. } if kind == KIND => {}
            MessageError::UnknownKind { .. }
            | MessageError::UnknownVersion(_)
            | MessageError::Malformed(_) => return None,
        }
        let read: ProbeMessage<'_> = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            probe_id: read.probe_id,
            reply_to: read.reply_to.into_owned(),
            sent_at: read.sent_at,
        })
    }
}

impl ProbeAnswer {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        to_json(self, 96)
    }

    /// Decodes an answer. `None` if the bytes are not one: they are a reply of another kind.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::queue::{IfUnknown, Message};
    use crate::{Reply, ReplyCode};

    fn probe() -> Probe {
        Probe {
            probe_id: Uuid::from_u128(7),
            reply_to: "ringback.reply.0123456789abcdef".to_owned(),
            sent_at: 1_758_500_000_000,
        }
    }

    /// What the decoding of messages says about these bytes.
    fn refused(bytes: &[u8]) -> MessageError {
        Message::decode(&Bytes::copy_from_slice(bytes)).unwrap_err()
    }

    #[test]
    fn a_probe_is_read_as_it_was_written() {
        let bytes = probe().encode();
        let golden = include_str!("../../golden/message-v2-probe.json");
        assert_eq!(String::from_utf8_lossy(&bytes), golden.trim_end());
        assert_eq!(Probe::in_undecoded(&bytes, &refused(&bytes)), Some(probe()));
        let longer = golden.replacen('{', r#"{"new":[1],"#, 1);
        let read = Probe::in_undecoded(longer.as_bytes(), &refused(longer.as_bytes()));
        assert_eq!(read, Some(probe()));
    }

    #[test]
    fn a_gateway_that_does_not_know_probes_drops_them() {
        let MessageError::UnknownKind { if_unknown, .. } = refused(&probe().encode()) else {
            panic!("another error")
        };
        assert_eq!(if_unknown, IfUnknown::Drop);
    }

    #[test]
    fn other_bytes_are_not_a_probe() {
        for text in [
            "",
            "{}",
            r#"{"v":2,"kind":"probe","if_unknown":"drop"}"#,
            r#"{"v":2,"kind":"other","if_unknown":"drop","probe_id":"00000000-0000-0000-0000-000000000007","reply_to":"r","sent_at":1}"#,
            r#"{"v":3,"kind":"probe","if_unknown":"drop","probe_id":"00000000-0000-0000-0000-000000000007","reply_to":"r","sent_at":1}"#,
        ] {
            let bytes = text.as_bytes();
            assert_eq!(Probe::in_undecoded(bytes, &refused(bytes)), None, "{text}");
        }
    }

    #[test]
    fn an_answer_and_the_reply_to_a_waiting_caller_are_not_confused() {
        let answer = ProbeAnswer {
            probe_id: Uuid::from_u128(7),
            received_at: 1,
        };
        assert_eq!(ProbeAnswer::decode(&answer.encode()), Some(answer));
        assert_eq!(Reply::decode(&answer.encode()), None);
        let (request_id, code) = (Uuid::from_u128(7), ReplyCode::Delivered);
        let reply = Reply { request_id, code }.encode();
        assert_eq!(ProbeAnswer::decode(&reply), None);
    }
}
