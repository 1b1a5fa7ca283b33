//! Can anybody write a line into a log, or colour it, by what they say?

use std::fs;

use serde_json::{Value, json};
use tests::{GatewayOptions, Visit, World, http, together};

use super::JSON;
use crate::query::status;

/// A name that would break a line, colour a terminal and turn a text round.
const NAME: &str = "a\u{202e}b\u{1b}[31mc\r\n{\"level\":\"ERROR\"}\u{85}\u{2028}";

/// Of a good name, what must be seen in some line: whether raw or spelt out is for its format.
const SEEN: &str = "a\u{202e}b";

async fn start(format: &str, more: &[(&str, &str)]) -> World {
    World::start(|_| {
        let options = GatewayOptions::default()
            .with_journal()
            .with("RINGBACK__LOG__LEVEL", "debug")
            .with("RINGBACK__LOG__FORMAT", format);
        more.iter()
            .fold(options, |options, (key, value)| options.with(key, value))
    })
    .await
}

/// Says what would break a line in every place where something can be said.
async fn attack(world: &Visit<'_>) {
    let good = world.callback("/ok");
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
            world.gateway.post(&callback).await;
        }
    }
    let mut callback = good.clone();
    callback["app_id"] = json!("a\u{202e}b\u{2028}c");
    callback["options"]["max_attempts"] = json!(1);
    callback["callback_url"] = json!(world.callee.url("/status/400/%0d%0a%1b[31m?x=%0a"));
    let id = world.send(&callback).await;
    status(world, &id, "dead").await;
    for (name, value) in [
        ("traceparent", "00-\u{1b}[31m-x-01"),
        ("idempotency-key", "\u{85}"),
        ("prefer", "wait=\u{202e}"),
        ("accept-language", "\u{1b}[31m"),
        ("authorization", "Bearer \u{202e}"),
    ] {
        // Bytes that no client of ours would send, as they are.
        let request = format!(
            "POST /api/callback HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{name}: {value}\r\n\
             content-length: 2\r\n\r\n{{}}"
        );
        http::raw(world.gateway.ingress.address, request.as_bytes()).await;
    }
    let path = "GET /\u{1b}[31m%0a%1b\u{202e} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    http::raw(world.gateway.ingress.address, path.as_bytes()).await;
    let wish = json!({"ids": [id], "who": NAME, "reason": NAME});
    let url = format!("{}/api/dead/replay", world.gateway.operators_url());
    let request = http::client().post(url).header("content-type", JSON);
    request.body(wish.to_string()).send().await.unwrap();
}

#[test]
fn nothing_that_anybody_says_makes_a_line_of_a_log() {
    together(async {
        let world = start("json", &[]).await;
        let world = world.visit();
        attack(&world).await;
        let mut seen = 0;
        for door in world.gateway.doors() {
            let log = fs::read(door.process.log_path()).unwrap();
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
                assert!(!body.contains(raw), "{}: {text:?}", door.role());
            }
            assert!(lines > 3, "{}: {lines} lines", door.role());
        }
        assert!(seen > 0, "what was said reached no line");
    });
}

/// An event for people begins with the time of day.
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

/// What no line for people may hold: it moves the cursor, colours, or turns the text round
/// (Unicode's bidirectional controls and line separators).
fn is_a_trick(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Checks every line for people, and says how many show what was said.
fn seen_by_people(world: &World) -> usize {
    let spelt_out: String = SEEN.escape_debug().collect();
    let mut seen = 0;
    for door in world.gateway.doors() {
        let log = fs::read(door.process.log_path()).unwrap();
        let log = String::from_utf8(log).unwrap();
        assert!(!log.is_empty(), "{}", door.role());
        for line in log.split_terminator('\n') {
            assert!(is_an_event(line), "{}: {line:?}", door.role());
            assert!(!line.contains(is_a_trick), "{}: {line:?}", door.role());
            seen += usize::from(line.contains(&spelt_out));
        }
    }
    seen
}

#[test]
fn nothing_that_anybody_says_makes_a_line_for_people() {
    together(async {
        let world = start("human", &[]).await;
        let world = world.visit();
        attack(&world).await;
        assert!(seen_by_people(&world) > 0, "what was said reached no line");
    });
}

#[test]
fn no_name_that_a_signature_is_shown_with_makes_a_line_for_people() {
    together(async {
        let secret = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
        let more = [
            ("RINGBACK__AUTH__MODE", "hmac"),
            ("RINGBACK__APPS__A__SECRETS", secret),
        ];
        let world = start("human", &more).await;
        let world = world.visit();
        let headers = [
            (
                "x-callback-app-id",
                "a%E2%80%AEb%1b[31m%0d%0a12:00:00.000Z INFO x%C2%85",
            ),
            ("webhook-id", "7"),
            ("webhook-timestamp", "7"),
            ("webhook-signature", "v1,AAAA"),
        ];
        let refused = world.gateway.post_raw("{}", &headers).await;
        assert_eq!(refused.status, 401);
        assert!(seen_by_people(&world) > 0, "the name reached no line");
    });
}
