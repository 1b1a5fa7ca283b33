//! The gateways and messages that tests share.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use contract::{Message, Options};
use tests::{Callee, GatewayOptions, SharedGateway, SharedGatewayUse};
use tokio::sync::OnceCell;

/// One ingress and one dispatcher. Retries after 1 s and 2 s; targets on 127.0.0.0/8 allowed; a
/// minute for a request body, so that tests of slow bodies have time. `EO001` is the callee's path
/// `/ok/eo001?key=value`; `EO002` is known and has no URL.
pub(crate) async fn shared() -> SharedGatewayUse<'static> {
    static SHARED: OnceCell<SharedGateway> = OnceCell::const_new();
    SHARED.get_or_init(own).await.in_test()
}

/// One ingress and one dispatcher with a journal. Retries after 1 s and a minute, so that a
/// callback that has failed twice stays in its state.
pub(crate) async fn journaled() -> SharedGatewayUse<'static> {
    static JOURNALED: OnceCell<SharedGateway> = OnceCell::const_new();
    JOURNALED.get_or_init(own_journaled).await.in_test()
}

/// A gateway like [`journaled`] for one test alone.
pub(crate) async fn own_journaled() -> SharedGateway {
    SharedGateway::start(|_| GatewayOptions {
        schedule: "1s,60s".to_owned(),
        journal: true,
        ..GatewayOptions::default()
    })
    .await
}

/// A gateway like [`shared`] for one test alone.
pub(crate) async fn own() -> SharedGateway {
    SharedGateway::start(|callee: &Callee| {
        let options = GatewayOptions {
            schedule: "1s,2s".to_owned(),
            ..GatewayOptions::default()
        };
        let url = callee.url("/ok/eo001?key=value");
        options
            .with("RINGBACK__CALLEES__EO001__URL", &url)
            .with_ingress("RINGBACK__INGRESS__BODY_TIMEOUT", "60s")
    })
    .await
}

/// A message with this URL as the ingress would queue it now.
pub(crate) fn message(url: &str) -> Message {
    Message {
        request_id: uuid::Uuid::now_v7(),
        app_id: "a".to_owned(),
        caller_no: None,
        callee_no: None,
        message_type: "t".to_owned(),
        callback_url: Some(url.to_owned()),
        options: Options::default(),
        accepted_at: unix_ms(),
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
        unknown: contract::UnknownFields::default(),
        request_message: Bytes::from_static(b"{ }"),
    }
}

/// The time now, in milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}
