//! Decides whether a 2xx answer is a success, by its body.

use serde_json::Value;

/// A callee's rule: where the result code is in its answers, and which codes mean success.
pub(crate) struct SuccessRule {
    /// RFC 6901.
    pointer: String,
    values: Vec<String>,
}

impl SuccessRule {
    pub(crate) fn new(pointer: String, values: Vec<String>) -> Self {
        Self { pointer, values }
    }

    /// Whether this body means success. An unreadable one does not; `0` and `"0"` are the same.
    pub(crate) fn accepts(&self, body: &[u8]) -> bool {
        let Ok(answer) = serde_json::from_slice::<Value>(body) else {
            return false;
        };
        let code = match answer.pointer(&self.pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(_) | Value::Object(_)) | None => return false,
            Some(scalar) => scalar.to_string(),
        };
        self.values.contains(&code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_at_the_pointer_is_compared_as_text_and_anything_else_is_a_failure() {
        let rule = |pointer: &str| {
            let values = ["0", "ok", "true", "1.5", "null"].map(str::to_owned);
            SuccessRule::new(pointer.to_owned(), values.to_vec())
        };
        for (pointer, body, success) in [
            ("/code", r#"{"code": 0}"#, true),
            ("/code", r#"{"code": "0"}"#, true),
            ("/code", r#"{"code": "00"}"#, false),
            ("/code", r#"{"code": true}"#, true),
            ("/code", r#"{"code": 1.5}"#, true),
            ("/code", r#"{"code": null}"#, true),
            ("/code", r#"{"code": [0]}"#, false),
            ("/code", r#"{"Code": 0}"#, false),
            ("/a~1b/1", r#"{"a/b": [7, "ok"]}"#, true),
            ("/code", "", false),
            ("/code", "no JSON", false),
            ("/code", r#"{"code": 0}, more"#, false),
        ] {
            assert_eq!(
                rule(pointer).accepts(body.as_bytes()),
                success,
                "{pointer} {body}"
            );
        }
    }
}
