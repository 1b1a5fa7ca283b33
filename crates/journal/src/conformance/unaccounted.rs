//! Callbacks whose end was not recorded: what is overdue, what is marked, and what a late record
//! does.

use std::collections::BTreeSet;
use std::time::Duration;

use contract::CallbackStatus;
use uuid::Uuid;

use crate::journal::Journal;
use crate::model::{
    AppCount, CancelOutcome, Filter, Origin, OverdueCallback, Record, RecordedState, ReplayOutcome,
    Retention, Unaccounted,
};

use super::fixture::{
    DAY, HOUR, JournalFixture, QUEUED, SECOND, accepted, attempted, dead, deferred, find, now,
    of_generation, open, origin, record, retrying, store,
};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "overdue").await;
    only_what_waits_past_its_due_time_is_overdue(&journal).await;
    all_overdue_callbacks_are_found_in_pages(&journal).await;
    journal.close().await;
    let journal = open(fixture, "unaccounted").await;
    a_callback_is_marked_only_as_it_was_read(&journal).await;
    a_marked_callback_is_found_and_counts_no_longer(&journal).await;
    a_late_record_revives_it(&journal).await;
    it_is_cancelled_at_once_and_never_replayed(&journal).await;
    journal.close().await;
    let journal = open(fixture, "unaccounted-retention").await;
    it_is_removed_as_what_has_ended(&journal).await;
    journal.close().await;
}

/// All overdue callbacks, from page to page.
async fn overdue(journal: &Journal, due_before: u64) -> Vec<OverdueCallback> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = journal.overdue(due_before, after).await.expect("a page");
        found.extend(page.overdue);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

fn ids(overdue: &[OverdueCallback]) -> BTreeSet<Uuid> {
    overdue.iter().map(|callback| callback.request_id).collect()
}

async fn mark(journal: &Journal, overdue: &[OverdueCallback], now: u64) -> u64 {
    let marked = journal.mark_unaccounted(overdue, now).await;
    marked.expect("a number")
}

/// A callback that was to be retried two days ago.
async fn lost(journal: &Journal) -> (Origin, OverdueCallback) {
    let callback = origin(now() - 3 * DAY);
    let at = callback.accepted_at;
    store(
        journal,
        &[attempted(&callback, 1, 1, at, retrying(at + DAY))],
    )
    .await;
    let mut found = overdue(journal, at + DAY + 1).await;
    found.retain(|found| found.request_id == callback.request_id);
    assert_eq!(found.len(), 1, "{found:?}");
    let found = found.remove(0);
    assert_eq!(found.due_at, at + DAY);
    (callback, found)
}

async fn only_what_waits_past_its_due_time_is_overdue(journal: &Journal) {
    let now = now();
    let at = now - 3 * DAY;
    let all: Vec<Origin> = (0..9).map(|_| origin(at)).collect();
    let of = |index: usize, state| record(&all[index], 1, at, state);
    let not_before = Some(at + 2 * DAY);
    let records: Vec<Record> = vec![
        of(0, QUEUED),
        attempted(&all[1], 2, 1, at, retrying(at + HOUR)),
        of(2, deferred(at + DAY)),
        // Due later, though accepted at the same time.
        of(3, deferred(at + 2 * DAY)),
        of(4, RecordedState::Queued { not_before }),
        of(5, RecordedState::Delivered),
        of(6, RecordedState::Cancelled),
        of(7, dead("exhausted")),
        of(8, dead("exhausted")),
    ];
    store(journal, &records).await;
    // A replay that was taken is published again if its publisher crashed.
    let taken = journal
        .take_replay(all[8].request_id, crate::model::Replayable::Ended, at)
        .await;
    assert!(matches!(taken.expect("a result"), ReplayOutcome::Replay(_)));
    let found = overdue(journal, at + DAY + 1).await;
    let expected: BTreeSet<Uuid> = all[..3]
        .iter()
        .map(|callback| callback.request_id)
        .collect();
    assert_eq!(ids(&found), expected);
    let due: BTreeSet<u64> = found.iter().map(|callback| callback.due_at).collect();
    assert_eq!(due, BTreeSet::from([at, at + HOUR, at + DAY]));
    for callback in &found {
        assert_eq!(callback.callee_no.as_deref(), Some("T001"));
        assert_eq!(callback.target, "https://callee.example:443");
    }
    assert_eq!(overdue(journal, at).await, []);
    mark(journal, &found, now).await;
    assert_eq!(overdue(journal, at + DAY + 1).await, []);
}

