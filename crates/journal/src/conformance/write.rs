//! Any order and repetition of records ends in the same callback.

use contract::CallbackStatus;

use crate::error::JournalError;
use crate::journal::Journal;
use crate::model::{Callback, Origin, Record, RecordedState};

use super::fixture::{
    HOUR, JournalFixture, QUEUED, SECOND, accepted, attempted, dead, deferred, find, id, now,
    of_generation, open, origin, record, retrying, store,
};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "write").await;
    a_recorded_callback_is_found(&journal).await;
    states_read_back_as_written(&journal).await;
    any_order_and_repetition_ends_the_same(&journal).await;
    concurrent_writers_end_the_same(&journal).await;
    every_attempt_is_kept_once(&journal).await;
    missing_parts_of_the_origin_are_filled(&journal).await;
    a_record_that_cannot_be_stored_does_not_stop_others(&journal).await;
    what_is_stored_survives_a_restart(fixture, journal).await;
}

async fn a_recorded_callback_is_found(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    assert_eq!(
        journal.find(callback.request_id).await.expect("a result"),
        None
    );
    store(journal, &[]).await;
    let not_before = Some(now + HOUR);
    store(
        journal,
        &[record(
            &callback,
            1,
            now,
            RecordedState::Queued { not_before },
        )],
    )
    .await;
    let expected = Callback {
        origin: callback.clone(),
        generation: 0,
        status: CallbackStatus::Queued,
        reason: None,
        deferred_reason: None,
        next_attempt_at: not_before,
        cancel_requested: false,
        cancel_requested_at: None,
        discarded: false,
        discarded_by_retention: false,
        updated_at: now,
        unaccounted: None,
        hold: 0,
        has_message: false,
        attempts: Vec::new(),
    };
    assert_eq!(find(journal, &callback).await, expected);
}

async fn states_read_back_as_written(journal: &Journal) {
    let now = now();
    let next = Some(now + HOUR);
    for (attempt, state, status, next_attempt_at) in [
        (1, QUEUED, CallbackStatus::Queued, None),
        (1, deferred(now + HOUR), CallbackStatus::Queued, next),
        (2, deferred(now + HOUR), CallbackStatus::Retrying, next),
        (2, retrying(now + HOUR), CallbackStatus::Retrying, next),
        (2, RecordedState::Delivered, CallbackStatus::Delivered, None),
        (2, dead("exhausted"), CallbackStatus::Dead, None),
        (2, RecordedState::Expired, CallbackStatus::Expired, None),
        (2, RecordedState::Cancelled, CallbackStatus::Cancelled, None),
    ] {
        let callback = origin(now);
        let written = record(&callback, attempt, now, state.clone());
        store(journal, &[accepted(&callback), written.clone()]).await;
        let found = find(journal, &callback).await;
        assert_eq!(found.status, status, "{state:?}");
        assert_eq!(found.next_attempt_at, next_attempt_at, "{state:?}");
        let is_dead = status == CallbackStatus::Dead;
        assert_eq!(found.reason.as_deref(), is_dead.then_some("exhausted"));
        let is_deferred = matches!(state, RecordedState::Deferred { .. });
        assert_eq!(
            found.deferred_reason.as_deref(),
            is_deferred.then_some("target busy")
        );
        let kept = journal.dead_letter(callback.request_id).await;
        assert_eq!(kept.expect("a result"), written.message, "{state:?}");
    }
}

/// Three generations, with a redelivery, deferrals, and events at the same time.
fn history(callback: &Origin) -> Vec<Record> {
    let at = callback.accepted_at;
    let first = [
        accepted(callback),
        attempted(callback, 1, 1, at + 10, retrying(at + SECOND)),
        attempted(callback, 1, 2, at + 10, retrying(at + 2 * SECOND)),
        record(callback, 2, at + SECOND, deferred(at + 3 * SECOND)),
        attempted(callback, 2, 3, at + 3 * SECOND, dead("exhausted")),
    ];
    let second = [
        record(callback, 1, at + 10 * SECOND, QUEUED),
        attempted(callback, 1, 4, at + 11 * SECOND, RecordedState::Delivered),
        attempted(callback, 2, 5, at + 12 * SECOND, dead("exhausted")),
    ];
    let third = [
        record(callback, 1, at + 20 * SECOND, QUEUED),
        attempted(callback, 1, 6, at + 21 * SECOND, retrying(at + HOUR)),
        record(callback, 2, at + 22 * SECOND, deferred(at + HOUR)),
        attempted(callback, 2, 7, at + 23 * SECOND, dead("rejected")),
        record(callback, 2, at + 23 * SECOND, RecordedState::Expired),
    ];
    let generations = first
        .into_iter()
        .map(|record| of_generation(0, record))
        .chain(second.into_iter().map(|record| of_generation(1, record)))
        .chain(third.into_iter().map(|record| of_generation(2, record)));
    let mut history: Vec<Record> = generations.collect();
    // Equal bodies: ties end the same for every callback.
    for record in &mut history {
        record.message = record.message.take().map(|_| "{}".into());
    }
    history
}

/// A shuffle, the same in every run.
fn shuffled<T>(mut all: Vec<T>, seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for index in (1..all.len()).rev() {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let bound = u64::try_from(index + 1).expect("a small number");
        all.swap(
            index,
            usize::try_from((state >> 33) % bound).expect("an index"),
        );
    }
    all
}

