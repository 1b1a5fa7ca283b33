//! A callback that waits keeps its message, and is retried now exactly once per request.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use contract::CallbackStatus;

use crate::journal::Journal;
use crate::model::{
    CancelOutcome, Filter, Origin, Record, RecordedState, Retention, RetryOutcome, WaitingMessage,
};

use super::fixture::{
    DAY, HOUR, JournalFixture, QUEUED, SECOND, accepted, attempted, dead, deferred, find, letter,
    now, of_generation, open, origin, record, retrying, store,
};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "retry").await;
    a_message_is_kept_while_its_callback_waits(&journal).await;
    a_message_arrives_in_any_order(&journal).await;
    of_concurrent_retries_one_gets_the_message(&journal).await;
    only_what_waits_is_retried(&journal).await;
    a_stale_copys_records_change_nothing(&journal).await;
    an_unconfirmed_retry_is_taken_again(&journal).await;
    a_replay_begins_without_a_hold(&journal).await;
    journal.close().await;
    let journal = open(fixture, "retry-by-filter").await;
    a_filter_takes_what_matches(&journal).await;
    concurrent_retries_share_what_waits(&journal).await;
    what_its_caller_delayed_can_be_left_alone(&journal).await;
    journal.close().await;
    let journal = open(fixture, "cancel-by-filter").await;
    a_filter_cancels_what_waits(&journal).await;
    journal.close().await;
    let journal = open(fixture, "keep-delivered").await;
    a_delivered_callback_is_replayed_while_its_message_is_kept(&journal).await;
    journal.close().await;
}

/// The record with the callback's message.
fn with_message(origin: &Origin, mut record: Record) -> Record {
    record.message = Some(letter(origin));
    record
}

/// A new callback whose first attempt failed, and that waits for its second until then.
async fn waiting(journal: &Journal, at: u64, until: u64) -> Origin {
    let callback = origin(at);
    let failed = attempted(&callback, 1, 1, at, retrying(until));
    store(journal, &[with_message(&callback, failed)]).await;
    callback
}

async fn message(journal: &Journal, callback: &Origin) -> Option<Bytes> {
    let found = journal.message(callback.request_id).await;
    found.expect("a result")
}

async fn take(journal: &Journal, callback: &Origin, now: u64) -> RetryOutcome {
    let taken = journal.take_retry(callback.request_id, now).await;
    match taken.expect("a result") {
        RetryOutcome::Retry(retry) => {
            assert_eq!(retry.due_at, now);
            RetryOutcome::Retry(WaitingMessage { due_at: 0, ..retry })
        }
        other => other,
    }
}

async fn unfinished(journal: &Journal, before: u64, now: u64) -> Vec<WaitingMessage> {
    let found = journal.unfinished_retries(before, 100, now).await;
    let found = found.expect("a result").into_iter();
    found
        .map(|retry| WaitingMessage { due_at: 0, ..retry })
        .collect()
}

async fn confirm(journal: &Journal, retries: &[WaitingMessage]) {
    let published: Vec<_> = retries
        .iter()
        .map(|retry| (retry.request_id, retry.generation, retry.hold))
        .collect();
    journal.confirm_retries(&published).await.expect("a result");
}

/// What is taken of [`waiting`].
fn retry(callback: &Origin, hold: u32) -> WaitingMessage {
    WaitingMessage {
        request_id: callback.request_id,
        generation: 0,
        hold,
        attempt: 2,
        due_at: 0,
        message: letter(callback),
    }
}

async fn a_message_is_kept_while_its_callback_waits(journal: &Journal) {
    let now = now();
    for (state, kept) in [
        (deferred(now + HOUR), true),
        (retrying(now + HOUR), true),
        (dead("exhausted"), true),
        (RecordedState::Expired, true),
        (RecordedState::Delivered, false),
        (RecordedState::Cancelled, false),
    ] {
        let callback = waiting(journal, now - SECOND, now + HOUR).await;
        assert!(find(journal, &callback).await.has_message);
        // The later record does not repeat it.
        let mut later = attempted(&callback, 2, 2, now, state.clone());
        later.message = None;
        store(journal, &[later]).await;
        let expected = kept.then(|| letter(&callback));
        assert_eq!(message(journal, &callback).await, expected, "{state:?}");
        assert_eq!(find(journal, &callback).await.has_message, kept);
    }
    // One that only waited for its first attempt has none.
    let happy = origin(now);
    store(journal, &[accepted(&happy)]).await;
    assert_eq!(message(journal, &happy).await, None);
    // The last thing that an operator's cancellation leaves is the row.
    let cancelled = waiting(journal, now, now + HOUR).await;
    let outcome = journal
        .cancel(cancelled.request_id, None, now, Duration::ZERO)
        .await;
    assert_eq!(outcome.expect("a result"), CancelOutcome::Cancelled);
    assert_eq!(message(journal, &cancelled).await, None);
}

