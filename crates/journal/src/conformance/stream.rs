//! The journal knows what it lacks of each recorder.

use uuid::Uuid;

use std::time::Duration;

use super::fixture::{DAY, JournalFixture, SECOND, accepted, find, id, now, open, origin};
use crate::journal::Journal;
use crate::model::{AbsenceEvidence, BatchPart, BatchSpan, Claim, RecorderInfo};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "stream").await;
    a_recorder_is_known_before_its_first_record(&journal).await;
    batches_prove_in_any_order_and_only_without_a_gap(&journal).await;
    a_batch_with_a_refused_record_proves_nothing_and_others_do(&journal).await;
    batches_of_several_writers_add_up(&journal).await;
    a_claimed_id_is_never_absent(&journal).await;
    ended_recorders_are_forgotten(&journal).await;
    journal.close().await;
    one_that_is_alone_ends_the_others(fixture).await;
}

fn recorder(started_at: u64) -> RecorderInfo {
    RecorderInfo {
        id: Uuid::new_v4(),
        accepts: true,
        started_at,
    }
}

fn span(recorder: RecorderInfo, first: u64, last: u64, since: u64, until: u64) -> BatchSpan {
    BatchSpan {
        recorder,
        first,
        last,
        since: recorder.started_at + since,
        until: recorder.started_at + until,
        closes: false,
    }
}

fn part(records: usize, span: BatchSpan) -> BatchPart {
    BatchPart {
        records,
        span: Some(span),
    }
}

async fn evidence(journal: &Journal, at: u64) -> AbsenceEvidence {
    journal.absence_evidence(id(at)).await.expect("evidence")
}

/// Whether an id of this time is proven unknown.
async fn absent(journal: &Journal, at: u64) -> bool {
    evidence(journal, at).await.is_proof(id(at), now() + DAY)
}

async fn store(journal: &Journal, spans: &[BatchSpan]) {
    let parts: Vec<BatchPart> = spans.iter().map(|span| part(0, *span)).collect();
    let stored = journal.record_batches(&[], &parts).await;
    stored.expect("stored spans");
}

async fn a_recorder_is_known_before_its_first_record(journal: &Journal) {
    let start = now() - 900 * SECOND;
    assert!(absent(journal, start).await);
    let (accepting, other) = (
        recorder(start),
        RecorderInfo {
            accepts: false,
            ..recorder(start)
        },
    );
    for _ in 0..2 {
        for recorder in [accepting, other] {
            let registered = journal.register(&recorder, false, now()).await;
            registered.expect("a known recorder");
        }
    }
    assert!(absent(journal, start - 1).await);
    assert!(!absent(journal, start).await);
    let known = evidence(journal, start).await.recorders;
    assert_eq!(known.len(), 1, "{known:?}");
    assert_eq!(known[0].recorder, accepting);
    let stored = journal.recorder(other.id).await.expect("an answer");
    let stored = stored.expect("a known recorder");
    assert_eq!((stored.recorder, stored.last_number()), (other, 0));
    assert_eq!(journal.recorder(Uuid::nil()).await.expect("none"), None);

    let closing = BatchSpan {
        closes: true,
        ..span(accepting, 1, 1, 0, 10)
    };
    store(journal, &[closing]).await;
    assert!(absent(journal, start).await);
}

async fn batches_prove_in_any_order_and_only_without_a_gap(journal: &Journal) {
    let start = now() - 800 * SECOND;
    let own = recorder(start);
    // The first batch makes it known as well, with its records in the same transaction.
    let callback = origin(start + 5);
    let stored = journal
        .record_batches(&[accepted(&callback)], &[part(1, span(own, 1, 1, 0, 10))])
        .await;
    stored.expect("a stored batch");
    find(journal, &callback).await;
    assert!(absent(journal, start + 9).await);
    assert!(!absent(journal, start + 10).await);
    store(journal, &[span(own, 4, 6, 20, 30), span(own, 7, 7, 30, 40)]).await;
    for (at, proven) in [
        (9, true),
        (10, false),
        (19, false),
        (20, true),
        (39, true),
        (40, false),
    ] {
        assert_eq!(absent(journal, start + at).await, proven, "{at}");
    }
    for _ in 0..2 {
        store(journal, &[span(own, 2, 3, 10, 20)]).await;
    }
    assert!(absent(journal, start + 15).await);
    let state = journal.recorder(own.id).await.expect("an answer");
    let state = state.expect("a known recorder");
    assert_eq!(state.last_number(), 7);
    assert_eq!(state.stored_until(), Some(start + 40));
    let closing = BatchSpan {
        closes: true,
        ..span(own, 8, 8, 40, 50)
    };
    store(journal, &[closing]).await;
}

async fn a_batch_with_a_refused_record_proves_nothing_and_others_do(journal: &Journal) {
    let start = now() - 700 * SECOND;
    let own = recorder(start);
    let (mut refused, kept) = (origin(start + 11), origin(start + 12));
    // Too long for an index in PostgreSQL; SQLite stores it.
    refused.app_id = (0..40_000).map(|_| Uuid::new_v4().to_string()).collect();
    let (before, after) = (origin(start + 1), origin(start + 21));
    let records = [&before, &refused, &kept, &after].map(accepted);
    let batches = [
        part(1, span(own, 1, 1, 0, 10)),
        part(2, span(own, 2, 3, 10, 20)),
        part(1, span(own, 4, 4, 20, 30)),
        part(0, span(own, 5, 5, 30, 40)),
    ];
    let left_out = journal.record_each(&records, &batches).await;
    let left_out = left_out.expect("a result");
    for stored in [&before, &kept, &after] {
        find(journal, stored).await;
    }
    for (at, proven) in [(5, true), (15, left_out == 0), (25, true), (35, true)] {
        assert_eq!(absent(journal, start + at).await, proven, "{at}");
    }
    let closing = BatchSpan {
        closes: true,
        ..span(own, 1, 6, 0, 50)
    };
    store(journal, &[closing]).await;
}

