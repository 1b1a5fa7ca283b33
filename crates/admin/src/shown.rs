//! What the settings say about what operators are shown: masks of payloads, and where traces are.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The place of the id in `admin.trace_url`.
pub(crate) const TRACE_ID: &str = "{trace_id}";
/// What stands in place of a masked value.
pub(crate) const MASKED: &str = "***";

/// A value of messages that operators are not shown: in the settings `TYPE:POINTER`, such as
/// `order.*:/card/number`. A `*` in the type stands for any characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PayloadMask {
    message_type: String,
    /// A JSON pointer (RFC 6901) into `request_message`.
    pointer: String,
}

impl TryFrom<String> for PayloadMask {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(":/") {
            Some((message_type, pointer)) if !message_type.trim().is_empty() => Ok(Self {
                message_type: message_type.trim().to_owned(),
                pointer: format!("/{pointer}"),
            }),
            Some(_) | None => Err(format!(
                "{text:?} is no mask: write TYPE:POINTER, such as order.*:/card/number"
            )),
        }
    }
}

impl From<PayloadMask> for String {
    fn from(mask: PayloadMask) -> Self {
        format!("{}:{}", mask.message_type, mask.pointer)
    }
}

/// What the settings say.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShownToOperators {
    pub(crate) trace_url: Option<String>,
    pub(crate) masks: Vec<PayloadMask>,
}

impl ShownToOperators {
    /// The page of a trace, if the settings say where.
    pub(crate) fn trace_link(&self, trace_id: &str) -> Option<String> {
        let url = self.trace_url.as_ref()?;
        Some(url.replace(TRACE_ID, trace_id))
    }

    /// Whether a mask is for messages of this type.
    pub(crate) fn has_mask(&self, message_type: &str) -> bool {
        let mut masks = self.masks.iter();
        masks.any(|mask| matches(&mask.message_type, message_type))
    }

    /// Masks values of a queue message of this type.
    pub(crate) fn mask(&self, message_type: &str, message: &mut Value) {
        for mask in &self.masks {
            if !matches(&mask.message_type, message_type) {
                continue;
            }
            let pointer = format!("/request_message{}", mask.pointer);
            if let Some(value) = message.pointer_mut(&pointer) {
                *value = Value::String(MASKED.to_owned());
            }
        }
    }
}

/// Whether a text is like the pattern, whose `*` stand for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match left.split_once(piece) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(masks: &[&str]) -> ShownToOperators {
        let masks = masks
            .iter()
            .map(|mask| PayloadMask::try_from((*mask).to_owned()).unwrap());
        ShownToOperators {
            trace_url: Some("https://traces.example/trace/{trace_id}?a".to_owned()),
            masks: masks.collect(),
        }
    }

    #[test]
    fn values_of_messages_of_a_type_are_masked() {
        let message = json!({ "v": 2, "request_message": { "card": { "number": 7, "name": "x" }, "list": [1, 2] } });
        let masked = json!({ "v": 2, "request_message": { "card": { "number": "***", "name": "x" }, "list": ["***", 2] } });
        let masks = shown(&[
            "order.*:/card/number",
            "order.paid:/list/0",
            "*:/missing",
            "refund:/card",
        ]);
        let mut value = message.clone();
        masks.mask("order.paid", &mut value);
        assert_eq!(value, masked);
        let mut other = message.clone();
        assert!(masks.has_mask("order.paid"));
        masks.mask("refund.made", &mut other);
        assert_eq!(other, message);
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "a.b", true),
            ("*.paid", "order.paid", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_mask_is_written_as_it_is_read_and_a_trace_has_a_link() {
        for text in ["order.*:/a/b", "a:b:/"] {
            let mask = PayloadMask::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(mask), text);
        }
        for wrong in ["", "order", ":/a", "order:a", "/a"] {
            assert!(PayloadMask::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
        let link = shown(&[]).trace_link("7f").unwrap();
        assert_eq!(link, "https://traces.example/trace/7f?a");
        assert_eq!(ShownToOperators::default().trace_link("7f"), None);
    }
}
