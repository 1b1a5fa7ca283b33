//! What is let in, what is turned away, and does each caller hear exactly why?

mod by_http;
mod refusals;

use std::time::Duration;

use serde_json::{Value, json};
use tests::gateway::Answered;
use tests::taken::Taken;
use tests::{GatewayOptions, Role, Visit, World, eventually, http, together};
use tokio::sync::OnceCell;

use crate::shared::shared;
use refusals::Refusal;

const SOON: Duration = Duration::from_secs(60);

/// A gateway for one test alone. Whatever goes to [`NO_END`] and is let in stays in the queue:
/// nobody takes it out, or where one process is all, its attempt does not end.
async fn standing_still(options: GatewayOptions) -> World {
    World::start(|_| GatewayOptions {
        dispatchers: 0,
        ..options
    })
    .await
}

/// A path of the callee that does not answer within the 15 s of an attempt.
const NO_END: &str = "/hang";

async fn take_first(world: &World) -> Option<Taken> {
    world.gateway.take("first").await.unwrap()
}

/// Posts until the ingress has seen that there is room.
async fn accepted_at_last(world: &World, callback: &Value) -> String {
    eventually("room in the backlog", SOON, async || {
        let answered = world.gateway.post(callback).await;
        match answered.status {
            503 => Err(format!("{answered:?}")),
            _ => Ok(answered.accepted()),
        }
    })
    .await
}

