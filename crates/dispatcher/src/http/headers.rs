//! Headers of the request to a target.

use contract::{Message, comparable_header, is_replaced_header, is_reserved_header, unix_seconds};
use delivery::signature::Signer;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::time::SystemTime;

/// Everything outside 0x21..0x7E, and `%` (the contract, "What the target gets").
const NOT_VISIBLE: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
/// The usual number of our headers, with the two that the HTTP client adds. A map for 13 would
/// allocate room for 24.
const USUAL_HEADERS: usize = 12;
const USER_AGENT_VALUE: &str = concat!("ringback/", env!("CARGO_PKG_VERSION"));

/// The headers of an attempt at `now`.
pub(crate) fn headers(
    message: &Message,
    callee_headers: Option<&HeaderMap>,
    signing: Option<&Signer>,
    now: SystemTime,
    traceparent: &str,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(USUAL_HEADERS + message.options.headers.len());
    for (name, value) in &message.options.headers {
        // Validated by ingress, perhaps by an older one. A name that is invalid or reserved must
        // still not lose the callback.
        if is_replaced(name, callee_headers) {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    }
    for (name, value) in callee_headers.into_iter().flatten() {
        headers.insert(name.clone(), value.clone());
    }
    let seconds = unix_seconds(now);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
        .entry(ACCEPT)
        .or_insert(HeaderValue::from_static("*/*"));
    headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
    let id = message.request_id.hyphenated().to_string();
    insert_encoded(&mut headers, "webhook-id", &id);
    headers.insert("webhook-timestamp", HeaderValue::from(seconds));
    if let Some(signing) = signing {
        // Not encoded: Standard Webhooks separates two signatures by a space.
        let signature = signing.sign(&id, seconds, &message.request_message);
        if let Ok(value) = HeaderValue::try_from(signature) {
            headers.insert("webhook-signature", value);
        }
    }
    insert_encoded(&mut headers, "x-callback-app-id", &message.app_id);
    insert_encoded(
        &mut headers,
        "x-callback-message-type",
        &message.message_type,
    );
    if let Some(caller_no) = &message.caller_no {
        insert_encoded(&mut headers, "x-callback-caller-no", caller_no);
    }
    if let Some(callee_no) = &message.callee_no {
        insert_encoded(&mut headers, "x-callback-callee-no", callee_no);
    }
    headers.insert("x-callback-attempt", HeaderValue::from(message.attempt));
    insert_encoded(&mut headers, "traceparent", traceparent);
    if let Some(tracestate) = &message.tracestate
        && let Ok(value) = HeaderValue::try_from(tracestate)
    {
        headers.insert("tracestate", value);
    }
    headers
}

/// Whether a caller's header gives way: the callee's configured headers replace it, and ours replace
/// both, however they are spelt.
fn is_replaced(name: &str, callee_headers: Option<&HeaderMap>) -> bool {
    let comparable = comparable_header(name);
    let by_callee = |headers: &HeaderMap| {
        let mut names = headers.keys();
        names.any(|name| comparable_header(name.as_str()) == comparable)
    };
    is_reserved_header(name) || is_replaced_header(name) || callee_headers.is_some_and(by_callee)
}

fn insert_encoded(headers: &mut HeaderMap, name: &'static str, text: &str) {
    let encoded = utf8_percent_encode(text, NOT_VISIBLE).to_string();
    // Percent-encoded text is visible ASCII, so always a header value.
    if let Ok(value) = HeaderValue::try_from(encoded) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use contract::{Options, UnknownFields};
    use std::time::{Duration, UNIX_EPOCH};
    use uuid::Uuid;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01";

    fn headers_of(message: &Message) -> HeaderMap {
        headers(
            message,
            None,
            None,
            UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            TRACE,
        )
    }

    fn message() -> Message {
        Message {
            request_id: Uuid::from_u128(1),
            app_id: "应用 1%\t~".to_owned(),
            caller_no: None,
            callee_no: Some("EO001".to_owned()),
            message_type: "t".to_owned(),
            callback_url: None,
            options: Options::default(),
            accepted_at: 0,
            generation: 0,
            attempt: 3,
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
        }
    }

    #[test]
    fn every_header_of_the_contract_is_sent_and_encoded() {
        let headers = headers_of(&message());
        let expected = [
            ("content-type", "application/json"),
            ("webhook-id", "00000000-0000-0000-0000-000000000001"),
            ("webhook-timestamp", "1700000000"),
            ("x-callback-app-id", "%E5%BA%94%E7%94%A8%201%25%09~"),
            ("x-callback-message-type", "t"),
            ("x-callback-callee-no", "EO001"),
            ("x-callback-attempt", "3"),
            ("traceparent", TRACE),
        ];
        for (name, value) in expected {
            assert_eq!(headers.get(name).unwrap(), value, "{name}");
        }
        assert!(!headers.contains_key("x-callback-caller-no"));
    }

    #[test]
    fn headers_of_a_caller_are_added_and_never_replace_ours() {
        let mut message = message();
        message.options.headers = vec![
            ("X-Tenant".to_owned(), "seven".to_owned()),
            ("Traceparent".to_owned(), "forged".to_owned()),
            ("user-agent".to_owned(), "forged".to_owned()),
            ("User_Agent".to_owned(), "forged".to_owned()),
            ("trace.parent".to_owned(), "kept".to_owned()),
            // Taken into the queue before such names were refused.
            ("X_Callback_App_Id".to_owned(), "forged".to_owned()),
            ("Webhook_Signature".to_owned(), "forged".to_owned()),
            ("content_length".to_owned(), "0".to_owned()),
        ];
        let headers = headers_of(&message);
        let forged: Vec<_> = headers
            .iter()
            .filter(|(_, value)| *value == "forged")
            .collect();
        assert_eq!(forged, []);
        assert!(!headers.contains_key("content_length"));
        assert_eq!(headers.get("trace.parent").unwrap(), "kept");
        assert_eq!(headers.get("x-tenant").unwrap(), "seven");
        assert_ne!(headers.get("traceparent").unwrap(), "forged");
        assert_eq!(headers.get_all("user-agent").iter().count(), 1);
        assert_eq!(headers.get("user-agent").unwrap(), USER_AGENT_VALUE);
    }

    #[test]
    fn headers_of_a_callee_replace_those_of_a_caller_and_never_ours() {
        let mut message = message();
        message.options.headers = ["Authorization", "X_Tenant"]
            .map(|name| (name.to_owned(), "forged".to_owned()))
            .to_vec();
        let callee_headers: HeaderMap = [
            ("authorization", "Bearer real"),
            ("x-tenant", "seven"),
            ("webhook-id", "never"),
        ]
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
        let headers = headers(&message, Some(&callee_headers), None, UNIX_EPOCH, TRACE);
        let all: Vec<_> = headers.get_all("authorization").iter().collect();
        assert_eq!(all, ["Bearer real"]);
        assert_eq!(headers.get("x-tenant").unwrap(), "seven");
        assert!(!headers.contains_key("x_tenant"));
        assert_ne!(headers.get("webhook-id").unwrap(), "never");
    }

    #[test]
    fn a_signature_is_sent_only_with_a_signing_secret() {
        assert!(!headers_of(&message()).contains_key("webhook-signature"));
        let new = Signer::parse(["whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"]).unwrap();
        let both = Signer::parse([
            "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH",
            "whsec_CAgICAgICAgICAgICAgICAgICAgICAgI",
        ]);
        let signed = |signing: &Signer| {
            let headers = headers(&message(), None, Some(signing), UNIX_EPOCH, TRACE);
            let value = headers.get("webhook-signature").unwrap();
            value.to_str().unwrap().to_owned()
        };
        let (one, two) = (signed(&new), signed(&both.unwrap()));
        assert_eq!(
            one,
            new.sign("00000000-0000-0000-0000-000000000001", 0, b"{}")
        );
        assert_eq!(two.split(' ').next(), Some(&*one));
        assert_eq!(two.split(' ').count(), 2);
    }

    #[test]
    fn a_tracestate_is_passed_on_and_replaces_one_among_the_callers_headers() {
        let mut message = message();
        let header = ("Tracestate".to_owned(), "a=1".to_owned());
        message.options.headers = vec![header];
        assert_eq!(headers_of(&message).get("tracestate").unwrap(), "a=1");
        message.tracestate = Some("b=2,c=3".to_owned());
        let headers = headers_of(&message);
        let values: Vec<_> = headers.get_all("tracestate").iter().collect();
        assert_eq!(values, ["b=2,c=3"]);
    }
}
