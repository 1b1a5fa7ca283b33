//! Is what must be kept kept, and the rest let go?

use std::time::Duration;

use crate::{
    Audit, Claim, Claimed, Filter, Journal, Mended, Origin, Retained, Retention, State, Status,
};

use super::{
    DAY, Rig, SECOND, accepted, attempted, dead, find, id, letter, now, open, origin, record,
    retrying, store,
};

pub(super) async fn exercise(rig: &impl Rig) {
    let journal = open(rig, "keeping").await;
    one_dead_letter_is_discarded_once(&journal).await;
    a_filter_discards_dead_letters_alone(&journal).await;
    the_audit_log_is_kept_newest_first(&journal).await;
    journal.close().await;
    let journal = open(rig, "retention").await;
    what_has_ended_goes_after_its_time_and_nothing_else(&journal).await;
    bodies_go_before_their_callbacks(&journal).await;
    keys_go_after_a_day(&journal).await;
    journal.close().await;
}

async fn one_dead_letter_is_discarded_once(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    let discard = async |callback: &Origin| {
        let asked = journal.discard_one(callback.request_id, now).await;
        asked.expect("an answer")
    };
    assert!(!discard(&callback).await, "unknown");
    store(
        journal,
        &[attempted(&callback, 1, 1, now, retrying(now + DAY))],
    )
    .await;
    assert!(!discard(&callback).await, "not dead");
    assert!(!find(journal, &callback).await.discarded);
    store(
        journal,
        &[attempted(&callback, 2, 2, now, dead("exhausted"))],
    )
    .await;
    assert!(discard(&callback).await);
    assert!(!discard(&callback).await, "discarded before");
    let found = find(journal, &callback).await;
    assert!(found.discarded);
    assert_eq!((found.status, found.attempts.len()), (Status::Dead, 2));
}

async fn a_filter_discards_dead_letters_alone(journal: &Journal) {
    let now = now();
    let mut filter = Filter {
        app_id: Some("discarder".to_owned()),
        ..Filter::default()
    };
    let states = [
        dead("a"),
        dead("a"),
        dead("b"),
        State::Expired,
        State::Delivered,
    ];
    for state in states {
        let mut callback = origin(now);
        callback.app_id = "discarder".to_owned();
        store(journal, &[attempted(&callback, 1, 1, now, state)]).await;
    }
    let left = async |filter: &Filter| journal.count(filter, now).await.expect("a count");
    let discard = async |filter: &Filter, limit| {
        let asked = journal.discard(filter, limit, now).await;
        asked.expect("an answer")
    };
    filter.reason = Some("a".to_owned());
    assert_eq!(discard(&filter, 1).await, 1);
    assert_eq!(left(&filter).await, 1);
    assert_eq!(discard(&filter, 9).await, 1);
    assert_eq!(discard(&filter, 9).await, 0);
    filter.reason = None;
    filter.discarded = true;
    assert_eq!(
        discard(&filter, 9).await,
        2,
        "of the dead, those not discarded before"
    );
    filter.discarded = false;
    assert_eq!(left(&filter).await, 1, "the delivered one");
}

async fn the_audit_log_is_kept_newest_first(journal: &Journal) {
    let now = now();
    assert_eq!(journal.audits(9).await.expect("an answer"), []);
    let entry = |number: u64| Audit {
        at: now + number,
        who: "陈".to_owned(),
        action: "replay".to_owned(),
        subject: "callee T001".to_owned(),
        reason: "the callee is back".to_owned(),
        count: number,
    };
    // Two at the same moment are two.
    for number in [0, 1, 1, 2] {
        journal.audit(&entry(number)).await.expect("an entry");
    }
    let newest = journal.audits(3).await.expect("an answer");
    assert_eq!(newest, [entry(2), entry(1), entry(1)]);
    assert_eq!(journal.audits(9).await.expect("an answer").len(), 4);
}

const RETENTION: Retention = Retention {
    callbacks: Duration::from_secs(30 * 24 * 3_600),
    bodies: Duration::from_secs(10 * 24 * 3_600),
};

/// All steps together.
async fn retain(journal: &Journal, now: u64) -> Retained {
    let mut total = Retained::default();
    for _ in 0..1_000 {
        let step = journal.retain(RETENTION, now).await.expect("a step");
        total.callbacks += step.callbacks;
        total.bodies += step.bodies;
        total.claims += step.claims;
        if !step.more {
            return total;
        }
    }
    panic!("the retention finds no end");
}

