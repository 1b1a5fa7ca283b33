//! Can anybody write a line into a log, or colour it, by what they say?

use std::fs;

use serde_json::{Value, json};
use tests::{GatewayOptions, World, http, together};

use super::JSON;
use crate::query::status;

/// A name that would break a line, colour a terminal and turn a text round.
const NAME: &str = "a\u{202e}b\u{1b}[31mc\r\n{\"level\":\"ERROR\"}\u{85}\u{2028}";

#[test]
fn nothing_that_anybody_says_makes_a_line_of_a_log() {
    together(async {
        let world = World::start(|_| {
            let options = GatewayOptions::default().with_journal();
            options.with("RINGBACK__LOG__LEVEL", "debug")
        })
        .await;
        let world = world.visit();
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
        status(&world, &id, "dead").await;
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
                let body = text.trim_end_matches('\n');
                let raw = |it: char| it.is_control();
                assert!(!body.contains(raw), "{}: {text:?}", door.role());
            }
            assert!(lines > 3, "{}: {lines} lines", door.role());
        }
    });
}
