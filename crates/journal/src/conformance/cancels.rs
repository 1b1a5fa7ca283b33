//! Is what a caller withdraws really withdrawn, and the caller told the truth?

use std::time::Duration;

use crate::{Cancelled, Fate, Journal, Origin, Record, State, Status};

use super::{
    HOUR, QUEUED, Rig, SECOND, accepted, attempted, dead, find, now, of_generation, open, origin,
    parked, record, retrying, store,
};

const MARGIN: Duration = Duration::from_secs(5);

pub(super) async fn exercise(rig: &impl Rig) {
    let journal = open(rig, "cancels").await;
    what_waits_long_enough_is_withdrawn_for_certain(&journal).await;
    what_may_be_on_its_way_is_withdrawn_perhaps(&journal).await;
    what_has_ended_stays_as_it_ended(&journal).await;
    what_is_unknown_or_foreign_is_unknown(&journal).await;
    only_a_delivery_outdoes_a_certain_withdrawal(&journal).await;
    a_wish_noted_becomes_certain_when_it_waits(&journal).await;
    a_replay_forgets_the_wish(&journal).await;
    many_wishes_at_once_agree(&journal).await;
    journal.close().await;
}

async fn cancel(journal: &Journal, callback: &Origin, now: u64) -> Cancelled {
    let asked = journal.cancel(callback.request_id, None, now, MARGIN).await;
    asked.expect("an answer")
}

async fn fate(journal: &Journal, callback: &Origin) -> Fate {
    let fates = journal.fates(&[callback.request_id]).await;
    fates.expect("fates")[&callback.request_id]
}

async fn was_cancelled_since(journal: &Journal, callback: &Origin, since: u64) -> bool {
    let ids = journal.cancelled_since(since).await.expect("ids");
    ids.contains(&callback.request_id)
}

fn delayed(callback: &Origin, not_before: u64) -> Record {
    let state = State::Queued {
        not_before: Some(not_before),
    };
    record(callback, 1, callback.accepted_at, state)
}

async fn what_waits_long_enough_is_withdrawn_for_certain(journal: &Journal) {
    let now = now();
    let waiting = [
        (
            1,
            State::Queued {
                not_before: Some(now + HOUR),
            },
        ),
        (1, parked(now + HOUR)),
        (3, retrying(now + HOUR)),
        (3, parked(now + 5 * SECOND + 1)),
    ];
    for (attempt, state) in waiting {
        let callback = origin(now - SECOND);
        store(journal, &[record(&callback, attempt, now - SECOND, state)]).await;
        let mine = journal
            .cancel(callback.request_id, Some("crm"), now, MARGIN)
            .await;
        assert_eq!(mine.expect("an answer"), Cancelled::Certainly);
        assert_eq!(
            cancel(journal, &callback, now + 1).await,
            Cancelled::Certainly
        );
        let found = find(journal, &callback).await;
        assert_eq!(found.status, Status::Cancelled);
        assert_eq!((found.next_attempt_at, found.waiting_for), (None, None));
        assert_eq!((found.cancel_requested, found.updated_at), (false, now));
        let fate = fate(journal, &callback).await;
        assert!(fate.cancelled);
        assert_eq!(fate.status, Status::Cancelled);
        assert!(was_cancelled_since(journal, &callback, now).await);
        assert!(!was_cancelled_since(journal, &callback, now + 1).await);
    }
}

async fn what_may_be_on_its_way_is_withdrawn_perhaps(journal: &Journal) {
    let now = now();
    for state in [QUEUED, retrying(now - 1), parked(now + 5 * SECOND)] {
        let callback = origin(now - SECOND);
        store(journal, &[record(&callback, 2, now - SECOND, state)]).await;
        let before = find(journal, &callback).await;
        assert_eq!(cancel(journal, &callback, now).await, Cancelled::Perhaps);
        let found = find(journal, &callback).await;
        assert_eq!(found.status, before.status);
        assert_eq!(found.next_attempt_at, before.next_attempt_at);
        assert!(found.cancel_requested);
        let known = fate(journal, &callback).await;
        assert!(known.cancelled);
        assert_eq!(known.status, before.status);
        assert!(was_cancelled_since(journal, &callback, now).await);
        // A worker ends it.
        store(journal, &[record(&callback, 2, now + 1, State::Cancelled)]).await;
        assert_eq!(find(journal, &callback).await.status, Status::Cancelled);
        assert_eq!(
            cancel(journal, &callback, now + 2).await,
            Cancelled::Certainly
        );
    }
}

