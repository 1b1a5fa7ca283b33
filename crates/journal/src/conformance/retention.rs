//! Discards, the audit log, leases, and retention: what must be kept is kept, the rest is removed.

use std::time::Duration;

use contract::CallbackStatus;

use crate::journal::Journal;
use crate::model::{
    AuditEntry, CancelOutcome, Claim, Claimed, Filter, Origin, RecordedState, ReplayOutcome,
    Retention, RetentionProgress,
};

use super::fixture::{
    DAY, JournalFixture, SECOND, accepted, attempted, dead, find, id, letter, now, of_generation,
    open, origin, record, retrying, store,
};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "discard").await;
    a_dead_letter_is_discarded_once(&journal).await;
    a_filter_discards_only_dead_letters(&journal).await;
    the_audit_log_is_newest_first(&journal).await;
    journal.close().await;
    let journal = open(fixture, "audit").await;
    the_requests_of_an_operation_share_an_entry(&journal).await;
    audits_are_removed_after_their_time(&journal).await;
    a_lease_has_one_owner_at_a_time(&journal).await;
    journal.close().await;
    let journal = open(fixture, "retention").await;
    only_what_has_ended_is_removed_after_its_time(&journal).await;
    dead_letters_are_discarded_by_their_age(&journal).await;
    keys_are_removed_after_a_day(fixture, &journal, "retention").await;
    journal.close().await;
    let journal = open(fixture, "retention-kept").await;
    unfinished_callbacks_do_not_keep_others(&journal).await;
    journal.close().await;
    let journal = open(fixture, "retention-cancelled").await;
    a_cancelled_callback_is_known_as_long_as_its_message_may_wait(&journal).await;
    journal.close().await;
    let journal = open(fixture, "retention-letters").await;
    dead_letters_outlive_their_callbacks_retention(&journal).await;
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
    let newest_four = newest.entries.into_iter().map(|stored| stored.entry);
    let newest_four: Vec<_> = newest_four.collect();
    assert_eq!(newest_four, [entry(3), entry(2), entry(1), entry(1)]);
    let all = [3, 2, 1, 1, 0].map(entry);
    for limit in [1, 2, 3, 4, 5, 9] {
        assert_eq!(audit_log(journal, limit).await, all, "{limit}");
    }
    // A page stays as it is while entries are added before it.
    journal.append_audit(&entry(4)).await.expect("an entry");
    let rest = journal.audit_log(newest.next, 9).await.expect("a page");
    let [oldest] = rest.entries.as_slice() else {
        panic!("{rest:?}");
    };
    assert_eq!((&oldest.entry, oldest.updated_at), (&entry(0), now));
    assert_eq!(rest.next, None);
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
        found.extend(page.entries.into_iter().map(|stored| stored.entry));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

const RETENTION: Retention = Retention {
    callbacks: Duration::from_secs(30 * 24 * 3_600),
    dead_letters: Duration::from_secs(10 * 24 * 3_600),
    delivered: Duration::ZERO,
    audits: Duration::from_secs(365 * 24 * 3_600),
    rollups: Duration::from_secs(30 * 24 * 3_600),
};

/// Runs all steps.
async fn retain(journal: &Journal, now: u64) -> RetentionProgress {
    retain_by(journal, RETENTION, now).await
}

