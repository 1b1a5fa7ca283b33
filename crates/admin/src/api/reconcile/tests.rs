//! Tests that reconciliation removes stale copies, keeps dead letters, and records what is missing.

use std::collections::HashMap;

use bytes::Bytes;

use super::*;
use crate::api::tests::{ApiFixture, dead, message, record};

fn state(generation: u32, status: CallbackStatus) -> ControlState {
    ControlState {
        generation,
        hold: 0,
        status,
        cancelled: false,
        discarded: false,
    }
}

const YOUNG: CopyAge = CopyAge {
    callback_expired: false,
    letter_expired: false,
};

#[test]
fn the_journal_decides_on_each_copy() {
    let of = |known: Option<ControlState>| decide((1, 1), known.as_ref(), YOUNG);
    assert_eq!(of(None), CopyDisposition::Record);
    for (callback_expired, letter_expired, disposition) in [
        (true, false, CopyDisposition::Keep),
        (true, true, CopyDisposition::Expired),
        (false, true, CopyDisposition::Expired),
    ] {
        let age = CopyAge {
            callback_expired,
            letter_expired,
        };
        assert_eq!(decide((1, 1), None, age), disposition);
        // What the journal knows, its own retention discards.
        let dead = state(1, CallbackStatus::Dead);
        assert_eq!(decide((1, 1), Some(&dead), age), CopyDisposition::Keep);
    }
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
        (CallbackStatus::Unaccounted, CopyDisposition::Record),
    ] {
        assert_eq!(of(Some(state(1, status))), disposition, "{status}");
    }
    let discarded = ControlState {
        discarded: true,
        ..state(1, CallbackStatus::Dead)
    };
    assert_eq!(of(Some(discarded)), CopyDisposition::Stale);
}