async fn what_has_ended_goes_after_its_time_and_nothing_else(journal: &Journal) {
    let now = now();
    // Far apart: an adapter may keep or drop what was accepted in the same days together.
    let ended_of_old = origin(now - 400 * DAY);
    let waiting_of_old = origin(now - 300 * DAY);
    let ended_lately = origin(now - 5 * DAY);
    let ended_at = |callback: &Origin| {
        let at = callback.accepted_at;
        attempted(callback, 1, 1, at + SECOND, State::Delivered)
    };
    let mut records = vec![ended_at(&ended_of_old), ended_at(&ended_lately)];
    let at = waiting_of_old.accepted_at;
    records.push(accepted(&waiting_of_old));
    records.push(attempted(&waiting_of_old, 1, 1, at, retrying(at + SECOND)));
    // More than one step's worth.
    let many = (0..1_200).map(|_| ended_at(&origin(now - 400 * DAY)));
    records.extend(many);
    for batch in records.chunks(500) {
        store(journal, batch).await;
    }
    let before = [&waiting_of_old, &ended_lately].map(|it| it.request_id);
    let kept = retained(journal, before).await;
    let total = retain(journal, now).await;
    assert!(total.callbacks > 0);
    let gone = journal.find(ended_of_old.request_id).await;
    assert_eq!(gone.expect("an answer"), None);
    assert_eq!(retained(journal, before).await, kept);
    let left = journal.count(&Filter::default(), now).await;
    assert_eq!(left.expect("a count"), 2);
    assert_eq!(retain(journal, now).await, Retained::default());
    // Ended at last, it goes too, and a record that comes too late does no harm.
    store(
        journal,
        &[attempted(&waiting_of_old, 2, 2, at, State::Delivered)],
    )
    .await;
    retain(journal, now).await;
    let gone = journal.find(waiting_of_old.request_id).await;
    assert_eq!(gone.expect("an answer"), None);
    store(journal, &[ended_at(&ended_of_old)]).await;
    find(journal, &ended_of_old).await;
    retain(journal, now).await;
}

async fn retained(journal: &Journal, ids: [uuid::Uuid; 2]) -> Vec<crate::Callback> {
    let mut found = Vec::new();
    for id in ids {
        let callback = journal.find(id).await.expect("an answer");
        found.push(callback.expect("a callback that is kept"));
    }
    found
}

async fn bodies_go_before_their_callbacks(journal: &Journal) {
    let now = now();
    let (old, late, replayed) = (
        origin(now - 20 * DAY),
        origin(now - 20 * DAY),
        origin(now - 20 * DAY),
    );
    let records = [
        record(&old, 1, now - 11 * DAY, dead("exhausted")),
        record(&late, 1, now - 9 * DAY, dead("exhausted")),
        record(&replayed, 1, now - 19 * DAY, dead("exhausted")),
    ];
    store(journal, &records).await;
    let taken = journal
        .take_replay(replayed.request_id, now - 11 * DAY)
        .await;
    assert!(matches!(taken.expect("an answer"), Mended::Replay(_)));
    assert_eq!(retain(journal, now).await.bodies, 1);
    let body = async |callback: &Origin| {
        let found = journal.dead_letter(callback.request_id).await;
        found.expect("an answer")
    };
    assert_eq!(body(&old).await, None);
    assert_eq!(body(&late).await, Some(letter(&late)));
    assert_eq!(find(journal, &old).await.status, Status::Dead);
    let taken = journal.take_replay(old.request_id, now).await;
    assert_eq!(taken.expect("an answer"), Mended::NotDead);
    let pending = journal.unfinished_replays(now, 9, now).await;
    assert_eq!(
        pending.expect("an answer").len(),
        1,
        "a replay under way keeps its body"
    );
    // A repeated record brings back no body that is past its time.
    store(journal, &records[..1]).await;
    assert_eq!(body(&old).await, None);
}

async fn keys_go_after_a_day(journal: &Journal) {
    let now = now();
    let claim = |key: &str, at: u64| Claim {
        app_id: "crm".to_owned(),
        key: key.to_owned(),
        request_id: id(at),
        body_hash: [1; 32],
        now: at,
        lease_until: at + SECOND,
    };
    for (key, at) in [("old", now - DAY - 1), ("young", now - DAY + 60 * SECOND)] {
        let claim = claim(key, at);
        let claimed = journal.claim(&claim).await;
        assert_eq!(
            claimed.expect("an answer"),
            Claimed::Yours(claim.request_id)
        );
    }
    assert_eq!(retain(journal, now).await.claims, 1);
    assert_eq!(retain(journal, now).await.claims, 0);
}
