//! Any order and any repetition of records ends in the same row.

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;

fn origin() -> Origin {
    Origin {
        request_id: Uuid::nil(),
        app_id: "crm".to_owned(),
        caller_no: Some("1".to_owned()),
        callee_no: Some("2".to_owned()),
        message_type: "order".to_owned(),
        callback_url: Some("http://callee.example/".to_owned()),
        target: "http://callee.example:80".to_owned(),
        accepted_at: 1,
    }
}

fn record(generation: u32, attempt: u32, at: u64, state: RecordedState) -> Record {
    let ends = state.is_dead_letter();
    Record {
        origin: origin(),
        generation,
        attempt,
        at,
        state,
        attempted: None,
        hold: 0,
        message: ends.then(|| Bytes::from_static(b"{}")),
    }
}

fn dead(reason: &str) -> RecordedState {
    RecordedState::Dead {
        reason: reason.to_owned(),
    }
}

fn retrying(next_attempt_at: u64) -> RecordedState {
    RecordedState::Retrying { next_attempt_at }
}

fn any_state() -> impl Strategy<Value = RecordedState> {
    prop_oneof![
        proptest::option::of(0..3_u64).prop_map(|not_before| RecordedState::Queued { not_before }),
        (0..3_u64, "[ab]").prop_map(|(next_attempt_at, reason)| RecordedState::Deferred {
            next_attempt_at,
            reason
        }),
        (0..3_u64).prop_map(retrying),
        Just(RecordedState::Delivered),
        "[ab]".prop_map(|reason| RecordedState::Dead { reason }),
        Just(RecordedState::Expired),
        Just(RecordedState::Cancelled),
    ]
}

prop_compose! {
    /// Numbers from small ranges, so that ties are common; parts of the origin are missing.
    fn any_record()(
        generation in 0..3_u32, hold in 0..3_u32, attempt in 1..4_u32, at in 0..3_u64,
        state in any_state(), body in proptest::option::of("[ab]"), known in any::<[bool; 4]>(),
    ) -> Record {
        let mut record = record(generation, attempt, at, state);
        record.hold = hold;
        record.message = body.map(Bytes::from);
        let origin = &mut record.origin;
        origin.caller_no = origin.caller_no.take().filter(|_| known[0]);
        origin.callee_no = origin.callee_no.take().filter(|_| known[1]);
        origin.callback_url = origin.callback_url.take().filter(|_| known[2]);
        if !known[3] {
            origin.target.clear();
        }
        record
    }
}

/// The row after the records have arrived in batches of `size`.
fn merged(records: &[Record], size: usize) -> CallbackRow {
    let batches = records.chunks(size).map(|batch| rows(batch).into_values());
    let mut row: Option<CallbackRow> = None;
    for more in batches.flatten() {
        match &mut row {
            Some(row) => row.absorb(more),
            None => row = Some(more),
        }
    }
    row.unwrap()
}

/// The row, with the message that only some records of a generation bring: any of them is as good as
/// another, but where the winner brings its own.
fn comparable(mut row: CallbackRow, all: &[Record]) -> (CallbackRow, bool) {
    let winner = row.state.key;
    let winners_own = all
        .iter()
        .any(|record| CallbackState::of(record).key == winner && record.message.is_some());
    let has_message = row.message.is_some();
    let waits = row.state.status.is_unfinished();
    if !winners_own || waits {
        row.message = None;
    }
    (row, has_message)
}

proptest! {
    #[test]
    fn any_order_and_repetition_of_records_ends_in_the_same_row(
        (all, shuffled, again) in prop::collection::vec(any_record(), 1..12).prop_flat_map(|all| {
            let count = all.len();
            (Just(all.clone()), Just(all.clone()).prop_shuffle(), subsequence(all, 0..=count))
        }),
        size in 1..6_usize,
    ) {
        let expected = comparable(merged(&all, all.len()), &all);
        let repeated: Vec<Record> = shuffled.into_iter().chain(again).collect();
        prop_assert_eq!(&comparable(merged(&repeated, size), &all), &expected);
        let backwards: Vec<Record> = repeated.into_iter().rev().collect();
        prop_assert_eq!(&comparable(merged(&backwards, size), &all), &expected);
    }

    #[test]
    fn a_record_of_an_older_hold_loses_unless_it_delivered_or_cancelled(
        older in any_record(), newer in any_record(),
    ) {
        let (older, mut newer) = (older, newer);
        newer.generation = older.generation;
        newer.hold += older.hold + 1;
        let final_states = [CallbackStatus::Delivered, CallbackStatus::Cancelled];
        let [old, new] = [&older, &newer].map(CallbackState::of);
        prop_assume!(!final_states.contains(&old.status) && !final_states.contains(&new.status));
        prop_assert!(new.key > old.key);
    }

    #[test]
    fn a_retry_beats_what_it_was_taken_from_and_loses_to_its_own_records(
        waiting in any_record(), own in any_record(), at in 0..3_u64,
    ) {
        let (waiting, mut own) = (waiting, own);
        let state = CallbackState::of(&waiting);
        prop_assume!(matches!(state.status, CallbackStatus::Queued | CallbackStatus::Retrying));
        let attempt = next_attempt(state.key.progress);
        let retry = retry_key(waiting.generation, waiting.hold + 1, attempt, at);
        prop_assert!(retry > state.key);
        own.generation = waiting.generation;
        own.hold = waiting.hold + 1;
        own.attempt = attempt;
        prop_assume!(!matches!(own.state, RecordedState::Queued { .. }));
        prop_assert!(CallbackState::of(&own).key > retry);
    }

    #[test]
    fn a_callback_that_waits_has_the_message_that_any_record_of_its_generation_brought(
        all in prop::collection::vec(any_record(), 1..12), size in 1..6_usize,
    ) {
        let row = merged(&all, size);
        let mut of_generation = all
            .iter()
            .filter(|record| i64::from(record.generation) == row.state.key.generation);
        let brought = of_generation.any(|record| record.message.is_some());
        if keeps_message(row.state.status) {
            prop_assert_eq!(row.message.is_some(), brought);
        } else if row.message.is_some() {
            prop_assert!(brought);
        }
    }

    #[test]
    fn only_equal_states_have_equal_keys(one in any_record(), other in any_record()) {
        let (one, other) = (CallbackState::of(&one), CallbackState::of(&other));
        prop_assert_eq!(one.key == other.key, one == other);
    }
}

