//! Records: what is written about a callback.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One thing that happened to a callback, with enough context to create the callback's row: the
/// record of an attempt may arrive before the record of the acceptance, or without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The fixed part of the callback.
    pub origin: Origin,
    /// The replay generation: 0 before the first replay.
    pub generation: u32,
    /// How often the message that this is about was retried now in its generation. A record of an
    /// older hold is about a stale copy: it does not win over one of a newer hold.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hold: u32,
    /// The number of the attempt that this is about, from 1: the one just made if `attempted` is
    /// set, otherwise the next one.
    pub attempt: u32,
    /// When it happened, Unix ms.
    pub at: u64,
    /// The callback's state after it.
    pub state: RecordedState,
    /// The attempt that was made, if one was.
    pub attempted: Option<AttemptRecord>,
    /// The queue message: of a dead letter, so that it can be replayed, and of a callback that waits
    /// after its first failure, delay or deferral, so that it can be retried now. Later records of the
    /// same generation need not repeat it. With `Delivered` only if delivered ones are kept too.
    // The name on the wire is that of version 2, whose readers take it from dead letters alone.
    #[serde(rename = "dead_letter", default, with = "utf8_bytes")]
    pub message: Option<Bytes>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The part of a callback that is known from the start and never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The callback's id: a UUID of version 7.
    pub request_id: Uuid,
    /// The caller's app.
    pub app_id: String,
    /// The caller's number.
    pub caller_no: Option<String>,
    /// The callee's number.
    pub callee_no: Option<String>,
    /// The type of message, in the caller's terms.
    pub message_type: String,
    /// The caller's URL, its query string masked.
    pub callback_url: Option<String>,
    /// Scheme, host and port of the caller's URL, or of the callee's URL at that time. Empty: none.
    pub target: String,
    /// When the request was accepted, Unix ms.
    pub accepted_at: u64,
}

/// The state of a callback after what is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedState {
    /// Accepted, or replayed.
    Queued {
        /// The earliest time of the first attempt (Unix ms), if a delay was requested.
        not_before: Option<u64>,
    },
    /// Deferred before `attempt`, which is not counted yet.
    #[serde(alias = "parked")] // In batches of version 1.
    Deferred {
        /// Unix ms.
        next_attempt_at: u64,
        /// Why, in a word: an outcome's label or a limit's name.
        #[serde(alias = "why")] // In batches of version 1.
        reason: String,
    },
    /// `attempted` failed and will be followed by another.
    Retrying {
        /// Unix ms.
        next_attempt_at: u64,
    },
    /// `attempted` succeeded.
    Delivered,
    /// Dead-lettered.
    Dead {
        /// Why: a `delivery::DeadLetterReason` as a word.
        reason: String,
    },
    /// Expired before it could be delivered.
    Expired,
    /// Cancelled by its caller or an operator.
    Cancelled,
}

impl RecordedState {
    /// Whether the callback was given up.
    #[must_use]
    pub const fn is_dead_letter(&self) -> bool {
        matches!(self, Self::Dead { .. } | Self::Expired)
    }
}

/// One call that was made. Its identity is `(request_id, generation, number, run)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The replay generation it belongs to.
    pub generation: u32,
    /// From 1; deferrals do not count.
    pub number: u32,
    /// Drawn anew for each delivery of the message, so that a redelivery does not hide the attempt
    /// that was made before it.
    pub run: u64,
    /// Unix ms.
    pub started_at: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// The outcome's label.
    pub outcome: String,
    /// Absent without a response.
    pub http_status: Option<u16>,
    /// One sentence for people, callers among them, if there is more to say. Never a payload or a
    /// secret.
    pub detail: Option<String>,
    /// The cause of a failure in the words of what reported it (TLS, resolver, socket), for operators.
    /// One line of at most 256 bytes, without a URL or a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What the target answered to an attempt that did not deliver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<TargetAnswer>,
}

/// The beginning of a target's answer, for operators who may see payloads.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetAnswer {
    /// Its `Content-Type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// At most 4 KiB of its body as text: control characters are shown, and what looks like a secret
    /// is masked.
    pub text: String,
}

/// Shows no byte of the answer.
impl fmt::Debug for TargetAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TargetAnswer")
            .field("content_type", &self.content_type)
            .field("text_bytes", &self.text.len())
            .finish()
    }
}

/// A queue message is one JSON object, so UTF-8: it travels as text.
mod utf8_bytes {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Bytes>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            None => serializer.serialize_none(),
            Some(bytes) => {
                let text = str::from_utf8(bytes).map_err(serde::ser::Error::custom)?;
                serializer.serialize_some(text)
            }
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Bytes::from))
    }
}
