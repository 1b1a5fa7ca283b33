//! JSON serialisation of the formats of this crate, and its errors in words.

use serde::Serialize;
use serde_json::error::Category;

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

/// An error of serde in words that quote nothing of the bytes that it rejects: they may hold a payload,
/// which is never logged. Only the two messages that name nothing but a field are passed on.
#[must_use]
pub fn error_without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("missing field `") || text.starts_with("duplicate field `") {
        return text;
    }
    let what = match error.classify() {
        Category::Data => "invalid value",
        Category::Io | Category::Syntax | Category::Eof => "invalid JSON",
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}
