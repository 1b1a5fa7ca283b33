//! Which gateway do the tests share that need no special one?

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use contract::{Message, Options};
use tests::{Callee, GatewayOptions, Visit, World};
use tokio::sync::OnceCell;

/// One ingress and one dispatcher; retries after 1 s and 2 s; targets on 127.0.0.0/8 allowed; a body
/// may take a minute, so that tests of slow ones have room;
/// `EO001` is the callee's path `/ok/eo001?key=value`, `EO002` is known and has no URL.
pub(crate) async fn shared() -> Visit<'static> {
    static SHARED: OnceCell<World> = OnceCell::const_new();
    SHARED.get_or_init(own).await.visit()
}

/// One ingress and one dispatcher with a journal; retries after 1 s and a minute, so that what has
/// failed twice stays where it is.
pub(crate) async fn journaled() -> Visit<'static> {
    static JOURNALED: OnceCell<World> = OnceCell::const_new();
    JOURNALED.get_or_init(own_journaled).await.visit()
}

/// Such a gateway for one test alone.
pub(crate) async fn own_journaled() -> World {
    World::start(|_| GatewayOptions {
        schedule: "1s,60s".to_owned(),
        journal: true,
        ..GatewayOptions::default()
    })
    .await
}

/// A gateway like [`shared`] for one test alone.
pub(crate) async fn own() -> World {
    World::start(|callee: &Callee| {
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

/// A message as ingress would queue it now for this URL.
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
        parked: 0,
        not_before: None,
        traceparent: None,
        reply_to: None,
        history: Vec::new(),
        request_message: Bytes::from_static(b"{ }"),
    }
}

/// The time now, in milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}
