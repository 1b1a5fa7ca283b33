//! The queue message, independent of the version that it was read from.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::request::options::Options;
use crate::unknown_fields::UnknownFields;

/// The maximum number of attempts in a message's history; the journal keeps all of them.
pub const MAX_HISTORY: usize = 20;

/// A callback in the queue: everything that a dispatcher needs for an attempt.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The callback's id, the same on every retry and replay.
    pub request_id: Uuid,
    /// The caller's app.
    pub app_id: String,
    /// The caller's number.
    pub caller_no: Option<String>,
    /// The callee's number; only a label if there is a `callback_url`.
    pub callee_no: Option<String>,
    /// The type of message, in the caller's terms.
    pub message_type: String,
    /// The caller's URL. `None`: the callee's URL is looked up at each attempt.
    pub callback_url: Option<String>,
    /// The caller's options.
    pub options: Options,
    /// When the request was accepted, in milliseconds since the Unix epoch.
    pub accepted_at: u64,
    /// How often the callback was replayed; 0 at first.
    pub generation: u32,
    /// The number of the next attempt, from 1.
    pub attempt: u32,
    /// How often it was deferred since the last attempt.
    pub deferrals: u32,
    /// How often it was retried now in this generation: a copy with a smaller number is stale.
    pub hold: u32,
    /// The earliest time of the attempt, in milliseconds since the Unix epoch. For waits longer
    /// than the broker's longest delay.
    pub not_before: Option<u64>,
    /// When `not_before` was decided, by the same clock. `None`: when the request was accepted, or
    /// an older version wrote the message.
    pub scheduled_at: Option<u64>,
    /// The caller's W3C trace context, passed on to the target.
    pub traceparent: Option<String>,
    /// The caller's `tracestate`, passed on to the target.
    pub tracestate: Option<String>,
    /// Where to send the [`crate::Reply`] on this attempt. Only set for the first attempt, and only
    /// if a caller waits for it.
    pub reply_to: Option<String>,
    /// The newest [`MAX_HISTORY`] attempts, oldest first.
    pub history: Vec<HistoryEntry>,
    /// Keys that this gateway does not know. A follow-up message keeps them.
    pub unknown: UnknownFields,
    /// The JSON object for the target, byte for byte as the caller wrote it.
    pub request_message: Bytes,
}

/// An attempt in a message's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryEntry {
    /// The number of the attempt, from 1.
    pub number: u32,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_at: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// How it ended, by the outcome's short name.
    pub outcome: String,
    /// The target's status; `None` without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// Keys that this gateway does not know.
    #[serde(skip)]
    pub unknown: UnknownFields,
}

impl Message {
    /// Adds an attempt to the history, and drops the oldest one beyond [`MAX_HISTORY`].
    pub fn push_history(&mut self, attempt: HistoryEntry) {
        self.history.push(attempt);
        let excess = self.history.len().saturating_sub(MAX_HISTORY);
        self.history.drain(..excess);
    }
}

/// Shows neither payload nor URL: a query string may hold a secret.
impl fmt::Debug for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Message")
            .field("request_id", &self.request_id)
            .field("app_id", &self.app_id)
            .field("callee_no", &self.callee_no)
            .field("generation", &self.generation)
            .field("attempt", &self.attempt)
            .field("deferrals", &self.deferrals)
            .field("request_message_bytes", &self.request_message.len())
            .finish_non_exhaustive()
    }
}
