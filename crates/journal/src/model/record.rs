//! Records: what is written about a callback.

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
    /// The number of the attempt that this is about, from 1: the one just made if `attempted` is
    /// set, otherwise the next one.
    pub attempt: u32,
    /// When it happened, Unix ms.
    pub at: u64,
    /// The callback's state after it.
    pub state: RecordedState,
    /// The attempt that was made, if one was.
    pub attempted: Option<AttemptRecord>,
    /// The queue message of a dead letter, so that it can be replayed. With `Dead` and `Expired`
    /// only.
    #[serde(default, with = "utf8_bytes")]
    pub dead_letter: Option<Bytes>,
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
    /// One sentence for people, if there is more to say. Never a payload or a secret.
    pub detail: Option<String>,
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
