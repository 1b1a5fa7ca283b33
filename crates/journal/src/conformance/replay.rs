//! A dead letter is replayed exactly once per request, and never lost on the way.

use std::collections::BTreeSet;

use contract::CallbackStatus;
use uuid::Uuid;

use crate::journal::Journal;
use crate::model::{Filter, Origin, RecordedState, Replay, ReplayOutcome};

use super::fixture::{
    HOUR, JournalFixture, QUEUED, SECOND, attempted, dead, find, letter, now, of_generation, open,
    origin, record, retrying, store,
};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "replay").await;
    of_concurrent_replays_one_gets_the_dead_letter(&journal).await;
    only_dead_letters_are_replayed(&journal).await;
    an_unconfirmed_replay_is_taken_again(&journal).await;
    a_late_record_of_the_older_generation_changes_nothing(&journal).await;
    a_record_of_the_new_generation_shows_that_it_was_published(&journal).await;
    journal.close().await;
    let journal = open(fixture, "replay-by-filter").await;
    concurrent_replays_share_the_dead_letters(&journal).await;
    a_filter_takes_what_matches(&journal).await;
    journal.close().await;
}

/// A new callback that has ended with this state.
async fn ended(journal: &Journal, at: u64, state: RecordedState) -> Origin {
    let callback = origin(at);
    store(journal, &[attempted(&callback, 3, 1, at, state)]).await;
    callback
}

async fn take(journal: &Journal, callback: &Origin, now: u64) -> ReplayOutcome {
    let taken = journal
        .take_replay(callback.request_id, crate::model::Replayable::Ended, now)
        .await;
    taken.expect("a result")
}

async fn unfinished(journal: &Journal, before: u64, now: u64) -> Vec<Replay> {
    let found = journal.unfinished_replays(before, 100, now).await;
    found.expect("a result")
}

fn replay(callback: &Origin, generation: u32) -> Replay {
    Replay {
        request_id: callback.request_id,
        generation,
        dead_letter: letter(callback),
    }
}

async fn confirm(journal: &Journal, replays: &[Replay]) {
    let published: Vec<_> = replays
        .iter()
        .map(|replay| (replay.request_id, replay.generation))
        .collect();
    journal.confirm_replays(&published).await.expect("a result");
}

async fn of_concurrent_replays_one_gets_the_dead_letter(journal: &Journal) {
    let now = now();
    for state in [dead("exhausted"), RecordedState::Expired] {
        let callback = ended(journal, now - SECOND, state).await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (journal, callback) = (journal.clone(), callback.clone());
            tasks.spawn(async move { take(&journal, &callback, now).await });
        }
        let answers = tasks.join_all().await;
        let expected = replay(&callback, 1);
        let got = answers
            .iter()
            .filter(|outcome| **outcome == ReplayOutcome::Replay(expected.clone()));
        assert_eq!(got.count(), 1);
        let late = answers
            .iter()
            .filter(|outcome| **outcome == ReplayOutcome::NotDead);
        assert_eq!(late.count(), 19);
        let found = find(journal, &callback).await;
        assert_eq!(
            (found.generation, found.status),
            (1, CallbackStatus::Queued)
        );
        assert_eq!((found.reason, found.next_attempt_at), (None, None));
        assert_eq!(found.updated_at, now);
        assert_eq!(found.attempts.len(), 1, "earlier attempts are kept");
        confirm(journal, &[expected]).await;
    }
}

async fn only_dead_letters_are_replayed(journal: &Journal) {
    let now = now();
    assert_eq!(
        take(journal, &origin(now), now).await,
        ReplayOutcome::Unknown
    );
    let waiting = [QUEUED, retrying(now + HOUR), RecordedState::Cancelled];
    for state in waiting {
        let callback = ended(journal, now, state).await;
        assert_eq!(take(journal, &callback, now).await, ReplayOutcome::NotDead);
        assert_eq!(find(journal, &callback).await.generation, 0);
    }
    let delivered = ended(journal, now, RecordedState::Delivered).await;
    assert_eq!(take(journal, &delivered, now).await, ReplayOutcome::NotKept);
    let callback = origin(now);
    let mut without_body = record(&callback, 1, now, dead("exhausted"));
    without_body.message = None;
    store(journal, &[without_body]).await;
    assert_eq!(take(journal, &callback, now).await, ReplayOutcome::NotDead);
    let discarded = ended(journal, now, dead("exhausted")).await;
    let discarded_once = journal.discard_one(discarded.request_id).await;
    assert!(discarded_once.expect("a result"));
    assert_eq!(take(journal, &discarded, now).await, ReplayOutcome::NotDead);
}