/// The callback without its id, and whether it has a body.
async fn ending(journal: &Journal, callback: &Origin) -> (Callback, bool) {
    let mut found = find(journal, callback).await;
    found.origin.request_id = uuid::Uuid::nil();
    let body = journal.dead_letter(callback.request_id).await;
    (found, body.expect("a result").is_some())
}

async fn any_order_and_repetition_ends_the_same(journal: &Journal) {
    let at = now();
    let reference = origin(at);
    store(journal, &history(&reference)).await;
    let expected = ending(journal, &reference).await;
    assert_eq!(expected.0.generation, 2);
    assert_eq!(expected.0.attempts.len(), 7);
    assert!(expected.1, "the last dead letter keeps its body");
    for seed in 0..24 {
        let callback = origin(at);
        let once = history(&callback);
        let repeated = once.iter().chain(&once[..5]).cloned().collect();
        let size = usize::try_from(seed % 5 + 1).expect("a size");
        for batch in shuffled(repeated, seed).chunks(size) {
            store(journal, batch).await;
        }
        assert_eq!(ending(journal, &callback).await, expected, "shuffle {seed}");
    }
}

async fn concurrent_writers_end_the_same(journal: &Journal) {
    let at = now();
    let callbacks: Vec<Origin> = (0..20).map(|_| origin(at)).collect();
    let all: Vec<Record> = callbacks.iter().flat_map(history).collect();
    let mut writers = tokio::task::JoinSet::new();
    for seed in 0..6 {
        let (journal, records) = (journal.clone(), shuffled(all.clone(), seed));
        writers.spawn(async move {
            for batch in records.chunks(50) {
                store(&journal, batch).await;
            }
        });
    }
    while let Some(written) = writers.join_next().await {
        written.expect("a writer that succeeds");
    }
    let expected = ending(journal, &callbacks[0]).await;
    assert_eq!(expected.0.attempts.len(), 7);
    for callback in &callbacks {
        assert_eq!(ending(journal, callback).await, expected);
    }
}

async fn every_attempt_is_kept_once(journal: &Journal) {
    let at = now();
    let callback = origin(at);
    let records = [
        // A redelivery's attempt started later, with a smaller run.
        attempted(&callback, 1, 9, at + 1, retrying(at + SECOND)),
        attempted(&callback, 1, 3, at + 2, retrying(at + SECOND)),
        attempted(&callback, 2, u64::MAX, at + SECOND, dead("exhausted")),
        of_generation(
            1,
            attempted(&callback, 1, 5, at + HOUR, RecordedState::Delivered),
        ),
    ];
    let backwards: Vec<Record> = records.iter().rev().cloned().collect();
    store(journal, &backwards).await;
    store(journal, &records).await;
    let expected: Vec<_> = records
        .into_iter()
        .filter_map(|record| record.attempted)
        .collect();
    assert_eq!(find(journal, &callback).await.attempts, expected);
}

async fn missing_parts_of_the_origin_are_filled(journal: &Journal) {
    let at = now();
    let callback = origin(at);
    let mut partly = callback.clone();
    partly.caller_no = None;
    partly.callee_no = None;
    partly.callback_url = None;
    partly.target = String::new();
    store(journal, &[record(&partly, 2, at, RecordedState::Delivered)]).await;
    assert_eq!(find(journal, &callback).await.origin, partly);
    store(journal, &[accepted(&callback)]).await;
    let found = find(journal, &callback).await;
    assert_eq!(
        (found.origin, found.status),
        (callback.clone(), CallbackStatus::Delivered)
    );
    store(journal, &[of_generation(1, accepted(&partly))]).await;
    assert_eq!(find(journal, &callback).await.origin, callback);
}

/// Text that a database may be unable to store: it is stored, or its whole batch is refused.
async fn a_record_that_cannot_be_stored_does_not_stop_others(journal: &Journal) {
    let at = now();
    let (good, bad) = (origin(at), origin(at));
    let mut odd = attempted(&bad, 1, 1, at, dead("NUL \0 inside"));
    odd.origin.message_type = "\0".to_owned();
    match journal.record(&[accepted(&good), odd]).await {
        Ok(()) => {
            find(journal, &good).await;
            find(journal, &bad).await;
        }
        Err(JournalError::Refused(_)) => {
            let found = journal.find(good.request_id).await.expect("a result");
            assert_eq!(found, None, "half a batch was stored");
        }
        Err(error) => panic!("it would be retried for ever: {error}"),
    }
    store(journal, &[accepted(&good)]).await;
    find(journal, &good).await;
    let largest = u64::MAX;
    let mut odd = attempted(&bad, u32::MAX, largest, largest, retrying(largest));
    odd.origin.request_id = id(at);
    if let Err(error @ JournalError::Unavailable(_)) = journal.record(&[odd]).await {
        panic!("it would be retried for ever: {error}");
    }
}

async fn what_is_stored_survives_a_restart(fixture: &impl JournalFixture, journal: Journal) {
    let callback = origin(now());
    store(&journal, &history(&callback)).await;
    let before = find(&journal, &callback).await;
    journal.close().await;
    let journal = open(fixture, "write").await;
    assert_eq!(find(&journal, &callback).await, before);
    journal.close().await;
}
