//! Exactly one request is the first to use an idempotency key.

use std::time::Duration;

use crate::journal::Journal;
use crate::model::{Claim, Claimed};

use super::fixture::{DAY, HOUR, JournalFixture, SECOND, id, now, open};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, NAME).await;
    of_a_hundred_concurrent_requests_one_is_first(&journal).await;
    a_confirmed_claim_returns_the_first_id(&journal).await;
    a_released_claim_is_taken_over_under_the_same_id(&journal).await;
    an_expired_lease_is_taken_over_by_one_under_the_same_id(fixture, &journal).await;
    another_body_is_a_conflict(&journal).await;
    a_key_belongs_to_its_app(&journal).await;
    a_key_is_kept_for_a_day(fixture, &journal).await;
    a_process_whose_clock_is_wrong_makes_no_second_callback(&journal).await;
    journal.close().await;
}

const NAME: &str = "idempotency";
/// The length of each lease, in ms.
const LEASE: u64 = 30 * SECOND;

fn claim(key: &str, now: u64) -> Claim {
    Claim {
        app_id: "crm".to_owned(),
        key: key.to_owned(),
        request_id: id(now),
        body_hash: [7; 32],
        now,
        lease: Duration::from_millis(LEASE),
    }
}

async fn acquire(journal: &Journal, claim: &Claim) -> Claimed {
    journal.claim(claim).await.expect("a result")
}

async fn confirm(journal: &Journal, claim: &Claim) {
    let confirmed = journal.confirm_claim(&claim.app_id, &claim.key).await;
    confirmed.expect("a confirmed claim");
}

async fn release(journal: &Journal, claim: &Claim) {
    let released = journal.release_claim(&claim.app_id, &claim.key).await;
    released.expect("a released claim");
}

/// Claims the key a hundred times at once, each time with another id.
async fn acquire_concurrently(journal: &Journal, key: &str, now: u64) -> Vec<(Claim, Claimed)> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (journal, claim) = (journal.clone(), claim(key, now));
        tasks.spawn(async move {
            let claimed = acquire(&journal, &claim).await;
            (claim, claimed)
        });
    }
    tasks.join_all().await
}

async fn of_a_hundred_concurrent_requests_one_is_first(journal: &Journal) {
    let answers = acquire_concurrently(journal, "hundred", now()).await;
    let first: Vec<_> = answers
        .iter()
        .filter(|(claim, claimed)| *claimed == Claimed::Acquired(claim.request_id))
        .collect();
    assert_eq!(first.len(), 1, "exactly one is the first");
    let id = first[0].0.request_id;
    let pending = answers
        .iter()
        .filter(|(_, claimed)| *claimed == Claimed::Pending(id));
    assert_eq!(pending.count(), 99);
}

async fn a_confirmed_claim_returns_the_first_id(journal: &Journal) {
    let now = now();
    let first = claim("confirmed", now);
    assert_eq!(
        acquire(journal, &first).await,
        Claimed::Acquired(first.request_id)
    );
    let repeat = claim("confirmed", now + 1);
    assert_eq!(
        acquire(journal, &repeat).await,
        Claimed::Pending(first.request_id)
    );
    confirm(journal, &first).await;
    confirm(journal, &first).await;
    // A slow publisher that gives up changes nothing.
    release(journal, &first).await;
    for later in [now + 1, now + HOUR] {
        let repeat = claim("confirmed", later);
        assert_eq!(
            acquire(journal, &repeat).await,
            Claimed::Confirmed(first.request_id)
        );
    }
    confirm(journal, &claim("never claimed", now)).await;
    release(journal, &claim("never claimed", now)).await;
}

async fn a_released_claim_is_taken_over_under_the_same_id(journal: &Journal) {
    let now = now();
    let first = claim("released", now);
    assert_eq!(
        acquire(journal, &first).await,
        Claimed::Acquired(first.request_id)
    );
    release(journal, &first).await;
    let repeat = claim("released", now + 1);
    assert_eq!(
        acquire(journal, &repeat).await,
        Claimed::Acquired(first.request_id)
    );
    // The second request holds the lease now.
    let third = claim("released", now + 2);
    assert_eq!(
        acquire(journal, &third).await,
        Claimed::Pending(first.request_id)
    );
    confirm(journal, &repeat).await;
    assert_eq!(
        acquire(journal, &third).await,
        Claimed::Confirmed(first.request_id)
    );
}

