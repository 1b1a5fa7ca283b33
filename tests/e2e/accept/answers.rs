//! Accepted and rejected callbacks, and the exact answer that each caller gets.

use std::time::Duration;

use serde_json::{Value, json};
use tests::gateway::GatewayResponse;
use tests::queue_message::QueueMessage;
use tests::{
    GatewayOptions, GatewayRole, SharedGateway, SharedGatewayUse, eventually, http,
    on_shared_runtime,
};
use tokio::sync::OnceCell;

use super::http_errors;
use super::invalid_bodies::{self, InvalidRequest};
use crate::fixtures::shared;

const SOON: Duration = Duration::from_secs(60);

/// A gateway for one test alone. An accepted callback to [`NO_END`] stays in the queue: no
/// dispatcher consumes it or, in the one process, its attempt does not end.
async fn standing_still(options: GatewayOptions) -> SharedGateway {
    SharedGateway::start(|_| GatewayOptions {
        dispatchers: 0,
        ..options
    })
    .await
}

/// A path of the callee that does not answer within the 15 s of an attempt.
const NO_END: &str = "/hang";

async fn take_first(fixture: &SharedGateway) -> Option<QueueMessage> {
    fixture.gateway.take("first").await.unwrap()
}

/// Posts until the ingress accepts the callback again.
async fn accepted_at_last(fixture: &SharedGateway, callback: &Value) -> String {
    eventually("room in the backlog", SOON, async || {
        let answered = fixture.gateway.post(callback).await;
        match answered.status {
            503 => Err(format!("{answered:?}")),
            _ => Ok(answered.accepted()),
        }
    })
    .await
}

#[track_caller]
fn check_envelope(answered: &GatewayResponse, status: u16, code: &str, msg: &str) {
    let body = String::from_utf8_lossy(&answered.body);
    let expected = format!(r#"{{"code":"{code}","msg":"{msg}"}}"#);
    assert_eq!((answered.status, &*body), (status, &*expected));
    assert_eq!(
        answered.headers["content-type"],
        "application/json; charset=utf-8"
    );
}

#[test]
fn a_valid_callback_is_answered_with_its_id_code_and_message() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let answered = fixture.gateway.post(&fixture.callback("/ok")).await;
        let id = answered.accepted();
        let body = String::from_utf8_lossy(&answered.body);
        let expected = format!(r#"{{"request_id":"{id}","code":"000","msg":"成功"}}"#);
        assert_eq!(body, expected);
        assert_eq!(
            answered.headers["content-type"],
            "application/json; charset=utf-8"
        );
        let id = uuid::Uuid::parse_str(&id).unwrap();
        assert_eq!(id.get_version_num(), 7);
    });
}

#[test]
fn a_missing_content_type_is_taken_as_json() {
    on_shared_runtime(async {
        let fixture = shared().await;
        for headers in [
            &[][..],
            &[("content-type", "application/vnd.eo+json; charset=utf-8")],
            &[("content-encoding", "identity")],
        ] {
            let body = fixture.callback("/ok").to_string();
            fixture.gateway.post_raw(body, headers).await.accepted();
        }
    });
}

#[test]
fn a_rejected_callback_names_its_error_and_is_never_queued() {
    on_shared_runtime(async {
        let fixture = standing_still(GatewayOptions::default()).await;
        let gateway = &fixture.gateway;
        let mut refused = 0;
        for InvalidRequest { body, headers, msg } in invalid_bodies::all() {
            let shown = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
            println!("{shown}");
            let answered = gateway.post_raw(body, &headers).await;
            check_envelope(&answered, 400, "400", &msg);
            refused += 1;
        }
        for (status, msg, answered) in http_errors::all(gateway).await {
            check_envelope(&answered, status, &status.to_string(), msg);
            refused += 1;
        }
        assert!(refused > 60, "{refused} cases");

        // An accepted bad request would be in the queue before this good one.
        let id = fixture.send(&fixture.callback(NO_END)).await;
        let first = take_first(&fixture).await.unwrap();
        let queued = contract::Message::decode(&first.body).unwrap();
        assert_eq!(queued.request_id.to_string(), id);
        assert!(take_first(&fixture).await.is_none());
        for queue in ["retry", "unrouted", "unreadable", "dead"] {
            assert_eq!(gateway.queue_depth(queue).await, 0, "{queue}");
        }
        let series = "ringback_callbacks_rejected_total{code=\"400\"}";
        assert!(fixture.metric(GatewayRole::Ingress, series).await > 0);
    });
}