async fn a_message_arrives_in_any_order(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    let first = with_message(&callback, record(&callback, 1, now, deferred(now + HOUR)));
    let second = attempted(&callback, 1, 1, now + 1, retrying(now + HOUR));
    store(journal, &[second]).await;
    assert_eq!(message(journal, &callback).await, None);
    store(journal, std::slice::from_ref(&first)).await;
    assert_eq!(message(journal, &callback).await, Some(letter(&callback)));
    // A record of an older generation brings nothing.
    let replayed = origin(now);
    let newer = of_generation(1, record(&replayed, 1, now, deferred(now + HOUR)));
    let older = with_message(&replayed, record(&replayed, 1, now, deferred(now + HOUR)));
    store(journal, &[newer]).await;
    store(journal, &[older]).await;
    assert_eq!(message(journal, &replayed).await, None);
    // A dead letter without a body of its own can be replayed all the same.
    for dead_first in [false, true] {
        let callback = origin(now);
        let failed = attempted(&callback, 1, 1, now, retrying(now + HOUR));
        let failed = with_message(&callback, failed);
        let mut ended = attempted(&callback, 2, 2, now + 1, dead("exhausted"));
        ended.message = None;
        let mut records = [failed, ended];
        if dead_first {
            records.reverse();
        }
        for record in records {
            store(journal, &[record]).await;
        }
        let taken = journal
            .take_replay(
                callback.request_id,
                crate::model::Replayable::Ended,
                now + 2,
            )
            .await;
        let crate::model::ReplayOutcome::Replay(replay) = taken.expect("a result") else {
            panic!("not replayed, dead first: {dead_first}");
        };
        assert_eq!(replay.dead_letter, letter(&callback));
        journal
            .confirm_replays(&[(callback.request_id, 1)])
            .await
            .expect("a result");
    }
}

async fn of_concurrent_retries_one_gets_the_message(journal: &Journal) {
    let now = now();
    let callback = waiting(journal, now - SECOND, now + HOUR).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (journal, callback) = (journal.clone(), callback.clone());
        tasks.spawn(async move { take(&journal, &callback, now).await });
    }
    let answers = tasks.join_all().await;
    let expected = retry(&callback, 1);
    let got = answers
        .iter()
        .filter(|outcome| **outcome == RetryOutcome::Retry(expected.clone()));
    assert_eq!(got.count(), 1);
    let late = answers
        .iter()
        .filter(|outcome| **outcome == RetryOutcome::NotWaiting);
    assert_eq!(late.count(), 19, "it is due");
    let found = find(journal, &callback).await;
    assert_eq!(
        (found.generation, found.hold, found.status),
        (0, 1, CallbackStatus::Retrying)
    );
    assert_eq!(found.next_attempt_at, Some(now));
    assert_eq!(found.attempts.len(), 1, "attempts go on");
    let states = journal.control_states(&[callback.request_id]).await;
    assert_eq!(states.expect("a result")[&callback.request_id].hold, 1);
    confirm(journal, &[expected]).await;
    // It failed again, and waits with the same message: its attempts go on, and so does its hold.
    let mut failed = attempted(&callback, 2, 2, now + 1, retrying(now + HOUR));
    failed.hold = 1;
    store(journal, &[failed]).await;
    let taken = take(journal, &callback, now + 2).await;
    let again = WaitingMessage {
        attempt: 3,
        ..retry(&callback, 2)
    };
    assert_eq!(taken, RetryOutcome::Retry(again.clone()));
    confirm(journal, &[again]).await;
}