async fn an_expired_lease_is_taken_over_by_one_under_the_same_id(
    fixture: &impl JournalFixture,
    journal: &Journal,
) {
    let now = now();
    let first = claim("expired", now);
    assert_eq!(
        acquire(journal, &first).await,
        Claimed::Acquired(first.request_id)
    );
    // Not to the millisecond: the journal's clock goes on.
    fixture.age_key(NAME, "expired", LEASE / 2).await;
    let still = claim("expired", now + 1);
    assert_eq!(
        acquire(journal, &still).await,
        Claimed::Pending(first.request_id)
    );
    fixture.age_key(NAME, "expired", LEASE / 2).await;
    let answers = acquire_concurrently(journal, "expired", now).await;
    let count = |wanted| {
        answers
            .iter()
            .filter(|(_, claimed)| *claimed == wanted)
            .count()
    };
    assert_eq!(count(Claimed::Acquired(first.request_id)), 1);
    assert_eq!(count(Claimed::Pending(first.request_id)), 99);
}

async fn another_body_is_a_conflict(journal: &Journal) {
    let now = now();
    let first = claim("conflict", now);
    let mut other = claim("conflict", now + 1);
    other.body_hash = [8; 32];
    assert_eq!(
        acquire(journal, &first).await,
        Claimed::Acquired(first.request_id)
    );
    assert_eq!(acquire(journal, &other).await, Claimed::Conflict);
    confirm(journal, &first).await;
    assert_eq!(acquire(journal, &other).await, Claimed::Conflict);
    let repeat = claim("conflict", now + 2);
    assert_eq!(
        acquire(journal, &repeat).await,
        Claimed::Confirmed(first.request_id)
    );
}

async fn a_key_belongs_to_its_app(journal: &Journal) {
    let now = now();
    let mine = claim("shared", now);
    let mut theirs = claim("shared", now);
    theirs.app_id = "other".to_owned();
    theirs.body_hash = [9; 32];
    assert_eq!(
        acquire(journal, &mine).await,
        Claimed::Acquired(mine.request_id)
    );
    assert_eq!(
        acquire(journal, &theirs).await,
        Claimed::Acquired(theirs.request_id)
    );
    confirm(journal, &mine).await;
    assert_eq!(
        acquire(journal, &theirs).await,
        Claimed::Pending(theirs.request_id)
    );
}

async fn a_key_is_kept_for_a_day(fixture: &impl JournalFixture, journal: &Journal) {
    let now = now();
    let first = claim("day", now);
    assert_eq!(
        acquire(journal, &first).await,
        Claimed::Acquired(first.request_id)
    );
    confirm(journal, &first).await;
    fixture.age_key(NAME, "day", DAY - HOUR).await;
    let almost = claim("day", now + 1);
    assert_eq!(
        acquire(journal, &almost).await,
        Claimed::Confirmed(first.request_id)
    );
    // More than a day, as the journal's clock was later than `now`.
    fixture.age_key(NAME, "day", 2 * HOUR).await;
    let mut after = claim("day", now + 2);
    after.body_hash = [8; 32];
    assert_eq!(
        acquire(journal, &after).await,
        Claimed::Acquired(after.request_id)
    );
    let repeat = Claim {
        request_id: id(now),
        ..after.clone()
    };
    assert_eq!(
        acquire(journal, &repeat).await,
        Claimed::Pending(after.request_id)
    );
}

async fn a_process_whose_clock_is_wrong_makes_no_second_callback(journal: &Journal) {
    let now = now();
    let times = [now, now + DAY, now - DAY, now + HOUR, now - 30 * SECOND];
    for (place, &right_or_wrong) in times.iter().enumerate() {
        let key = format!("clock {place}");
        let first = claim(&key, right_or_wrong);
        assert_eq!(
            acquire(journal, &first).await,
            Claimed::Acquired(first.request_id)
        );
        // While it publishes, and once it has.
        for time in times {
            let claimed = acquire(journal, &claim(&key, time)).await;
            assert_eq!(claimed, Claimed::Pending(first.request_id), "{key} {time}");
        }
        confirm(journal, &first).await;
        for time in times {
            let claimed = acquire(journal, &claim(&key, time)).await;
            assert_eq!(
                claimed,
                Claimed::Confirmed(first.request_id),
                "{key} {time}"
            );
        }
    }
}
