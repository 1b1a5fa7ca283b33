//! Tests of the ledger on made-up runs.

use super::*;

const BODY: &[u8] = b"{}";

fn found(token: u64, id: &str) -> FoundCallback {
    FoundCallback {
        token: Some(token),
        id: id.to_owned(),
        attempt: 1,
        body: fingerprint(BODY),
    }
}

fn accepted(id: &str) -> Acceptance {
    Acceptance::Accepted(id.to_owned())
}

/// One callback of every correct kind: 1 delivered, 2 dead-lettered, 3 queued, 4 refused, 5 and 6
/// unknown with and without an id, 7 unknown and delivered, 8 delivered by its second attempt.
fn sound_run() -> Ledger {
    let mut ledger = Ledger::default();
    for (token, acceptance) in [
        (1, accepted("a")),
        (2, accepted("b")),
        (3, accepted("c")),
        (4, Acceptance::Refused),
        (5, Acceptance::Unknown(Some("e".to_owned()))),
        (6, Acceptance::Unknown(None)),
        (7, Acceptance::Unknown(Some("g".to_owned()))),
        (8, accepted("h")),
    ] {
        ledger.sent(token, BODY, acceptance);
    }
    ledger.seen(found(1, "a"), true);
    ledger.seen(found(2, "b"), false);
    ledger.dead(found(2, "b"));
    ledger.queued(found(3, "c"));
    ledger.seen(found(7, "g"), true);
    ledger.seen(found(8, "h"), false);
    let second = FoundCallback {
        attempt: 2,
        ..found(8, "h")
    };
    ledger.seen(second, true);
    ledger
}

#[test]
fn a_sound_run_passes_and_is_counted() {
    let audit = sound_run().audit().sound();
    let expected = Audit {
        accepted: 4,
        refused: 1,
        unknown: 3,
        recovered: 1,
        delivered: 3,
        dead: 1,
        queued: 1,
        repeats: 0,
        max_per_attempt: 1,
        faults: Vec::new(),
    };
    assert_eq!(audit, expected);
}

#[test]
fn a_repeat_is_counted_and_is_no_fault() {
    let mut ledger = sound_run();
    ledger.seen(found(1, "a"), true);
    ledger.seen(found(1, "a"), true);
    ledger.seen(found(2, "b"), false);
    let audit = ledger.audit().sound();
    assert_eq!((audit.repeats, audit.max_per_attempt), (3, 3));
    assert_eq!(audit.delivered, 3);
}

#[test]
fn every_broken_promise_is_found() {
    let broken = |breaks: &dyn Fn(&mut Ledger)| {
        let mut ledger = sound_run();
        breaks(&mut ledger);
        ledger.audit().faults
    };
    let shared = || Fault::SharedId("a".to_owned());
    type Case<'a> = (&'a dyn Fn(&mut Ledger), Vec<Fault>);
    let cases: [Case<'_>; 12] = [
        (&|it| drop(it.queued.pop()), vec![Fault::Lost(3)]),
        (&|it| drop(it.dead.pop()), vec![Fault::Lost(2)]),
        (&|it| drop(it.delivered.remove(0)), vec![Fault::Lost(1)]),
        // Attempted, and lost afterwards.
        (&|it| drop(it.delivered.pop()), vec![Fault::Lost(8)]),
        (
            &|it| it.seen(found(9, "x"), true),
            vec![Fault::Invented("x".to_owned())],
        ),
        (
            &|it| {
                let nameless = FoundCallback {
                    token: None,
                    ..found(9, "x")
                };
                it.dead(nameless);
            },
            vec![Fault::Invented("x".to_owned())],
        ),
        (
            &|it| it.seen(found(4, "d"), true),
            vec![Fault::RefusedAndFound(4)],
        ),
        (
            &|it| it.seen(found(4, "d"), false),
            vec![Fault::RefusedAndFound(4)],
        ),
        (
            &|it| it.queued(found(4, "d")),
            vec![Fault::RefusedAndFound(4)],
        ),
        (
            &|it| it.delivered[0].body = fingerprint(b"{ }"),
            vec![Fault::ChangedBody(1)],
        ),
        (
            &|it| it.seen(found(1, "x"), true),
            vec![Fault::ChangedId(1)],
        ),
        (
            &|it| it.seen(found(7, "a"), true),
            vec![Fault::ChangedId(7), shared()],
        ),
    ];
    for (case, (breaks, faults)) in cases.iter().enumerate() {
        assert_eq!(broken(breaks), *faults, "case {case}");
    }
}

#[test]
#[should_panic(expected = "[Lost(3)]")]
fn an_unsound_run_does_not_pass() {
    let mut ledger = sound_run();
    ledger.queued.clear();
    let _ = ledger.audit().sound();
}