async fn only_what_waits_is_retried(journal: &Journal) {
    let now = now();
    assert_eq!(
        take(journal, &origin(now), now).await,
        RetryOutcome::Unknown
    );
    for state in [
        QUEUED,
        RecordedState::Delivered,
        RecordedState::Cancelled,
        dead("exhausted"),
        RecordedState::Expired,
        retrying(now),
    ] {
        let callback = origin(now);
        let ended = attempted(&callback, 1, 1, now, state.clone());
        store(journal, &[with_message(&callback, ended)]).await;
        let outcome = take(journal, &callback, now).await;
        assert_eq!(outcome, RetryOutcome::NotWaiting, "{state:?}");
        assert_eq!(find(journal, &callback).await.hold, 0);
    }
    let without = origin(now);
    store(
        journal,
        &[attempted(&without, 1, 1, now, retrying(now + HOUR))],
    )
    .await;
    assert_eq!(take(journal, &without, now).await, RetryOutcome::NotKept);
    // A request to cancel was promised to its caller.
    let doomed = waiting(journal, now, now + HOUR).await;
    let margin = Duration::from_secs(2 * 3_600);
    let outcome = journal.cancel(doomed.request_id, None, now, margin).await;
    assert_eq!(outcome.expect("a result"), CancelOutcome::Requested);
    assert_eq!(take(journal, &doomed, now).await, RetryOutcome::NotWaiting);
}

async fn a_stale_copys_records_change_nothing(journal: &Journal) {
    let now = now();
    let callback = waiting(journal, now - SECOND, now + HOUR).await;
    let taken = take(journal, &callback, now).await;
    assert_eq!(taken, RetryOutcome::Retry(retry(&callback, 1)));
    let before = find(journal, &callback).await;
    let late = [
        record(&callback, 2, now + HOUR, deferred(now + 2 * HOUR)),
        attempted(&callback, 2, 2, now + HOUR, retrying(now + 2 * HOUR)),
        record(&callback, 3, now + HOUR, dead("exhausted")),
    ];
    store(journal, &late).await;
    let mut after = find(journal, &callback).await;
    assert_eq!(after.attempts.len(), 2, "the attempt itself is kept");
    after.attempts.clone_from(&before.attempts);
    assert_eq!(after, before);
    confirm(journal, &[retry(&callback, 1)]).await;
    // But a delivery is one.
    let delivered = attempted(&callback, 2, 3, now + 1, RecordedState::Delivered);
    store(journal, &[delivered]).await;
    let found = find(journal, &callback).await;
    assert_eq!(found.status, CallbackStatus::Delivered);
    assert!(!found.has_message);
}

async fn an_unconfirmed_retry_is_taken_again(journal: &Journal) {
    let now = now();
    let lost = waiting(journal, now - SECOND, now + HOUR).await;
    let published = waiting(journal, now - SECOND, now + HOUR).await;
    let cancelled = waiting(journal, now - SECOND, now + HOUR).await;
    for callback in [&lost, &published, &cancelled] {
        let taken = take(journal, callback, now).await;
        assert_eq!(taken, RetryOutcome::Retry(retry(callback, 1)));
    }
    assert_eq!(unfinished(journal, now, now).await, []);
    // Records of its new hold show that it was published.
    let mut failed = attempted(&published, 2, 2, now + 1, retrying(now + HOUR));
    failed.hold = 1;
    let ended = record(&cancelled, 2, now + 1, RecordedState::Cancelled);
    store(journal, &[failed, ended]).await;
    let later = now + 60 * SECOND;
    let again = unfinished(journal, now + 1, later).await;
    assert_eq!(again, [retry(&lost, 1)]);
    assert_eq!(
        unfinished(journal, later, later).await,
        [],
        "it counts as taken later"
    );
    confirm(journal, &[retry(&lost, 0), retry(&lost, 2)]).await;
    assert_eq!(
        unfinished(journal, later + 1, later).await.len(),
        1,
        "of other holds"
    );
    confirm(journal, &again).await;
    confirm(journal, &again).await;
    assert_eq!(unfinished(journal, later + HOUR, later).await, []);
    let found = find(journal, &lost).await;
    assert_eq!((found.hold, found.has_message), (1, true));
}

