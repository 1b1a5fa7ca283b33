//! Input of callers cannot forge or colour log lines.

use std::fs;

use serde_json::{Value, json};
use tests::{GatewayOptions, SharedGateway, SharedGatewayUse, http, on_shared_runtime};

use super::JSON;
use crate::accept::query::status;

/// A name that would break a line, colour a terminal and reverse the text direction.
const NAME: &str = "a\u{202e}b\u{1b}[31mc\r\n{\"level\":\"ERROR\"}\u{85}\u{2028}";

/// Part of a valid name that must appear in a line, raw or escaped as the format requires.
const SEEN: &str = "a\u{202e}b";

async fn start(format: &str, more: &[(&str, &str)]) -> SharedGateway {
    SharedGateway::start(|_| {
        let options = GatewayOptions::default()
            .with_journal()
            .with("RINGBACK__LOG__LEVEL", "debug")
            .with("RINGBACK__LOG__FORMAT", format);
        more.iter()
            .fold(options, |options, (key, value)| options.with(key, value))
    })
    .await
}

/// Sends input that would break a line to every place that logs input.
async fn attack(fixture: &SharedGatewayUse<'_>) {
    let good = fixture.callback("/ok");
    for field in [
        "app_id",
        "message_type",
        "caller_no",
        "callee_no",
        "callback_url",
    ] {
        for text in [NAME.to_owned(), NAME.replace(char::is_control, "")] {
            let mut callback = good.clone();
            callback[field] = json!(format!(
                "{}{text}",
                if field == "callback_url" {
                    "http://127.0.0.1:9/"
                } else {
                    ""
                }
            ));
            fixture.gateway.post(&callback).await;
        }
    }
    let mut callback = good.clone();
    callback["app_id"] = json!("a\u{202e}b\u{2028}c");
    callback["options"]["max_attempts"] = json!(1);
    callback["callback_url"] = json!(fixture.callee.url("/status/400/%0d%0a%1b[31m?x=%0a"));
    let id = fixture.send(&callback).await;
    status(fixture, &id, "dead").await;
    for (name, value) in [
        ("traceparent", "00-\u{1b}[31m-x-01"),
        ("idempotency-key", "\u{85}"),
        ("prefer", "wait=\u{202e}"),
        ("accept-language", "\u{1b}[31m"),
        ("authorization", "Bearer \u{202e}"),
    ] {
        // Bytes that an HTTP client would not send.
        let request = format!(
            "POST /api/callback HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{name}: {value}\r\n\
             content-length: 2\r\n\r\n{{}}"
        );
        http::raw(fixture.gateway.ingress.address, request.as_bytes()).await;
    }
    let path = "GET /\u{1b}[31m%0a%1b\u{202e} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    http::raw(fixture.gateway.ingress.address, path.as_bytes()).await;
    let body = json!({"ids": [id], "actor": NAME, "reason": NAME});
    let url = format!(
        "{}/admin/v1/dead-letters/replay",
        fixture.gateway.admin_url()
    );
    let request = http::client().post(url).header("content-type", JSON);
    request.body(body.to_string()).send().await.unwrap();
}

#[test]
fn no_input_forges_a_json_log_line() {
    on_shared_runtime(async {
        let fixture = start("json", &[]).await;
        let fixture = fixture.in_test();
        attack(&fixture).await;
        let mut seen = 0;
        for instance in fixture.gateway.instances() {
            let log = fs::read(instance.process.log_path()).unwrap();
            let mut lines = 0;
            for line in log.split_inclusive(|byte| *byte == b'\n') {
                lines += 1;
                let text = String::from_utf8_lossy(line);
                let event: Value = serde_json::from_slice(line)
                    .unwrap_or_else(|error| panic!("{error}: {text:?}"));
                assert!(
                    event["timestamp"].is_string() && event["level"].is_string(),
                    "{text:?}"
                );
                assert_ne!(event["level"], "ERROR", "{text:?}");
                let fields = event.as_object().unwrap().values();
                let mut texts = fields.filter_map(Value::as_str);
                seen += usize::from(texts.any(|it| it.contains(SEEN)));
                let body = text.trim_end_matches('\n');
                let raw = |it: char| it.is_control();
                assert!(!body.contains(raw), "{}: {text:?}", instance.role());
            }
            assert!(lines > 3, "{}: {lines} lines", instance.role());
        }
        assert!(seen > 0, "what was said reached no line");
    });
}

/// A log event in the format for people begins with the time of day.
fn is_an_event(line: &str) -> bool {
    let time = "00:00:00.000Z ";
    line.len() > time.len()
        && line
            .bytes()
            .zip(time.bytes())
            .all(|(seen, form)| match form {
                b'0' => seen.is_ascii_digit(),
                _ => seen == form,
            })
}

/// Characters that no such line may contain: they move the cursor, colour, or change the direction
/// (Unicode's bidirectional controls and line separators).
fn is_a_trick(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Checks every line for people; returns how many show the input.
fn seen_by_people(fixture: &SharedGateway) -> usize {
    let spelt_out: String = SEEN.escape_debug().collect();
    let mut seen = 0;
    for instance in fixture.gateway.instances() {
        let log = fs::read(instance.process.log_path()).unwrap();
        let log = String::from_utf8(log).unwrap();
        assert!(!log.is_empty(), "{}", instance.role());
        for line in log.split_terminator('\n') {
            assert!(is_an_event(line), "{}: {line:?}", instance.role());
            assert!(!line.contains(is_a_trick), "{}: {line:?}", instance.role());
            seen += usize::from(line.contains(&spelt_out));
        }
    }
    seen
}

#[test]
fn no_input_forges_a_human_readable_log_line() {
    on_shared_runtime(async {
        let fixture = start("human", &[]).await;
        let fixture = fixture.in_test();
        attack(&fixture).await;
        assert!(
            seen_by_people(&fixture) > 0,
            "what was said reached no line"
        );
    });
}

#[test]
fn no_app_id_of_a_signature_forges_a_log_line() {
    on_shared_runtime(async {
        let secret = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
        let more = [
            ("RINGBACK__AUTH__MODE", "hmac"),
            ("RINGBACK__APPS__A__SECRETS", secret),
        ];
        let fixture = start("human", &more).await;
        let fixture = fixture.in_test();
        let headers = [
            (
                "x-callback-app-id",
                "a%E2%80%AEb%1b[31m%0d%0a12:00:00.000Z INFO x%C2%85",
            ),
            ("webhook-id", "7"),
            ("webhook-timestamp", "7"),
            ("webhook-signature", "v1,AAAA"),
        ];
        let refused = fixture.gateway.post_raw("{}", &headers).await;
        assert_eq!(refused.status, 401);
        assert!(seen_by_people(&fixture) > 0, "the name reached no line");
    });
}
