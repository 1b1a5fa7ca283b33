//! The switches: operators stop intake or deliveries everywhere, and resume them.

use std::time::Duration;

use serde_json::{Value, json};
use tests::ports::free_port;
use tests::{
    BrokerKind, GatewayOptions, GatewayRole, Process, SharedGateway, eventually, on_shared_runtime,
};

/// Upper bound for something that only the machine's load delays.
const SOON: Duration = Duration::from_secs(60);

fn is_rabbitmq() -> bool {
    BrokerKind::chosen() == BrokerKind::RabbitMq
}

async fn fixture(dispatchers: usize) -> SharedGateway {
    SharedGateway::start(|_| {
        let options = GatewayOptions {
            dispatchers,
            schedule: "1s,1s,1s".to_owned(),
            ..GatewayOptions::default()
        };
        options.with_journal()
    })
    .await
}

/// Runs `ringback` with these arguments against the gateway, which must succeed: its output.
async fn run(fixture: &SharedGateway, words: &[&str]) -> String {
    let admin = fixture.gateway.admin_url();
    let mut words = words.to_vec();
    words.extend(["--admin", &admin]);
    let mut process = Process::ringback(&words, [("USER", "night-shift")]);
    let ended = process.wait_exit(SOON).await;
    let output = process.log();
    assert!(ended.success(), "{output}");
    output
}

/// Waits until a dispatcher knows whether a switch is in force.
async fn known(fixture: &SharedGateway, place: usize, switch: &str, stopped: u64) {
    let series = format!("ringback_stopped{{switch=\"{switch}\"}}");
    let role = GatewayRole::Dispatcher(place);
    eventually("the switch to be known", SOON, async || {
        let seen = fixture.metric(role, &series).await;
        (seen == stopped).then_some(()).ok_or(seen.to_string())
    })
    .await;
}

#[test]
fn stopped_deliveries_begin_no_attempt_and_go_on_with_nothing_lost() {
    let dispatchers = if is_rabbitmq() { 2 } else { 1 };
    on_shared_runtime(async move {
        let fixture = fixture(dispatchers).await;
        let fixture = fixture.in_test();
        // One is in flight when deliveries are stopped, and one waits for its second attempt.
        let in_flight = fixture.send(&fixture.callback("/slow/8000")).await;
        let retried = fixture.send(&fixture.callback("/flaky/1")).await;
        fixture.received(&in_flight, 1).await;
        fixture.received(&retried, 1).await;
        let output = run(
            &fixture,
            &["pause", "--deliveries", "--reason", "they move"],
        )
        .await;
        assert!(output.contains("deliveries are stopped"), "{output}");
        for place in 0..dispatchers {
            known(&fixture, place, "deliveries", 1).await;
        }
        let before = fixture.callee.requests.for_id(&retried).len();
        let mut ids = Vec::new();
        for _ in 0..30 {
            ids.push(fixture.send(&fixture.callback("/ok")).await);
        }
        // Not held by a dispatcher, and not in a delay queue.
        eventually("all of them ready in their queue", SOON, async || {
            let depth = fixture.gateway.queue_depth("first").await;
            (depth == 30).then_some(()).ok_or(depth.to_string())
        })
        .await;
        // What was in flight ends as it ends.
        eventually("the end of what was in flight", SOON, async || {
            let answer = fixture.gateway.query(&in_flight).await.json();
            let ended = answer["status"] == "delivered";
            ended.then_some(()).ok_or(answer.to_string())
        })
        .await;
        for id in &ids {
            assert_eq!(fixture.callee.requests.for_id(id).len(), 0, "{id}");
        }
        let now = fixture.callee.requests.for_id(&retried).len();
        assert_eq!(now, before, "no retry was made meanwhile");
        // Everyone who looks is told.
        let output = run(&fixture, &["targets"]).await;
        let notice = "deliveries are stopped by night-shift";
        assert!(output.contains(notice), "{output}");
        assert!(output.contains("they move"), "{output}");
        let list = fixture.gateway.admin("/admin/v1/callbacks", None).await;
        assert_eq!(list["switches"][0]["kind"], "deliveries", "{list}");
        let shown = run(&fixture, &["callback", "show", &ids[0]]).await;
        assert!(shown.contains("Deliveries are stopped by"), "{shown}");
        let output = run(&fixture, &["resume", "--deliveries", "--reason", "moved"]).await;
        assert!(output.contains("resumed"), "{output}");
        for id in &ids {
            let received = fixture.received(id, 1).await;
            assert_eq!(received[0].attempt, Some(1), "{id}");
        }
        fixture.received(&retried, 2).await;
        eventually("empty queues", SOON, async || {
            let depths = fixture.gateway.depths().await?;
            let left: u32 = depths.values().sum();
            (left == 0).then_some(()).ok_or(format!("{depths:?}"))
        })
        .await;
        for id in ids.iter().chain([&in_flight]) {
            assert_eq!(fixture.callee.requests.for_id(id).len(), 1, "{id} twice");
        }
        let list = fixture.gateway.admin("/admin/v1/callbacks", None).await;
        assert_eq!(list["switches"], Value::Null, "{list}");
    });
}

