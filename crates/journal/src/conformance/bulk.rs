//! What acts on many callbacks: counts, recovery after the broker lost its messages, and erasure.

use contract::CallbackStatus;

use crate::journal::Journal;
use crate::model::{
    BulkCounts, EraseOutcome, ErasedMany, Filter, Origin, Record, TargetAnswer, WaitingMessage,
};

use super::fixture::{
    HOUR, JournalFixture, SECOND, accepted, attempted, dead, find, letter, now, open, origin,
    retrying, store,
};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "recovery").await;
    what_has_its_message_is_recovered_once_with_its_due_time(&journal).await;
    journal.close().await;
    let journal = open(fixture, "erasure").await;
    what_has_ended_is_erased_but_for_its_row(&journal).await;
    journal.close().await;
}

/// A new callback whose first attempt failed, with its message.
fn failed(callback: &Origin, at: u64, until: u64) -> Record {
    let mut record = attempted(callback, 1, 1, at, retrying(until));
    record.message = Some(letter(callback));
    record
}

async fn what_has_its_message_is_recovered_once_with_its_due_time(journal: &Journal) {
    let now = now();
    let (due, later) = (origin(now - 3), origin(now - 2));
    let (without, ended) = (origin(now - 1), origin(now));
    let mut gone = failed(&ended, now - HOUR, now);
    gone.state = dead("exhausted");
    store(
        journal,
        &[
            failed(&due, now - HOUR, now - SECOND),
            failed(&later, now - HOUR, now + HOUR),
            accepted(&without),
            gone,
        ],
    )
    .await;
    let counts = journal.bulk_counts(&Filter::default(), now).await;
    let expected = BulkCounts {
        matched: 4,
        with_message: 3,
        unfinished: 3,
        retryable: 1,
        delayed: 0,
        cancellable: 3,
        recoverable: 2,
    };
    assert_eq!(counts.expect("counts"), expected);
    let filter = Filter {
        updated_before: Some(now),
        ..Filter::default()
    };
    let mut taken = Vec::new();
    loop {
        let step = journal.take_recoveries(&filter, 1, now).await;
        let step = step.expect("a step");
        if step.is_empty() {
            break;
        }
        taken.extend(step);
    }
    let recovery = |callback: &Origin, due_at| WaitingMessage {
        request_id: callback.request_id,
        generation: 0,
        hold: 1,
        attempt: 2,
        due_at,
        message: letter(callback),
    };
    assert_eq!(taken, [recovery(&due, now), recovery(&later, now + HOUR)]);
    let found = find(journal, &later).await;
    assert_eq!(
        (found.hold, found.next_attempt_at, found.status),
        (1, Some(now + HOUR), CallbackStatus::Retrying)
    );
    // Its publisher crashed: another one publishes it, at the same time.
    let again = journal.unfinished_retries(now + 1, 9, now + SECOND).await;
    let mut again = again.expect("some");
    again.sort_by_key(|recovery| recovery.request_id);
    assert_eq!(again, taken);
    let counts = journal.unfinished(10).await.expect("counts");
    assert_eq!(counts.total, 3);
}

async fn what_has_ended_is_erased_but_for_its_row(journal: &Journal) {
    let now = now();
    let (waits, ended, also) = (origin(now - 3), origin(now - 2), origin(now - 1));
    let mut death = attempted(&ended, 2, 2, now, dead("exhausted"));
    death.message = Some(letter(&ended));
    if let Some(attempt) = &mut death.attempted {
        attempt.answer = Some(TargetAnswer {
            content_type: Some("text/plain".to_owned()),
            text: "no such person".to_owned(),
        });
        attempt.cause = Some("person.example does not resolve".to_owned());
        attempt.detail = Some("in words".to_owned());
    }
    let mut second = attempted(&also, 1, 1, now, dead("rejected"));
    second.message = Some(letter(&also));
    let late = death.clone();
    store(
        journal,
        &[failed(&waits, now - HOUR, now + HOUR), death, second],
    )
    .await;
    let erase = |after, limit| async move {
        let erased = journal.erase(&Filter::default(), after, limit).await;
        erased.expect("a step")
    };
    let step = |callback: &Origin| ErasedMany {
        erased: 1,
        last: Some(callback.request_id),
    };
    assert_eq!(erase(None, 1).await, step(&ended));
    assert_eq!(erase(Some(ended.request_id), 9).await, step(&also));
    assert_eq!(erase(None, 9).await, ErasedMany::default());
    let found = find(journal, &ended).await;
    assert_eq!(found.status, CallbackStatus::Dead);
    assert!(found.discarded && !found.has_message);
    assert_eq!(found.origin.callback_url, None);
    assert_eq!(found.attempts.len(), 1);
    let attempt = &found.attempts[0];
    assert_eq!((&attempt.answer, &attempt.cause), (&None, &None));
    assert_eq!((&attempt.detail, &found.origin.caller_no), (&None, &None));
    assert_eq!(found.origin.app_id, ended.app_id, "a system, not a person");
    // A record that comes twice brings nothing back.
    let mut late = late;
    late.message = None;
    store(journal, &[late]).await;
    let again = find(journal, &ended).await;
    assert_eq!(
        (again.origin.callback_url, again.origin.caller_no),
        (None, None)
    );
    assert_eq!(again.attempts, found.attempts);
    let kept = find(journal, &waits).await;
    assert!(kept.has_message && kept.origin.callback_url.is_some());
    for (id, expected) in [
        (waits.request_id, EraseOutcome::Waits),
        (ended.request_id, EraseOutcome::Erased),
        (origin(now).request_id, EraseOutcome::Unknown),
    ] {
        let outcome = journal.erase_one(id).await;
        assert_eq!(outcome.expect("a result"), expected);
    }
}