#[track_caller]
fn check_envelope(answered: &Answered, status: u16, code: &str, msg: &str) {
    let body = String::from_utf8_lossy(&answered.body);
    let expected = format!(r#"{{"code":"{code}","msg":"{msg}"}}"#);
    assert_eq!((answered.status, &*body), (status, &*expected));
    assert_eq!(
        answered.headers["content-type"],
        "application/json; charset=utf-8"
    );
}

#[test]
fn a_good_callback_is_answered_with_its_id_code_and_message() {
    together(async {
        let world = shared().await;
        let answered = world.gateway.post(&world.callback("/ok")).await;
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
    together(async {
        let world = shared().await;
        for headers in [
            &[][..],
            &[("content-type", "application/vnd.eo+json; charset=utf-8")],
            &[("content-encoding", "identity")],
        ] {
            let body = world.callback("/ok").to_string();
            world.gateway.post_raw(body, headers).await.accepted();
        }
    });
}

#[test]
fn what_is_refused_is_named_exactly_and_never_queued() {
    together(async {
        let world = standing_still(GatewayOptions::default()).await;
        let gateway = &world.gateway;
        let mut refused = 0;
        for Refusal { body, headers, msg } in refusals::bad_requests() {
            let shown = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
            println!("{shown}");
            let answered = gateway.post_raw(body, &headers).await;
            check_envelope(&answered, 400, "400", &msg);
            refused += 1;
        }
        for (status, msg, answered) in by_http::refused(gateway).await {
            check_envelope(&answered, status, &status.to_string(), msg);
            refused += 1;
        }
        assert!(refused > 60, "{refused} cases");

        // One good callback now stands alone: had any of them been let in, it would be before it.
        let id = world.send(&world.callback(NO_END)).await;
        let first = take_first(&world).await.unwrap();
        let queued = contract::Message::decode(&first.body).unwrap();
        assert_eq!(queued.request_id.to_string(), id);
        assert!(take_first(&world).await.is_none());
        for queue in ["retry", "unrouted", "poison", "dead"] {
            assert_eq!(gateway.queue_depth(queue).await, 0, "{queue}");
        }
        let series = "ringback_callbacks_refused_total{code=\"400\"}";
        assert!(world.metric(Role::Ingress, series).await > 0);
    });
}

#[test]
fn a_slow_body_is_answered_408_and_its_connection_ends() {
    together(async {
        let options = GatewayOptions::default();
        let options = options.with_ingress("RINGBACK__INGRESS__BODY_TIMEOUT", "500ms");
        let world = standing_still(options).await;
        let head = "POST /api/callback HTTP/1.1\r\nhost: gateway\r\ncontent-length: 500\r\n\r\n{";
        // The answer's end is the connection's end: nobody asked for it but the gateway.
        let answer = http::raw(world.gateway.ingress.address, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        let body = r#"{"code":"408","msg":"接收请求体超时，请重新发送"}"#;
        assert!(answer.ends_with(body), "{answer}");
        assert_eq!(world.gateway.queue_depth("first").await, 0);
    });
}

#[test]
fn english_is_spoken_to_those_who_ask_for_it() {
    together(async {
        let world = shared().await;
        let english = ("accept-language", "en-US,en;q=0.9,zh;q=0.5");
        let mut callback = world.callback("/ok");
        let good = world
            .gateway
            .post_raw(callback.to_string(), &[english])
            .await;
        good.accepted();
        assert_eq!(good.json()["msg"], "success");

        callback["app_id"] = json!("");
        let blank = world
            .gateway
            .post_raw(callback.to_string(), &[english])
            .await;
        check_envelope(&blank, 400, "400", "parameter app_id must not be empty");

        callback["app_id"] = json!("a");
        callback["callback_url"] = json!("http://10.0.0.1/");
        let refused = world
            .gateway
            .post_raw(callback.to_string(), &[english])
            .await;
        let msg = "parameter callback_url is malformed: this address may not be called (private)";
        check_envelope(&refused, 400, "400", msg);

        let neither = world.gateway.post_raw("{}", &[english]).await;
        let msg = "parameter callback_url or callee_no must not be empty";
        check_envelope(&neither, 400, "400", msg);
    });
}

#[test]
fn a_full_backlog_is_answered_503_without_id_until_there_is_room() {
    const MAX_BACKLOG: usize = 3;
    together(async {
        // Callers are faster than one attempt at a time.
        let world = World::start(|_| {
            GatewayOptions::default()
                .with("RINGBACK__INGRESS__MAX_BACKLOG", &MAX_BACKLOG.to_string())
                .with("RINGBACK__DISPATCHER__FIRST_SLOTS", "1")
        });
        let world = world.await;
        let callback = world.callback("/slow/500");
        let mut accepted = Vec::new();
        let full = eventually("a full backlog", SOON, async || {
            let answered = world.gateway.post(&callback).await;
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

        accepted.push(accepted_at_last(&world, &callback).await);
        for id in &accepted {
            world.received(id, 1).await;
        }
        // What was definitely refused would have come before the last one.
        let seen = world.callee.book.count();
        assert_eq!(usize::try_from(seen), Ok(accepted.len()));
    });
}

/// A gateway with the two settings for callers who know no better.
async fn lenient() -> Visit<'static> {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    let world = WORLD.get_or_init(|| {
        World::start(|_| {
            let options = GatewayOptions {
                dispatchers: 0,
                ..GatewayOptions::default()
            };
            options
                .with("RINGBACK__INGRESS__HTTP_STATUS", "always_200")
                .with("RINGBACK__INGRESS__ACCEPT_BLANK_MESSAGE_TYPE", "true")
        })
    });
    world.await.visit()
}

#[test]
fn always_200_changes_the_status_and_nothing_else() {
    together(async {
        let world = lenient().await;
        world.send(&world.callback("/ok")).await;
        let missing = world.gateway.post_raw("{}", &[]).await;
        check_envelope(&missing, 200, "400", "参数callback_url或callee_no不能为空");
        for (status, msg, mut answered) in by_http::refused(&world.gateway).await {
            assert_eq!(answered.status, 200, "{msg}");
            answered.status = status;
            check_envelope(&answered, status, &status.to_string(), msg);
        }
    });
}

#[test]
fn a_blank_message_type_is_let_in_where_the_operator_says_so() {
    together(async {
        let world = lenient().await;
        let mut callback = world.callback("/ok");
        for blank in ["", " \t"] {
            callback["message_type"] = json!(blank);
            if blank.contains('\t') {
                // Blank or not, a control character cannot stand in it.
                let answered = world.gateway.post(&callback).await;
                assert_eq!(answered.code(), "400", "{answered:?}");
            } else {
                world.send(&callback).await;
            }
        }
        for missing in [Value::Null, json!(7)] {
            callback["message_type"] = missing;
            let answered = world.gateway.post(&callback).await;
            assert_eq!(answered.code(), "400", "{answered:?}");
        }
    });
}
