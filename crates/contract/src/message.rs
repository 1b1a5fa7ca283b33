//! What do ingress and dispatcher tell each other through the queue?

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Options;

mod v1;

#[cfg(test)]
mod tests;

/// The most attempts that a message remembers; the journal remembers all.
pub const MOST_HISTORY: usize = 20;

/// Every version ever written. The last one is written now, all of them are read, and
/// `golden/` holds files of each.
const VERSIONS: [u64; 1] = [v1::VERSION];

/// A callback on its way: everything that an attempt needs, so that a dispatcher needs nothing
/// but the message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The callback's identity, the same on every retry and replay.
    pub request_id: Uuid,
    /// The caller's app.
    pub app_id: String,
    /// The number of the calling party.
    pub caller_no: Option<String>,
    /// The number of the called party; a mere label beside a `callback_url`.
    pub callee_no: Option<String>,
    /// What kind of message it is, in the caller's own terms.
    pub message_type: String,
    /// The caller's URL. `None`: the callee's is looked up anew at each attempt.
    pub callback_url: Option<String>,
    /// The caller's wishes.
    pub options: Options,
    /// When the request was accepted, in milliseconds since the Unix epoch.
    pub accepted_at: u64,
    /// How often the callback was replayed so far: 0 for the first life.
    pub generation: u32,
    /// The number of the attempt that this message asks for, from 1.
    pub attempt: u32,
    /// How often it was set aside since the last attempt.
    pub parked: u32,
    /// Not to be attempted before this moment, in milliseconds since the Unix epoch. For waits
    /// longer than the broker's longest delay.
    pub not_before: Option<u64>,
    /// The caller's W3C trace context, handed on to the target.
    pub traceparent: Option<String>,
    /// Where to tell how this attempt ended: see [`crate::Reply`]. On the way to the first attempt
    /// alone, and only where a caller waits for it.
    pub reply_to: Option<String>,
    /// The newest [`MOST_HISTORY`] attempts, oldest first.
    pub history: Vec<Attempt>,
    /// The JSON object for the target, byte for byte as the caller wrote it.
    pub request_message: Bytes,
}

/// One call that was made, as the message remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// Its number, from 1.
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
}

/// Why bytes from the queue are poison. The text never holds bytes of the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Written by a gateway newer than this one.
    #[error("the message has version {0}, which this gateway does not know")]
    Version(u64),
    /// Not a message at all, or a damaged one.
    #[error("the bytes are not a message: {0}")]
    Format(String),
}

impl Message {
    /// The bytes for the queue, in the newest version.
    ///
    /// `request_message` must be a JSON object, as [`crate::Request::parse`] and
    /// [`Message::decode`] make it: it is copied, not checked.
    pub fn encode(&self) -> Vec<u8> {
        v1::encode(self)
    }

    /// Reads bytes from the queue, of any version in `golden/`. `request_message` is a slice of
    /// `bytes`, not a copy.
    ///
    /// # Errors
    /// [`Unreadable`]: such bytes are poison, and no later try will read them better.
    pub fn decode(bytes: &Bytes) -> Result<Self, Unreadable> {
        // Nearly every message has the newest version: its reader goes first, so that the bytes
        // are read once. Only when it fails does it matter which version was meant.
        v1::decode(bytes).map_err(|unreadable| match serde_json::from_slice(bytes) {
            Ok(Version { v }) if !VERSIONS.contains(&v) => Unreadable::Version(v),
            Ok(_) | Err(_) => unreadable,
        })
    }

    /// Remembers an attempt, and forgets the oldest one beyond [`MOST_HISTORY`].
    pub fn push_history(&mut self, attempt: Attempt) {
        self.history.push(attempt);
        let excess = self.history.len().saturating_sub(MOST_HISTORY);
        self.history.drain(..excess);
    }
}

/// Shows which message it is, and no payload and no URL: a query string may hold a secret.
impl fmt::Debug for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Message")
            .field("request_id", &self.request_id)
            .field("app_id", &self.app_id)
            .field("callee_no", &self.callee_no)
            .field("generation", &self.generation)
            .field("attempt", &self.attempt)
            .field("parked", &self.parked)
            .field("request_message_bytes", &self.request_message.len())
            .finish_non_exhaustive()
    }
}

/// The one field that every version has.
#[derive(Deserialize)]
struct Version {
    v: u64,
}
