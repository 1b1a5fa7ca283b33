//! Does the sweep let go what is stale, keep what is dead, and record what the journal missed?

use std::collections::HashMap;

use bytes::Bytes;

use super::*;
use crate::admin::tests::{Ground, letter, record};

fn fate(generation: u32, status: Status) -> Fate {
    Fate {
        generation,
        status,
        cancelled: false,
        discarded: false,
    }
}

#[test]
fn the_journal_decides_on_each_copy() {
    let of = |fate: Option<Fate>| decide(1, fate.as_ref(), false);
    assert_eq!(of(None), Decision::Record);
    assert_eq!(decide(1, None, true), Decision::Keep);
    for status in Status::ALL {
        assert_eq!(of(Some(fate(2, status))), Decision::Stale, "{status}");
        assert_eq!(of(Some(fate(0, status))), Decision::Record, "{status}");
    }
    for (status, decision) in [
        (Status::Delivered, Decision::Stale),
        (Status::Cancelled, Decision::Stale),
        (Status::Dead, Decision::Keep),
        (Status::Expired, Decision::Keep),
        (Status::Queued, Decision::Record),
        (Status::Retrying, Decision::Record),
    ] {
        assert_eq!(of(Some(fate(1, status))), decision, "{status}");
    }
    let discarded = Fate {
        discarded: true,
        ..fate(1, Status::Dead)
    };
    assert_eq!(of(Some(discarded)), Decision::Stale);
}

/// Lays messages among the dead letters, the way a dispatcher does.
async fn bury(ground: &Ground, bodies: Vec<Bytes>) {
    let mut consumer = ground.broker.consume(Lane::First, 16);
    for body in bodies {
        let message = |body| broker::Message {
            id: String::new(),
            kind: "callback.v1",
            headers: Vec::new(),
            body,
        };
        ground.broker.publish(message(body.clone())).await.unwrap();
        let received = consumer.next().await;
        let settlement = Settlement::Dead {
            reason: "exhausted",
            message: message(body),
        };
        received.settle(settlement).await.unwrap();
    }
    consumer.close().await;
}

async fn left(ground: &Ground) -> HashMap<Option<Uuid>, usize> {
    let mut consumer = ground.broker.consume(Lane::Dead, 1_000);
    let mut left = HashMap::new();
    while let Ok(received) = timeout(Duration::from_secs(2), consumer.next()).await {
        let message = Message::decode(&received.body).ok();
        *left.entry(message.map(|it| it.request_id)).or_default() += 1;
        std::mem::forget(received); // In hand until the end.
    }
    consumer.cancel().await;
    left
}

fn broom(ground: &Ground) -> Broom {
    Broom {
        broker: ground.broker.clone(),
        journal: ground.journal.clone(),
        parties: Live::new(Parties::new([]).unwrap()),
        retention: Duration::from_secs(3_600),
    }
}

#[tokio::test]
async fn a_sweep_leaves_what_is_dead_and_records_what_was_missed() {
    let ground = Ground::new().await;
    let kept = ground.give_up("demo", "rejected").await;
    let replayed = ground.give_up("demo", "exhausted").await;
    let taken = ground
        .journal
        .take_replay(replayed.request_id, moment::now());
    taken.await.unwrap();
    let discarded = ground.give_up("demo", "exhausted").await;
    let asked = ground
        .journal
        .discard_one(discarded.request_id, moment::now());
    assert!(asked.await.unwrap());
    let missed = letter("demo");
    let late = letter("demo");
    let queued = State::Queued { not_before: None };
    ground
        .journal
        .record(&[record(&late, queued)])
        .await
        .unwrap();
    let mut forgotten = letter("demo");
    forgotten.accepted_at -= 7_200_000;
    let all = [&kept, &replayed, &discarded, &missed, &late, &forgotten];
    let mut bodies: Vec<Bytes> = all.iter().map(|it| it.encode().into()).collect();
    bodies.push(Bytes::from_static(b"no message"));
    bury(&ground, bodies).await;

    let swept = broom(&ground).sweep(&CancellationToken::new()).await;
    let expected = Swept {
        stale: 2,
        recorded: 2,
        kept: 3,
    };
    assert_eq!(swept, expected);
    for recorded in [&missed, &late] {
        let found = ground.journal.find(recorded.request_id).await.unwrap();
        let found = found.unwrap();
        assert_eq!(found.status, Status::Dead);
        assert_eq!(found.origin.target, "https://h.example:443");
        let body = ground
            .journal
            .dead_letter(recorded.request_id)
            .await
            .unwrap();
        assert_eq!(body, Some(recorded.encode().into()));
    }
    let found = ground.journal.find(forgotten.request_id).await.unwrap();
    assert_eq!(found, None, "it is not brought back into the list");
    let expected = [Some(kept.request_id), Some(missed.request_id)]
        .into_iter()
        .chain([Some(late.request_id), Some(forgotten.request_id), None])
        .map(|id| (id, 1));
    assert_eq!(left(&ground).await, expected.collect());

    // Once more: nothing new, and nothing lost.
    let swept = broom(&ground).sweep(&CancellationToken::new()).await;
    let expected = Swept {
        stale: 0,
        recorded: 0,
        kept: 5,
    };
    assert_eq!(swept, expected);
    ground.end().await;
}

#[tokio::test]
async fn a_journal_out_of_reach_leaves_everything_where_it_is() {
    let ground = Ground::new().await;
    let message = ground.give_up("demo", "exhausted").await;
    bury(&ground, vec![message.encode().into()]).await;
    ground.journal.close().await;
    let swept = broom(&ground).sweep(&CancellationToken::new()).await;
    assert_eq!(swept, Swept::default());
    assert_eq!(
        left(&ground).await,
        HashMap::from([(Some(message.request_id), 1)])
    );
    ground.end().await;
}

#[test]
fn a_gap_is_recorded_with_what_the_message_tells() {
    assert_eq!(known("exhausted"), Some("exhausted"));
    assert_eq!(known("x"), None);
    let message = letter("demo");
    let origin = origin(&message, &Parties::new([]).unwrap());
    assert_eq!(
        origin.callback_url.as_deref(),
        Some("https://h.example/x?***")
    );
}
