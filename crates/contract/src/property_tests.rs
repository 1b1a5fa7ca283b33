//! Properties that hold for all bytes, all requests and all messages.

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use crate::{
    HistoryEntry, Language, Message, Options, Reply, Request, Rules, UnknownFields, prefer_wait,
};

/// A JSON object with odd spacing, odd numbers, odd escapes and repeated keys.
fn object() -> impl Strategy<Value = String> {
    let space = || "[ \t\r\n]{0,3}";
    let string = || {
        let escape = r#"\\(["\\/bfnrt]|u[0-9a-fA-F]{4})"#;
        prop::collection::vec(prop_oneof![escape, r#"[^"\\\x00-\x1f]{0,6}"#], 0..5)
            .prop_map(|parts| format!("\"{}\"", parts.concat()))
    };
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?",
        string(),
    ];
    let members = move |value: BoxedStrategy<String>| {
        prop::collection::vec((space(), string(), space(), space(), value, space()), 0..5).prop_map(
            |members| {
                let members: Vec<String> = members
                    .into_iter()
                    .map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            },
        )
    };
    let value = leaf.prop_recursive(5, 40, 5, move |inner| {
        let list =
            prop::collection::vec((space(), inner.clone(), space()), 0..5).prop_map(|items| {
                let items: Vec<String> = items
                    .into_iter()
                    .map(|(a, item, b)| format!("{a}{item}{b}"))
                    .collect();
                format!("[{}]", items.join(","))
            });
        prop_oneof![list, members(inner.boxed())]
    });
    members(value.boxed())
}

/// A valid request around a `request_message`.
fn request_body(request_message: &str) -> String {
    format!(
        r#"{{ "callback_url" : "http://a.example/\u4e00", "app_id":"应用", "message_type":"t","caller_no":null,
        "options":{{"delay_seconds":5,"headers":{{"X-A":"汉"}} }}, "request_message" :{request_message} }}"#
    )
}

fn first_message(request: Request) -> Message {
    Message {
        request_id: Uuid::from_u128(7),
        app_id: request.app_id,
        caller_no: request.caller_no,
        callee_no: request.callee_no,
        message_type: request.message_type,
        callback_url: request.callback_url,
        options: request.options,
        accepted_at: 1,
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
        request_message: request.request_message,
    }
}

fn attempt() -> impl Strategy<Value = HistoryEntry> {
    let numbers = any::<(u32, u64, u64, Option<u16>)>();
    (numbers, any::<String>()).prop_map(
        |((number, started_at, duration_ms, http_status), outcome)| HistoryEntry {
            number,
            started_at,
            duration_ms,
            outcome,
            http_status,
            unknown: UnknownFields::default(),
        },
    )
}

fn options() -> impl Strategy<Value = Options> {
    let numbers = any::<[Option<u32>; 4]>();
    let headers = prop::collection::vec(any::<(String, String)>(), 0..4);
    (numbers, headers).prop_map(|([delay, expire, attempts, timeout], headers)| Options {
        delay_seconds: delay,
        expire_seconds: expire,
        max_attempts: attempts,
        timeout_seconds: timeout,
        headers,
        unknown: UnknownFields::default(),
    })
}

fn message() -> impl Strategy<Value = Message> {
    let texts = any::<(
        String,
        Option<String>,
        Option<String>,
        String,
        String,
        Option<String>,
        Option<String>,
    )>();
    let numbers = (
        any::<(u128, u64, u32, u32, Option<u64>, Option<u64>)>(),
        1..=u32::MAX,
    );
    let history = prop::collection::vec(attempt(), 0..4);
    (texts, numbers, options(), history, object()).prop_map(
        |(texts, numbers, options, history, request_message)| {
            let (app_id, caller_no, callee_no, message_type, url, traceparent, reply_to) = texts;
            let ((id, accepted_at, generation, deferrals, not_before, scheduled_at), attempt) =
                numbers;
            Message {
                request_id: Uuid::from_u128(id),
                app_id,
                caller_no,
                callback_url: callee_no.is_none().then_some(url),
                callee_no,
                message_type,
                options,
                accepted_at,
                generation,
                attempt,
                deferrals,
                hold: deferrals / 2,
                not_before,
                scheduled_at,
                tracestate: traceparent.clone(),
                traceparent,
                reply_to,
                history,
                unknown: UnknownFields::default(),
                request_message: Bytes::from(request_message),
            }
        },
    )
}

/// Keys that no version knows, with odd values: `,"key":value` for each.
fn unknown_keys() -> impl Strategy<Value = String> {
    let key = prop_oneof!["x[a-z]{1,6}", r"x\\u00[4-7][0-9a-f]"];
    prop::collection::vec((key, object()), 0..4).prop_map(|entries| {
        entries
            .into_iter()
            .enumerate()
            // The number keeps the keys apart: a key given twice is refused.
            .map(|(number, (key, value))| format!(",\"{number}{key}\":{}", value.trim()))
            .collect()
    })
}

/// Where, and what instead: junk for a valid body.
fn mutations() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(br#"{}[]",:\u0 e-.nul"#.to_vec()),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, byte), 1..6)
}