async fn a_replay_begins_without_a_hold(journal: &Journal) {
    let now = now();
    let callback = waiting(journal, now - SECOND, now + HOUR).await;
    take(journal, &callback, now).await;
    confirm(journal, &[retry(&callback, 1)]).await;
    let mut ended = attempted(&callback, 2, 2, now, dead("exhausted"));
    ended.hold = 1;
    store(journal, &[ended]).await;
    let taken = journal
        .take_replay(
            callback.request_id,
            crate::model::Replayable::Ended,
            now + 1,
        )
        .await;
    taken.expect("a result");
    assert_eq!(find(journal, &callback).await.hold, 0);
    let confirmed = journal.confirm_replays(&[(callback.request_id, 1)]).await;
    confirmed.expect("a result");
    let failed = of_generation(1, attempted(&callback, 1, 3, now + 2, retrying(now + HOUR)));
    store(journal, &[with_message(&callback, failed)]).await;
    let expected = WaitingMessage {
        generation: 1,
        ..retry(&callback, 1)
    };
    let taken = take(journal, &callback, now + 3).await;
    assert_eq!(taken, RetryOutcome::Retry(expected.clone()));
    confirm(journal, &[expected]).await;
}

async fn a_filter_takes_what_matches(journal: &Journal) {
    let now = now();
    let mut oldest_first = Vec::new();
    for number in 0..5 {
        oldest_first.push(waiting(journal, now - HOUR + number, now + HOUR).await);
    }
    let busy = origin(now);
    let put_off = record(&busy, 1, now, deferred(now + HOUR));
    store(journal, &[with_message(&busy, put_off)]).await;
    let answered = origin(now);
    let mut failed = attempted(&answered, 1, 1, now, retrying(now + HOUR));
    if let Some(attempt) = &mut failed.attempted {
        attempt.http_status = Some(503);
    }
    store(journal, &[with_message(&answered, failed)]).await;
    let matching = |filter: Filter, limit| async move {
        let counted = journal.count(&filter, now).await.expect("a count");
        let taken = journal.take_retries(&filter, limit, now).await;
        let taken = taken.expect("a result");
        confirm(journal, &taken).await;
        let ids: Vec<_> = taken.iter().map(|retry| retry.request_id).collect();
        (ids, counted)
    };
    let by_reason = Filter {
        deferred_reason: Some("target busy".to_owned()),
        ..Filter::default()
    };
    assert_eq!(matching(by_reason, 9).await, (vec![busy.request_id], 1));
    let by_http_status = Filter {
        http_status: Some(503),
        callee_no: Some("T001".to_owned()),
        ..Filter::default()
    };
    let expected = (vec![answered.request_id], 1);
    assert_eq!(matching(by_http_status, 9).await, expected);
    let none = Filter {
        http_status: Some(502),
        ..Filter::default()
    };
    assert_eq!(matching(none, 9).await, (vec![], 0));
    let retrying = Filter {
        statuses: vec![CallbackStatus::Retrying, CallbackStatus::Dead],
        ..Filter::default()
    };
    let ids: Vec<_> = oldest_first
        .iter()
        .map(|callback| callback.request_id)
        .collect();
    let (taken, counted) = matching(retrying.clone(), 3).await;
    assert_eq!((taken, counted), (ids[..3].to_vec(), 6));
    let (taken, _) = matching(retrying.clone(), 9).await;
    assert_eq!(taken, ids[3..], "what is due is not taken");
    let (taken, _) = matching(retrying, 9).await;
    assert!(taken.is_empty());
    let dead_letters = Filter {
        status: Some(CallbackStatus::Dead),
        ..Filter::default()
    };
    assert_eq!(matching(dead_letters, 9).await, (vec![], 0));
    // By the time of death.
    let old = origin(now - DAY);
    let died = attempted(&old, 1, 1, now - 2 * HOUR, dead("rejected"));
    let new = origin(now - DAY);
    let died_later = attempted(&new, 1, 1, now - HOUR, dead("rejected"));
    store(journal, &[died, died_later]).await;
    for (since, until, expected) in [
        (None, Some(now - HOUR), vec![old.request_id]),
        (Some(now - HOUR), None, vec![new.request_id]),
        (Some(now - 2 * HOUR), Some(now - HOUR), vec![old.request_id]),
        (
            Some(now - 2 * HOUR),
            Some(now),
            vec![new.request_id, old.request_id],
        ),
    ] {
        let filter = Filter {
            dead_since: since,
            dead_until: until,
            ..Filter::default()
        };
        let page = journal.list(&filter, None, 9, now).await.expect("a page");
        let found = page.callbacks.iter();
        let found: Vec<_> = found.map(|callback| callback.origin.request_id).collect();
        assert_eq!(found, expected, "{since:?} {until:?}");
        let count = journal.count(&filter, now).await.expect("a count");
        assert_eq!(usize::try_from(count), Ok(expected.len()));
    }
}

