//! The request to the target: body, headers, time, and the end of an attempt.

use std::time::Duration;

use serde_json::json;
use tests::targets::scripts;
use tests::{TestTarget, eventually, http, on_shared_runtime};

use crate::fixtures::{shared, unix_ms};

const SOON: Duration = Duration::from_secs(30);
const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn the_message_arrives_byte_for_byte() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let url = fixture.callee.url("/ok");
        let large = format!(r#"{{"text":"{}"}}"#, "易".repeat(200 * 1024 / 3));
        for message in [
            "{}",
            "{ }",
            "{\n\t\"b\" : 1 ,\r\n \"a\":2 }",
            r#"{"z":1e400,"y":-0.0,"x":1.0,"w":100000000000000000000000000001,"v":1E+2}"#,
            r#"{"a":1,"a":2,"":{"a":[{},[]]}}"#,
            r#"{"text":"易楼 \u6613 \ud800 \/ / \u0000 😀"}"#,
            r#"{"callback_url":"http://127.0.0.1/","options":{"delay_seconds":"x"}}"#,
            &large,
        ] {
            let body = format!(
                r#"{{ "request_message" : {message} ,"app_id":"a","message_type":"t","callback_url":"{url}"}}"#
            );
            let id = fixture.gateway.post_raw(body, &[JSON]).await.accepted();
            let received = fixture.received(&id, 1).await;
            let arrived = received[0].body.as_bytes();
            assert!(
                arrived == message.as_bytes(),
                "{:?}",
                String::from_utf8_lossy(arrived)
            );
            assert_eq!(
                received[0].headers["content-length"],
                message.len().to_string()
            );
        }
    });
}

#[test]
fn a_chunked_request_is_accepted_like_any_other() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let callback = fixture.callback("/ok").to_string();
        let body = http::chunked(callback.as_bytes(), 7);
        let id = fixture.gateway.post_raw(body, &[]).await.accepted();
        let received = fixture.received(&id, 1).await;
        assert_eq!(received[0].body.as_bytes(), br#"{"field1":1}"#);
    });
}

#[test]
fn every_header_of_the_contract_arrives_percent_encoded() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let mut callback = fixture.callback("/ok");
        callback["app_id"] = json!("应用 1%~");
        callback["message_type"] = json!("order.paid/v1");
        callback["caller_no"] = json!("EO003");
        callback["callee_no"] = json!("楼");
        let before = unix_ms() / 1000;
        let id = fixture.send(&callback).await;
        let received = fixture.received(&id, 1).await;
        let headers = &received[0].headers;
        assert_eq!(received[0].method, "POST");
        for (name, value) in [
            ("content-type", "application/json"),
            ("webhook-id", &*id),
            ("x-callback-app-id", "%E5%BA%94%E7%94%A8%201%25~"),
            ("x-callback-message-type", "order.paid/v1"),
            ("x-callback-caller-no", "EO003"),
            ("x-callback-callee-no", "%E6%A5%BC"),
            ("x-callback-attempt", "1"),
            ("host", &fixture.callee.address.to_string()),
        ] {
            assert_eq!(headers.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(
            headers["user-agent"].starts_with("ringback/"),
            "{headers:?}"
        );
        let timestamp: u64 = headers["webhook-timestamp"].parse().unwrap();
        assert!(
            (before..=unix_ms() / 1000).contains(&timestamp),
            "{timestamp}"
        );
        // Without a trace from the caller, the callback gets a trace of its own.
        let trace = id.replace('-', "");
        assert!(
            headers["traceparent"].starts_with(&format!("00-{trace}-")),
            "{headers:?}"
        );
    });
}

#[test]
fn a_target_gets_these_headers_once_each_and_no_other() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let plain = fixture.callback("/ok");
        let mut full = plain.clone();
        for field in ["app_id", "message_type", "caller_no", "callee_no"] {
            full[field] = json!("a\u{2028}b\u{105}%0d%0aX-Evil: 1\u{202e}");
        }
        let encoded = "a%E2%80%A8b%C4%85%250d%250aX-Evil:%201%E2%80%AE";
        let host = fixture.callee.address.to_string();
        let agent = concat!("ringback/", env!("CARGO_PKG_VERSION"));
        for (callback, app, kind, numbers) in [
            (plain, "5SV4BVSY0OXQ3ZSA", "order.paid", None),
            (full, encoded, encoded, Some(encoded)),
        ] {
            let id = fixture.send(&callback).await;
            let received = fixture.received(&id, 1).await;
            // Repeated ones would be joined by commas.
            let mut headers = received[0].headers.clone();
            for of_the_time in ["webhook-timestamp", "traceparent"] {
                assert!(headers.remove(of_the_time).is_some(), "{of_the_time}");
            }
            let mut expected = vec![
                ("accept", "*/*"),
                ("accept-encoding", "identity"),
                ("content-length", "12"),
                ("content-type", "application/json"),
                ("host", &host),
                ("user-agent", agent),
                ("webhook-id", &id),
                ("x-callback-app-id", app),
                ("x-callback-attempt", "1"),
                ("x-callback-message-type", kind),
            ];
            for name in ["x-callback-caller-no", "x-callback-callee-no"] {
                expected.extend(numbers.map(|it| (name, it)));
            }
            let expected = expected.into_iter();
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(headers, expected.collect());
        }
    });
}