fn mutate(body: &mut Vec<u8>, mutations: &[(prop::sample::Index, u8, u8)]) {
    for (index, kind, byte) in mutations {
        let at = index.index(body.len().max(1));
        match kind {
            0 if at < body.len() => body[at] = *byte,
            1 => body.insert(at, *byte),
            _ => body.truncate(body.len().saturating_sub(usize::from(*byte % 8))),
        }
    }
}

/// A preference that is not `wait`, with or without a value, in or out of quotes.
fn other_preference() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-v][a-z-]{0,8}",
        "[a-v][a-z-]{0,8}=[a-z0-9]{0,8}",
        r#"[a-v][a-z-]{0,8}="([a-z,;= ]|\\\\|\\"|wait=7){0,8}""#,
        "[a-v][a-z-]{0,8}; *wait=7",
    ]
}

proptest! {
    #[test]
    fn any_header_is_read_without_a_panic(text in any::<String>(), near in r#"(wait|[=",; \\0-9a-z]){0,40}"#) {
        for header in [&text, &near] {
            let _ = prefer_wait(header);
            let _ = Language::from_accept_language(Some(header));
            let _ = Reply::decode(header.as_bytes());
        }
    }

    #[test]
    fn a_wait_is_found_at_any_position_among_others(
        before in prop::collection::vec(other_preference(), 0..4),
        after in prop::collection::vec(other_preference(), 0..4),
        wait in any::<u32>(),
        quoted in any::<bool>(),
        gap in "[ \t]{0,2}",
    ) {
        let own = if quoted { format!("wait=\"{wait}\"") } else { format!("Wait={wait}") };
        let all = [before.clone(), vec![own], after.clone()].concat();
        prop_assert_eq!(prefer_wait(&all.join(&format!("{gap},{gap}"))), Some(wait));
        let none = [before, after].concat();
        prop_assert_eq!(prefer_wait(&none.join(",")), None);
    }

    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in any::<Vec<u8>>()) {
        let bytes = Bytes::from(bytes);
        let _ = Request::parse(&bytes, &Rules::default());
        let _ = Message::decode(&bytes);
    }

    #[test]
    fn nearly_json_is_answered_without_a_panic(text in r#"[{}\[\]",:\\u0-9a-f \n-]{0,80}"#) {
        let bytes = Bytes::from(text);
        let _ = Request::parse(&bytes, &Rules::default());
        let _ = Message::decode(&bytes);
    }

    #[test]
    fn a_request_with_junk_in_it_is_answered_without_a_panic(
        object in object(),
        mutations in mutations(),
    ) {
        let mut body = request_body(&object).into_bytes();
        mutate(&mut body, &mutations);
        if let Ok(request) = Request::parse(&Bytes::from(body), &Rules::default()) {
            let message: &[u8] = &request.request_message;
            let valid = serde_json::from_slice::<&serde_json::value::RawValue>(message);
            prop_assert!(valid.is_ok(), "what is accepted is JSON");
        }
    }

    #[test]
    fn a_message_with_junk_in_it_is_read_or_refused_without_a_panic(
        message in message(),
        mutations in mutations(),
    ) {
        let mut bytes = message.encode();
        mutate(&mut bytes, &mutations);
        if let Ok(message) = Message::decode(&Bytes::from(bytes)) {
            let again = Message::decode(&Bytes::from(message.encode()));
            prop_assert!(again.as_ref() == Ok(&message), "what is read can be written");
        }
    }

    #[test]
    fn request_message_in_is_request_message_out(object in object()) {
        let body = Bytes::from(request_body(&object));
        let request = Request::parse(&body, &Rules::default())?;
        let bytes = Bytes::from(first_message(request).encode());
        let message = Message::decode(&bytes)?;
        prop_assert_eq!(message.request_message, object.as_bytes());
    }

    #[test]
    fn unknown_keys_survive_a_round_trip_byte_for_byte(
        message in message(),
        top in unknown_keys(),
        in_options in unknown_keys(),
        in_history in unknown_keys(),
    ) {
        let bytes = String::from_utf8(message.encode()).unwrap();
        let with = |bytes: String, before: &str, keys: &str| match bytes.rfind(before) {
            Some(at) => format!("{}{keys}{}", &bytes[..at], &bytes[at..]),
            None => bytes,
        };
        // The strings of the message may hold anything but an unescaped quote.
        let newer = with(bytes, ",\"request_message\":", &top);
        let newer = if message.history.is_empty() {
            newer
        } else {
            let end = newer.rfind(&format!("}}]{top},\"request_message\":")).unwrap();
            format!("{}{in_history}{}", &newer[..end], &newer[end..])
        };
        let newer = match newer.find("},\"accepted_at\":") {
            Some(end) => {
                let empty = newer[..end].ends_with('{');
                let keys = if empty { in_options.trim_start_matches(',') } else { &in_options };
                format!("{}{keys}{}", &newer[..end], &newer[end..])
            }
            None => newer,
        };
        let decoded = Message::decode(&Bytes::from(newer.clone()))?;
        prop_assert_eq!(String::from_utf8(decoded.encode()).unwrap(), newer);
    }

    #[test]
    fn a_message_out_of_the_queue_is_the_one_put_in(message in message()) {
        let decoded = Message::decode(&Bytes::from(message.encode()));
        prop_assert!(decoded == Ok(message));
    }
}