async fn all_overdue_callbacks_are_found_in_pages(journal: &Journal) {
    let at = now() - 2 * DAY;
    let mut expected = BTreeSet::new();
    for batch in 0..5_u64 {
        let records: Vec<Record> = (0..450_u64)
            .map(|number| {
                let callback = origin(at + batch * SECOND);
                if number % 3 > 0 {
                    expected.insert(callback.request_id);
                    accepted(&callback)
                } else {
                    attempted(&callback, 1, 1, at, retrying(at + 5 * DAY))
                }
            })
            .collect();
        store(journal, &records).await;
    }
    let first = journal.overdue(at + HOUR, None).await.expect("a page");
    assert!(first.overdue.len() < expected.len());
    assert!(first.next.is_some());
    assert_eq!(ids(&overdue(journal, at + HOUR).await), expected);
}

async fn a_callback_is_marked_only_as_it_was_read(journal: &Journal) {
    let at = now();
    let (changed, read) = lost(journal).await;
    let attempt = attempted(&changed, 2, 2, at, retrying(at + HOUR));
    store(journal, &[attempt]).await;
    assert_eq!(mark(journal, std::slice::from_ref(&read), at).await, 0);
    assert_eq!(
        find(journal, &changed).await.status,
        CallbackStatus::Retrying
    );

    let (unchanged, read) = lost(journal).await;
    // What is no news changes nothing.
    let before = unchanged.accepted_at;
    store(journal, &[accepted(&unchanged)]).await;
    let known = attempted(&unchanged, 1, 1, before, retrying(before + DAY));
    store(journal, &[known]).await;
    let read = [read];
    assert_eq!(mark(journal, &read, at).await, 1);
    assert_eq!(mark(journal, &read, at + 5).await, 0, "marked before");
    let found = find(journal, &unchanged).await;
    assert_eq!(found.status, CallbackStatus::Unaccounted);
    let since = Unaccounted {
        last_status: CallbackStatus::Retrying,
        since: at,
    };
    assert_eq!(found.unaccounted, Some(since));
    assert_eq!(found.last_known_status(false), CallbackStatus::Retrying);
    assert_eq!(mark(journal, &[], at).await, 0);
}

async fn a_marked_callback_is_found_and_counts_no_longer(journal: &Journal) {
    let at = now() - 3 * DAY;
    let mut callback = origin(at);
    callback.app_id = "unaccounted".to_owned();
    store(journal, &[accepted(&callback)]).await;
    let unfinished = async || {
        let counts = journal.unfinished(1_000).await.expect("counts");
        let apps: Vec<AppCount> = counts.apps.into_iter().collect();
        apps.into_iter()
            .find(|app| app.app_id == callback.app_id)
            .map_or(0, |app| app.unfinished)
    };
    assert_eq!(unfinished().await, 1);
    let mut read = overdue(journal, at + 1).await;
    read.retain(|read| read.request_id == callback.request_id);
    assert_eq!(mark(journal, &read, now()).await, 1);
    assert_eq!(unfinished().await, 0);
    let of_status = |status, by_target: bool| Filter {
        app_id: Some(callback.app_id.clone()),
        target: by_target.then(|| callback.target.clone()),
        status: Some(status),
        ..Filter::default()
    };
    for by_target in [false, true] {
        for (status, count) in [
            (CallbackStatus::Unaccounted, 1),
            (CallbackStatus::Queued, 0),
            (CallbackStatus::Delivering, 0),
        ] {
            let filter = of_status(status, by_target);
            let counted = journal.count(&filter, now()).await.expect("a count");
            let listed = journal.list(&filter, None, 9, now()).await.expect("a page");
            assert_eq!(counted, count, "{status}");
            assert_eq!(listed.callbacks.len() as u64, count, "{status}");
        }
    }
    let states = journal.control_states(&[callback.request_id]).await;
    let state = states.expect("control states")[&callback.request_id];
    assert_eq!(state.status, CallbackStatus::Unaccounted);
    assert!(!state.cancelled, "a message that surfaces is attempted");
    let last = find(journal, &callback).await.last_known_status(false);
    assert_eq!(last, CallbackStatus::Queued);
}

