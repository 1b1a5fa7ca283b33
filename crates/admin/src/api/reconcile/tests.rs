//! Tests that reconciliation removes stale copies, keeps dead letters, and records what is missing.

use std::collections::HashMap;

use bytes::Bytes;

use super::*;
use crate::api::tests::{ApiFixture, message, record};

fn state(generation: u32, status: CallbackStatus) -> ControlState {
    ControlState {
        generation,
        status,
        cancelled: false,
        discarded: false,
    }
}

#[test]
fn the_journal_decides_on_each_copy() {
    let of = |known: Option<ControlState>| decide(1, known.as_ref(), false);
    assert_eq!(of(None), CopyDisposition::Record);
    assert_eq!(decide(1, None, true), CopyDisposition::Keep);
    for status in CallbackStatus::ALL {
        assert_eq!(
            of(Some(state(2, status))),
            CopyDisposition::Stale,
            "{status}"
        );
        assert_eq!(
            of(Some(state(0, status))),
            CopyDisposition::Record,
            "{status}"
        );
    }
    for (status, disposition) in [
        (CallbackStatus::Delivered, CopyDisposition::Stale),
        (CallbackStatus::Cancelled, CopyDisposition::Stale),
        (CallbackStatus::Dead, CopyDisposition::Keep),
        (CallbackStatus::Expired, CopyDisposition::Keep),
        (CallbackStatus::Queued, CopyDisposition::Record),
        (CallbackStatus::Retrying, CopyDisposition::Record),
    ] {
        assert_eq!(of(Some(state(1, status))), disposition, "{status}");
    }
    let discarded = ControlState {
        discarded: true,
        ..state(1, CallbackStatus::Dead)
    };
    assert_eq!(of(Some(discarded)), CopyDisposition::Stale);
}

/// Dead-letters messages, as a dispatcher does.
async fn dead_letter(fixture: &ApiFixture, bodies: Vec<Bytes>) {
    let mut consumer = fixture.broker.consume(Queue::First, 16);
    for body in bodies {
        let message = |body| BrokerMessage {
            id: String::new(),
            kind: Message::AMQP_TYPE,
            headers: Vec::new(),
            body,
        };
        fixture.broker.publish(message(body.clone())).await.unwrap();
        let received = consumer.next().await;
        let settlement = Settlement::DeadLetter {
            reason: "exhausted",
            message: message(body),
        };
        received.settle(settlement).await.unwrap();
    }
    consumer.close().await;
}

/// How often each id is in the dead-letter queue; `None` for messages that cannot be decoded.
async fn remaining(fixture: &ApiFixture) -> HashMap<Option<Uuid>, usize> {
    let mut consumer = fixture.broker.consume(Queue::Dead, 1_000);
    let mut remaining = HashMap::new();
    while let Ok(received) = timeout(Duration::from_secs(2), consumer.next()).await {
        let message = Message::decode(&received.body).ok();
        *remaining
            .entry(message.map(|message| message.request_id))
            .or_default() += 1;
        std::mem::forget(received); // Never redelivered to this consumer.
    }
    consumer.cancel().await;
    remaining
}

async fn reconcile(fixture: &ApiFixture) -> Reconciled {
    let reconciler = Reconciler {
        broker: fixture.broker.clone(),
        journal: fixture.journal.clone(),
        callee_registry: Reloadable::new(CalleeRegistry::new([]).unwrap()),
        retention: Duration::from_secs(3_600),
    };
    reconciler.reconcile(&CancellationToken::new()).await
}

