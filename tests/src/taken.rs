//! What does a message look like that was taken out of a queue, whichever broker it lay in?

use std::collections::BTreeMap;

use bytes::Bytes;

/// A message as it lay in a queue.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Its body.
    pub body: Bytes,
    /// Its id as the broker shows it; empty where there is none.
    pub id: String,
    /// Whether it outlives the broker's process.
    pub persistent: bool,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Taken {
    /// All its headers, each as text.
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.headers
    }

    /// The header of this name as text: numbers and booleans spelt out.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).cloned()
    }
}