/// Whether the first record beats the second.
fn beats(winner: &Record, loser: &Record) -> bool {
    CallbackState::of(winner).key > CallbackState::of(loser).key
}

#[test]
fn a_later_generation_beats_even_a_delivery() {
    let replayed = record(1, 1, 5, RecordedState::Queued { not_before: None });
    assert!(beats(&replayed, &record(0, 9, 9, RecordedState::Delivered)));
}

#[test]
fn a_delivery_beats_everything_in_its_generation() {
    let delivered = record(0, 1, 1, RecordedState::Delivered);
    for state in [
        RecordedState::Cancelled,
        RecordedState::Expired,
        dead("exhausted"),
        retrying(9),
    ] {
        assert!(beats(&delivered, &record(0, 9, 9, state)));
    }
}

#[test]
fn a_cancellation_beats_everything_but_a_delivery() {
    let cancelled = record(0, 1, 1, RecordedState::Cancelled);
    for state in [RecordedState::Expired, dead("exhausted"), retrying(9)] {
        assert!(beats(&cancelled, &record(0, 9, 9, state)));
    }
}

#[test]
fn a_later_attempt_beats_an_earlier_one_whenever_it_was_recorded() {
    assert!(beats(
        &record(0, 3, 1, retrying(5)),
        &record(0, 2, 9, dead("x"))
    ));
}

#[test]
fn steps_of_one_attempt_follow_their_order() {
    let deferred = RecordedState::Deferred {
        next_attempt_at: 1,
        reason: "busy".to_owned(),
    };
    let steps = [
        RecordedState::Queued { not_before: None },
        deferred,
        retrying(1),
        dead("exhausted"),
    ];
    let records = steps.map(|state| record(0, 2, 1, state));
    for pair in records.windows(2) {
        assert!(beats(&pair[1], &pair[0]));
    }
}

#[test]
fn of_equal_steps_the_later_one_wins() {
    assert!(beats(
        &record(0, 1, 2, dead("a")),
        &record(0, 1, 1, RecordedState::Expired)
    ));
    assert!(beats(
        &record(0, 1, 2, RecordedState::Expired),
        &record(0, 1, 1, dead("a"))
    ));
}

#[test]
fn a_dead_letter_with_its_body_is_preferred() {
    let mut without = record(0, 1, 9, dead("a"));
    without.message = None;
    assert!(beats(&record(0, 1, 1, dead("a")), &without));
}

#[test]
fn a_callback_deferred_before_its_first_attempt_is_queued_and_later_retrying() {
    let deferred = |attempt| {
        let state = RecordedState::Deferred {
            next_attempt_at: 7,
            reason: "busy".to_owned(),
        };
        CallbackState::of(&record(0, attempt, 1, state))
    };
    assert_eq!(deferred(1).status, CallbackStatus::Queued);
    assert_eq!(deferred(2).status, CallbackStatus::Retrying);
    assert_eq!(deferred(2).deferred_reason.as_deref(), Some("busy"));
    assert_eq!(deferred(2).next_attempt_at, Some(7));
}

#[test]
fn the_message_of_a_callback_that_waits_is_no_dead_letter() {
    let mut retried = record(0, 1, 1, retrying(1));
    retried.message = Some(Bytes::from_static(b"{}"));
    let rows = rows(&[retried]);
    let row = rows.get(&Uuid::nil()).unwrap();
    assert!(row.message.is_some());
    assert_eq!(row.kept_since(), None, "it is no dead letter");
}