#[test]
fn a_slow_body_is_answered_408_and_its_connection_is_closed() {
    on_shared_runtime(async {
        let options = GatewayOptions::default();
        let options = options.with_ingress("RINGBACK__INGRESS__BODY_TIMEOUT", "500ms");
        let fixture = standing_still(options).await;
        let head = "POST /api/callback HTTP/1.1\r\nhost: gateway\r\ncontent-length: 500\r\n\r\n{";
        // The gateway itself closes the connection, so the answer's end is the connection's end.
        let answer = http::raw(fixture.gateway.ingress.address, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        let body = r#"{"code":"408","msg":"接收请求体超时，请重新发送"}"#;
        assert!(answer.ends_with(body), "{answer}");
        assert_eq!(fixture.gateway.queue_depth("first").await, 0);
    });
}

#[test]
fn messages_are_english_on_request() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let english = ("accept-language", "en-US,en;q=0.9,zh;q=0.5");
        let mut callback = fixture.callback("/ok");
        let good = fixture
            .gateway
            .post_raw(callback.to_string(), &[english])
            .await;
        good.accepted();
        assert_eq!(good.json()["msg"], "success");

        callback["app_id"] = json!("");
        let blank = fixture
            .gateway
            .post_raw(callback.to_string(), &[english])
            .await;
        check_envelope(&blank, 400, "400", "parameter app_id must not be empty");

        callback["app_id"] = json!("a");
        callback["callback_url"] = json!("http://10.0.0.1/");
        let refused = fixture
            .gateway
            .post_raw(callback.to_string(), &[english])
            .await;
        let msg = "parameter callback_url is not allowed: this address may not be called (private)";
        check_envelope(&refused, 400, "400", msg);

        let neither = fixture.gateway.post_raw("{}", &[english]).await;
        let msg = "parameter callback_url or callee_no must not be empty";
        check_envelope(&neither, 400, "400", msg);
    });
}

#[test]
fn a_full_backlog_is_answered_503_without_id_until_there_is_space() {
    const MAX_BACKLOG: usize = 3;
    on_shared_runtime(async {
        // Callers are faster than one attempt at a time.
        let fixture = SharedGateway::start(|_| {
            GatewayOptions::default()
                .with("RINGBACK__INGRESS__MAX_BACKLOG", &MAX_BACKLOG.to_string())
                .with("RINGBACK__INGRESS__APP_SHARE", "1")
                .with("RINGBACK__DISPATCHER__FIRST_CONCURRENCY", "1")
        });
        let fixture = fixture.await;
        let callback = fixture.callback("/slow/500");
        let mut accepted = Vec::new();
        let full = eventually("a full backlog", SOON, async || {
            let answered = fixture.gateway.post(&callback).await;
            if answered.status == 200 {
                accepted.push(answered.accepted());
                return Err(format!("{} accepted", accepted.len()));
            }
            Ok(answered)
        })
        .await;
        let msg = "服务调用异常，请稍后再试或联系管理员";
        check_envelope(&full, 503, "500", msg);
        let after = full.headers["retry-after"].to_str().unwrap();
        assert!(after.parse::<u32>().unwrap() > 0, "{after}");
        assert!(accepted.len() >= MAX_BACKLOG, "{accepted:?}");

        accepted.push(accepted_at_last(&fixture, &callback).await);
        for id in &accepted {
            fixture.received(id, 1).await;
        }
        // A definitely refused callback would have been delivered before the last one.
        let seen = fixture.callee.requests.count();
        assert_eq!(usize::try_from(seen), Ok(accepted.len()));
    });
}

/// A gateway with the two lenient settings.
async fn lenient() -> SharedGatewayUse<'static> {
    static WORLD: OnceCell<SharedGateway> = OnceCell::const_new();
    let fixture = WORLD.get_or_init(|| {
        SharedGateway::start(|_| {
            let options = GatewayOptions {
                dispatchers: 0,
                ..GatewayOptions::default()
            };
            options
                .with("RINGBACK__INGRESS__HTTP_STATUS", "always_200")
                .with("RINGBACK__INGRESS__ACCEPT_BLANK_MESSAGE_TYPE", "true")
        })
    });
    fixture.await.in_test()
}

#[test]
fn always_200_changes_the_status_and_nothing_else() {
    on_shared_runtime(async {
        let fixture = lenient().await;
        fixture.send(&fixture.callback("/ok")).await;
        let missing = fixture.gateway.post_raw("{}", &[]).await;
        check_envelope(&missing, 200, "400", "参数callback_url或callee_no不能为空");
        for (status, msg, mut answered) in http_errors::all(&fixture.gateway).await {
            assert_eq!(answered.status, 200, "{msg}");
            answered.status = status;
            check_envelope(&answered, status, &status.to_string(), msg);
        }
    });
}

#[test]
fn a_blank_message_type_is_accepted_when_configured() {
    on_shared_runtime(async {
        let fixture = lenient().await;
        let mut callback = fixture.callback("/ok");
        for blank in ["", " \t"] {
            callback["message_type"] = json!(blank);
            if blank.contains('\t') {
                // A control character is invalid even if the text counts as blank.
                let answered = fixture.gateway.post(&callback).await;
                assert_eq!(answered.code(), "400", "{answered:?}");
            } else {
                fixture.send(&callback).await;
            }
        }
        for missing in [Value::Null, json!(7)] {
            callback["message_type"] = missing;
            let answered = fixture.gateway.post(&callback).await;
            assert_eq!(answered.code(), "400", "{answered:?}");
        }
    });
}
