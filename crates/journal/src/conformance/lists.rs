//! Does every filter find what it should, page by page?

use uuid::Uuid;

use crate::{Callback, Filter, Journal, State, Status};

use super::{
    QUEUED, Rig, SECOND, accepted, attempted, dead, find, now, open, origin, parked, record,
    retrying, store,
};

pub(super) async fn exercise(rig: &impl Rig) {
    let journal = open(rig, "lists").await;
    let now = now();
    let first = now - 100 * SECOND;
    nothing_is_an_empty_page(&journal, now).await;
    let all = fill(&journal, first).await;
    filters_find_what_they_say(&journal, &all, first, now).await;
    what_is_discarded_is_seen_only_on_demand(&journal, now).await;
    fates_are_told_of_known_callbacks(&journal, &all).await;
    journal.close().await;
}

async fn nothing_is_an_empty_page(journal: &Journal, now: u64) {
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
            1 => parked(at),
            2 => parked(at + 1_000 * SECOND),
            3 => retrying(at),
            4 => retrying(at + 1_000 * SECOND),
            5 => State::Delivered,
            6 => dead(if number % 2 == 0 {
                "exhausted"
            } else {
                "rejected"
            }),
            7 => State::Expired,
            _ => State::Cancelled,
        };
        let is_parked = matches!(state, State::Parked { .. });
        let then = if is_parked {
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

async fn filters_find_what_they_say(journal: &Journal, all: &[Callback], first: u64, now: u64) {
    let text = |text: &str| Some(text.to_owned());
    let any = Filter::default();
    let mut filters = vec![
        any.clone(),
        Filter {
            app_id: text("app1"),
            ..any.clone()
        },
        Filter {
            app_id: text("nobody"),
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
            status: Some(Status::Dead),
            reason: text("exhausted"),
            ..any.clone()
        },
        Filter {
            target: text("https://callee0.example:443"),
            status: Some(Status::Delivering),
            ..any.clone()
        },
        Filter {
            app_id: text("app' OR '1'='1"),
            ..any.clone()
        },
    ];
    filters.extend(Status::ALL.map(|status| Filter {
        status: Some(status),
        ..any.clone()
    }));
    for filter in filters {
        let expected: Vec<&Callback> = all.iter().filter(|it| matches(&filter, it, now)).collect();
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

/// The filter as its fields say it.
fn matches(filter: &Filter, callback: &Callback, now: u64) -> bool {
    let origin = &callback.origin;
    let is = |wanted: &Option<String>, there: Option<&String>| {
        wanted.is_none() || wanted.as_ref() == there
    };
    is(&filter.app_id, Some(&origin.app_id))
        && is(&filter.callee_no, origin.callee_no.as_ref())
        && is(&filter.target, Some(&origin.target))
        && is(&filter.message_type, Some(&origin.message_type))
        && is(&filter.reason, callback.reason.as_ref())
        && filter.since.is_none_or(|since| origin.accepted_at >= since)
        && filter.until.is_none_or(|until| origin.accepted_at < until)
        && filter
            .updated_before
            .is_none_or(|before| callback.updated_at < before)
        && filter
            .updated_before
            .is_none_or(|before| callback.updated_at < before)
        && (filter.discarded || !callback.discarded)
        && filter.status.is_none_or(|status| {
            callback.status == status
                || (status == Status::Delivering && callback.status_at(now) == status)
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

async fn what_is_discarded_is_seen_only_on_demand(journal: &Journal, now: u64) {
    let mut callback = origin(now);
    callback.app_id = "discarding".to_owned();
    store(journal, &[record(&callback, 1, now, dead("exhausted"))]).await;
    let discarded = journal.discard_one(callback.request_id, now).await;
    assert!(discarded.expect("an answer"));
    let fates = journal.fates(&[callback.request_id]).await;
    assert!(fates.expect("fates")[&callback.request_id].discarded);
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

async fn fates_are_told_of_known_callbacks(journal: &Journal, all: &[Callback]) {
    let mut ids: Vec<Uuid> = all.iter().map(|it| it.origin.request_id).collect();
    ids.push(Uuid::now_v7());
    let fates = journal.fates(&ids).await.expect("fates");
    assert_eq!(fates.len(), all.len());
    for callback in all {
        let fate = fates[&callback.origin.request_id];
        assert_eq!(fate.generation, callback.generation);
        assert_eq!(fate.status, callback.status);
        assert_eq!(fate.discarded, callback.discarded);
        assert_eq!(fate.cancelled, callback.status == Status::Cancelled);
    }
    assert!(journal.fates(&[]).await.expect("none").is_empty());
}
