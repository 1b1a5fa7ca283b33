//! JSON serialisation of the formats of this crate.

use serde::Serialize;

/// Serialises a value: keys in the order of its fields, non-ASCII characters unescaped.
#[expect(
    clippy::expect_used,
    reason = "writing to a Vec cannot fail, and the structs have string keys and no failing \
              serialisers; returning empty bytes instead would lose a callback"
)]
pub(crate) fn to_json(value: &impl Serialize, capacity: usize) -> Vec<u8> {
    let mut json = Vec::with_capacity(capacity);
    serde_json::to_writer(&mut json, value).expect("plain structs always serialise");
    json
}
