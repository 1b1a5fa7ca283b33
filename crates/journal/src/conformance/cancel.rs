//! A cancelled callback is not delivered, and the outcome of a cancellation is correct.

use std::time::Duration;

use contract::CallbackStatus;

use crate::journal::Journal;
use crate::model::{CancelOutcome, ControlState, Origin, Record, RecordedState};

use super::fixture::{
    HOUR, JournalFixture, QUEUED, SECOND, accepted, attempted, dead, deferred, find, now,
    of_generation, open, origin, record, retrying, store,
};

const MARGIN: Duration = Duration::from_secs(5);

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "cancel").await;
    what_waits_long_enough_is_cancelled_at_once(&journal).await;
    what_may_be_in_flight_is_requested_to_cancel(&journal).await;
    what_has_ended_is_not_cancelled(&journal).await;
    unknown_and_other_apps_callbacks_are_unknown(&journal).await;
    only_a_delivery_beats_a_cancellation(&journal).await;
    a_requested_cancellation_takes_effect_when_it_waits(&journal).await;
    a_replay_clears_the_request_to_cancel(&journal).await;
    concurrent_cancellations_agree(&journal).await;
    journal.close().await;
}

async fn cancel(journal: &Journal, callback: &Origin, now: u64) -> CancelOutcome {
    let outcome = journal.cancel(callback.request_id, None, now, MARGIN).await;
    outcome.expect("a result")
}

async fn control_state(journal: &Journal, callback: &Origin) -> ControlState {
    let states = journal.control_states(&[callback.request_id]).await;
    states.expect("control states")[&callback.request_id]
}

async fn was_cancelled_since(journal: &Journal, callback: &Origin, since: u64) -> bool {
    let ids = journal.cancelled_since(since).await.expect("ids");
    ids.contains(&(callback.request_id, 0))
}

fn delayed(callback: &Origin, not_before: u64) -> Record {
    let state = RecordedState::Queued {
        not_before: Some(not_before),
    };
    record(callback, 1, callback.accepted_at, state)
}

async fn what_waits_long_enough_is_cancelled_at_once(journal: &Journal) {
    let now = now();
    let waiting = [
        (
            1,
            RecordedState::Queued {
                not_before: Some(now + HOUR),
            },
        ),
        (1, deferred(now + HOUR)),
        (3, retrying(now + HOUR)),
        (3, deferred(now + 5 * SECOND + 1)),
    ];
    for (attempt, state) in waiting {
        let callback = origin(now - SECOND);
        store(journal, &[record(&callback, attempt, now - SECOND, state)]).await;
        let outcome = journal
            .cancel(callback.request_id, Some("crm"), now, MARGIN)
            .await;
        assert_eq!(outcome.expect("a result"), CancelOutcome::Cancelled);
        assert_eq!(
            cancel(journal, &callback, now + 1).await,
            CancelOutcome::Cancelled
        );
        let found = find(journal, &callback).await;
        assert_eq!(found.status, CallbackStatus::Cancelled);
        assert_eq!((found.next_attempt_at, found.deferred_reason), (None, None));
        assert_eq!((found.cancel_requested, found.updated_at), (false, now));
        assert_eq!(found.cancel_requested_at, Some(now));
        let state = control_state(journal, &callback).await;
        assert!(state.cancelled);
        assert_eq!(state.status, CallbackStatus::Cancelled);
        assert!(was_cancelled_since(journal, &callback, now).await);
        assert!(!was_cancelled_since(journal, &callback, now + 1).await);
    }
}

async fn what_may_be_in_flight_is_requested_to_cancel(journal: &Journal) {
    let now = now();
    for state in [QUEUED, retrying(now - 1), deferred(now + 5 * SECOND)] {
        let callback = origin(now - SECOND);
        store(journal, &[record(&callback, 2, now - SECOND, state)]).await;
        let before = find(journal, &callback).await;
        assert_eq!(
            cancel(journal, &callback, now).await,
            CancelOutcome::Requested
        );
        let found = find(journal, &callback).await;
        assert_eq!(found.status, before.status);
        assert_eq!(found.next_attempt_at, before.next_attempt_at);
        assert!(found.cancel_requested);
        assert_eq!(found.cancel_requested_at, Some(now));
        let known = control_state(journal, &callback).await;
        assert!(known.cancelled);
        assert_eq!(known.status, before.status);
        assert!(was_cancelled_since(journal, &callback, now).await);
        // A worker then ends it.
        store(
            journal,
            &[record(&callback, 2, now + 1, RecordedState::Cancelled)],
        )
        .await;
        assert_eq!(
            find(journal, &callback).await.status,
            CallbackStatus::Cancelled
        );
        assert_eq!(
            cancel(journal, &callback, now + 2).await,
            CancelOutcome::Cancelled
        );
    }
}

