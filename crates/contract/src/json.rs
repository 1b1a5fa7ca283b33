//! How is one of our own values written as JSON?

use serde::Serialize;

/// The JSON of a value of ours: keys in the order of its fields, non-ASCII left as it is.
#[expect(
    clippy::expect_used,
    reason = "a Vec takes every write, and our structs have string keys and no failing serialisers; \
              empty bytes instead would be a lost callback"
)]
pub(crate) fn to_json(value: &impl Serialize, room: usize) -> Vec<u8> {
    let mut json = Vec::with_capacity(room);
    serde_json::to_writer(&mut json, value).expect("plain structs always serialise");
    json
}