async fn batches_of_several_writers_add_up(journal: &Journal) {
    let start = now() - 600 * SECOND;
    let streams = [recorder(start), recorder(start), recorder(start)];
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4_u64 {
        let journal = journal.clone();
        writers.spawn(async move {
            for round in 0..15 {
                let number = round * 4 + writer;
                let spans = streams
                    .map(|own| span(own, number + 1, number + 1, number * 10, number * 10 + 10));
                store(&journal, &spans).await;
            }
        });
    }
    writers.join_all().await;
    for own in streams {
        let state = journal.recorder(own.id).await.expect("an answer");
        let state = state.expect("a known recorder");
        assert_eq!(state.last_number(), 60);
        assert!(!state.may_hold(start) && !state.may_hold(start + 599));
        let closing = BatchSpan {
            closes: true,
            ..span(own, 61, 61, 600, 610)
        };
        store(journal, &[closing]).await;
    }
}

async fn a_claimed_id_is_never_absent(journal: &Journal) {
    let at = now() - 500 * SECOND;
    let claim = Claim {
        app_id: "crm".to_owned(),
        key: "stream".to_owned(),
        request_id: id(at),
        body_hash: [1; 32],
        now: now(),
        lease: Duration::from_secs(1),
    };
    journal.claim(&claim).await.expect("a claim");
    let evidence = journal.absence_evidence(claim.request_id).await;
    assert!(evidence.expect("evidence").claimed);
    assert!(absent(journal, at).await);
}

async fn ended_recorders_are_forgotten(journal: &Journal) {
    let start = now() - 400 * SECOND;
    let (silent, complete) = (recorder(start), recorder(start));
    store(
        journal,
        &[span(silent, 1, 1, 0, 10), span(silent, 3, 3, 20, 30)],
    )
    .await;
    let closing = BatchSpan {
        closes: true,
        ..span(complete, 1, 1, 0, 30)
    };
    store(journal, &[closing]).await;
    let open = journal.recorders().await.expect("recorders");
    let open: Vec<_> = open.iter().map(|state| state.recorder.id).collect();
    assert!(open.contains(&silent.id) && !open.contains(&complete.id));

    let state = journal.recorder(silent.id).await.expect("an answer");
    let seen_at = state.expect("a known recorder").seen_at;
    let end = async |seen_at| {
        let ended = journal.end_recorder(silent.id, seen_at, start + 40).await;
        ended.expect("a result")
    };
    assert!(!end(seen_at + 1).await, "it was seen meanwhile");
    assert!(end(seen_at).await);
    for (at, proven) in [(9, true), (10, false), (25, true), (40, false), (41, true)] {
        assert_eq!(absent(journal, start + at).await, proven, "{at}");
    }
    let ended = journal.recorders().await.expect("recorders");
    let ended = ended.iter().find(|state| state.recorder.id == silent.id);
    assert_eq!(
        ended.expect("it lacks something").ended_at,
        Some(start + 40)
    );
    // What it had recorded before, from its spool.
    store(journal, &[span(silent, 2, 2, 10, 20)]).await;
    assert!(absent(journal, start + 15).await);
    assert!(absent(journal, start + 41).await);
    let state = journal.recorder(silent.id).await.expect("an answer");
    let ended_at = state.expect("a known recorder").ended_at;
    assert_eq!(ended_at, Some(start + 40), "it does not live again");
    // It speaks again.
    store(journal, &[span(silent, 5, 5, 40, 50)]).await;
    assert!(!absent(journal, start + 51).await);
    let state = journal.recorder(silent.id).await.expect("an answer");
    assert!(end(state.expect("a known recorder").seen_at).await);

    let forget = async |settled, any| {
        let forgotten = journal.forget_recorders(settled, any).await;
        forgotten.expect("a result")
    };
    let known = async |id| journal.recorder(id).await.expect("an answer").is_some();
    forget(start + 30, start).await;
    assert!(known(complete.id).await);
    forget(start + 31, start).await;
    assert!(!known(complete.id).await && known(silent.id).await);
    forget(start + 31, start + 41).await;
    assert!(!known(silent.id).await);
    assert!(absent(journal, start + 15).await);
}

async fn one_that_is_alone_ends_the_others(fixture: &impl JournalFixture) {
    let journal = open(fixture, "stream-alone").await;
    let start = now() - 300 * SECOND;
    let (before, own) = (recorder(start), recorder(start + 100));
    store(&journal, &[span(before, 1, 1, 0, 10)]).await;
    let registered = journal.register(&own, true, start + 100).await;
    registered.expect("a known recorder");
    store(&journal, &[span(own, 1, 1, 0, 50)]).await;
    for (at, proven) in [
        (9, true),
        (10, false),
        (100, false),
        (101, true),
        (149, true),
    ] {
        assert_eq!(absent(&journal, start + at).await, proven, "{at}");
    }
    journal.close().await;
}