async fn what_has_ended_stays_as_it_ended(journal: &Journal) {
    let now = now();
    for (state, status) in [
        (State::Delivered, Status::Delivered),
        (dead("exhausted"), Status::Dead),
        (State::Expired, Status::Expired),
    ] {
        let callback = origin(now);
        store(journal, &[attempted(&callback, 1, 1, now, state)]).await;
        let before = find(journal, &callback).await;
        assert_eq!(
            cancel(journal, &callback, now).await,
            Cancelled::Ended(status)
        );
        assert_eq!(find(journal, &callback).await, before);
        assert!(!fate(journal, &callback).await.cancelled);
        assert!(!was_cancelled_since(journal, &callback, 0).await);
    }
}

async fn what_is_unknown_or_foreign_is_unknown(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    assert_eq!(cancel(journal, &callback, now).await, Cancelled::Unknown);
    store(journal, &[delayed(&callback, now + HOUR)]).await;
    let before = find(journal, &callback).await;
    let foreign = journal
        .cancel(callback.request_id, Some("other"), now, MARGIN)
        .await;
    assert_eq!(foreign.expect("an answer"), Cancelled::Unknown);
    assert_eq!(find(journal, &callback).await, before);
    assert!(!was_cancelled_since(journal, &callback, 0).await);
}

async fn only_a_delivery_outdoes_a_certain_withdrawal(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    store(journal, &[delayed(&callback, now + HOUR)]).await;
    assert_eq!(cancel(journal, &callback, now).await, Cancelled::Certainly);
    let late = [
        accepted(&callback),
        attempted(&callback, 3, 3, now + HOUR, retrying(now + 2 * HOUR)),
        record(&callback, 4, now + HOUR, parked(now + 3 * HOUR)),
        attempted(&callback, 4, 4, now + 2 * HOUR, dead("exhausted")),
    ];
    for late in late {
        store(journal, &[late]).await;
        assert_eq!(find(journal, &callback).await.status, Status::Cancelled);
    }
    store(
        journal,
        &[attempted(&callback, 1, 1, now - 1, State::Delivered)],
    )
    .await;
    assert_eq!(find(journal, &callback).await.status, Status::Delivered);
    let ended = Cancelled::Ended(Status::Delivered);
    assert_eq!(cancel(journal, &callback, now).await, ended);
}

async fn a_wish_noted_becomes_certain_when_it_waits(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    store(journal, &[accepted(&callback)]).await;
    assert_eq!(cancel(journal, &callback, now).await, Cancelled::Perhaps);
    assert_eq!(
        cancel(journal, &callback, now + 1).await,
        Cancelled::Perhaps
    );
    store(
        journal,
        &[attempted(&callback, 1, 1, now, retrying(now + HOUR))],
    )
    .await;
    let found = find(journal, &callback).await;
    assert!(found.cancel_requested);
    assert_eq!(found.status, Status::Retrying);
    assert_eq!(
        cancel(journal, &callback, now + 2).await,
        Cancelled::Certainly
    );
    assert_eq!(find(journal, &callback).await.status, Status::Cancelled);
}

async fn a_replay_forgets_the_wish(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    store(journal, &[accepted(&callback)]).await;
    assert_eq!(cancel(journal, &callback, now).await, Cancelled::Perhaps);
    store(
        journal,
        &[attempted(&callback, 1, 1, now, dead("rejected"))],
    )
    .await;
    let taken = journal.take_replay(callback.request_id, now + 1).await;
    assert!(matches!(
        taken.expect("an answer"),
        crate::Mended::Replay(_)
    ));
    assert!(!fate(journal, &callback).await.cancelled);
    assert!(!was_cancelled_since(journal, &callback, 0).await);
    let again = attempted(&callback, 1, 2, now + 2, retrying(now + HOUR));
    store(journal, &[of_generation(1, again)]).await;
    assert!(!fate(journal, &callback).await.cancelled);
    assert_eq!(
        cancel(journal, &callback, now + 3).await,
        Cancelled::Certainly
    );
}

async fn many_wishes_at_once_agree(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    store(journal, &[delayed(&callback, now + HOUR)]).await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (journal, callback) = (journal.clone(), callback.clone());
        callers.spawn(async move { cancel(&journal, &callback, now).await });
    }
    while let Some(told) = callers.join_next().await {
        assert_eq!(told.expect("a caller"), Cancelled::Certainly);
    }
}