#[test]
fn a_copy_of_an_older_hold_is_stale() {
    let with_hold = |hold, status| ControlState {
        hold,
        ..state(1, status)
    };
    for status in CallbackStatus::ALL {
        let found = decide((1, 1), Some(&with_hold(2, status)), YOUNG);
        assert_eq!(found, CopyDisposition::Stale, "{status}");
        // The journal is behind the queue, as without holds.
        let newer = decide((1, 3), Some(&with_hold(2, status)), YOUNG);
        let equal = decide((1, 2), Some(&with_hold(2, status)), YOUNG);
        assert_eq!(newer, equal, "{status}");
    }
    // Holds are counted anew in each generation.
    let replayed = decide((2, 0), Some(&with_hold(7, CallbackStatus::Dead)), YOUNG);
    assert_eq!(replayed, CopyDisposition::Record);
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

fn reconciler(fixture: &ApiFixture) -> Reconciler {
    Reconciler {
        broker: fixture.broker.clone(),
        journal: fixture.journal.clone(),
        callee_registry: Reloadable::new(CalleeRegistry::new([]).unwrap()),
        retention: Duration::from_secs(3_600),
        dead_letter_retention: Duration::from_secs(24 * 3_600),
    }
}

/// Reads the whole queue.
async fn reconcile(fixture: &ApiFixture) -> Reconciled {
    let reconciler = reconciler(fixture);
    let depth = reconciler.depth().await;
    let stop = CancellationToken::new();
    reconciler.reconcile(depth, &stop).await
}

/// Dead letters in the journal and in the queue.
async fn dead_letters(fixture: &ApiFixture, count: usize) -> Vec<Message> {
    let messages: Vec<Message> = (0..count).map(|_| message("demo")).collect();
    for part in messages.chunks(500) {
        let records: Vec<Record> = part
            .iter()
            .map(|message| record(message, dead("exhausted")))
            .collect();
        fixture.journal.record(&records).await.unwrap();
    }
    let bodies = messages.iter().map(|message| message.encode().into());
    dead_letter_together(fixture, bodies.collect()).await;
    let mut depths = fixture.broker.depths();
    let count = u32::try_from(count).unwrap();
    let reached = depths.wait_for(|depths| depths.dead.last_known() == Some(count));
    timeout(Duration::from_secs(60), reached)
        .await
        .unwrap()
        .unwrap();
    messages
}

/// As [`dead_letter`], many at a time and in any order.
async fn dead_letter_together(fixture: &ApiFixture, bodies: Vec<Bytes>) {
    let message = |body| BrokerMessage {
        id: String::new(),
        kind: Message::AMQP_TYPE,
        headers: Vec::new(),
        body,
    };
    let mut consumer = fixture.broker.consume(Queue::First, 500);
    for part in bodies.chunks(500) {
        let publishing = part
            .iter()
            .map(|body| fixture.broker.publish(message(body.clone())));
        for published in join_all(publishing).await {
            published.unwrap();
        }
        let mut settling = Vec::new();
        for _ in part {
            let received = consumer.next().await;
            let body = received.body.clone();
            settling.push(received.settle(Settlement::DeadLetter {
                reason: "exhausted",
                message: message(body),
            }));
        }
        for settled in join_all(settling).await {
            settled.unwrap();
        }
    }
    consumer.close().await;
}

/// Replays them as a request does.
async fn replay(fixture: &ApiFixture, messages: &[Message]) {
    let mut published = Vec::new();
    for message in messages {
        let taken =
            fixture
                .journal
                .take_replay(message.request_id, journal::Replayable::Ended, now_ms());
        let journal::ReplayOutcome::Replay(replay) = taken.await.unwrap() else {
            panic!("{message:?}");
        };
        published.push((replay.request_id, replay.generation));
    }
    fixture.journal.confirm_replays(&published).await.unwrap();
    let entry = journal::AuditEntry {
        occurred_at: now_ms(),
        actor: "ann".to_owned(),
        action: "replay".to_owned(),
        subject: "some".to_owned(),
        reason: "repaired".to_owned(),
        count: u64::try_from(messages.len()).unwrap(),
    };
    fixture.journal.append_audit(&entry).await.unwrap();
}

async fn step(fixture: &ApiFixture, pass: &mut Pass, now: u64) -> Reconciled {
    let stop = CancellationToken::new();
    reconciler(fixture).step(pass, now, &stop).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_one_letter_does_not_read_a_long_queue() {
    let fixture = ApiFixture::new().await;
    let letters = dead_letters(&fixture, 2_000).await;
    let mut pass = Pass::new(now_ms());
    assert_eq!(step(&fixture, &mut pass, now_ms()).await.read(), 0);
    // Once a day a pass begins for a single copy; each step is bounded.
    replay(&fixture, &letters[..1]).await;
    for read in [500, 500, 500, 500, 0] {
        assert_eq!(step(&fixture, &mut pass, now_ms()).await.read(), read);
    }
    for letter in &letters[1..10] {
        replay(&fixture, std::slice::from_ref(letter)).await;
        assert_eq!(step(&fixture, &mut pass, now_ms()).await.read(), 0);
    }
    // Another process does no more.
    let mut other = Pass::new(now_ms());
    assert_eq!(step(&fixture, &mut other, now_ms()).await.read(), 0);
    // Enough copies are stale: one pass for all of them.
    replay(&fixture, &letters[10..30]).await;
    let mut total = Reconciled::default();
    for _ in 0..9 {
        let reconciled = step(&fixture, &mut pass, now_ms()).await;
        assert!(reconciled.read() <= schedule::MAX_STEP);
        total.stale += reconciled.stale;
        total.kept += reconciled.kept;
    }
    assert_eq!((total.stale, total.kept), (29, 1_970));
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_at_a_time_reads_the_queue() {
    let fixture = ApiFixture::new().await;
    let letters = dead_letters(&fixture, 600).await;
    replay(&fixture, &letters[..10]).await;
    let now = now_ms();
    let (mut one, mut other) = (Pass::new(now), Pass::new(now));
    assert_eq!(step(&fixture, &mut one, now).await.read(), 500);
    assert_eq!(step(&fixture, &mut other, now).await.read(), 0);
    // Its process has ended: the other one takes over.
    let later = now + contract::duration_ms(LEASE_DURATION);
    assert_eq!(step(&fixture, &mut other, later).await.read(), 500);
    assert_eq!(step(&fixture, &mut one, later).await.read(), 0);
    fixture.close().await;
}

#[test]
fn an_entry_that_grows_counts_for_what_was_added() {
    let entry = |count, updated_at| StoredAuditEntry {
        entry: journal::AuditEntry {
            occurred_at: 5,
            actor: "retention".to_owned(),
            action: "discard".to_owned(),
            subject: "old ones".to_owned(),
            reason: "retention".to_owned(),
            count,
        },
        updated_at,
    };
    let mut pass = Pass::new(0);
    assert_eq!(pass.stale(&[entry(7, 5)]), 7);
    pass.restart(6, &[entry(7, 5)]);
    assert_eq!(pass.stale(&[entry(7, 5)]), 0);
    assert_eq!(pass.stale(&[entry(10, 8)]), 3);
}

#[tokio::test]
async fn a_letter_discarded_by_its_age_leaves_the_queue() {
    let fixture = ApiFixture::new().await;
    let letters = dead_letters(&fixture, 3).await;
    let retention = journal::Retention {
        callbacks: Duration::from_secs(3_600),
        dead_letters: Duration::ZERO,
        delivered: Duration::ZERO,
        audits: Duration::from_secs(3_600),
        rollups: Duration::from_secs(30 * 24 * 3_600),
    };
    let now = now_ms();
    let progress = fixture.journal.apply_retention(retention, now).await;
    assert_eq!(progress.unwrap().dead_letters, 3);
    let mut pass = Pass::new(now);
    assert_eq!(step(&fixture, &mut pass, now).await.stale, 3);
    assert_eq!(remaining(&fixture).await, HashMap::new());
    let found = fixture.journal.find(letters[0].request_id).await.unwrap();
    assert!(found.unwrap().discarded_by_retention);
    fixture.close().await;
}

#[tokio::test]
async fn an_old_letter_that_the_journal_does_not_know_is_removed_and_audited() {
    let fixture = ApiFixture::new().await;
    let day = 24 * 3_600_000;
    let attempt = |started_at| contract::HistoryEntry {
        number: 3,
        started_at,
        duration_ms: 12,
        outcome: "answered_5xx".to_owned(),
        http_status: Some(503),
        unknown: contract::UnknownFields::default(),
    };
    let old = |died: Option<u64>| {
        let mut message = message("demo");
        message.accepted_at -= 3 * day;
        message.history = died.map(attempt).into_iter().collect();
        message
    };
    let now = now_ms();
    let expired = old(Some(now - day - 1_000));
    let (recent, unknown) = (old(Some(now - day / 2)), old(None));
    // Never attempted, and accepted so long ago that it must have died more than a day ago.
    let mut never_attempted = old(None);
    never_attempted.accepted_at -= 13 * day;
    let all = [&expired, &recent, &unknown, &never_attempted];
    let bodies = all.map(|message| message.encode().into()).to_vec();
    dead_letter(&fixture, bodies).await;
    let expected = Reconciled {
        kept: 2,
        expired: 2,
        ..Reconciled::default()
    };
    assert_eq!(reconcile(&fixture).await, expected);
    let left = HashMap::from([(Some(recent.request_id), 1), (Some(unknown.request_id), 1)]);
    assert_eq!(remaining(&fixture).await, left);
    let page = fixture.journal.audit_log(None, 9).await.unwrap();
    let [audit] = page.entries.as_slice() else {
        panic!("{page:?}");
    };
    assert_eq!((&*audit.entry.actor, audit.entry.count), ("retention", 2));
    fixture.close().await;
}

#[tokio::test]
async fn after_a_failed_record_nothing_is_counted_twice() {
    let fixture = ApiFixture::new().await;
    let mut expired = message("demo");
    expired.accepted_at -= 20 * 24 * 3_600_000;
    let missed = message("demo");
    let bodies = [&expired, &missed].map(|message| message.encode().into());
    dead_letter(&fixture, bodies.to_vec()).await;
    let database = rusqlite::Connection::open(fixture.journal_file()).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    database
        .execute_batch(
            "CREATE TRIGGER failing BEFORE INSERT ON callbacks
             BEGIN SELECT abs(-9223372036854775808); END",
        )
        .unwrap();
    assert_eq!(reconcile(&fixture).await, Reconciled::default());
    database.execute_batch("DROP TRIGGER failing").unwrap();
    let expected = Reconciled {
        recorded: 1,
        expired: 1,
        ..Reconciled::default()
    };
    assert_eq!(reconcile(&fixture).await, expected);
    let page = fixture.journal.audit_log(None, 9).await.unwrap();
    let [audit] = page.entries.as_slice() else {
        panic!("{page:?}");
    };
    assert_eq!(audit.entry.count, 1);
    fixture.close().await;
}

#[tokio::test]
async fn all_letters_are_read_or_it_says_so() {
    let fixture = ApiFixture::new().await;
    let (reconciler, stop) = (reconciler(&fixture), CancellationToken::new());
    assert!(reconciler.reconcile_all(&stop).await, "there is none");
    let missed: Vec<Message> = (0..150).map(|_| message("demo")).collect();
    let bodies = missed.iter().map(|message| message.encode().into());
    dead_letter(&fixture, bodies.collect()).await;
    let mut depths = fixture.broker.depths();
    let reached = depths.wait_for(|depths| depths.dead.current() == Some(150));
    timeout(Duration::from_secs(60), reached)
        .await
        .unwrap()
        .unwrap();
    assert!(reconciler.reconcile_all(&stop).await);
    for message in &missed {
        let found = fixture.journal.find(message.request_id).await.unwrap();
        assert_eq!(found.unwrap().status, CallbackStatus::Dead);
    }
    fixture.journal.close().await;
    assert!(!reconciler.reconcile_all(&stop).await);
    fixture.close().await;
}

#[tokio::test]
async fn dead_letters_are_kept_and_missing_records_are_written() {
    let fixture = ApiFixture::new().await;
    let kept = fixture.dead_letter("demo", "rejected").await;
    let replayed = fixture.dead_letter("demo", "exhausted").await;
    let taken =
        fixture
            .journal
            .take_replay(replayed.request_id, journal::Replayable::Ended, now_ms());
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
        expired: 0,
        refused: 0,
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
        expired: 0,
        refused: 0,
    };
    let mut second = reconcile(&fixture).await;
    // What was looked at comes back to its queue a moment later.
    for _ in 0..100 {
        if second == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        second = reconcile(&fixture).await;
    }
    assert_eq!(second, expected);
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
    let mut reconciler = reconciler(&fixture);
    reconciler.dead_letter_retention = Duration::MAX;
    let stop = CancellationToken::new();
    assert_eq!(reconciler.reconcile(1, &stop).await.kept, 1);
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