async fn an_unconfirmed_replay_is_taken_again(journal: &Journal) {
    let now = now();
    let first = ended(journal, now - SECOND, dead("exhausted")).await;
    let second = ended(journal, now - SECOND, dead("exhausted")).await;
    for callback in [&first, &second] {
        let taken = take(journal, callback, now).await;
        assert_eq!(taken, ReplayOutcome::Replay(replay(callback, 1)));
    }
    assert_eq!(unfinished(journal, now, now).await, []);
    let later = now + 60 * SECOND;
    let again = journal.unfinished_replays(now + 1, 1, later).await;
    let mut again = again.expect("a result");
    assert_eq!(again.len(), 1, "at most the limit");
    again.extend(unfinished(journal, now + 1, later).await);
    again.sort_by_key(|replay| replay.request_id);
    assert_eq!(again, [replay(&first, 1), replay(&second, 1)]);
    assert_eq!(
        unfinished(journal, later, later).await,
        [],
        "it counts as taken later"
    );
    confirm(journal, &[replay(&first, 0), replay(&first, 2)]).await;
    assert_eq!(
        unfinished(journal, later + 1, later + 1).await.len(),
        2,
        "of other generations"
    );
    confirm(journal, &again).await;
    confirm(journal, &again).await;
    assert_eq!(unfinished(journal, later + HOUR, later).await, []);
    // Dead again, it can be replayed again.
    let dead_again = of_generation(1, attempted(&first, 1, 2, later, dead("rejected")));
    store(journal, &[dead_again]).await;
    let taken = take(journal, &first, later + 1).await;
    assert_eq!(taken, ReplayOutcome::Replay(replay(&first, 2)));
    confirm(journal, &[replay(&first, 2)]).await;
}

async fn a_late_record_of_the_older_generation_changes_nothing(journal: &Journal) {
    let now = now();
    let callback = ended(journal, now - SECOND, dead("exhausted")).await;
    take(journal, &callback, now).await;
    let before = find(journal, &callback).await;
    let late = [
        attempted(&callback, 9, 2, now + HOUR, RecordedState::Delivered),
        record(&callback, 9, now + HOUR, dead("exhausted")),
        record(&callback, 9, now + HOUR, RecordedState::Cancelled),
    ];
    store(journal, &late).await;
    let mut after = find(journal, &callback).await;
    assert_eq!(after.attempts.len(), 2, "the attempt itself is kept");
    after.attempts.clone_from(&before.attempts);
    assert_eq!(after, before);
    let again = unfinished(journal, now + 1, now).await;
    assert_eq!(
        again,
        [replay(&callback, 1)],
        "it still waits for its publisher"
    );
    confirm(journal, &again).await;
}

async fn a_record_of_the_new_generation_shows_that_it_was_published(journal: &Journal) {
    let now = now();
    for state in [
        RecordedState::Delivered,
        retrying(now + HOUR),
        dead("exhausted"),
    ] {
        let callback = ended(journal, now - SECOND, dead("exhausted")).await;
        take(journal, &callback, now).await;
        let attempt = attempted(&callback, 1, 2, now + 1, state);
        store(journal, &[of_generation(1, attempt)]).await;
        assert_eq!(unfinished(journal, now + HOUR, now).await, []);
    }
}

async fn concurrent_replays_share_the_dead_letters(journal: &Journal) {
    let now = now();
    let mut all = BTreeSet::new();
    for number in 0..60 {
        let callback = ended(journal, now - HOUR + number, dead("exhausted")).await;
        all.insert(callback.request_id);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let journal = journal.clone();
        tasks.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let taken = journal.take_replays(&Filter::default(), 7, now).await;
                let taken = taken.expect("a result");
                assert!(taken.len() <= 7);
                if taken.is_empty() {
                    return mine;
                }
                mine.extend(taken);
            }
        });
    }
    let taken: Vec<Replay> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), all.len(), "each exactly once");
    let ids: BTreeSet<Uuid> = taken.iter().map(|replay| replay.request_id).collect();
    assert_eq!(ids, all);
    assert!(
        taken
            .iter()
            .all(|replay| replay.generation == 1 && !replay.dead_letter.is_empty())
    );
    confirm(journal, &taken).await;
    assert_eq!(unfinished(journal, now + HOUR, now).await, []);
}

async fn a_filter_takes_what_matches(journal: &Journal) {
    let now = now();
    let mut oldest_first = Vec::new();
    for number in 0..5 {
        oldest_first.push(ended(journal, now - HOUR + number, dead("rejected")).await);
    }
    ended(journal, now, dead("exhausted")).await;
    let expired = ended(journal, now, RecordedState::Expired).await;
    let discarded = ended(journal, now, dead("rejected")).await;
    let discarded_once = journal.discard_one(discarded.request_id).await;
    assert!(discarded_once.expect("a result"));
    let rejected = Filter {
        reason: Some("rejected".to_owned()),
        discarded: true,
        ..Filter::default()
    };
    let taken = journal
        .take_replays(&rejected, 3, now)
        .await
        .expect("three");
    let expected: Vec<_> = oldest_first
        .iter()
        .map(|callback| replay(callback, 1))
        .collect();
    assert_eq!(taken, expected[..3]);
    let taken = journal.take_replays(&rejected, 30, now).await.expect("two");
    assert_eq!(taken, expected[3..], "the discarded one is not taken");
    let by_status = |status| Filter {
        status: Some(status),
        ..Filter::default()
    };
    let taken = journal
        .take_replays(&by_status(CallbackStatus::Expired), 9, now)
        .await;
    assert_eq!(taken.expect("one"), [replay(&expired, 1)]);
    let taken = journal
        .take_replays(&by_status(CallbackStatus::Queued), 9, now)
        .await;
    assert_eq!(taken.expect("none"), [], "only dead letters are taken");
}