async fn what_its_caller_delayed_can_be_left_alone(journal: &Journal) {
    let now = now();
    let kept = |callback: &Origin, state| with_message(callback, record(callback, 1, now, state));
    let [mut delayed, mut early, mut busy] = [origin(now), origin(now), origin(now)];
    for callback in [&mut delayed, &mut early, &mut busy] {
        callback.app_id = "of-delays".to_owned();
    }
    let later = RecordedState::Queued {
        not_before: Some(now + HOUR),
    };
    // It left its queue before its time, and was put back for it.
    let back = RecordedState::Deferred {
        next_attempt_at: now + HOUR,
        reason: "not_due".to_owned(),
    };
    let records = [
        kept(&delayed, later),
        kept(&early, back),
        kept(&busy, deferred(now + HOUR)),
    ];
    store(journal, &records).await;
    let filter = |wanted| Filter {
        app_id: Some("of-delays".to_owned()),
        delayed: wanted,
        ..Filter::default()
    };
    let counts = journal.bulk_counts(&filter(None), now).await;
    let counts = counts.expect("counts");
    assert_eq!((counts.retryable, counts.delayed), (3, 2));
    for (wanted, expected) in [(Some(true), 2), (Some(false), 1)] {
        let filter = filter(wanted);
        let count = journal.count(&filter, now).await.expect("a count");
        let page = journal.list(&filter, None, 9, now).await.expect("a page");
        assert_eq!(
            (count, page.callbacks.len()),
            (expected, usize::try_from(expected).unwrap_or(9))
        );
        let counts = journal.bulk_counts(&filter, now).await.expect("counts");
        assert_eq!(counts.retryable, expected);
    }
    let mut taken = journal.take_retries(&filter(Some(false)), 9, now).await;
    let others = taken.expect("a result");
    assert_eq!(others.len(), 1);
    assert_eq!(others[0].request_id, busy.request_id);
    taken = journal.take_retries(&filter(Some(true)), 9, now).await;
    let mut delays = taken.expect("a result");
    confirm(journal, &others).await;
    confirm(journal, &delays).await;
    delays.sort_by_key(|retry| retry.request_id != delayed.request_id);
    let ids: Vec<_> = delays.iter().map(|retry| retry.request_id).collect();
    assert_eq!(ids, [delayed.request_id, early.request_id]);
}

async fn concurrent_retries_share_what_waits(journal: &Journal) {
    let now = now();
    let mut all = BTreeSet::new();
    for number in 0..60 {
        let mut callback = origin(now - HOUR + number);
        callback.app_id = "shared".to_owned();
        let failed = attempted(&callback, 1, 1, now - HOUR, retrying(now + HOUR));
        store(journal, &[with_message(&callback, failed)]).await;
        all.insert(callback.request_id);
    }
    let filter = Filter {
        app_id: Some("shared".to_owned()),
        ..Filter::default()
    };
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (journal, filter) = (journal.clone(), filter.clone());
        tasks.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let taken = journal.take_retries(&filter, 7, now).await;
                let taken = taken.expect("a result");
                assert!(taken.len() <= 7);
                if taken.is_empty() {
                    return mine;
                }
                mine.extend(taken);
            }
        });
    }
    let taken: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), all.len(), "each exactly once");
    let ids: BTreeSet<_> = taken.iter().map(|retry| retry.request_id).collect();
    assert_eq!(ids, all);
    assert!(taken.iter().all(|retry| retry.hold == 1));
    // They are unfinished all the time.
    let unfinished = journal.unfinished(10).await.expect("counts");
    let app = unfinished.apps.iter().find(|app| app.app_id == "shared");
    let app = app.expect("the app");
    assert_eq!((app.unfinished, app.waiting), (60, 60));
}

