//! A message taken from a queue, the same for both brokers.

use std::collections::BTreeMap;

use bytes::Bytes;

/// A message as it was stored in a queue.
#[derive(Debug, Clone)]
pub struct QueueMessage {
    /// Its body.
    pub body: Bytes,
    /// Its id as the broker shows it; empty if it has none.
    pub id: String,
    /// Whether it survives a restart of the broker.
    pub persistent: bool,
    pub(crate) headers: BTreeMap<String, String>,
}

impl QueueMessage {
    /// All its headers, as text.
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.headers
    }

    /// The header of this name as text; numbers and booleans are formatted.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).cloned()
    }
}