#[tokio::test]
async fn dead_letters_are_kept_and_missing_records_are_written() {
    let fixture = ApiFixture::new().await;
    let kept = fixture.dead_letter("demo", "rejected").await;
    let replayed = fixture.dead_letter("demo", "exhausted").await;
    let taken = fixture.journal.take_replay(replayed.request_id, now_ms());
    taken.await.unwrap();
    let discarded = fixture.dead_letter("demo", "exhausted").await;
    let done = fixture.journal.discard_one(discarded.request_id);
    assert!(done.await.unwrap());
    let missed = message("demo");
    let late = message("demo");
    let queued = RecordedState::Queued { not_before: None };
    fixture
        .journal
        .record(&[record(&late, queued)])
        .await
        .unwrap();
    let mut deleted = message("demo");
    deleted.accepted_at -= 7_200_000;
    let all = [&kept, &replayed, &discarded, &missed, &late, &deleted];
    let mut bodies: Vec<Bytes> = all.iter().map(|message| message.encode().into()).collect();
    bodies.push(Bytes::from_static(b"no message"));
    dead_letter(&fixture, bodies).await;

    let expected = Reconciled {
        stale: 2,
        recorded: 2,
        kept: 3,
    };
    assert_eq!(reconcile(&fixture).await, expected);
    for recorded in [&missed, &late] {
        let found = fixture.journal.find(recorded.request_id).await.unwrap();
        let found = found.unwrap();
        assert_eq!(found.status, CallbackStatus::Dead);
        assert_eq!(found.origin.target, "https://h.example:443");
        let body = fixture
            .journal
            .dead_letter(recorded.request_id)
            .await
            .unwrap();
        assert_eq!(body, Some(recorded.encode().into()));
    }
    let found = fixture.journal.find(deleted.request_id).await.unwrap();
    assert_eq!(found, None, "past its retention, it is not listed again");
    let expected = [Some(kept.request_id), Some(missed.request_id)]
        .into_iter()
        .chain([Some(late.request_id), Some(deleted.request_id), None])
        .map(|id| (id, 1));
    assert_eq!(remaining(&fixture).await, expected.collect());

    // A second run finds nothing new and loses nothing.
    let expected = Reconciled {
        stale: 0,
        recorded: 0,
        kept: 5,
    };
    assert_eq!(reconcile(&fixture).await, expected);
    fixture.close().await;
}

#[tokio::test]
async fn without_the_journal_nothing_is_changed() {
    let fixture = ApiFixture::new().await;
    let message = fixture.dead_letter("demo", "exhausted").await;
    dead_letter(&fixture, vec![message.encode().into()]).await;
    fixture.journal.close().await;
    assert_eq!(reconcile(&fixture).await, Reconciled::default());
    let expected = HashMap::from([(Some(message.request_id), 1)]);
    assert_eq!(remaining(&fixture).await, expected);
    fixture.close().await;
}

#[tokio::test]
async fn a_copy_of_version_1_is_put_back_in_the_newest_version() {
    const VERSION_1: &[u8] = include_bytes!("../../../../contract/golden/message-v1-full.json");
    let fixture = ApiFixture::new().await;
    let old = Bytes::from_static(VERSION_1);
    let message = Message::decode(&old).unwrap();
    dead_letter(&fixture, vec![old]).await;
    assert_eq!(reconcile(&fixture).await.kept, 1);
    let mut consumer = fixture.broker.consume(Queue::Dead, 1);
    let received = timeout(Duration::from_secs(9), consumer.next()).await;
    let body = received.unwrap().body.clone();
    assert_eq!(body, Bytes::from(message.encode()));
    consumer.cancel().await;
    fixture.close().await;
}

#[test]
fn the_target_of_a_message_is_that_of_its_url_or_of_its_callee() {
    let url = "http://10.0.0.7/in".to_owned();
    let registry = CalleeRegistry::new([("EO001".to_owned(), None, Some(url))]).unwrap();
    let mut message = message("demo");
    assert_eq!(target(&message, &registry), "https://h.example:443");
    message.callback_url = None;
    assert_eq!(target(&message, &registry), "");
    message.callee_no = Some("EO001".to_owned());
    assert_eq!(target(&message, &registry), "http://10.0.0.7:80");
}
