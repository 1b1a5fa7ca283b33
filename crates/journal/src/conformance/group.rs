//! Callbacks are grouped by what they have in common, and a filter by it finds the same ones.

use contract::CallbackStatus;

use crate::journal::Journal;
use crate::model::{
    CallbackGroup, CallbackGroups, Filter, GroupBy, GroupKey, GroupLook, MAX_GROUPS, Origin,
    Record, RecordedState, WaitKind,
};

use super::fixture::{
    HOUR, JournalFixture, SECOND, accepted, attempted, dead, deferred, now, open, origin, record,
    retrying, store,
};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "group").await;
    let now = now();
    assert_eq!(
        groups(&journal, &dead_letters(), GroupBy::Target, now).await,
        CallbackGroups::default()
    );
    dead_letters_are_grouped(&journal, now).await;
    what_waits_is_grouped(&journal, now).await;
    the_largest_groups_alone_are_returned(&journal, now).await;
    journal.close().await;
    let journal = open(fixture, "group-look").await;
    a_count_is_bounded_and_says_where_it_ended(&journal, now).await;
    journal.close().await;
}

/// More than a first look at last attempts, and less than a further one.
async fn a_count_is_bounded_and_says_where_it_ended(journal: &Journal, now: u64) {
    const DEAD: u64 = 1_100;
    let first = now - 10 * SECOND;
    let records: Vec<Record> = (0..DEAD)
        .map(|number| attempted(&origin(first + number), 1, 1, now, dead("exhausted")))
        .collect();
    for some in records.chunks(500) {
        store(journal, some).await;
    }
    let by = GroupBy::LastAttempt;
    let found = groups(journal, &dead_letters(), by, now).await;
    let expected = (1_000, Some(first + DEAD - 1_000));
    assert_eq!((found.examined, found.looked_to), expected);
    let filter = dead_letters();
    let further = journal.groups(&filter, by, GroupLook::Further, now);
    let found = further.await.expect("groups");
    assert_eq!((found.examined, found.looked_to), (DEAD, None));
    // What does not match is looked at too.
    let of_nobody = Filter {
        message_type: Some("nothing".to_owned()),
        ..dead_letters()
    };
    let found = groups(journal, &of_nobody, by, now).await;
    assert_eq!(found.groups, []);
    // Of each status as many: together they are more, and all are counted.
    let expired: Vec<Record> = (0..600)
        .map(|number| {
            let origin = origin(first + DEAD + number);
            record(&origin, 1, now, RecordedState::Expired)
        })
        .collect();
    for some in expired.chunks(500) {
        store(journal, some).await;
    }
    let newer = Filter {
        target: Some("https://callee.example:443".to_owned()),
        since: Some(first + DEAD - 600),
        ..dead_letters()
    };
    let found = groups(journal, &newer, by, now).await;
    assert_eq!((found.examined, found.looked_to), (1_200, None));
}

async fn groups(journal: &Journal, filter: &Filter, by: GroupBy, now: u64) -> CallbackGroups {
    let found = journal.groups(filter, by, GroupLook::First, now).await;
    found.expect("groups")
}

fn dead_letters() -> Filter {
    Filter {
        statuses: vec![CallbackStatus::Dead, CallbackStatus::Expired],
        ..Filter::default()
    }
}

fn waiting() -> Filter {
    Filter {
        statuses: vec![CallbackStatus::Queued, CallbackStatus::Retrying],
        ..Filter::default()
    }
}

/// Every group, with its count, is what the filter by its key finds.
async fn counted(journal: &Journal, filter: &Filter, found: &CallbackGroup, now: u64) -> u64 {
    let mut one = filter.clone();
    match &found.key {
        GroupKey::Target(target) => one.target = Some(target.clone()),
        GroupKey::End { status, reason } => {
            (one.status, one.reason) = (Some(*status), reason.clone());
        }
        GroupKey::LastAttempt {
            outcome,
            http_status,
            ..
        } => (one.outcome, one.http_status) = (outcome.clone(), *http_status),
        GroupKey::Hour(at) => {
            (one.dead_since, one.dead_until) = (Some(*at), Some(*at + HOUR));
        }
        GroupKey::Wait { reason, .. } => one.deferred_reason = reason.clone(),
    }
    journal.count(&one, now).await.expect("a count")
}

/// A dead letter that ended at `at` with this attempt.
fn died(
    callback: &Origin,
    at: u64,
    reason: &str,
    (outcome, http_status, cause): (&str, Option<u16>, Option<&str>),
) -> Record {
    let mut record = attempted(callback, 1, 1, at, dead(reason));
    if let Some(attempt) = &mut record.attempted {
        attempt.outcome = outcome.to_owned();
        attempt.http_status = http_status;
        attempt.cause = cause.map(str::to_owned);
    }
    record
}

