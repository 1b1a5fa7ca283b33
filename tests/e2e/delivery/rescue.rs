//! Messages that are unreadable, that no queue accepted, or that reached their delivery limit.

use std::time::Duration;

use contract::Message;
use tests::{GatewayRole, SharedGateway, eventually, on_shared_runtime};

use crate::fixtures::{message, own};

/// A message for the callee's `/ok`, and its encoding.
fn good(fixture: &SharedGateway) -> (Message, Vec<u8>) {
    let message = message(&fixture.callee.url("/ok"));
    let bytes = message.encode().to_vec();
    (message, bytes)
}

#[test]
fn unreadable_messages_are_quarantined_unchanged_while_others_are_delivered() {
    on_shared_runtime(async {
        let mut fixture = own().await;
        let (_, bytes) = good(&fixture);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let unknown = text.replacen(r#"{"v":2,"#, r#"{"v":99,"from":"the future","#, 1);
        assert_ne!(unknown, text);
        let unreadable = [
            b"\x00\xff\xfe garbage".to_vec(),
            b"".to_vec(),
            b"{}".to_vec(),
            bytes[..bytes.len() - 1].to_vec(),
            unknown.into_bytes(),
        ];
        // A good one follows each of them.
        let (mut inserted, mut good_ids) = (Vec::new(), Vec::new());
        for body in &unreadable {
            let (message, bytes) = good(&fixture);
            inserted.extend([body.clone(), bytes]);
            good_ids.push(message.request_id.to_string());
        }
        fixture.gateway.insert_messages("first", &inserted).await;
        for id in good_ids {
            fixture.received(&id, 1).await;
        }
        for body in &unreadable {
            let taken = fixture.unreadable(body).await;
            assert_eq!(taken.header("ringback-from").as_deref(), Some("first"));
            let reason = taken.header("ringback-reason").unwrap();
            let newer = String::from_utf8_lossy(body).contains("the future");
            let expected = if newer {
                "the message has version 99, which this gateway does not know"
            } else {
                "the bytes are not a message: "
            };
            assert!(reason.starts_with(expected), "{reason}");
        }
        let series = "ringback_unreadable_messages_total";
        let counted = fixture.metric(GatewayRole::Dispatcher(0), series).await;
        assert_eq!(counted, unreadable.len() as u64);
    });
}

#[test]
fn a_message_of_version_1_is_still_delivered() {
    on_shared_runtime(async {
        let mut fixture = own().await;
        let (message, bytes) = good(&fixture);
        let text = String::from_utf8(bytes).unwrap();
        let old = text.replacen(r#"{"v":2,"#, r#"{"v":1,"#, 1);
        let old = old.replacen(r#""deferrals":0"#, r#""parked":0"#, 1);
        assert_eq!(old.len(), text.len() - 3);
        fixture
            .gateway
            .insert_messages("first", &[old.into_bytes()])
            .await;
        let received = fixture.received(&message.request_id.to_string(), 1).await;
        assert_eq!(received[0].body.as_bytes(), message.request_message);
    });
}

#[test]
fn an_unrouted_message_is_requeued_and_delivered() {
    on_shared_runtime(async {
        let mut fixture = own().await;
        let (message, bytes) = good(&fixture);
        let bodies = [bytes, b"unwanted".to_vec()];
        fixture.gateway.insert_messages("unrouted", &bodies).await;
        let received = fixture.received(&message.request_id.to_string(), 1).await;
        assert_eq!(received[0].body.as_bytes(), message.request_message);
        let taken = fixture.unreadable(b"unwanted").await;
        assert_eq!(taken.header("ringback-from").as_deref(), Some("unrouted"));
        let series = "ringback_unrouted_requeued_total";
        assert_eq!(fixture.metric(GatewayRole::Dispatcher(0), series).await, 1);
    });
}

#[test]
fn unrouted_records_are_put_back_into_the_queue_of_the_journal() {
    on_shared_runtime(async {
        let mut fixture = own().await;
        let records = include_bytes!("../../../crates/journal/golden/records-v2.json").to_vec();
        let (message, bytes) = good(&fixture);
        let bodies = [records.clone(), bytes];
        fixture.gateway.insert_messages("unrouted", &bodies).await;
        fixture.received(&message.request_id.to_string(), 1).await;
        // The gateway has no journal, or writes to it directly: nobody reads the queue.
        let taken = eventually("the batch", Duration::from_secs(20), async || {
            fixture.gateway.take("journal").await.ok().flatten()
        })
        .await;
        assert_eq!(taken.body, records);
        // At least once each: the binding may be younger than the batch, which then comes back.
        let series = "ringback_unrouted_requeued_total";
        assert!(fixture.metric(GatewayRole::Dispatcher(0), series).await >= 2);
        let series = "ringback_unreadable_messages_total";
        assert_eq!(fixture.metric(GatewayRole::Dispatcher(0), series).await, 0);
    });
}

#[test]
fn a_message_at_its_delivery_limit_is_dead_lettered_without_an_attempt() {
    on_shared_runtime(async {
        let mut fixture = own().await;
        let (message, bytes) = good(&fixture);
        let bodies = [bytes, b"endless".to_vec()];
        fixture
            .gateway
            .insert_messages("delivery_limit", &bodies)
            .await;
        let id = message.request_id.to_string();
        let letter = fixture.dead_letter(&id).await;
        assert_eq!(letter.reason(), "delivery_limit");
        assert_eq!(letter.message, message);

        let taken = fixture.unreadable(b"endless").await;
        assert_eq!(
            taken.header("ringback-from").as_deref(),
            Some("delivery_limit")
        );
        // It would have been called before this one.
        let later = fixture.send(&fixture.callback("/ok")).await;
        fixture.received(&later, 1).await;
        assert_eq!(fixture.callee.requests.for_id(&id).len(), 0);
    });
}
