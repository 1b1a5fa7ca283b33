//! Is a dead letter brought back exactly once per wish, and never lost on the way?

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{Filter, Journal, Mended, Origin, Replay, State, Status};

use super::{
    HOUR, QUEUED, Rig, SECOND, attempted, dead, find, letter, now, of_generation, open, origin,
    record, retrying, store,
};

pub(super) async fn exercise(rig: &impl Rig) {
    let journal = open(rig, "replays").await;
    one_taker_gets_a_dead_letter(&journal).await;
    only_the_dead_are_replayed(&journal).await;
    what_was_not_published_is_handed_out_again(&journal).await;
    a_late_record_of_the_older_generation_changes_nothing(&journal).await;
    a_record_of_the_new_generation_shows_that_it_was_published(&journal).await;
    journal.close().await;
    let journal = open(rig, "replays-by-filter").await;
    takers_at_once_share_the_dead_letters(&journal).await;
    a_filter_takes_what_it_finds(&journal).await;
    journal.close().await;
}

/// Gives up a new callback, and returns it.
async fn give_up(journal: &Journal, at: u64, state: State) -> Origin {
    let callback = origin(at);
    store(journal, &[attempted(&callback, 3, 1, at, state)]).await;
    callback
}

async fn take(journal: &Journal, callback: &Origin, now: u64) -> Mended {
    let taken = journal.take_replay(callback.request_id, now).await;
    taken.expect("an answer")
}

async fn unfinished(journal: &Journal, before: u64, now: u64) -> Vec<Replay> {
    let found = journal.unfinished_replays(before, 100, now).await;
    found.expect("an answer")
}

fn replay(callback: &Origin, generation: u32) -> Replay {
    Replay {
        request_id: callback.request_id,
        generation,
        dead_letter: letter(callback),
    }
}

async fn done(journal: &Journal, replays: &[Replay]) {
    let done: Vec<_> = replays
        .iter()
        .map(|it| (it.request_id, it.generation))
        .collect();
    journal.replayed(&done).await.expect("an answer");
}

async fn one_taker_gets_a_dead_letter(journal: &Journal) {
    let now = now();
    for state in [dead("exhausted"), State::Expired] {
        let callback = give_up(journal, now - SECOND, state).await;
        let mut takers = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (journal, callback) = (journal.clone(), callback.clone());
            takers.spawn(async move { take(&journal, &callback, now).await });
        }
        let answers = takers.join_all().await;
        let expected = replay(&callback, 1);
        let got = answers
            .iter()
            .filter(|it| **it == Mended::Replay(expected.clone()));
        assert_eq!(got.count(), 1);
        let late = answers.iter().filter(|it| **it == Mended::NotDead);
        assert_eq!(late.count(), 19);
        let found = find(journal, &callback).await;
        assert_eq!((found.generation, found.status), (1, Status::Queued));
        assert_eq!((found.reason, found.next_attempt_at), (None, None));
        assert_eq!(found.updated_at, now);
        assert_eq!(found.attempts.len(), 1, "what happened before is kept");
        done(journal, &[expected]).await;
    }
}

async fn only_the_dead_are_replayed(journal: &Journal) {
    let now = now();
    assert_eq!(take(journal, &origin(now), now).await, Mended::Unknown);
    let waiting = [
        QUEUED,
        retrying(now + HOUR),
        State::Delivered,
        State::Cancelled,
    ];
    for state in waiting {
        let callback = give_up(journal, now, state).await;
        assert_eq!(take(journal, &callback, now).await, Mended::NotDead);
        assert_eq!(find(journal, &callback).await.generation, 0);
    }
    let callback = origin(now);
    let mut without_body = record(&callback, 1, now, dead("exhausted"));
    without_body.dead_letter = None;
    store(journal, &[without_body]).await;
    assert_eq!(take(journal, &callback, now).await, Mended::NotDead);
    let discarded = give_up(journal, now, dead("exhausted")).await;
    let asked = journal.discard_one(discarded.request_id, now).await;
    assert!(asked.expect("an answer"));
    assert_eq!(take(journal, &discarded, now).await, Mended::NotDead);
}

