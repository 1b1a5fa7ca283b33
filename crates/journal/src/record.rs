//! What is told about a callback, so that its story can be put together from any part of it?

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One thing that happened to a callback, with enough beside it to create the callback's row: the
/// record of an attempt may arrive before the record of its acceptance, or instead of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who asked for what.
    pub origin: Origin,
    /// How often the callback had been replayed: 0 in its first life.
    pub generation: u32,
    /// The number of the attempt that this is about: the one just made where `attempted` is there,
    /// the next one otherwise. From 1.
    pub attempt: u32,
    /// When it happened, Unix ms.
    pub at: u64,
    /// What became of the callback by it.
    pub state: State,
    /// The attempt that was made, if one was.
    pub attempted: Option<Attempt>,
    /// The queue message of a callback given up, so that it can be replayed. With `Dead` and
    /// `Expired` only.
    #[serde(with = "text")]
    pub dead_letter: Option<Bytes>,
}

/// What is known of a callback from its first moment and never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The callback's identity: a UUID of version 7.
    pub request_id: Uuid,
    /// The caller's app.
    pub app_id: String,
    /// The number of the calling party.
    pub caller_no: Option<String>,
    /// The number of the called party.
    pub callee_no: Option<String>,
    /// What kind of message it is, in the caller's own terms.
    pub message_type: String,
    /// The caller's URL, its query string masked.
    pub callback_url: Option<String>,
    /// Scheme, host and port of the caller's URL, or of the callee's as it was then. Empty: none.
    pub target: String,
    /// When the request was accepted, Unix ms.
    pub accepted_at: u64,
}

/// What a callback is in, after what is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted, or replayed.
    Queued {
        /// The first attempt is not made before this moment (Unix ms), where a delay was asked for.
        not_before: Option<u64>,
    },
    /// Set aside before `attempt`, which is still unspent.
    Parked {
        /// Unix ms.
        next_attempt_at: u64,
        /// Why, in a word: an outcome's label or a limit's name.
        why: String,
    },
    /// `attempted` failed and will be followed by another.
    Retrying {
        /// Unix ms.
        next_attempt_at: u64,
    },
    /// `attempted` succeeded.
    Delivered,
    /// Given up.
    Dead {
        /// Why: a `delivery::Reason` as a word.
        reason: String,
    },
    /// Too old before it could be delivered.
    Expired,
    /// Withdrawn by its caller.
    Cancelled,
}

/// One call that was made. Its identity is `(request_id, generation, number, run)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The replay generation it belongs to.
    pub generation: u32,
    /// From 1; parking does not count.
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
    /// Absent without an answer.
    pub http_status: Option<u16>,
    /// One sentence for people, if there is more to say. Never a payload or a secret.
    pub detail: Option<String>,
}

/// The bytes are no batch of records.
#[derive(Debug, thiserror::Error)]
#[error("not a batch of records: {0}")]
pub struct Unreadable(#[from] serde_json::Error);

/// The batch as bytes, for the way to a journal.
pub fn encode_batch(records: &[Record]) -> Bytes {
    /// The version leads, as in the queue's message.
    #[derive(Serialize)]
    struct Batch<'a> {
        v: u8,
        records: &'a [Record],
    }
    // Strings, numbers and options: nothing in a record can fail to serialise.
    serde_json::to_vec(&Batch { v: 1, records })
        .unwrap_or_default()
        .into()
}

/// Reads a batch back.
///
/// # Errors
/// [`Unreadable`] when the bytes are none, or of an unknown version.
pub fn decode_batch(bytes: &[u8]) -> Result<Vec<Record>, Unreadable> {
    #[derive(Deserialize)]
    struct Batch {
        v: u8,
        records: Vec<Record>,
    }
    let batch: Batch = serde_json::from_slice(bytes)?;
    if batch.v != 1 {
        let unknown = format!("version {} is not known", batch.v);
        return Err(Unreadable(serde::de::Error::custom(unknown)));
    }
    Ok(batch.records)
}

/// A queue message is one JSON object, so UTF-8: it travels as text.
mod text {
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