#[test]
fn a_stopped_intake_is_answered_503_by_every_ingress_and_queries_go_on() {
    on_shared_runtime(async {
        let fixture = fixture(1).await;
        let fixture = fixture.in_test();
        let before = fixture.send(&fixture.callback("/ok")).await;
        fixture.received(&before, 1).await;
        let mut urls = vec![fixture.gateway.callback_url()];
        // A second ingress.
        let mut second = None;
        if is_rabbitmq() {
            let [listen, metrics] = [(), ()].map(|()| format!("127.0.0.1:{}", free_port()));
            let mut variables = fixture.gateway.variables().clone();
            urls.push(format!("http://{listen}/api/callback"));
            variables.insert("RINGBACK__INGRESS__LISTEN".to_owned(), listen);
            variables.insert("RINGBACK__METRICS__LISTEN".to_owned(), metrics);
            second = Some(Process::ringback(&["ingress"], variables));
        }
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let post = async |url: &str| {
            let callback = fixture.callback("/ok").to_string();
            let request = client.post(url).body(callback);
            let request = request.header("content-type", "application/json");
            let response = request.send().await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            let retry_after = response.headers().contains_key("retry-after");
            let body = response.bytes().await.map_err(|error| error.to_string())?;
            let body: Value = serde_json::from_slice(&body).unwrap();
            Ok::<_, String>((status, retry_after, body))
        };
        for url in &urls {
            eventually("an accepted callback", SOON, async || {
                let (status, _, body) = post(url).await?;
                (status == 200).then_some(()).ok_or(body.to_string())
            })
            .await;
        }
        let output = run(&fixture, &["pause", "--intake", "--reason", "migration"]).await;
        assert!(output.contains("intake is stopped"), "{output}");
        for url in &urls {
            eventually("a refused callback", SOON, async || {
                let (status, retry_after, body) = post(url).await?;
                let msg = "服务调用异常，请稍后再试或联系管理员";
                let refused = status == 503 && retry_after;
                let refused = refused && body == json!({ "code": "500", "msg": msg });
                refused.then_some(()).ok_or(body.to_string())
            })
            .await;
        }
        // Its record may arrive a moment after the call.
        eventually("the query to be answered", SOON, async || {
            let answer = fixture.gateway.query(&before).await;
            let delivered = answer.json()["status"] == "delivered";
            delivered.then_some(()).ok_or(format!("{answer:?}"))
        })
        .await;
        // Ready, so that a load balancer does not cut off the query; but it says so.
        let (status, bare) = fixture.gateway.get(GatewayRole::Ingress, "/readyz").await;
        let bare: Value = serde_json::from_str(&bare).unwrap();
        assert_eq!(status, 200);
        assert_eq!(bare, json!({ "status": "ready", "stopped": ["intake"] }));
        let role = GatewayRole::Ingress;
        let (status, details) = fixture.gateway.get_details(role, "/readyz").await;
        let details: Value = serde_json::from_str(&details).unwrap();
        let stopped = details["stopped"]["intake"].as_str().unwrap();
        assert_eq!(status, 200);
        assert!(stopped.contains("by night-shift") && stopped.ends_with("migration"));
        let output = run(&fixture, &["resume", "--intake", "--reason", "migrated"]).await;
        assert!(output.contains("resumed"), "{output}");
        for url in &urls {
            eventually("an accepted callback", SOON, async || {
                let (status, _, body) = post(url).await?;
                (status == 200).then_some(()).ok_or(body.to_string())
            })
            .await;
        }
        let log = fixture.gateway.admin("/admin/v1/audit", None).await;
        let entries = log["items"].as_array().unwrap().iter();
        let entries: Vec<_> = entries.map(|it| (&it["action"], &it["subject"])).collect();
        let (resume, pause, intake) = (json!("resume"), json!("pause"), json!("intake"));
        assert_eq!(entries, [(&resume, &intake), (&pause, &intake)]);
        drop(second);
    });
}