async fn what_was_not_published_is_handed_out_again(journal: &Journal) {
    let now = now();
    let first = give_up(journal, now - SECOND, dead("exhausted")).await;
    let second = give_up(journal, now - SECOND, dead("exhausted")).await;
    for callback in [&first, &second] {
        let taken = take(journal, callback, now).await;
        assert_eq!(taken, Mended::Replay(replay(callback, 1)));
    }
    assert_eq!(unfinished(journal, now, now).await, []);
    let later = now + 60 * SECOND;
    let again = journal.unfinished_replays(now + 1, 1, later).await;
    let mut again = again.expect("an answer");
    assert_eq!(again.len(), 1, "at most the limit");
    again.extend(unfinished(journal, now + 1, later).await);
    again.sort_by_key(|it| it.request_id);
    assert_eq!(again, [replay(&first, 1), replay(&second, 1)]);
    assert_eq!(
        unfinished(journal, later, later).await,
        [],
        "it counts as taken later"
    );
    done(journal, &[replay(&first, 0), replay(&first, 2)]).await;
    assert_eq!(
        unfinished(journal, later + 1, later + 1).await.len(),
        2,
        "not theirs"
    );
    done(journal, &again).await;
    done(journal, &again).await;
    assert_eq!(unfinished(journal, later + HOUR, later).await, []);
    // Given up again, it can be replayed again.
    let body = of_generation(1, attempted(&first, 1, 2, later, dead("rejected")));
    store(journal, &[body]).await;
    let taken = take(journal, &first, later + 1).await;
    assert_eq!(taken, Mended::Replay(replay(&first, 2)));
    done(journal, &[replay(&first, 2)]).await;
}

async fn a_late_record_of_the_older_generation_changes_nothing(journal: &Journal) {
    let now = now();
    let callback = give_up(journal, now - SECOND, dead("exhausted")).await;
    take(journal, &callback, now).await;
    let before = find(journal, &callback).await;
    let late = [
        attempted(&callback, 9, 2, now + HOUR, State::Delivered),
        record(&callback, 9, now + HOUR, dead("exhausted")),
        record(&callback, 9, now + HOUR, State::Cancelled),
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
        "it waits for its publisher all the same"
    );
    done(journal, &again).await;
}

async fn a_record_of_the_new_generation_shows_that_it_was_published(journal: &Journal) {
    let now = now();
    for state in [State::Delivered, retrying(now + HOUR), dead("exhausted")] {
        let callback = give_up(journal, now - SECOND, dead("exhausted")).await;
        take(journal, &callback, now).await;
        let attempt = attempted(&callback, 1, 2, now + 1, state);
        store(journal, &[of_generation(1, attempt)]).await;
        assert_eq!(unfinished(journal, now + HOUR, now).await, []);
    }
}

async fn takers_at_once_share_the_dead_letters(journal: &Journal) {
    let now = now();
    let mut all = BTreeSet::new();
    for number in 0..60 {
        let callback = give_up(journal, now - HOUR + number, dead("exhausted")).await;
        all.insert(callback.request_id);
    }
    let mut takers = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let journal = journal.clone();
        takers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let taken = journal.take_replays(&Filter::default(), 7, now).await;
                let taken = taken.expect("an answer");
                assert!(taken.len() <= 7);
                if taken.is_empty() {
                    return mine;
                }
                mine.extend(taken);
            }
        });
    }
    let taken: Vec<Replay> = takers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), all.len(), "each exactly once");
    let ids: BTreeSet<Uuid> = taken.iter().map(|it| it.request_id).collect();
    assert_eq!(ids, all);
    assert!(
        taken
            .iter()
            .all(|it| it.generation == 1 && !it.dead_letter.is_empty())
    );
    done(journal, &taken).await;
    assert_eq!(unfinished(journal, now + HOUR, now).await, []);
}

async fn a_filter_takes_what_it_finds(journal: &Journal) {
    let now = now();
    let mut oldest_first = Vec::new();
    for number in 0..5 {
        oldest_first.push(give_up(journal, now - HOUR + number, dead("rejected")).await);
    }
    give_up(journal, now, dead("exhausted")).await;
    let expired = give_up(journal, now, State::Expired).await;
    let discarded = give_up(journal, now, dead("rejected")).await;
    let asked = journal.discard_one(discarded.request_id, now).await;
    assert!(asked.expect("an answer"));
    let rejected = Filter {
        reason: Some("rejected".to_owned()),
        discarded: true,
        ..Filter::default()
    };
    let taken = journal
        .take_replays(&rejected, 3, now)
        .await
        .expect("three");
    let expected: Vec<_> = oldest_first.iter().map(|it| replay(it, 1)).collect();
    assert_eq!(taken, expected[..3]);
    let taken = journal.take_replays(&rejected, 30, now).await.expect("two");
    assert_eq!(taken, expected[3..], "the discarded one stays where it is");
    let by_status = |status| Filter {
        status: Some(status),
        ..Filter::default()
    };
    let taken = journal
        .take_replays(&by_status(Status::Expired), 9, now)
        .await;
    assert_eq!(taken.expect("one"), [replay(&expired, 1)]);
    let taken = journal
        .take_replays(&by_status(Status::Queued), 9, now)
        .await;
    assert_eq!(taken.expect("none"), [], "what is not dead is not taken");
}
