//! Every message ever written stays readable, unknown keys are kept, and nothing else is decoded.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use uuid::Uuid;

use super::{HistoryEntry, IfUnknown, MAX_HISTORY, Message, MessageError, v1, v2};
use crate::{Options, UnknownFields};

const VERSIONS: [u64; 2] = [v1::VERSION, v2::VERSION];

const V1_MINIMAL: &[u8] = include_bytes!("../../golden/message-v1-minimal.json");
const V1_FULL: &[u8] = include_bytes!("../../golden/message-v1-full.json");
const MINIMAL: &[u8] = include_bytes!("../../golden/message-v2-minimal.json");
const FULL: &[u8] = include_bytes!("../../golden/message-v2-full.json");
const UNKNOWN_KEYS: &[u8] = include_bytes!("../../golden/message-v2-unknown-keys.json");

fn minimal() -> Message {
    Message {
        request_id: Uuid::from_u128(0x0199_6D2C_4F00_7A3B_8C1D_2E3F_4A5B_6C7D),
        app_id: "5SV4BVSY0OXQ3ZSA".to_owned(),
        caller_no: None,
        callee_no: Some("EO001".to_owned()),
        message_type: "order.paid".to_owned(),
        callback_url: None,
        options: Options::default(),
        accepted_at: 1_758_500_000_000,
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
        request_message: Bytes::from_static(br#"{"field1":1}"#),
    }
}

fn full() -> Message {
    Message {
        request_id: Uuid::from_u128(0x0199_6D2C_4F00_7A3B_8C1D_2E3F_4A5B_6C7E),
        app_id: "应用\"一\"".to_owned(),
        caller_no: Some("EO003".to_owned()),
        callee_no: Some("楼盘字典".to_owned()),
        message_type: "房源更新".to_owned(),
        callback_url: Some("https://xxx.com/api/doc?键=值&a=\\".to_owned()),
        options: Options {
            delay_seconds: Some(0),
            expire_seconds: Some(86_400),
            max_attempts: Some(20),
            timeout_seconds: Some(60),
            headers: vec![
                ("Authorization".to_owned(), "Bearer \"t\"".to_owned()),
                ("X-Shop".to_owned(), "易楼\t1".to_owned()),
            ],
            unknown: UnknownFields::default(),
        },
        accepted_at: 1_758_500_000_001,
        generation: 1,
        attempt: 3,
        deferrals: 2,
        hold: 0,
        not_before: Some(1_758_600_000_000),
        scheduled_at: None,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        tracestate: None,
        reply_to: Some("amq.gen-\"一\"".to_owned()),
        history: vec![
            HistoryEntry {
                number: 1,
                started_at: 1_758_500_000_010,
                duration_ms: 3000,
                outcome: "timeout".to_owned(),
                http_status: None,
                unknown: UnknownFields::default(),
            },
            HistoryEntry {
                number: 2,
                started_at: 1_758_500_008_000,
                duration_ms: 12,
                outcome: "status".to_owned(),
                http_status: Some(503),
                unknown: UnknownFields::default(),
            },
        ],
        unknown: UnknownFields::default(),
        request_message: Bytes::from_static(
            "{ \"z\" : 1e400,\t\"a\":-0.10E+5, \"a\":[1.0,  100000000000000000000],\n\
             \"文\":\"任意\\u5b57段 \\ud800 \\/\" , \"v\":2 }"
                .as_bytes(),
        ),
    }
}

#[test]
fn an_unknown_key_given_twice_is_unreadable() {
    let text = str::from_utf8(MINIMAL).unwrap();
    let with =
        |keys: &str| Bytes::from(text.replacen("{\"v\":2,", &format!("{{\"v\":2,{keys},"), 1));
    assert!(Message::decode(&with(r#""x":1,"y":1"#)).is_ok());
    for keys in [r#""x":1,"x":2"#, r#""x":1,"\u0078":2"#] {
        let error = Message::decode(&with(keys)).unwrap_err();
        assert!(matches!(error, MessageError::Malformed(_)), "{error}");
    }
}

#[test]
fn a_message_says_when_its_wait_was_scheduled() {
    let message = Message {
        scheduled_at: Some(1_758_500_000_100),
        ..full()
    };
    let bytes = Bytes::from(message.encode());
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains(r#""not_before":1758600000000,"scheduled_at":1758500000100,"#));
    assert_eq!(Message::decode(&bytes).unwrap(), message);
}

#[test]
fn a_message_that_was_retried_now_says_how_often() {
    let message = Message {
        hold: 2,
        ..minimal()
    };
    let bytes = Bytes::from(message.encode());
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains(r#""deferrals":0,"hold":2,"request_message""#));
    assert_eq!(Message::decode(&bytes).unwrap(), message);
}

#[test]
fn the_golden_messages_are_read_and_written_to_the_byte() {
    for (golden, message) in [(MINIMAL, minimal()), (FULL, full())] {
        let bytes = Bytes::from_static(golden);
        let decoded = Message::decode(&bytes).unwrap();
        assert!(decoded == message, "{decoded:?} is not {message:?}");
        let written = String::from_utf8(message.encode()).unwrap();
        assert_eq!(written, String::from_utf8_lossy(golden));
    }
}

#[test]
fn the_golden_messages_of_version_1_are_still_read() {
    for (golden, message) in [(V1_MINIMAL, minimal()), (V1_FULL, full())] {
        let decoded = Message::decode(&Bytes::from_static(golden)).unwrap();
        assert!(decoded == message, "{decoded:?} is not {message:?}");
    }
}

#[test]
fn unknown_keys_are_kept_in_the_message_its_options_and_its_history() {
    let decoded = Message::decode(&Bytes::from_static(UNKNOWN_KEYS)).unwrap();
    assert_eq!(decoded.options.max_attempts, Some(3));
    assert_eq!(decoded.history[0].outcome, "timeout");
    let written = String::from_utf8(decoded.encode()).unwrap();
    assert_eq!(written, String::from_utf8_lossy(UNKNOWN_KEYS));
    assert!(!format!("{decoded:?} {:?}", decoded.options).contains("shop.example"));

    // They are kept wherever they stand, also in options that have no other key.
    let scattered = r#"{"a":1,"v":2,"kind":"callback","options":{"b":{}},"request_message":{},"c":"d",
        "request_id":"01996d2c-4f00-7a3b-8c1d-2e3f4a5b6c7f","app_id":"shop","callee_no":"EO001",
        "message_type":"t","accepted_at":1,"generation":0,"attempt":1,"deferrals":0}"#;
    let decoded = Message::decode(&Bytes::from_static(scattered.as_bytes())).unwrap();
    let written = String::from_utf8(decoded.encode()).unwrap();
    assert!(
        written.contains(r#""options":{"b":{}},"accepted_at""#),
        "{written}"
    );
    assert!(
        written.ends_with(r#""deferrals":0,"a":1,"c":"d","request_message":{}}"#),
        "{written}"
    );
}

#[test]
fn an_unknown_kind_says_whether_it_may_be_dropped() {
    let golden = String::from_utf8_lossy(MINIMAL);
    let whole = |kind: &str| golden.replacen("{\"v\":2", &format!("{{\"v\":2,\"kind\":{kind}"), 1);
    let unknown = |kind: &str, if_unknown| MessageError::UnknownKind {
        kind: kind.to_owned(),
        if_unknown,
    };
    for (json, expected) in [
        (
            r#"{"v":2,"kind":"canary","if_unknown":"drop"}"#.to_owned(),
            unknown("canary", IfUnknown::Drop),
        ),
        (
            r#"{"if_unknown":"quarantine","kind":"canary","v":2}"#.to_owned(),
            unknown("canary", IfUnknown::Quarantine),
        ),
        (
            r#"{"v":2,"kind":"canary","if_unknown":"explode"}"#.to_owned(),
            unknown("canary", IfUnknown::Quarantine),
        ),
        (
            whole(r#""result""#),
            unknown("result", IfUnknown::Quarantine),
        ),
        (
            whole(r#""result","if_unknown":"drop""#),
            unknown("result", IfUnknown::Drop),
        ),
        (whole(r#""a\nsecret""#), unknown("?", IfUnknown::Quarantine)),
    ] {
        let error = Message::decode(&Bytes::from(json.clone())).unwrap_err();
        assert_eq!(error, expected, "{json}");
    }
    let error = Message::decode(&Bytes::from(whole(r#""result""#))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the message is of kind \"result\", which this gateway does not know"
    );
    for (json, expected) in [
        (whole(r#""callback""#), Ok(minimal())),
        (whole("null"), Ok(minimal())),
        (
            whole("7"),
            Err(MessageError::Malformed(
                "invalid value at line 1 column 15".to_owned(),
            )),
        ),
    ] {
        assert!(
            Message::decode(&Bytes::from(json.clone())) == expected,
            "{json}"
        );
    }
}

#[test]
fn every_version_has_golden_files_and_every_golden_file_a_reader() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let files: Vec<(String, u64)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| {
            let version = name
                .strip_prefix("message-v")
                .and_then(|rest| rest.split_once('-'));
            let version = version.and_then(|(version, _)| version.parse().ok());
            let version = version.unwrap_or_else(|| panic!("{name} names no version"));
            (name, version)
        })
        .collect();
    for version in VERSIONS {
        let has_file = files.iter().any(|(_, of)| *of == version);
        assert!(has_file, "golden/ has no file of version {version}");
    }
    for (name, version) in files {
        assert!(
            VERSIONS.contains(&version),
            "{name} is of a version that was never written"
        );
    }
}

#[test]
fn request_message_is_a_slice_of_the_bytes() {
    let bytes = Bytes::from_static(FULL);
    let message = Message::decode(&bytes).unwrap();
    let offset = message.request_message.as_ptr() as usize - bytes.as_ptr() as usize;
    assert_eq!(offset + message.request_message.len() + 1, bytes.len());
}

#[test]
fn an_unknown_version_is_named() {
    for (json, version) in [
        (r#"{"v":3}"#.to_owned(), 3),
        (
            r#"{"v":3,"kind":"canary","if_unknown":"drop"}"#.to_owned(),
            3,
        ),
        (r#"{"v":0,"request_message":{}}"#.to_owned(), 0),
        (
            r#"{"new":{"v":1},"v":18446744073709551615}"#.to_owned(),
            u64::MAX,
        ),
        (
            String::from_utf8_lossy(MINIMAL).replacen("\"v\":2", "\"v\":3", 1),
            3,
        ),
    ] {
        let error = Message::decode(&Bytes::from(json.clone())).unwrap_err();
        assert_eq!(error, MessageError::UnknownVersion(version), "{json}");
    }
}

#[test]
fn other_bytes_are_malformed() {
    let golden = String::from_utf8_lossy(V1_MINIMAL);
    let newest = String::from_utf8_lossy(MINIMAL);
    let without_number = golden.replacen("\"attempt\":1,", "", 1);
    for (json, reason) in [
        (String::new(), "invalid JSON at line 1 column 0"),
        ("{".to_owned(), "invalid JSON at line 1 column 1"),
        ("[]".to_owned(), "invalid value at line 1 column 2"),
        ("{}".to_owned(), "missing field `v` at line 1 column 2"),
        (
            r#"{"v":"2"}"#.to_owned(),
            "invalid value at line 1 column 8",
        ),
        (format!("{golden} x"), "invalid JSON at line 1 column 234"),
        (
            without_number,
            "missing field `attempt` at line 1 column 220",
        ),
        (
            golden.replacen("{\"v\":1", "{\"v\":1,\"v\":1", 1),
            "duplicate field `v` at line 1 column 10",
        ),
        (
            golden.replacen("\"attempt\":1", "\"attempt\":0", 1),
            "attempts are counted from 1",
        ),
        (
            golden.replacen("\"callee_no\":\"EO001\",", "", 1),
            "neither callback_url nor callee_no",
        ),
        (
            golden.replacen("{\"field1\":1}", "[]", 1),
            "request_message is not an object",
        ),
        (
            golden.replacen("{\"field1\":1}", "null", 1),
            "request_message is not an object",
        ),
        (
            golden.replacen("{\"v\":1", "{\"x\":1,\"v\":1", 1),
            "invalid value at line 1 column 4",
        ),
        (
            golden.replacen("\"parked\":0", "\"deferrals\":0", 1),
            "invalid value at line 1 column 201",
        ),
        (
            newest.replacen("\"deferrals\":0", "\"parked\":0", 1),
            "missing field `deferrals` at line 1 column 232",
        ),
        (
            newest.replacen("{\"v\":2", "{\"v\":2,\"v\":2", 1),
            "duplicate field `v` at line 1 column 10",
        ),
        (
            newest.replacen("\"attempt\":1", "\"attempt\":0", 1),
            "attempts are counted from 1",
        ),
        (
            newest.replacen("\"callee_no\":\"EO001\",", "", 1),
            "neither callback_url nor callee_no",
        ),
        (
            newest.replacen("{\"field1\":1}", "[]", 1),
            "request_message is not an object",
        ),
        (
            newest.replacen("{\"field1\":1}", "{\"field1\":}", 1),
            "invalid JSON at line 1 column 233",
        ),
    ] {
        let error = Message::decode(&Bytes::from(json.clone())).unwrap_err();
        assert_eq!(error, MessageError::Malformed(reason.to_owned()), "{json}");
    }
}

#[test]
fn the_text_of_an_error_holds_no_byte_of_the_message() {
    let golden = String::from_utf8_lossy(V1_FULL);
    let newest = String::from_utf8_lossy(FULL);
    for broken in [
        newest.replacen("\"generation\":1", "\"generation\":\"secret\"", 1),
        newest.replacen("\"request_id\":\"", "\"request_id\":\"secret", 1),
        newest.replacen("\"app_id\":", "\"app_id\":{\"secret\":1},\"a\":", 1),
        newest.replacen("\"headers\":[", "\"headers\":[\"secret\",", 1),
        newest.replacen("\"v\":2", "\"v\":2,\"kind\":\"a secret\"", 1),
        golden.replacen("\"generation\":1", "\"generation\":\"secret\"", 1),
        golden.replacen("\"request_id\":\"", "\"request_id\":\"secret", 1),
        golden.replacen("{\"v\":1", "{\"secret\":1,\"v\":1", 1),
        golden.replacen("\"options\":{", "\"options\":{\"secret\":1,", 1),
        golden.replacen("\"number\":1", "\"number\":1,\"secret\":2", 1),
        golden.replacen("\"app_id\":", "\"app_id\":{\"secret\":1},\"a\":", 1),
        golden.replacen("\"headers\":[", "\"headers\":[\"secret\",", 1),
    ] {
        assert!(broken.contains("secret"));
        let error = Message::decode(&Bytes::from(broken)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
}

#[test]
fn only_the_newest_attempts_are_remembered() {
    let mut message = minimal();
    for number in 1..=25 {
        message.push_history(HistoryEntry {
            number,
            started_at: 0,
            duration_ms: 0,
            outcome: "timeout".to_owned(),
            http_status: None,
            unknown: UnknownFields::default(),
        });
    }
    let numbers: Vec<u32> = message
        .history
        .iter()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!(numbers, (6..=25).collect::<Vec<u32>>());
    assert_eq!(numbers.len(), MAX_HISTORY);
}

#[test]
fn the_debug_text_of_a_message_holds_no_payload_no_url_and_no_header() {
    let shown = format!("{:?}", full());
    for hidden in ["任意", "xxx.com", "Bearer"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}