async fn retain_by(journal: &Journal, retention: Retention, now: u64) -> RetentionProgress {
    let mut total = RetentionProgress::default();
    for _ in 0..1_000 {
        let step = journal
            .apply_retention(retention, now)
            .await
            .expect("a step");
        total.callbacks += step.callbacks;
        total.dead_letters += step.dead_letters;
        total.audits += step.audits;
        total.idempotency_keys += step.idempotency_keys;
        if !step.more {
            total.unfinished = step.unfinished;
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
    let waiting = RetentionProgress {
        unfinished: 1,
        ..RetentionProgress::default()
    };
    assert_eq!(retain(journal, now).await, waiting);
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

async fn dead_letters_are_discarded_by_their_age(journal: &Journal) {
    let now = now();
    let [old, late, replayed, by_operator] = [(); 4].map(|()| origin(now - 20 * DAY));
    let records = [
        record(&old, 1, now - 11 * DAY, dead("exhausted")),
        record(&late, 1, now - 9 * DAY, dead("exhausted")),
        record(&replayed, 1, now - 19 * DAY, dead("exhausted")),
        record(&by_operator, 1, now - 11 * DAY, dead("exhausted")),
    ];
    store(journal, &records).await;
    let taken = journal
        .take_replay(
            replayed.request_id,
            crate::model::Replayable::Ended,
            now - 11 * DAY,
        )
        .await;
    assert!(matches!(taken.expect("a result"), ReplayOutcome::Replay(_)));
    let discarded = journal.discard_one(by_operator.request_id).await;
    assert!(discarded.expect("a result"));
    assert_eq!(retain(journal, now).await.dead_letters, 1);
    let body = async |callback: &Origin| {
        let found = journal.dead_letter(callback.request_id).await;
        found.expect("a result")
    };
    assert_eq!(body(&old).await, None);
    assert_eq!(body(&by_operator).await, None);
    assert_eq!(body(&late).await, Some(letter(&late)));
    for (callback, discarded, by_retention) in [
        (&old, true, true),
        (&by_operator, true, false),
        (&late, false, false),
    ] {
        let found = find(journal, callback).await;
        assert_eq!(found.status, CallbackStatus::Dead);
        let how = (found.discarded, found.discarded_by_retention);
        assert_eq!(how, (discarded, by_retention));
        let states = journal.control_states(&[callback.request_id]).await;
        let state = states.expect("control states")[&callback.request_id];
        assert_eq!(state.discarded, discarded, "its copy in the queue goes too");
    }
    // It is in the audit log, as an operator's discard would be: one entry a day.
    store(
        journal,
        &[record(
            &origin(now - 20 * DAY),
            1,
            now - 11 * DAY,
            dead("exhausted"),
        )],
    )
    .await;
    assert_eq!(retain(journal, now).await.dead_letters, 1);
    let page = journal.audit_log(None, 9).await.expect("a page");
    let [audit] = page.entries.as_slice() else {
        panic!("{page:?}");
    };
    let AuditEntry {
        actor,
        action,
        reason,
        count,
        ..
    } = &audit.entry;
    assert_eq!((&**actor, &**action), ("retention", "discard"));
    assert_eq!((&**reason, *count), ("retention", 2));
    let taken = journal
        .take_replay(old.request_id, crate::model::Replayable::Ended, now)
        .await;
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

async fn unfinished_callbacks_do_not_keep_others(journal: &Journal) {
    let now = now();
    let old = now - 100 * DAY;
    // The record of their end was lost.
    let lost: Vec<Origin> = (0..20).map(|_| origin(old)).collect();
    let mut records = Vec::new();
    for callback in &lost {
        records.push(attempted(callback, 1, 1, old, retrying(old + SECOND)));
    }
    // Once more than a step's worth is removed, and once less.
    for delivered in [2_500, 3] {
        let ended = (0..delivered).map(|_| {
            let callback = origin(old);
            attempted(&callback, 1, 1, old, RecordedState::Delivered)
        });
        records.extend(ended);
        for batch in records.chunks(500) {
            store(journal, batch).await;
        }
        records.clear();
        let before = find(journal, &lost[7]).await;
        let total = retain(journal, now).await;
        assert_eq!((total.callbacks, total.unfinished), (delivered, 20));
        assert_eq!(
            find(journal, &lost[7]).await,
            before,
            "nobody claims its end"
        );
        let left = journal.count(&Filter::default(), now).await;
        assert_eq!(left.expect("a count"), 20);
    }
    // A late record finds its callback; then it goes too.
    for callback in &lost {
        let delivered = attempted(callback, 2, 2, old + SECOND, RecordedState::Delivered);
        store(journal, &[delivered]).await;
    }
    let total = retain(journal, now).await;
    assert_eq!((total.callbacks, total.unfinished), (20, 0));
    let left = journal.count(&Filter::default(), now).await;
    assert_eq!(left.expect("a count"), 0);
}

async fn a_cancelled_callback_is_known_as_long_as_its_message_may_wait(journal: &Journal) {
    let now = now();
    let callback = origin(now - 400 * DAY);
    let at = callback.accepted_at;
    store(
        journal,
        &[attempted(&callback, 1, 1, at, dead("exhausted"))],
    )
    .await;
    // Replayed, and cancelled while its message waits.
    let waits = of_generation(1, attempted(&callback, 1, 2, now, retrying(now + DAY)));
    store(journal, &[waits]).await;
    let cancelled = journal.cancel(callback.request_id, None, now, Duration::ZERO);
    assert_eq!(cancelled.await.expect("a result"), CancelOutcome::Cancelled);
    for (days, known) in [(0, true), (12, true), (14, false)] {
        retain(journal, now + days * DAY).await;
        let states = journal.control_states(&[callback.request_id]).await;
        let state = states.expect("control states").remove(&callback.request_id);
        assert_eq!(state.is_some_and(|state| state.cancelled), known, "{days}");
    }
}

async fn dead_letters_outlive_their_callbacks_retention(journal: &Journal) {
    let now = now();
    let retention = Retention {
        callbacks: Duration::from_secs(24 * 3_600),
        dead_letters: Duration::from_secs(90 * 24 * 3_600),
        ..RETENTION
    };
    let accepted_at = now - 40 * DAY;
    let (letter, discarded) = (origin(accepted_at), origin(accepted_at));
    let mut records = vec![
        record(&letter, 1, accepted_at, dead("exhausted")),
        record(&discarded, 1, accepted_at, dead("exhausted")),
    ];
    records.extend((0..5).map(|_| {
        let callback = origin(accepted_at);
        attempted(&callback, 1, 1, accepted_at, RecordedState::Delivered)
    }));
    store(journal, &records).await;
    let done = journal.discard_one(discarded.request_id).await;
    assert!(done.expect("a result"));
    let total = retain_by(journal, retention, now).await;
    assert_eq!((total.callbacks, total.dead_letters), (6, 0));
    let taken = journal
        .take_replay(letter.request_id, crate::model::Replayable::Ended, now)
        .await;
    assert!(matches!(taken.expect("a result"), ReplayOutcome::Replay(_)));
    let dead_again = of_generation(1, record(&letter, 1, now - 2 * DAY, dead("exhausted")));
    store(journal, &[dead_again]).await;
    // Its age is that of its last death.
    let total = retain_by(journal, retention, now + 80 * DAY).await;
    assert_eq!((total.callbacks, total.dead_letters), (0, 0));
    let total = retain_by(journal, retention, now + 89 * DAY).await;
    assert_eq!((total.callbacks, total.dead_letters), (0, 1));
    assert!(find(journal, &letter).await.discarded_by_retention);
    // The row outlives it, so that its copy in the queue is recognised.
    let total = retain_by(journal, retention, now + 90 * DAY).await;
    assert_eq!(total.callbacks, 0);
    let total = retain_by(journal, retention, now + 92 * DAY).await;
    assert_eq!((total.callbacks, total.dead_letters), (1, 0));
    let gone = journal.find(letter.request_id).await;
    assert_eq!(gone.expect("a result"), None);
}

async fn the_requests_of_an_operation_share_an_entry(journal: &Journal) {
    let now = now();
    let entry = |at: u64, subject: &str, count: u64| AuditEntry {
        occurred_at: now + at,
        actor: "ann".to_owned(),
        action: "replay".to_owned(),
        subject: subject.to_owned(),
        reason: "repaired".to_owned(),
        count,
    };
    let append = async |entry: AuditEntry, operation: uuid::Uuid| {
        let operation = operation.to_string();
        let appended = journal.append_audit_part(&entry, &operation).await;
        appended.expect("an entry");
    };
    let (one, other) = (id(now), id(now));
    append(entry(1, "app_id crm", 100), one).await;
    append(entry(2, "app_id crm", 100), other).await;
    append(entry(5, "app_id crm", 50), one).await;
    append(entry(4, "app_id crm", 7), one).await;
    let page = journal.audit_log(None, 9).await.expect("a page");
    let found: Vec<_> = page
        .entries
        .iter()
        .map(|stored| (stored.entry.clone(), stored.updated_at - now))
        .collect();
    let expected = [
        (entry(2, "app_id crm", 100), 2),
        (entry(1, "app_id crm", 157), 5),
    ];
    assert_eq!(found, expected);
    // Another person, action or reason is another entry; another subject is added.
    let other_reason = AuditEntry {
        reason: "by mistake".to_owned(),
        ..entry(6, "app_id crm", 1)
    };
    append(other_reason, one).await;
    append(entry(7, "2 ids", 2), other).await;
    for _ in 0..100 {
        append(entry(8, &"乐".repeat(100), 0), other).await;
    }
    let page = journal.audit_log(None, 9).await.expect("a page");
    assert_eq!(page.entries.len(), 3);
    let subject = &page.entries[1].entry.subject;
    assert!(subject.starts_with("app_id crm; 2 ids; 乐乐"), "{subject}");
    assert_eq!(subject.chars().count(), crate::model::MAX_AUDIT_SUBJECT);
}

async fn audits_are_removed_after_their_time(journal: &Journal) {
    let now = now();
    let before = audit_log(journal, 100).await;
    let entry = |days: u64| AuditEntry {
        occurred_at: now - days * DAY,
        actor: "ann".to_owned(),
        action: "pause".to_owned(),
        subject: "callee T001".to_owned(),
        reason: "maintenance".to_owned(),
        count: 1,
    };
    // More than one step's worth.
    let many: Vec<_> = (0..1_100).map(|_| entry(366)).collect();
    for part in many.chunks(8) {
        let mut writers = tokio::task::JoinSet::new();
        for entry in part {
            let (journal, entry) = (journal.clone(), entry.clone());
            writers.spawn(async move { journal.append_audit(&entry).await });
        }
        for appended in writers.join_all().await {
            appended.expect("an entry");
        }
    }
    let young = entry(364);
    journal.append_audit(&young).await.expect("an entry");
    assert_eq!(retain(journal, now).await.audits, 1_100);
    let left = audit_log(journal, 100).await;
    assert_eq!(left, [before, vec![young]].concat());
}

async fn a_lease_has_one_owner_at_a_time(journal: &Journal) {
    let now = now();
    let (one, other) = (id(now), id(now));
    let take = async |owner, at: u64, until: u64| {
        let taken = journal.take_lease("work", owner, now + at, now + until);
        taken.await.expect("a result")
    };
    assert!(take(one, 0, 60).await);
    assert!(!take(other, 59, 200).await);
    assert!(take(one, 59, 100).await, "its owner extends it");
    assert!(!take(other, 99, 200).await);
    assert!(take(other, 100, 200).await);
    assert!(!take(one, 101, 300).await);
    assert!(
        take(other, 150, 90_000_000).await,
        "under a clock a day ahead"
    );
    assert!(take(one, 151, 300).await, "it is not waited for");
    let elsewhere = journal.take_lease("other work", one, now, now + 1).await;
    assert!(elsewhere.expect("a result"));
}

async fn keys_are_removed_after_a_day(
    fixture: &impl JournalFixture,
    journal: &Journal,
    name: &str,
) {
    let now = now();
    let claim = |key: &str, at: u64| Claim {
        app_id: "crm".to_owned(),
        key: key.to_owned(),
        request_id: id(at),
        body_hash: [1; 32],
        now: at,
        lease: Duration::from_secs(1),
    };
    for (key, age) in [("old", DAY + 1), ("young", DAY - 60 * SECOND)] {
        let claim = claim(key, now);
        let claimed = journal.claim(&claim).await;
        assert_eq!(
            claimed.expect("a result"),
            Claimed::Acquired(claim.request_id)
        );
        fixture.age_key(name, key, age).await;
    }
    // A process whose clock is wrong by a day removes none early.
    for wrong in [now - DAY, now + DAY] {
        let removed = retain(journal, wrong).await.idempotency_keys;
        assert_eq!(removed, u64::from(wrong > now), "{wrong}");
    }
    assert_eq!(retain(journal, now).await.idempotency_keys, 0);
}
