//! CloudEvents headers of a request, for callees that read them (CloudEvents 1.0, HTTP binding, binary
//! mode: the body is the data, as it is).

use contract::{Message, comparable_header, rfc3339};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// What the binding encodes in header values: spaces, double quotes, `%`, and all but visible ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Stands for a message type that the caller left blank: `ce-type` is never empty.
const NO_TYPE: &str = "unspecified";

/// Adds the headers. They replace those that a caller named so, however it spelt them.
pub(crate) fn add_cloud_event(headers: &mut HeaderMap, message: &Message) {
    let app = utf8_percent_encode(&message.app_id, NON_ALPHANUMERIC);
    let message_type = match message.message_type.trim() {
        "" => NO_TYPE,
        _ => &message.message_type,
    };
    for (name, value) in [
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", message.request_id.hyphenated().to_string()),
        ("ce-source", format!("/apps/{app}")),
        ("ce-type", message_type.to_owned()),
        ("ce-time", rfc3339(message.accepted_at)),
    ] {
        let spelt: Vec<HeaderName> = headers
            .keys()
            .filter(|key| comparable_header(key.as_str()) == comparable_header(name))
            .cloned()
            .collect();
        for key in spelt {
            headers.remove(key);
        }
        let encoded = utf8_percent_encode(&value, ENCODED).to_string();
        // Percent-encoded text is visible ASCII, so always a header value.
        if let Ok(value) = HeaderValue::try_from(encoded) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use contract::{Options, UnknownFields};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_event_is_named_by_the_callback_and_encoded_as_the_binding_says() {
        let message = Message {
            request_id: Uuid::from_u128(7),
            app_id: "应用".to_owned(),
            caller_no: None,
            callee_no: Some("EO001".to_owned()),
            message_type: "order \"paid\"".to_owned(),
            callback_url: None,
            options: Options::default(),
            accepted_at: 1_763_900_000_000,
            generation: 0,
            attempt: 1,
            deferrals: 0,
            hold: 0,
            not_before: None,
            scheduled_at: None,
            traceparent: None,
            tracestate: None,
            reply_to: None,
            history: Vec::new(),
            unknown: UnknownFields::default(),
            request_message: Bytes::from_static(b"{}"),
        };
        let mut headers = HeaderMap::new();
        headers.insert("ce_id", HeaderValue::from_static("forged"));
        headers.insert("ce-subject", HeaderValue::from_static("kept"));
        add_cloud_event(&mut headers, &message);
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "00000000-0000-0000-0000-000000000007"),
            // The source is a URI, whose own escapes are encoded once more.
            ("ce-source", "/apps/%25E5%25BA%2594%25E7%2594%25A8"),
            ("ce-type", "order%20%22paid%22"),
            ("ce-time", "2025-11-23T12:13:20.000Z"),
            ("ce-subject", "kept"),
        ] {
            assert_eq!(headers.get(name).unwrap(), value, "{name}");
        }
        assert!(!headers.contains_key("ce_id"));
        let blank = Message {
            message_type: " ".to_owned(),
            ..message
        };
        add_cloud_event(&mut headers, &blank);
        assert_eq!(headers.get("ce-type").unwrap(), "unspecified");
    }
}
