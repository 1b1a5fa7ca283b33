//! Every filter finds what it should, page by page.

use std::collections::HashMap;

use contract::CallbackStatus;
use uuid::Uuid;

use crate::journal::Journal;
use crate::model::{Callback, Filter, Origin, RecordedState};

use super::fixture::{
    HOUR, JournalFixture, QUEUED, SECOND, accepted, attempted, dead, deferred, find, now,
    of_generation, open, origin, record, retrying, store,
};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "read").await;
    let now = now();
    let first = now - 100 * SECOND;
    an_empty_journal_is_an_empty_page(&journal, now).await;
    let all = fill(&journal, first).await;
    filters_find_what_matches(&journal, &all, first, now).await;
    discarded_callbacks_are_included_only_on_demand(&journal, now).await;
    control_states_are_returned_for_known_callbacks(&journal, &all).await;
    the_last_cause_is_that_of_the_last_attempt(&journal, now).await;
    the_ids_of_a_range_are_read_in_order_and_by_number(&journal, &all).await;
    journal.close().await;
    let journal = open(fixture, "look").await;
    a_look_is_bounded_and_says_where_it_ended(&journal, now).await;
    journal.close().await;
}

async fn the_last_cause_is_that_of_the_last_attempt(journal: &Journal, now: u64) {
    let attempt = |callback: &Origin, number, cause: Option<&str>| {
        let mut record = attempted(callback, number, 1, now, retrying(now));
        let attempt = record.attempted.as_mut().expect("an attempt");
        attempt.cause = cause.map(str::to_owned);
        record
    };
    let (failed, answered, waits) = (origin(now), origin(now), origin(now));
    let records = [
        attempt(&failed, 1, Some("first")),
        of_generation(1, attempt(&failed, 1, Some("last"))),
        attempt(&failed, 2, Some("before the replay")),
        attempt(&answered, 1, Some("first")),
        attempt(&answered, 2, None),
        accepted(&waits),
    ];
    store(journal, &records).await;
    let ids = [&failed, &answered, &waits].map(|callback| callback.request_id);
    let found = journal.last_causes(&ids).await.expect("a result");
    let expected = HashMap::from([(failed.request_id, "last".to_owned())]);
    assert_eq!(found, expected);
    let none = journal.last_causes(&[]).await.expect("a result");
    assert_eq!(none, HashMap::new());
}

/// One that answered 404 is older than so many that answered 503, of two targets and in two states.
async fn a_look_is_bounded_and_says_where_it_ended(journal: &Journal, now: u64) {
    const NEWER: u64 = 4_100;
    let first = now - 10 * SECOND;
    let mut records = Vec::new();
    for number in 0..=NEWER {
        let mut callback = origin(first + number);
        callback.app_id = "look".to_owned();
        if number % 2 == 0 {
            callback.target = "https://even.example:443".to_owned();
        }
        let state = match number % 4 {
            0 => dead("exhausted"),
            _ => retrying(now + HOUR),
        };
        let mut record = attempted(&callback, 1, 1, first + number, state);
        let attempt = record.attempted.as_mut().expect("an attempt");
        attempt.http_status = Some(if number == 0 { 404 } else { 503 });
        records.push(record);
    }
    for some in records.chunks(500) {
        store(journal, some).await;
    }
    let of = |app_id: Option<&str>, target: Option<&str>, statuses: Vec<CallbackStatus>| Filter {
        app_id: app_id.map(str::to_owned),
        target: target.map(str::to_owned),
        statuses,
        http_status: Some(404),
        ..Filter::default()
    };
    let both = vec![CallbackStatus::Dead, CallbackStatus::Retrying];
    let even = Some("https://even.example:443");
    // Beyond the first look of 2,000 entries, for each status that an index separates.
    for filter in [
        of(None, None, Vec::new()),
        of(Some("look"), None, Vec::new()),
        of(Some("look"), None, both.clone()),
    ] {
        let page = journal.list(&filter, None, 9, now).await.expect("a page");
        assert_eq!(page.callbacks, [], "{filter:?}");
        let end = page.looked_back_to.expect("where the look ended");
        assert!((first..first + NEWER - 1_900).contains(&end), "{filter:?}");
        assert!(page.next.is_some(), "{filter:?}");
        let next = journal
            .list(&filter, page.next, 9, now)
            .await
            .expect("a page");
        let found = next.callbacks.iter().map(|it| it.origin.accepted_at);
        assert_eq!(found.collect::<Vec<_>>(), [first], "{filter:?}");
        assert_eq!((next.next, next.looked_back_to), (None, None), "{filter:?}");
    }
    // An index has fewer than 2,000 such entries.
    for filter in [
        of(None, None, vec![CallbackStatus::Dead]),
        of(Some("look"), even, both.clone()),
        of(Some("nobody"), None, Vec::new()),
        of(None, Some("https://nowhere.example:443"), both),
    ] {
        let page = journal.list(&filter, None, 9, now).await.expect("a page");
        let expected = usize::from(filter.app_id.as_deref() != Some("nobody")).min(usize::from(
            filter.target.as_deref() != Some("https://nowhere.example:443"),
        ));
        assert_eq!(page.callbacks.len(), expected, "{filter:?}");
        assert_eq!((page.next, page.looked_back_to), (None, None), "{filter:?}");
    }
    // A page that fills up says nothing of the look.
    let answered = Filter {
        http_status: Some(503),
        ..Filter::default()
    };
    let page = journal.list(&answered, None, 9, now).await.expect("a page");
    assert_eq!((page.callbacks.len(), page.looked_back_to), (9, None));
    // Page by page nothing is missing.
    let all = by_looks(journal, &answered, now).await;
    assert_eq!(u64::try_from(all).expect("a number"), NEWER);
}

