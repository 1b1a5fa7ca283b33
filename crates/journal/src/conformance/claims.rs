//! Is exactly one request the first to bear an idempotency key?

use crate::{Claim, Claimed, Journal};

use super::{DAY, HOUR, Rig, SECOND, id, now, open};

pub(super) async fn exercise(rig: &impl Rig) {
    let journal = open(rig, "claims").await;
    of_a_hundred_at_once_one_is_first(&journal).await;
    a_confirmed_claim_answers_with_the_first_id(&journal).await;
    a_released_claim_is_taken_up_under_the_same_id(&journal).await;
    an_expired_lease_is_taken_up_by_one_under_the_same_id(&journal).await;
    another_body_is_a_conflict(&journal).await;
    a_key_belongs_to_its_app(&journal).await;
    a_key_is_kept_for_a_day(&journal).await;
    journal.close().await;
}

fn claim(key: &str, now: u64) -> Claim {
    Claim {
        app_id: "crm".to_owned(),
        key: key.to_owned(),
        request_id: id(now),
        body_hash: [7; 32],
        now,
        lease_until: now + 30 * SECOND,
    }
}

async fn ask(journal: &Journal, claim: &Claim) -> Claimed {
    journal.claim(claim).await.expect("an answer")
}

async fn confirm(journal: &Journal, claim: &Claim) {
    let told = journal.confirm_claim(&claim.app_id, &claim.key).await;
    told.expect("a confirmed claim");
}

async fn release(journal: &Journal, claim: &Claim) {
    let told = journal.release_claim(&claim.app_id, &claim.key).await;
    told.expect("a released claim");
}

/// Asks a hundred times at once, each with an id of its own.
async fn ask_at_once(journal: &Journal, key: &str, now: u64) -> Vec<(Claim, Claimed)> {
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (journal, claim) = (journal.clone(), claim(key, now));
        askers.spawn(async move {
            let claimed = ask(&journal, &claim).await;
            (claim, claimed)
        });
    }
    askers.join_all().await
}

async fn of_a_hundred_at_once_one_is_first(journal: &Journal) {
    let answers = ask_at_once(journal, "hundred", now()).await;
    let first: Vec<_> = answers
        .iter()
        .filter(|(claim, claimed)| *claimed == Claimed::Yours(claim.request_id))
        .collect();
    assert_eq!(first.len(), 1, "exactly one is the first");
    let id = first[0].0.request_id;
    let pending = answers.iter().filter(|(_, it)| *it == Claimed::Pending(id));
    assert_eq!(pending.count(), 99);
}

async fn a_confirmed_claim_answers_with_the_first_id(journal: &Journal) {
    let now = now();
    let first = claim("confirmed", now);
    assert_eq!(ask(journal, &first).await, Claimed::Yours(first.request_id));
    let repeat = claim("confirmed", now + 1);
    assert_eq!(
        ask(journal, &repeat).await,
        Claimed::Pending(first.request_id)
    );
    confirm(journal, &first).await;
    confirm(journal, &first).await;
    // A publisher that was slow and gave up undoes nothing.
    release(journal, &first).await;
    for later in [now + 1, now + HOUR] {
        let repeat = claim("confirmed", later);
        assert_eq!(
            ask(journal, &repeat).await,
            Claimed::Confirmed(first.request_id)
        );
    }
    confirm(journal, &claim("never claimed", now)).await;
    release(journal, &claim("never claimed", now)).await;
}

async fn a_released_claim_is_taken_up_under_the_same_id(journal: &Journal) {
    let now = now();
    let first = claim("released", now);
    assert_eq!(ask(journal, &first).await, Claimed::Yours(first.request_id));
    release(journal, &first).await;
    let repeat = claim("released", now + 1);
    assert_eq!(
        ask(journal, &repeat).await,
        Claimed::Yours(first.request_id)
    );
    // The lease is the second one's now.
    let third = claim("released", now + 2);
    assert_eq!(
        ask(journal, &third).await,
        Claimed::Pending(first.request_id)
    );
    confirm(journal, &repeat).await;
    assert_eq!(
        ask(journal, &third).await,
        Claimed::Confirmed(first.request_id)
    );
}

async fn an_expired_lease_is_taken_up_by_one_under_the_same_id(journal: &Journal) {
    let now = now();
    let first = claim("expired", now);
    assert_eq!(ask(journal, &first).await, Claimed::Yours(first.request_id));
    let still = claim("expired", first.lease_until - 1);
    assert_eq!(
        ask(journal, &still).await,
        Claimed::Pending(first.request_id)
    );
    let answers = ask_at_once(journal, "expired", first.lease_until).await;
    let count = |wanted| answers.iter().filter(|(_, it)| *it == wanted).count();
    assert_eq!(count(Claimed::Yours(first.request_id)), 1);
    assert_eq!(count(Claimed::Pending(first.request_id)), 99);
}

async fn another_body_is_a_conflict(journal: &Journal) {
    let now = now();
    let first = claim("conflict", now);
    let mut other = claim("conflict", now + 1);
    other.body_hash = [8; 32];
    assert_eq!(ask(journal, &first).await, Claimed::Yours(first.request_id));
    assert_eq!(ask(journal, &other).await, Claimed::Conflict);
    confirm(journal, &first).await;
    assert_eq!(ask(journal, &other).await, Claimed::Conflict);
    let repeat = claim("conflict", now + 2);
    assert_eq!(
        ask(journal, &repeat).await,
        Claimed::Confirmed(first.request_id)
    );
}

async fn a_key_belongs_to_its_app(journal: &Journal) {
    let now = now();
    let mine = claim("shared", now);
    let mut theirs = claim("shared", now);
    theirs.app_id = "other".to_owned();
    theirs.body_hash = [9; 32];
    assert_eq!(ask(journal, &mine).await, Claimed::Yours(mine.request_id));
    assert_eq!(
        ask(journal, &theirs).await,
        Claimed::Yours(theirs.request_id)
    );
    confirm(journal, &mine).await;
    assert_eq!(
        ask(journal, &theirs).await,
        Claimed::Pending(theirs.request_id)
    );
}

async fn a_key_is_kept_for_a_day(journal: &Journal) {
    let now = now();
    let first = claim("day", now - DAY);
    assert_eq!(ask(journal, &first).await, Claimed::Yours(first.request_id));
    confirm(journal, &first).await;
    let almost = claim("day", now - 1);
    assert_eq!(
        ask(journal, &almost).await,
        Claimed::Confirmed(first.request_id)
    );
    let mut after = claim("day", now);
    after.body_hash = [8; 32];
    assert_eq!(ask(journal, &after).await, Claimed::Yours(after.request_id));
    let repeat = Claim {
        request_id: id(now),
        ..after.clone()
    };
    assert_eq!(
        ask(journal, &repeat).await,
        Claimed::Pending(after.request_id)
    );
}
