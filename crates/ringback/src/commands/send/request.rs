//! The request of `ringback send`, to the byte.

use std::str;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::CommandError;

/// What a callback consists of.
#[derive(Debug)]
pub(super) struct CallbackRequest<'a> {
    pub(super) callback_url: Option<&'a str>,
    pub(super) callee_no: Option<&'a str>,
    pub(super) app_id: &'a str,
    pub(super) caller_no: Option<&'a str>,
    pub(super) message_type: &'a str,
    pub(super) message: &'a [u8],
    pub(super) options: &'a [(String, Value)],
}

impl CallbackRequest<'_> {
    /// The body. The message is in it as it was given.
    ///
    /// # Errors
    /// The message is not JSON in UTF-8.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, CommandError> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            callback_url: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            callee_no: Option<&'a str>,
            app_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            caller_no: Option<&'a str>,
            message_type: &'a str,
            request_message: &'a RawValue,
            #[serde(skip_serializing_if = "Map::is_empty")]
            options: Map<String, Value>,
        }
        let text = str::from_utf8(self.message)
            .map_err(|_| CommandError::Failed("the message is not in UTF-8".to_owned()))?;
        let request_message: &RawValue = serde_json::from_str(text)
            .map_err(|error| CommandError::Failed(format!("the message is not JSON: {error}")))?;
        let body = Body {
            callback_url: self.callback_url,
            callee_no: self.callee_no,
            app_id: self.app_id,
            caller_no: self.caller_no,
            message_type: self.message_type,
            request_message,
            options: self.options.iter().cloned().collect(),
        };
        Ok(serde_json::to_vec(&body).map_err(std::io::Error::other)?)
    }
}

/// Reads `key=value`. A value that is not JSON is a text.
///
/// # Errors
/// There is no `=`, or nothing before it.
pub(super) fn option(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            Ok((key.to_owned(), value))
        }
        _ => Err("write it as KEY=VALUE, such as max_attempts=1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_body_has_what_was_given_and_the_message_as_it_was_written() {
        let options = [
            option("max_attempts=1").unwrap(),
            option("headers={\"x-a\":\"b\"}").unwrap(),
        ];
        let mut request = CallbackRequest {
            callback_url: Some("http://h.example/in"),
            callee_no: None,
            app_id: "crm",
            caller_no: None,
            message_type: "order",
            message: br#"{ "b" : 1.0, "a" : "\u4e50" }"#,
            options: &options,
        };
        let body = String::from_utf8(request.to_json().unwrap()).unwrap();
        assert_eq!(
            body,
            r#"{"callback_url":"http://h.example/in","app_id":"crm","message_type":"order","request_message":{ "b" : 1.0, "a" : "\u4e50" },"options":{"headers":{"x-a":"b"},"max_attempts":1}}"#
        );
        request.message = b"{";
        let sentence = request.to_json().unwrap_err().to_string();
        assert!(
            sentence.starts_with("the message is not JSON: "),
            "{sentence}"
        );
        request.message = b"\xff";
        assert!(request.to_json().is_err());
    }

    #[test]
    fn an_option_is_a_key_and_a_value() {
        assert_eq!(option("a=b=c"), Ok(("a".to_owned(), json!("b=c"))));
        assert_eq!(
            option("delay_seconds=5"),
            Ok(("delay_seconds".to_owned(), json!(5)))
        );
        for wrong in ["max_attempts", "=1", ""] {
            assert!(option(wrong).unwrap_err().contains("KEY=VALUE"), "{wrong}");
        }
    }
}
