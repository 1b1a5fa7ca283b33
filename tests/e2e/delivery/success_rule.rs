//! Success rules and answers that are not quite JSON: what the target accepted is not repeated, and
//! what cannot be read is not repeated for long.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tests::cleanup::TempDirectory;
use tests::{BrokerUnderTest, Gateway, GatewayOptions, Step, TestTarget, eventually};

const SOON: Duration = Duration::from_secs(60);

/// A callee's answer, and more of its settings.
struct Answer {
    what: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
    settings: &'static str,
}

fn answer(what: &'static str, body: impl Into<Vec<u8>>) -> Answer {
    Answer {
        what,
        content_type: "application/json",
        body: body.into(),
        settings: "",
    }
}

/// A gateway with a callee for each answer, numbered from 0, whose rule is that `/code` is `000`.
async fn start(temp: &TempDirectory, answers: &[Answer]) -> (Gateway<'static>, Vec<TestTarget>) {
    let (mut settings, mut targets) = (String::new(), Vec::new());
    for (number, it) in answers.iter().enumerate() {
        let head = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
            it.content_type,
            it.body.len()
        );
        let target = TestTarget::raw(Step::answer([head.as_bytes(), &it.body].concat()));
        write!(
            settings,
            "[callees.C{number}]\nurl = \"{}\"\nsuccess_pointer = \"/code\"\n\
             success_values = [\"000\"]\n{}\n",
            target.url(),
            it.settings
        )
        .unwrap();
        targets.push(target);
    }
    let file = temp.path().join("settings.toml");
    fs::write(&file, settings).unwrap();
    let options = GatewayOptions {
        schedule: "1s,1s,1s,1s".to_owned(),
        ..GatewayOptions::default()
    };
    let options = options
        .with_journal()
        .with("RINGBACK_CONFIG", &file.display().to_string());
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
    (gateway, targets)
}

/// Sends a callback to each callee, and returns the queries' answers once all have ended.
async fn ended(gateway: &Gateway<'_>, answers: &[Answer]) -> Vec<Value> {
    let mut ids = Vec::new();
    for number in 0..answers.len() {
        let callback = json!({
            "callee_no": format!("C{number}"),
            "app_id": "a",
            "message_type": "t",
            "request_message": {},
        });
        ids.push(gateway.post(&callback).await.accepted());
    }
    let mut ended = Vec::new();
    for (id, it) in ids.iter().zip(answers) {
        let what = format!("the end of {}", it.what);
        let body = eventually(&what, SOON, async || {
            let body = gateway.query(id).await.json();
            let status = body["status"].as_str().unwrap_or_default();
            let is_final = ["delivered", "dead"].contains(&status);
            is_final.then(|| body.clone()).ok_or(body.to_string())
        });
        ended.push(body.await);
    }
    ended
}

fn outcomes(body: &Value) -> Vec<&str> {
    let attempts = body["attempts"].as_array().unwrap().iter();
    attempts.map(|it| it["outcome"].as_str().unwrap()).collect()
}

/// 成功 in GBK.
const SUCCESS_IN_GBK: &[u8] = b"{\"code\":\"000\",\"msg\":\"\xb3\xc9\xb9\xa6\"}";

