//! What is unfinished for one callee or target is counted, and what has ended is not.

use std::collections::BTreeMap;

use crate::journal::Journal;
use crate::model::{Origin, RecordedState, UnfinishedStates, Waiting, WaitingDestination};

use super::fixture::{
    HOUR, JournalFixture, SECOND, accepted, attempted, deferred, now, open, origin, record,
    retrying, store,
};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "waiting").await;
    unfinished_callbacks_are_counted_by_destination(&journal).await;
    unfinished_callbacks_are_counted_by_state(&journal).await;
    journal.close().await;
}

async fn waiting(journal: &Journal, destination: &WaitingDestination, limit: u32) -> Waiting {
    let found = journal.waiting(destination, limit).await;
    found.expect("what is waiting")
}

async fn unfinished_callbacks_are_counted_by_destination(journal: &Journal) {
    let begun = now() - HOUR;
    let callee = WaitingDestination::Callee("T001".to_owned());
    let target = WaitingDestination::Target("https://callee.example:443".to_owned());
    assert_eq!(waiting(journal, &callee, 10).await, Waiting::default());
    let mut callbacks: Vec<Origin> = (0..5).map(|n| origin(begun + n * SECOND)).collect();
    let direct = Origin {
        callee_no: None,
        ..origin(begun)
    };
    callbacks.push(direct);
    for callback in &callbacks {
        store(journal, &[accepted(callback)]).await;
    }
    let due = begun + 2 * HOUR;
    let retried = attempted(&callbacks[2], 1, 7, begun + 9 * SECOND, retrying(due));
    store(journal, &[retried]).await;
    let delivered = RecordedState::Delivered;
    store(
        journal,
        &[attempted(
            &callbacks[0],
            1,
            8,
            begun + 9 * SECOND,
            delivered,
        )],
    )
    .await;
    let expected = Waiting {
        count: 4,
        oldest_accepted_at: Some(callbacks[1].accepted_at),
        next_attempt_at: Some(due),
    };
    assert_eq!(waiting(journal, &callee, 10).await, expected);
    let found = waiting(journal, &target, 10).await;
    assert_eq!((found.count, found.oldest_accepted_at), (1, Some(begun)));
    // Not all are read: the first time is not known.
    let found = waiting(journal, &callee, 2).await;
    assert_eq!((found.count, found.next_attempt_at), (2, None));
    assert_eq!(found.oldest_accepted_at, Some(callbacks[1].accepted_at));
}

/// After the test before: four of its callbacks of a callee are unfinished, one of them retried, and one
/// of a target.
async fn unfinished_callbacks_are_counted_by_state(journal: &Journal) {
    let begun = now() - HOUR;
    let states = async |now: u64, limit: u32| {
        let found = journal.unfinished_states(now, limit).await;
        found.expect("the states")
    };
    let mut expected = UnfinishedStates {
        due: 4,
        retrying: 1,
        ..UnfinishedStates::default()
    };
    assert_eq!(states(begun, 10).await, expected);
    let due = begun + 2 * HOUR;
    let callback = origin(begun + 20 * SECOND);
    store(journal, &[accepted(&callback)]).await;
    let deferral = record(&callback, 1, begun + 21 * SECOND, deferred(due));
    store(journal, &[deferral]).await;
    expected.deferred = BTreeMap::from([("target busy".to_owned(), 1)]);
    assert_eq!(states(begun, 10).await, expected);
    let all_due = UnfinishedStates {
        due: 6,
        ..UnfinishedStates::default()
    };
    assert_eq!(states(due + HOUR, 10).await, all_due);
    // The oldest of all, or of each status.
    let found = states(begun, 1).await;
    assert!((1..=2).contains(&(found.due + found.retrying)), "{found:?}");
}
