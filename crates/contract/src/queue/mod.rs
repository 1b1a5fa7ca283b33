//! The message between ingress and dispatcher, in all its versions.
//!
//! - `message.rs`: the message, whatever its version.
//! - `v2.rs`: the format that is written now. Start here.
//! - `v1.rs`: the format of releases before 0.2.0, which is still read.
//! - `probe.rs`: a message that only asks whether its queue is worked off.
//! - `error.rs`: why a message cannot be processed.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

mod error;
mod message;
mod probe;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

pub use error::{IfUnknown, MessageError};
pub use message::{HistoryEntry, MAX_HISTORY, Message};
pub use probe::{Probe, ProbeAnswer};

impl Message {
    /// Name and version of the written format: the AMQP property `type`.
    pub const AMQP_TYPE: &'static str = "callback.v2";

    /// The bytes for the queue, in the newest version.
    ///
    /// `request_message` must be a JSON object, as [`crate::Request::parse`] and
    /// [`Message::decode`] make it: it is copied, not checked.
    pub fn encode(&self) -> Vec<u8> {
        v2::encode(self)
    }

    /// Decodes bytes from the queue, of any version in `golden/`. `request_message` is a slice of
    /// `bytes`, not a copy.
    ///
    /// # Errors
    /// [`MessageError`]. For an unknown kind it says whether the message may be dropped or must be
    /// quarantined.
    pub fn decode(bytes: &Bytes) -> Result<Self, MessageError> {
        // Nearly every message has the newest version and no unknown keys. Trying that first reads
        // the bytes once; version and kind matter only if it fails.
        v2::decode_known(bytes).or_else(|_| match serde_json::from_slice(bytes)? {
            Header { v: v1::VERSION, .. } => v1::decode(bytes),
            Header {
                v: v2::VERSION,
                kind: Some(kind),
                if_unknown,
            } if kind != v2::KIND => Err(MessageError::unknown_kind(&kind, if_unknown.as_deref())),
            Header { v: v2::VERSION, .. } => v2::decode(bytes),
            Header { v, .. } => Err(MessageError::UnknownVersion(v)),
        })
    }
}

/// The keys that decide which version reads a message.
#[derive(Deserialize)]
struct Header<'a> {
    v: u64,
    #[serde(default)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    if_unknown: Option<Cow<'a, str>>,
}