#[tokio::test]
async fn a_code_that_the_target_sent_is_found_in_whatever_form_it_came() {
    let temp = TempDirectory::new("settings");
    let text = r#"{"code":"000","msg":"ok"}"#;
    let utf_16 = |in_order: fn(u16) -> [u8; 2]| -> Vec<u8> {
        let marked = format!("\u{feff}{text}");
        marked.encode_utf16().flat_map(in_order).collect()
    };
    // A backslash is the second byte of 誠 in GBK: read as ASCII it would hide the quote.
    let hidden = b"{\"msg\":\"\xd5\x5c\",\"code\":\"000\"}";
    let answers = [
        answer("plain JSON", text),
        answer("a byte order mark", format!("\u{feff}{text}")),
        answer("GBK that does not say so", SUCCESS_IN_GBK),
        Answer {
            content_type: "application/json;charset=GBK",
            ..answer("GBK", SUCCESS_IN_GBK)
        },
        Answer {
            content_type: "text/html; charset=gb2312",
            ..answer("a backslash in GBK", hidden)
        },
        Answer {
            content_type: "application/json; charset=utf-8",
            ..answer("GBK that says UTF-8", hidden)
        },
        Answer {
            content_type: "application/json; charset=x-unheard-of",
            ..answer("an unknown charset", text)
        },
        answer("UTF-16 LE", utf_16(u16::to_le_bytes)),
        answer("UTF-16 BE", utf_16(u16::to_be_bytes)),
        answer("20 kB behind it", format!("{text}{}", " x".repeat(10_000))),
        answer(
            "100 kB in it",
            format!(r#"{{"code":"000","data":"{}"}}"#, "d".repeat(100_000)),
        ),
        answer(
            "30 kB before it",
            format!(r#"{{"data":"{}","code":"000"}}"#, "d".repeat(30_000)),
        ),
        answer("a lone surrogate", r#"{"msg":"\ud83d","code":"000"}"#),
        answer("a raw TAB", "{\"msg\":\"a\tb\",\"code\":\"000\"}"),
        answer("a number out of range", r#"{"n":1e999,"code":"000"}"#),
    ];
    let (gateway, targets) = start(&temp, &answers).await;
    let ended = ended(&gateway, &answers).await;
    for ((body, it), target) in ended.iter().zip(&answers).zip(&targets) {
        assert_eq!(outcomes(body), ["delivered"], "{}: {body}", it.what);
        assert_eq!(target.request_count(), 1, "{}", it.what);
    }
}

#[tokio::test]
async fn an_answer_without_a_readable_code_has_an_outcome_that_the_callee_judges() {
    const UNREADABLE: &str = "success_rule_unreadable";
    const PAGE: &str = "<html>secret maintenance page</html>";
    let temp = TempDirectory::new("settings");
    let answers = [
        answer("a page", PAGE),
        answer("no body", ""),
        answer("another JSON", r#"{"status":"secret"}"#),
        answer("JSON that breaks off", r#"{"status":"secret"#),
        Answer {
            settings: "retry_on = [\"success_rule_unreadable\"]",
            ..answer("retried on the whole schedule", PAGE)
        },
        Answer {
            settings: "never_retry = [\"success_rule_unreadable\"]",
            ..answer("given up at once", PAGE)
        },
        Answer {
            settings: "success_when_unreadable = true",
            ..answer("taken for a success", PAGE)
        },
        // What is read decides, whatever the setting.
        Answer {
            settings: "success_when_unreadable = true",
            ..answer("a wrong code", r#"{"code":"secret"}"#)
        },
    ];
    let (gateway, _targets) = start(&temp, &answers).await;
    let ended = ended(&gateway, &answers).await;
    let expected = [
        ("dead", vec![UNREADABLE; 3], Some("is not JSON")),
        ("dead", vec![UNREADABLE; 3], Some("has no body")),
        ("dead", vec![UNREADABLE; 3], Some("success_pointer")),
        ("dead", vec![UNREADABLE; 3], Some("breaks off")),
        ("dead", vec![UNREADABLE; 5], Some("is not JSON")),
        ("dead", vec![UNREADABLE; 1], Some("is not JSON")),
        ("delivered", vec![UNREADABLE; 1], Some("is not JSON")),
        ("dead", vec!["success_rule_failed"; 5], None),
    ];
    for ((body, it), (status, expected, reason)) in ended.iter().zip(&answers).zip(expected) {
        let what = it.what;
        assert_eq!(outcomes(body), expected, "{what}");
        assert_eq!(body["status"], status, "{what}");
        let detail = body["attempts"][0]["detail"].as_str();
        let is_told = reason.is_none_or(|reason| detail.is_some_and(|it| it.contains(reason)));
        assert!(is_told, "{what}: {detail:?}");
        assert_eq!(body["attempts"][0]["http_status"], 200, "{what}");
        assert!(!body.to_string().contains("secret"), "{what}: {body}");
    }
}