#[test]
fn optional_headers_are_absent_without_a_value() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let id = fixture.send(&fixture.callback("/ok")).await;
        let received = fixture.received(&id, 1).await;
        for name in [
            "x-callback-caller-no",
            "x-callback-callee-no",
            "webhook-signature",
        ] {
            assert_eq!(received[0].headers.get(name), None, "{name}");
        }
    });
}

#[test]
fn the_callers_trace_is_continued() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let callback = fixture.callback("/ok").to_string();
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (sent, goes_on) in [(trace, true), ("00-nonsense", false)] {
            let headers = [JSON, ("traceparent", sent)];
            let id = fixture
                .gateway
                .post_raw(callback.clone(), &headers)
                .await
                .accepted();
            let received = fixture.received(&id, 1).await;
            let arrived = &received[0].headers["traceparent"];
            // Unchanged, as no span of ours is exported; or a trace that begins here.
            assert_eq!(arrived == sent, goes_on, "{arrived}");
            assert_eq!(arrived.len(), trace.len());
        }
    });
}

#[test]
fn a_registered_callee_is_called_by_its_number() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let mut callback = fixture.callback("/ok");
        callback.as_object_mut().unwrap().remove("callback_url");
        callback["callee_no"] = json!("EO001");
        let id = fixture.send(&callback).await;
        let received = fixture.received(&id, 1).await;
        assert_eq!(received[0].path, "/ok/eo001?key=value");
        assert_eq!(received[0].headers["x-callback-callee-no"], "EO001");
    });
}

#[test]
fn a_callback_url_overrides_any_callee() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let mut callback = fixture.callback("/ok/own?a=%20b");
        for no in ["EO001", "EO002", "nobody"] {
            callback["callee_no"] = json!(no);
            let id = fixture.send(&callback).await;
            let received = fixture.received(&id, 1).await;
            assert_eq!(received[0].path, "/ok/own?a=%20b", "{no}");
            assert_eq!(received[0].headers["x-callback-callee-no"], no);
        }
    });
}

#[test]
fn a_callers_headers_arrive_and_replace_none_of_ours() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let mut callback = fixture.callback("/ok");
        callback["options"]["headers"] = json!({
            "Authorization": "Bearer t\tx",
            "X-Shop": "易楼",
            "User-Agent": "forged",
            "traceparent": "forged",
        });
        let id = fixture.send(&callback).await;
        let received = fixture.received(&id, 1).await;
        let headers = &received[0].headers;
        assert_eq!(headers["authorization"], "Bearer t\tx");
        assert_eq!(headers["x-shop"], "易楼");
        assert!(
            headers["user-agent"].starts_with("ringback/"),
            "{headers:?}"
        );
        assert!(headers["traceparent"].starts_with("00-"), "{headers:?}");
    });
}

#[test]
fn a_delayed_callback_is_never_early() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let mut callback = fixture.callback("/ok");
        callback["options"]["delay_seconds"] = json!(3);
        let asked = unix_ms();
        let id = fixture.send(&callback).await;
        let received = fixture.received(&id, 1).await;
        let waited = received[0].time_ms - asked;
        assert!(waited >= 3_000, "{waited} ms");
        assert_eq!(received[0].attempt, Some(1));
    });
}

#[test]
fn an_attempt_ends_at_the_callers_timeout() {
    on_shared_runtime(async {
        let fixture = shared().await;
        for path in ["/hang", "/slow/13000"] {
            let mut callback = fixture.callback(path);
            callback["options"] = json!({"timeout_seconds": 1, "max_attempts": 1});
            let id = fixture.send(&callback).await;
            let letter = fixture.dead_letter(&id).await;
            assert_eq!(letter.outcomes(), ["timeout"], "{path}");
            let took = letter.message.history[0].duration_ms;
            // The default would be 15 s; the rest is for a busy machine.
            assert!((1_000..12_000).contains(&took), "{took} ms");
        }
        // By default there is enough time for the same target.
        let id = fixture.send(&fixture.callback("/slow/1500")).await;
        let second = fixture.send(&fixture.callback("/ok")).await;
        fixture.received(&id, 1).await;
        fixture.received(&second, 1).await;
        let series = "ringback_attempts_in_flight{queue=\"first\"}";
        eventually("no attempt in flight", SOON, async || {
            match fixture
                .metric(tests::GatewayRole::Dispatcher(0), series)
                .await
            {
                0 => Ok(()),
                more => Err(format!("{more} in flight")),
            }
        })
        .await;
        assert_eq!(fixture.callee.requests.for_id(&id).len(), 1);
    });
}

#[test]
fn the_status_decides_whatever_happens_to_the_body() {
    on_shared_runtime(async {
        let fixture = shared().await;
        for (what, script) in [
            ("truncated body", scripts::truncated_body()),
            ("infinite body", scripts::infinite_body()),
        ] {
            let target = TestTarget::raw(script);
            fixture.send(&tests::callback(&target.url())).await;
            // It ends because the dispatcher closes it after a bounded read.
            eventually("the connection's end", SOON, async || {
                (target.request_count() == 1 && target.open_connections() == 0).then_some(())
            })
            .await;
            assert!(
                target.sent_bytes() < 16 * 1024 * 1024,
                "{what}: {}",
                target.sent_bytes()
            );
            // A retry would come after 1.2 s at most, before this callback is delivered.
            let mut later = fixture.callback("/ok");
            later["options"]["delay_seconds"] = json!(3);
            let later = fixture.send(&later).await;
            fixture.received(&later, 1).await;
            assert_eq!(target.connections(), 1, "{what}");
        }
    });
}