async fn a_late_record_revives_it(journal: &Journal) {
    let at = now();
    let hour = at + HOUR;
    for (attempt, state, status) in [
        (1, dead("exhausted"), CallbackStatus::Dead),
        (2, deferred(hour), CallbackStatus::Retrying),
        (2, retrying(hour), CallbackStatus::Retrying),
        (1, RecordedState::Delivered, CallbackStatus::Delivered),
        (1, RecordedState::Cancelled, CallbackStatus::Cancelled),
    ] {
        let (callback, read) = lost(journal).await;
        let count = journal.unfinished(1).await.expect("counts").total;
        assert_eq!(mark(journal, &[read], at).await, 1);
        // A record that it knew, and an origin with more parts, do not.
        store(journal, &[accepted(&callback)]).await;
        let found = find(journal, &callback).await;
        assert_eq!(found.status, CallbackStatus::Unaccounted);
        store(journal, &[record(&callback, attempt, at, state)]).await;
        let found = find(journal, &callback).await;
        assert_eq!((found.status, found.unaccounted), (status, None));
        let ended = u64::from(status.is_final());
        let after = journal.unfinished(1).await.expect("counts").total;
        assert_eq!(after, count - ended, "{status}");
    }
    // So does a message of a later generation.
    let (callback, read) = lost(journal).await;
    assert_eq!(mark(journal, &[read], at).await, 1);
    store(journal, &[of_generation(1, accepted(&callback))]).await;
    let found = find(journal, &callback).await;
    assert_eq!(
        (found.status, found.unaccounted),
        (CallbackStatus::Queued, None)
    );
}

async fn it_is_cancelled_at_once_and_never_replayed(journal: &Journal) {
    let at = now();
    let (callback, read) = lost(journal).await;
    let id = callback.request_id;
    assert_eq!(mark(journal, &[read], at).await, 1);
    let taken = journal
        .take_replay(id, crate::model::Replayable::Ended, at)
        .await;
    assert_eq!(taken.expect("a result"), ReplayOutcome::NotDead);
    assert!(!journal.discard_one(id).await.expect("a result"));
    let cancelled = journal.cancel(id, None, at, Duration::from_secs(2)).await;
    assert_eq!(cancelled.expect("a result"), CancelOutcome::Cancelled);
    let found = find(journal, &callback).await;
    assert_eq!(
        (found.status, found.unaccounted),
        (CallbackStatus::Cancelled, None)
    );
}

async fn it_is_removed_as_what_has_ended(journal: &Journal) {
    let at = now() - 100 * DAY;
    let callback = origin(at);
    store(journal, &[accepted(&callback)]).await;
    let retention = Retention {
        callbacks: Duration::from_secs(30 * 24 * 3_600),
        dead_letters: Duration::from_secs(30 * 24 * 3_600),
        delivered: Duration::ZERO,
        audits: Duration::from_secs(30 * 24 * 3_600),
        rollups: Duration::from_secs(30 * 24 * 3_600),
    };
    let retain = async || {
        loop {
            let step = journal.apply_retention(retention, now()).await;
            let step = step.expect("a step");
            if !step.more {
                return step.unfinished;
            }
        }
    };
    assert_eq!(retain().await, 1, "it is kept while it may wait");
    let read = overdue(journal, at + 1).await;
    assert_eq!(mark(journal, &read, now()).await, 1);
    assert_eq!(retain().await, 0);
    let found = journal.find(callback.request_id).await;
    assert_eq!(found.expect("a result"), None);
}