/// How many the pages have, where a page may be empty.
async fn by_looks(journal: &Journal, filter: &Filter, now: u64) -> usize {
    let (mut found, mut after) = (0, None);
    loop {
        let page = journal.list(filter, after, 1_000, now).await;
        let page = page.expect("a page");
        found += page.callbacks.len();
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

async fn the_ids_of_a_range_are_read_in_order_and_by_number(journal: &Journal, all: &[Callback]) {
    let newest_first = all.iter().map(|callback| callback.origin.request_id);
    let ids: Vec<Uuid> = newest_first.rev().collect();
    let between = |first: Uuid, last: Uuid, limit: u32| async move {
        let found = journal.ids_between(first, last, limit).await;
        found.expect("ids")
    };
    assert_eq!(between(ids[3], ids[9], 100).await, ids[3..=9], "both ends");
    assert_eq!(between(ids[3], ids[9], 2).await, ids[3..=4]);
    assert_eq!(between(ids[5], ids[5], 2).await, [ids[5]]);
    assert!(between(ids[9], ids[3], 2).await.is_empty());
    let none = between(Uuid::nil(), Uuid::from_u128(1), 2).await;
    assert!(none.is_empty());
}

async fn an_empty_journal_is_an_empty_page(journal: &Journal, now: u64) {
    let page = journal.list(&Filter::default(), None, 10, now).await;
    let page = page.expect("a page");
    assert!(page.callbacks.is_empty());
    assert_eq!(page.next, None);
}

/// Forty callbacks, one a second, of every kind. Newest first.
async fn fill(journal: &Journal, first: u64) -> Vec<Callback> {
    let mut all = Vec::new();
    for number in 0..40_u32 {
        let mut origin = origin(first + u64::from(number) * SECOND);
        let pick = |count: u32, of: u32| (number / of) % count;
        origin.app_id = format!("app{}", pick(3, 1));
        origin.callee_no = (pick(4, 1) > 0).then(|| format!("T{}", pick(4, 1)));
        origin.target = format!("https://callee{}.example:443", pick(2, 3));
        origin.message_type = format!("type{}", pick(5, 1));
        let at = origin.accepted_at;
        let state = match number % 9 {
            0 => QUEUED,
            1 => deferred(at),
            2 => deferred(at + 1_000 * SECOND),
            3 => retrying(at),
            4 => retrying(at + 1_000 * SECOND),
            5 => RecordedState::Delivered,
            6 => dead(if number % 2 == 0 {
                "exhausted"
            } else {
                "rejected"
            }),
            7 => RecordedState::Expired,
            _ => RecordedState::Cancelled,
        };
        let is_deferred = matches!(state, RecordedState::Deferred { .. });
        let then = if is_deferred {
            record(&origin, 1, at, state)
        } else {
            attempted(&origin, 1, 1, at, state)
        };
        store(journal, &[accepted(&origin), then]).await;
        let mut callback = find(journal, &origin).await;
        callback.attempts.clear();
        all.push(callback);
    }
    all.reverse();
    all
}

async fn filters_find_what_matches(journal: &Journal, all: &[Callback], first: u64, now: u64) {
    let text = |text: &str| Some(text.to_owned());
    let any = Filter::default();
    let mut filters = vec![
        any.clone(),
        Filter {
            app_id: text("app1"),
            ..any.clone()
        },
        Filter {
            app_id: text("unknown"),
            ..any.clone()
        },
        Filter {
            callee_no: text("T2"),
            ..any.clone()
        },
        Filter {
            target: text("https://callee1.example:443"),
            ..any.clone()
        },
        Filter {
            message_type: text("type3"),
            ..any.clone()
        },
        Filter {
            reason: text("exhausted"),
            ..any.clone()
        },
        Filter {
            since: Some(first + 7 * SECOND),
            ..any.clone()
        },
        Filter {
            until: Some(first + 7 * SECOND),
            ..any.clone()
        },
        Filter {
            updated_before: Some(first + 20 * SECOND),
            ..any.clone()
        },
        Filter {
            updated_before: Some(first + 7 * SECOND),
            ..any.clone()
        },
        Filter {
            since: Some(u64::MAX),
            ..any.clone()
        },
        Filter {
            until: Some(u64::MAX),
            ..any.clone()
        },
        Filter {
            since: Some(first + 3 * SECOND + 1),
            until: Some(first + 30 * SECOND + 1),
            app_id: text("app2"),
            ..any.clone()
        },
        Filter {
            callee_no: text("T2"),
            status: Some(CallbackStatus::Dead),
            reason: text("exhausted"),
            ..any.clone()
        },
        Filter {
            target: text("https://callee0.example:443"),
            status: Some(CallbackStatus::Delivering),
            ..any.clone()
        },
        Filter {
            app_id: text("app' OR '1'='1"),
            ..any.clone()
        },
    ];
    filters.extend(CallbackStatus::ALL.map(|status| Filter {
        status: Some(status),
        ..any.clone()
    }));
    for filter in filters {
        let expected: Vec<&Callback> = all
            .iter()
            .filter(|callback| matches(&filter, callback, now))
            .collect();
        let count = journal.count(&filter, now).await.expect("a count");
        assert_eq!(
            usize::try_from(count).ok(),
            Some(expected.len()),
            "{filter:?}"
        );
        for limit in [1, 3, 40, 1_000] {
            let found = by_pages(journal, &filter, limit, now).await;
            assert_eq!(
                found.iter().collect::<Vec<_>>(),
                expected,
                "{limit}: {filter:?}"
            );
        }
    }
}

/// The filter, field by field.
fn matches(filter: &Filter, callback: &Callback, now: u64) -> bool {
    let origin = &callback.origin;
    let equals = |wanted: &Option<String>, found: Option<&String>| {
        wanted.is_none() || wanted.as_ref() == found
    };
    equals(&filter.app_id, Some(&origin.app_id))
        && equals(&filter.callee_no, origin.callee_no.as_ref())
        && equals(&filter.target, Some(&origin.target))
        && equals(&filter.message_type, Some(&origin.message_type))
        && equals(&filter.reason, callback.reason.as_ref())
        && filter.since.is_none_or(|since| origin.accepted_at >= since)
        && filter.until.is_none_or(|until| origin.accepted_at < until)
        && filter
            .updated_before
            .is_none_or(|before| callback.updated_at < before)
        && (filter.discarded || !callback.discarded)
        && filter.status.is_none_or(|status| {
            callback.status == status
                || (status == CallbackStatus::Delivering && callback.due_since(now).is_some())
        })
}

async fn by_pages(journal: &Journal, filter: &Filter, limit: u32, now: u64) -> Vec<Callback> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = journal.list(filter, after, limit, now).await;
        let page = page.expect("a page");
        assert!(page.callbacks.len() <= usize::try_from(limit).expect("a limit"));
        assert!(
            after.is_none() || !page.callbacks.is_empty(),
            "an empty page"
        );
        found.extend(page.callbacks);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

async fn discarded_callbacks_are_included_only_on_demand(journal: &Journal, now: u64) {
    let mut callback = origin(now);
    callback.app_id = "discarding".to_owned();
    store(journal, &[record(&callback, 1, now, dead("exhausted"))]).await;
    let discarded = journal.discard_one(callback.request_id).await;
    assert!(discarded.expect("a result"));
    let states = journal.control_states(&[callback.request_id]).await;
    assert!(states.expect("control states")[&callback.request_id].discarded);
    let mut filter = Filter {
        app_id: Some("discarding".to_owned()),
        ..Filter::default()
    };
    assert!(by_pages(journal, &filter, 10, now).await.is_empty());
    assert_eq!(journal.count(&filter, now).await.expect("a count"), 0);
    filter.discarded = true;
    assert_eq!(by_pages(journal, &filter, 10, now).await.len(), 1);
    assert_eq!(journal.count(&filter, now).await.expect("a count"), 1);
}

async fn control_states_are_returned_for_known_callbacks(journal: &Journal, all: &[Callback]) {
    let mut ids: Vec<Uuid> = all
        .iter()
        .map(|callback| callback.origin.request_id)
        .collect();
    ids.push(Uuid::now_v7());
    let states = journal.control_states(&ids).await.expect("control states");
    assert_eq!(states.len(), all.len());
    for callback in all {
        let state = states[&callback.origin.request_id];
        assert_eq!(state.generation, callback.generation);
        assert_eq!(state.status, callback.status);
        assert_eq!(state.discarded, callback.discarded);
        assert_eq!(
            state.cancelled,
            callback.status == CallbackStatus::Cancelled
        );
    }
    assert!(journal.control_states(&[]).await.expect("none").is_empty());
}
