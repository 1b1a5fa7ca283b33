//! Discards, the audit log, and retention: what must be kept is kept, the rest is removed.

use std::time::Duration;

use contract::CallbackStatus;

use crate::journal::Journal;
use crate::model::{
    AuditEntry, Claim, Claimed, Filter, Origin, RecordedState, ReplayOutcome, Retention,
    RetentionProgress,
};

use super::fixture::{
    DAY, JournalFixture, SECOND, accepted, attempted, dead, find, id, letter, now, open, origin,
    record, retrying, store,
};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "discard").await;
    a_dead_letter_is_discarded_once(&journal).await;
    a_filter_discards_only_dead_letters(&journal).await;
    the_audit_log_is_newest_first(&journal).await;
    journal.close().await;
    let journal = open(fixture, "retention").await;
    only_what_has_ended_is_removed_after_its_time(&journal).await;
    bodies_are_removed_before_their_callbacks(&journal).await;
    keys_are_removed_after_a_day(&journal).await;
    journal.close().await;
}

async fn a_dead_letter_is_discarded_once(journal: &Journal) {
    let now = now();
    let callback = origin(now);
    let discard = async |callback: &Origin| {
        let discarded = journal.discard_one(callback.request_id).await;
        discarded.expect("a result")
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
    assert_eq!(
        (found.status, found.attempts.len()),
        (CallbackStatus::Dead, 2)
    );
}

async fn a_filter_discards_only_dead_letters(journal: &Journal) {
    let now = now();
    let mut filter = Filter {
        app_id: Some("discarder".to_owned()),
        ..Filter::default()
    };
    let states = [
        dead("a"),
        dead("a"),
        dead("b"),
        RecordedState::Expired,
        RecordedState::Delivered,
    ];
    for state in states {
        let mut callback = origin(now);
        callback.app_id = "discarder".to_owned();
        store(journal, &[attempted(&callback, 1, 1, now, state)]).await;
    }
    let left = async |filter: &Filter| journal.count(filter, now).await.expect("a count");
    let discard = async |filter: &Filter, limit| {
        let discarded = journal.discard(filter, limit).await;
        discarded.expect("a result")
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
        "the dead letters not discarded before"
    );
    filter.discarded = false;
    assert_eq!(left(&filter).await, 1, "the delivered one");
}

async fn the_audit_log_is_newest_first(journal: &Journal) {
    let now = now();
    assert_eq!(audit_log(journal, 9).await, []);
    let entry = |number: u64| AuditEntry {
        occurred_at: now + number,
        actor: "陈".to_owned(),
        action: "replay".to_owned(),
        subject: "callee T001".to_owned(),
        reason: "the callee is back".to_owned(),
        count: number,
    };
    // Two at the same time are two; the clocks of several processes differ.
    for number in [0, 2, 1, 1, 3] {
        journal
            .append_audit(&entry(number))
            .await
            .expect("an entry");
    }
    let newest = journal.audit_log(None, 4).await.expect("a page");
    assert_eq!(newest.entries, [entry(3), entry(2), entry(1), entry(1)]);
    let all = [3, 2, 1, 1, 0].map(entry);
    for limit in [1, 2, 3, 4, 5, 9] {
        assert_eq!(audit_log(journal, limit).await, all, "{limit}");
    }
    // A page stays as it is while entries are added before it.
    journal.append_audit(&entry(4)).await.expect("an entry");
    let rest = journal.audit_log(newest.next, 9).await.expect("a page");
    assert_eq!((rest.entries, rest.next), (vec![entry(0)], None));
    entries_of_a_millisecond_are_in_the_reverse_order_of_writing(journal, now + 9).await;
}

async fn entries_of_a_millisecond_are_in_the_reverse_order_of_writing(journal: &Journal, at: u64) {
    let earlier = audit_log(journal, 9).await;
    let mut written = Vec::new();
    for number in 0..7_u32 {
        let entry = AuditEntry {
            occurred_at: at,
            actor: "ann".to_owned(),
            action: "discard".to_owned(),
            subject: number.to_string(),
            reason: "duplicates".to_owned(),
            count: 1,
        };
        journal.append_audit(&entry).await.expect("an entry");
        written.insert(0, entry);
    }
    written.extend(earlier);
    for limit in [1, 2, 3, 5, 7, 100] {
        assert_eq!(audit_log(journal, limit).await, written, "{limit}");
    }
}

/// The whole audit log, page by page.
async fn audit_log(journal: &Journal, limit: u32) -> Vec<AuditEntry> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = journal.audit_log(after, limit).await.expect("a page");
        assert!(page.entries.len() <= usize::try_from(limit).expect("a limit"));
        assert!(after.is_none() || !page.entries.is_empty(), "an empty page");
        found.extend(page.entries);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

const RETENTION: Retention = Retention {
    callbacks: Duration::from_secs(30 * 24 * 3_600),
    bodies: Duration::from_secs(10 * 24 * 3_600),
};

/// Runs all steps.
async fn retain(journal: &Journal, now: u64) -> RetentionProgress {
    let mut total = RetentionProgress::default();
    for _ in 0..1_000 {
        let step = journal
            .apply_retention(RETENTION, now)
            .await
            .expect("a step");
        total.callbacks += step.callbacks;
        total.bodies += step.bodies;
        total.idempotency_keys += step.idempotency_keys;
        if !step.more {
            return total;
        }
    }
    panic!("retention does not end");
}

async fn only_what_has_ended_is_removed_after_its_time(journal: &Journal) {
    let now = now();
    // Far apart: an adapter may keep or drop whole days.
    let old_ended = origin(now - 400 * DAY);
    let old_waiting = origin(now - 300 * DAY);
    let recent_ended = origin(now - 5 * DAY);
    let ended_at = |callback: &Origin| {
        let at = callback.accepted_at;
        attempted(callback, 1, 1, at + SECOND, RecordedState::Delivered)
    };
    let mut records = vec![ended_at(&old_ended), ended_at(&recent_ended)];
    let at = old_waiting.accepted_at;
    records.push(accepted(&old_waiting));
    records.push(attempted(&old_waiting, 1, 1, at, retrying(at + SECOND)));
    // More than one step's worth.
    let many = (0..1_200).map(|_| ended_at(&origin(now - 400 * DAY)));
    records.extend(many);
    for batch in records.chunks(500) {
        store(journal, batch).await;
    }
    let before = [&old_waiting, &recent_ended].map(|origin| origin.request_id);
    let kept = all_found(journal, before).await;
    let total = retain(journal, now).await;
    assert!(total.callbacks > 0);
    let gone = journal.find(old_ended.request_id).await;
    assert_eq!(gone.expect("a result"), None);
    assert_eq!(all_found(journal, before).await, kept);
    let left = journal.count(&Filter::default(), now).await;
    assert_eq!(left.expect("a count"), 2);
    assert_eq!(retain(journal, now).await, RetentionProgress::default());
    // Once ended it is removed too, and a late record does no harm.
    store(
        journal,
        &[attempted(&old_waiting, 2, 2, at, RecordedState::Delivered)],
    )
    .await;
    retain(journal, now).await;
    let gone = journal.find(old_waiting.request_id).await;
    assert_eq!(gone.expect("a result"), None);
    store(journal, &[ended_at(&old_ended)]).await;
    find(journal, &old_ended).await;
    retain(journal, now).await;
}

async fn all_found(journal: &Journal, ids: [uuid::Uuid; 2]) -> Vec<crate::model::Callback> {
    let mut found = Vec::new();
    for id in ids {
        let callback = journal.find(id).await.expect("a result");
        found.push(callback.expect("a callback that was kept"));
    }
    found
}

async fn bodies_are_removed_before_their_callbacks(journal: &Journal) {
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
    assert!(matches!(taken.expect("a result"), ReplayOutcome::Replay(_)));
    assert_eq!(retain(journal, now).await.bodies, 1);
    let body = async |callback: &Origin| {
        let found = journal.dead_letter(callback.request_id).await;
        found.expect("a result")
    };
    assert_eq!(body(&old).await, None);
    assert_eq!(body(&late).await, Some(letter(&late)));
    assert_eq!(find(journal, &old).await.status, CallbackStatus::Dead);
    let taken = journal.take_replay(old.request_id, now).await;
    assert_eq!(taken.expect("a result"), ReplayOutcome::NotDead);
    let pending = journal.unfinished_replays(now, 9, now).await;
    assert_eq!(
        pending.expect("a result").len(),
        1,
        "a replay that was taken keeps its body"
    );
    // A repeated record does not restore an expired body.
    store(journal, &records[..1]).await;
    assert_eq!(body(&old).await, None);
}

async fn keys_are_removed_after_a_day(journal: &Journal) {
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
            claimed.expect("a result"),
            Claimed::Acquired(claim.request_id)
        );
    }
    assert_eq!(retain(journal, now).await.idempotency_keys, 1);
    assert_eq!(retain(journal, now).await.idempotency_keys, 0);
}