async fn dead_letters_are_grouped(journal: &Journal, now: u64) {
    let begun = now - 10 * HOUR;
    let hour = begun - begun % HOUR + HOUR;
    let other = |at| Origin {
        target: "https://other.example:443".to_owned(),
        ..origin(at)
    };
    let answered = ("answered_5xx", Some(503), None);
    let expired = origin(begun + 4 * SECOND);
    store(
        journal,
        &[
            died(&origin(begun), hour, "exhausted", answered),
            died(
                &origin(begun + SECOND),
                hour + SECOND,
                "exhausted",
                answered,
            ),
            died(
                &other(begun + 2 * SECOND),
                hour + HOUR,
                "exhausted",
                ("tls", None, Some("the certificate has expired")),
            ),
            died(
                &other(begun + 3 * SECOND),
                hour + HOUR,
                "rejected",
                ("tls", None, Some("unknown issuer")),
            ),
            record(&expired, 1, hour + 2 * SECOND, RecordedState::Expired),
        ],
    )
    .await;
    let all = dead_letters();
    let end = |status, reason: Option<&str>| GroupKey::End {
        status,
        reason: reason.map(str::to_owned),
    };
    let attempt =
        |outcome: Option<&str>, http_status, cause: Option<&str>, causes| GroupKey::LastAttempt {
            outcome: outcome.map(str::to_owned),
            http_status,
            cause: cause.map(str::to_owned),
            causes,
        };
    for (by, expected) in [
        (
            GroupBy::Target,
            vec![
                (GroupKey::Target("https://callee.example:443".to_owned()), 3),
                (GroupKey::Target("https://other.example:443".to_owned()), 2),
            ],
        ),
        (
            GroupBy::End,
            vec![
                (end(CallbackStatus::Dead, Some("exhausted")), 3),
                (end(CallbackStatus::Dead, Some("rejected")), 1),
                (end(CallbackStatus::Expired, None), 1),
            ],
        ),
        (
            GroupBy::Hour,
            vec![(GroupKey::Hour(hour), 3), (GroupKey::Hour(hour + HOUR), 2)],
        ),
    ] {
        let found = groups(journal, &all, by, now).await;
        assert_eq!((found.examined, found.looked_to), (5, None), "{by:?}");
        let keys: Vec<_> = found
            .groups
            .iter()
            .map(|group| (group.key.clone(), group.count))
            .collect();
        assert_eq!(keys, expected, "{by:?}");
        for group in &found.groups {
            assert_eq!(counted(journal, &all, group, now).await, group.count);
        }
    }
    let found = groups(journal, &all, GroupBy::LastAttempt, now).await;
    let mut keys: Vec<_> = found.groups.iter().map(|it| (it.count, &it.key)).collect();
    keys.sort_by_key(|(count, key)| (std::cmp::Reverse(*count), format!("{key:?}")));
    assert_eq!(
        keys,
        [
            (2, &attempt(Some("answered_5xx"), Some(503), None, 0)),
            (2, &attempt(Some("tls"), None, Some("unknown issuer"), 2)),
            (1, &attempt(None, None, None, 0)),
        ]
    );
    for group in found.groups.iter().take(2) {
        assert_eq!(counted(journal, &all, group, now).await, group.count);
    }
    let largest = groups(journal, &all, GroupBy::Target, now).await.groups;
    let largest = largest.first().expect("a group");
    assert_eq!(
        (
            largest.oldest_accepted_at,
            largest.first_updated_at,
            largest.last_updated_at
        ),
        (begun, hour, hour + 2 * SECOND)
    );
    // The filter is that of the list.
    let of_other = Filter {
        target: Some("https://other.example:443".to_owned()),
        ..dead_letters()
    };
    let found = groups(journal, &of_other, GroupBy::Hour, now).await;
    assert_eq!((found.groups.len(), found.examined), (1, 2));
}

async fn what_waits_is_grouped(journal: &Journal, now: u64) {
    let later = now + HOUR;
    let delayed = origin(now - 4 * SECOND);
    let not_before = RecordedState::Queued {
        not_before: Some(later),
    };
    let failed = origin(now - 3 * SECOND);
    let busy = origin(now - 2 * SECOND);
    store(
        journal,
        &[
            record(&delayed, 1, now - 4 * SECOND, not_before),
            attempted(&failed, 1, 1, now - 3 * SECOND, retrying(later)),
            record(&busy, 1, now - 2 * SECOND, deferred(later)),
            accepted(&origin(now - SECOND)),
            accepted(&origin(now)),
        ],
    )
    .await;
    let found = groups(journal, &waiting(), GroupBy::Wait, now).await;
    let wait = |kind, reason: Option<&str>| GroupKey::Wait {
        kind,
        reason: reason.map(str::to_owned),
    };
    let mut keys: Vec<_> = found
        .groups
        .iter()
        .map(|it| (it.key.clone(), it.count, it.oldest_accepted_at))
        .collect();
    keys.sort_by_key(|(_, _, oldest)| *oldest);
    assert_eq!(
        keys,
        [
            (wait(WaitKind::Delayed, None), 1, now - 4 * SECOND),
            (wait(WaitKind::Retrying, None), 1, now - 3 * SECOND),
            (
                wait(WaitKind::Deferred, Some("target busy")),
                1,
                now - 2 * SECOND
            ),
            (wait(WaitKind::Due, None), 2, now - SECOND),
        ]
    );
    // What was waited for has come.
    let found = groups(journal, &waiting(), GroupBy::Wait, later + HOUR).await;
    let keys: Vec<_> = found.groups.iter().map(|it| (&it.key, it.count)).collect();
    assert_eq!(keys, [(&wait(WaitKind::Due, None), 5)]);
}

/// After the dead letters of two targets.
async fn the_largest_groups_alone_are_returned(journal: &Journal, now: u64) {
    let records: Vec<Record> = (0..u64::from(MAX_GROUPS))
        .map(|number| {
            let one = Origin {
                target: format!("https://h{number}.example:443"),
                ..origin(now - number)
            };
            record(&one, 1, now, dead("exhausted"))
        })
        .collect();
    store(journal, &records).await;
    let found = groups(journal, &dead_letters(), GroupBy::Target, now).await;
    assert_eq!(found.groups.len(), MAX_GROUPS as usize);
    assert_eq!(found.examined, u64::from(MAX_GROUPS) + 5);
    let counts: Vec<u64> = found.groups.iter().map(|it| it.count).take(3).collect();
    assert_eq!(counts, [3, 2, 1]);
}