async fn what_has_ended_is_not_cancelled(journal: &Journal) {
    let now = now();
    for (state, status) in [
        (RecordedState::Delivered, CallbackStatus::Delivered),
        (dead("exhausted"), CallbackStatus::Dead),
        (RecordedState::Expired, CallbackStatus::Expired),
    ] {
        let callback = origin(now);
        store(journal, &[attempted(&callback, 1, 1, now, state)]).await;
        let before = find(journal, &callback).await;
        assert_eq!(
            cancel(journal, &callback, now).await,
            CancelOutcome::AlreadyEnded(status)
        );
        assert_eq!(find(journal, &callback).await, before);
        assert!(!control_state(journal, &callback).await.cancelled);
        assert!(!was_cancelled_since(journal, &callback, 0).await);
    }
}

async fn unknown_and_other_apps_callbacks_are_unknown(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    assert_eq!(
        cancel(journal, &callback, now).await,
        CancelOutcome::Unknown
    );
    store(journal, &[delayed(&callback, now + HOUR)]).await;
    let before = find(journal, &callback).await;
    let outcome = journal
        .cancel(callback.request_id, Some("other"), now, MARGIN)
        .await;
    assert_eq!(outcome.expect("a result"), CancelOutcome::Unknown);
    assert_eq!(find(journal, &callback).await, before);
    assert!(!was_cancelled_since(journal, &callback, 0).await);
}

async fn only_a_delivery_beats_a_cancellation(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    store(journal, &[delayed(&callback, now + HOUR)]).await;
    assert_eq!(
        cancel(journal, &callback, now).await,
        CancelOutcome::Cancelled
    );
    let late = [
        accepted(&callback),
        attempted(&callback, 3, 3, now + HOUR, retrying(now + 2 * HOUR)),
        record(&callback, 4, now + HOUR, deferred(now + 3 * HOUR)),
        attempted(&callback, 4, 4, now + 2 * HOUR, dead("exhausted")),
    ];
    for late in late {
        store(journal, &[late]).await;
        assert_eq!(
            find(journal, &callback).await.status,
            CallbackStatus::Cancelled
        );
    }
    store(
        journal,
        &[attempted(
            &callback,
            1,
            1,
            now - 1,
            RecordedState::Delivered,
        )],
    )
    .await;
    assert_eq!(
        find(journal, &callback).await.status,
        CallbackStatus::Delivered
    );
    let ended = CancelOutcome::AlreadyEnded(CallbackStatus::Delivered);
    assert_eq!(cancel(journal, &callback, now).await, ended);
}

async fn a_requested_cancellation_takes_effect_when_it_waits(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    store(journal, &[accepted(&callback)]).await;
    assert_eq!(
        cancel(journal, &callback, now).await,
        CancelOutcome::Requested
    );
    assert_eq!(
        cancel(journal, &callback, now + 1).await,
        CancelOutcome::Requested
    );
    store(
        journal,
        &[attempted(&callback, 1, 1, now, retrying(now + HOUR))],
    )
    .await;
    let found = find(journal, &callback).await;
    assert!(found.cancel_requested);
    assert_eq!(found.status, CallbackStatus::Retrying);
    assert_eq!(
        cancel(journal, &callback, now + 2).await,
        CancelOutcome::Cancelled
    );
    assert_eq!(
        find(journal, &callback).await.status,
        CallbackStatus::Cancelled
    );
}

async fn a_replay_clears_the_request_to_cancel(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    store(journal, &[accepted(&callback)]).await;
    assert_eq!(
        cancel(journal, &callback, now).await,
        CancelOutcome::Requested
    );
    store(
        journal,
        &[attempted(&callback, 1, 1, now, dead("rejected"))],
    )
    .await;
    let taken = journal
        .take_replay(
            callback.request_id,
            crate::model::Replayable::Ended,
            now + 1,
        )
        .await;
    assert!(matches!(
        taken.expect("a result"),
        crate::model::ReplayOutcome::Replay(_)
    ));
    assert!(!control_state(journal, &callback).await.cancelled);
    assert!(!was_cancelled_since(journal, &callback, 0).await);
    let again = attempted(&callback, 1, 2, now + 2, retrying(now + HOUR));
    store(journal, &[of_generation(1, again)]).await;
    assert!(!control_state(journal, &callback).await.cancelled);
    assert_eq!(
        cancel(journal, &callback, now + 3).await,
        CancelOutcome::Cancelled
    );
}

async fn concurrent_cancellations_agree(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    store(journal, &[delayed(&callback, now + HOUR)]).await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (journal, callback) = (journal.clone(), callback.clone());
        callers.spawn(async move { cancel(&journal, &callback, now).await });
    }
    while let Some(outcome) = callers.join_next().await {
        assert_eq!(outcome.expect("a caller"), CancelOutcome::Cancelled);
    }
}
