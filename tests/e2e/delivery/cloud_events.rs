//! A callee that reads CloudEvents gets their headers, and no other target does.

use serde_json::json;
use tests::{GatewayOptions, SharedGateway};

#[tokio::test]
async fn a_callee_that_asks_for_cloud_events_gets_their_headers_and_the_same_body() {
    let fixture = SharedGateway::start(|callee| {
        GatewayOptions::default()
            .with("RINGBACK__CALLEES__CE1__URL", &callee.url("/ok/events"))
            .with("RINGBACK__CALLEES__CE1__CLOUD_EVENTS", "true")
            .with("RINGBACK__CALLEES__CE2__URL", &callee.url("/ok/plain"))
    })
    .await;
    let mut received = Vec::new();
    for no in ["CE1", "CE2"] {
        let mut body = fixture.callback("/ok");
        body.as_object_mut().unwrap().remove("callback_url");
        body["callee_no"] = json!(no);
        body["app_id"] = json!("shop");
        body["message_type"] = json!("order.paid");
        let id = fixture.send(&body).await;
        let request = fixture.received(&id, 1).await.remove(0);
        received.push((id, request));
    }
    let (id, event) = &received[0];
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", id.as_str()),
        ("ce-source", "/apps/shop"),
        ("ce-type", "order.paid"),
        ("content-type", "application/json"),
        ("webhook-id", id.as_str()),
    ] {
        assert_eq!(
            event.headers.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    let time = &event.headers["ce-time"];
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    let (_, plain) = &received[1];
    assert_eq!(plain.body, event.body);
    let others = plain.headers.keys().filter(|name| name.starts_with("ce-"));
    assert_eq!(others.count(), 0);
}