async fn a_filter_cancels_what_waits(journal: &Journal) {
    let now = now();
    let margin = Duration::from_secs(60);
    let mut far = Vec::new();
    for number in 0..3 {
        far.push(waiting(journal, now - HOUR + number, now + HOUR).await);
    }
    let near = waiting(journal, now - SECOND, now + SECOND).await;
    let ended = waiting(journal, now - SECOND, now + HOUR).await;
    let death = attempted(&ended, 2, 2, now, dead("exhausted"));
    store(journal, &[death]).await;
    let mut other = origin(now);
    other.app_id = "other".to_owned();
    store(
        journal,
        &[attempted(&other, 1, 1, now, retrying(now + HOUR))],
    )
    .await;
    let filter = Filter {
        app_id: Some("crm".to_owned()),
        ..Filter::default()
    };
    let step = || journal.cancel_matching(&filter, 3, now, margin);
    let first = step().await.expect("a step");
    let ids: Vec<_> = far.iter().map(|callback| callback.request_id).collect();
    assert_eq!((&first.cancelled, &first.requested), (&ids, &vec![]));
    let second = step().await.expect("a step");
    assert!(second.cancelled.is_empty());
    assert_eq!(second.requested, [near.request_id]);
    let last = step().await.expect("a step");
    assert!(last.is_empty(), "{last:?}");
    for callback in &far {
        let found = find(journal, callback).await;
        assert_eq!(found.status, CallbackStatus::Cancelled);
        assert!(!found.has_message);
    }
    assert!(find(journal, &near).await.cancel_requested);
    let dead = find(journal, &ended).await;
    assert_eq!(
        (dead.status, dead.has_message),
        (CallbackStatus::Dead, true)
    );
    let kept = find(journal, &other).await;
    assert_eq!(kept.status, CallbackStatus::Retrying);
    let counts = journal.unfinished(10).await.expect("counts");
    assert_eq!((counts.total, counts.waiting), (2, 2));
    let known = journal.cancelled_since(now).await.expect("ids");
    assert_eq!(known.len(), 4);
}

async fn a_delivered_callback_is_replayed_while_its_message_is_kept(journal: &Journal) {
    use crate::model::ReplayOutcome;
    let now = now();
    let kept = origin(now - HOUR);
    let delivered = attempted(&kept, 1, 1, now - HOUR, RecordedState::Delivered);
    store(journal, &[with_message(&kept, delivered)]).await;
    let also = origin(now - SECOND);
    let delivered = attempted(&also, 1, 1, now - SECOND, RecordedState::Delivered);
    store(journal, &[with_message(&also, delivered)]).await;
    let plain = origin(now);
    store(
        journal,
        &[attempted(&plain, 1, 1, now, RecordedState::Delivered)],
    )
    .await;
    let taken = journal
        .take_replay(plain.request_id, crate::model::Replayable::Ended, now)
        .await;
    assert_eq!(taken.expect("a result"), ReplayOutcome::NotKept);
    // Dead letters are meant where nothing is said.
    let taken = journal.take_replays(&Filter::default(), 9, now).await;
    assert_eq!(taken.expect("a result"), []);
    let delivered = Filter {
        status: Some(CallbackStatus::Delivered),
        ..Filter::default()
    };
    assert_eq!(journal.discard(&delivered, 9).await.expect("a result"), 0);
    // A step of retention with a shorter time.
    let retention = Retention {
        callbacks: Duration::from_secs(30 * 24 * 3_600),
        dead_letters: Duration::from_secs(30 * 24 * 3_600),
        delivered: Duration::from_secs(60),
        audits: Duration::from_secs(30 * 24 * 3_600),
        rollups: Duration::from_secs(30 * 24 * 3_600),
    };
    let step = journal.apply_retention(retention, now).await;
    assert_eq!(step.expect("a step").dead_letters, 0);
    assert_eq!(message(journal, &kept).await, None);
    let found = find(journal, &kept).await;
    assert!(!found.discarded && found.status == CallbackStatus::Delivered);
    let taken = journal
        .take_replay(kept.request_id, crate::model::Replayable::Ended, now)
        .await;
    assert_eq!(taken.expect("a result"), ReplayOutcome::NotKept);
    assert_eq!(message(journal, &also).await, Some(letter(&also)));
    let only_dead = crate::model::Replayable::DeadLetters;
    let taken = journal.take_replay(also.request_id, only_dead, now).await;
    assert_eq!(taken.expect("a result"), ReplayOutcome::NotDead);
    let taken = journal.take_replays(&delivered, 9, now).await;
    let taken = taken.expect("one");
    let ids: Vec<_> = taken.iter().map(|replay| replay.request_id).collect();
    assert_eq!(ids, [also.request_id]);
    assert_eq!(
        (taken[0].generation, &taken[0].dead_letter),
        (1, &letter(&also))
    );
    let found = find(journal, &also).await;
    assert_eq!(
        (found.generation, found.status),
        (1, CallbackStatus::Queued)
    );
    let counts = journal.unfinished(10).await.expect("counts");
    assert_eq!(counts.total, 1);
}
