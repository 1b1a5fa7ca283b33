//! The journal in SQLite against a model, step by step: records in any order and number, retries now,
//! restarts. The model follows the words at the head of `merge/mod.rs`, and shares no code with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use contract::CallbackStatus;
use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::{JournalClock, SqliteJournal};
use crate::model::{AttemptRecord, Origin, Record, RecordedState, RetryOutcome, WaitingMessage};
use crate::store::RetryStore as _;
use crate::store::{CallbackStore as _, CountStore as _, JournalStore as _, RecordStore as _};

const BEGINNING: u64 = 1_700_000_000_000;
const CALLBACKS: u8 = 3;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Queued,
    Deferred,
    Retrying,
    Dead,
    Expired,
    Delivered,
    Cancelled,
    /// Not a record: an operator retried it now.
    RetriedNow,
}

/// A record, or a retry, as the model knows it.
#[derive(Clone, Copy, Debug)]
struct Known {
    callback: u8,
    generation: u32,
    hold: u32,
    attempt: u32,
    kind: Kind,
    /// Different for every record: no two are equal.
    at: u64,
    due: u64,
    message: bool,
    /// What the callback was before it was retried now.
    status_before: CallbackStatus,
}

/// A retry whose publish is not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taken {
    generation: u32,
    hold: u32,
    attempt: u32,
}

#[derive(Clone, Debug, Default)]
struct Model {
    now: u64,
    /// In the order in which they came.
    known: Vec<Known>,
    taken: BTreeMap<u8, Taken>,
}

#[derive(Clone, Debug)]
enum Transition {
    /// Records that are stored together.
    Store(Vec<Known>),
    /// Some that were stored before come once more.
    Repeat(Vec<usize>),
    RetryNow(u8),
    /// The publishes of retries that were not confirmed are asked for.
    Unfinished,
    Confirm(u8),
    Reopen,
    /// By so many seconds.
    Advance(u32),
}

impl Known {
    /// The order of `merge/mod.rs`, in its words.
    fn rank(&self) -> (u32, u8, u32, u32, u8, u64) {
        let own_message = u8::from(self.message);
        match self.kind {
            Kind::Delivered => (self.generation, 2, 0, 0, 0, self.at),
            Kind::Cancelled => (self.generation, 1, 0, 0, 0, self.at),
            kind => {
                let step = match kind {
                    Kind::Deferred => 1,
                    Kind::Retrying => 2,
                    Kind::Dead | Kind::Expired => 3 + own_message,
                    _ => 0,
                };
                (self.generation, 0, self.hold, self.attempt, step, self.at)
            }
        }
    }

    fn status(&self) -> CallbackStatus {
        match self.kind {
            Kind::Queued => CallbackStatus::Queued,
            Kind::Deferred if self.attempt <= 1 => CallbackStatus::Queued,
            Kind::Deferred | Kind::Retrying => CallbackStatus::Retrying,
            Kind::Dead => CallbackStatus::Dead,
            Kind::Expired => CallbackStatus::Expired,
            Kind::Delivered => CallbackStatus::Delivered,
            Kind::Cancelled => CallbackStatus::Cancelled,
            Kind::RetriedNow => self.status_before,
        }
    }

    fn waits(&self) -> bool {
        matches!(
            self.status(),
            CallbackStatus::Queued | CallbackStatus::Retrying
        )
    }

    fn next_attempt(&self) -> u32 {
        self.attempt + u32::from(self.kind == Kind::Retrying)
    }

    fn attempted(&self) -> bool {
        matches!(self.kind, Kind::Retrying | Kind::Dead | Kind::Delivered)
    }

    fn record(&self) -> Record {
        let next_attempt_at = self.due;
        let state = match self.kind {
            Kind::Queued | Kind::RetriedNow => RecordedState::Queued {
                not_before: Some(self.due),
            },
            Kind::Deferred => RecordedState::Deferred {
                next_attempt_at,
                reason: "in_flight".to_owned(),
            },
            Kind::Retrying => RecordedState::Retrying { next_attempt_at },
            Kind::Dead => RecordedState::Dead {
                reason: "exhausted".to_owned(),
            },
            Kind::Expired => RecordedState::Expired,
            Kind::Delivered => RecordedState::Delivered,
            Kind::Cancelled => RecordedState::Cancelled,
        };
        Record {
            origin: origin(self.callback),
            generation: self.generation,
            attempt: self.attempt,
            at: self.at,
            state,
            attempted: self.attempted().then(|| self.attempt_record()),
            hold: self.hold,
            message: self.message.then(|| message(self.generation)),
        }
    }

    fn attempt_record(&self) -> AttemptRecord {
        AttemptRecord {
            generation: self.generation,
            number: self.attempt,
            run: self.at,
            started_at: self.at,
            duration_ms: 12,
            outcome: "timeout".to_owned(),
            http_status: None,
            detail: None,
            cause: None,
            answer: None,
        }
    }
}

fn id(callback: u8) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(BEGINNING, &[callback; 10]).into_uuid()
}

fn origin(callback: u8) -> Origin {
    Origin {
        request_id: id(callback),
        app_id: "crm".to_owned(),
        caller_no: None,
        callee_no: None,
        message_type: "order.paid".to_owned(),
        callback_url: Some("https://callee.example/paid".to_owned()),
        target: "https://callee.example:443".to_owned(),
        accepted_at: BEGINNING,
    }
}

fn message(generation: u32) -> Bytes {
    format!("the message of generation {generation}").into()
}

impl Model {
    /// The record that decides.
    fn winner(&self, callback: u8) -> Option<Known> {
        let of = self.known.iter().filter(|it| it.callback == callback);
        of.max_by_key(|it| it.rank()).copied()
    }

    fn has_message(&self, winner: &Known) -> bool {
        match winner.kind {
            Kind::Delivered => winner.message,
            Kind::Cancelled => false,
            _ => self.known.iter().any(|it| {
                let same = (it.callback, it.generation) == (winner.callback, winner.generation);
                same && it.message && it.kind != Kind::Cancelled
            }),
        }
    }

    fn retry_now(&self, callback: u8) -> RetryOutcome {
        let Some(winner) = self.winner(callback) else {
            return RetryOutcome::Unknown;
        };
        if !winner.waits() || winner.due <= self.now {
            return RetryOutcome::NotWaiting;
        }
        if !self.has_message(&winner) {
            return RetryOutcome::NotKept;
        }
        RetryOutcome::Retry(WaitingMessage {
            request_id: id(callback),
            generation: winner.generation,
            hold: winner.hold + 1,
            attempt: winner.next_attempt(),
            due_at: self.now,
            message: message(winner.generation),
        })
    }

    /// The retries that nobody has confirmed, and that no record has moved on.
    fn unfinished(&self) -> Vec<WaitingMessage> {
        let unfinished = self.taken.iter().filter_map(|(callback, taken)| {
            let winner = self.winner(*callback)?;
            let (_, end, hold, attempt, step, _) = winner.rank();
            let at = (winner.generation, hold, attempt);
            let still = winner.waits()
                && (end, step) == (0, 0)
                && at == (taken.generation, taken.hold, taken.attempt);
            still.then(|| WaitingMessage {
                request_id: id(*callback),
                generation: taken.generation,
                hold: taken.hold,
                attempt: taken.attempt,
                due_at: winner.due,
                message: message(taken.generation),
            })
        });
        unfinished.collect()
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self {
            now: BEGINNING,
            ..Self::default()
        })
        .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Transition> {
        // Later ones are often of earlier times. The last digits make them differ, from each other and
        // from retries, which are at full seconds.
        let sequence = u64::try_from(state.known.len()).unwrap();
        let kind = prop::sample::select(vec![
            Kind::Queued,
            Kind::Deferred,
            Kind::Deferred,
            Kind::Retrying,
            Kind::Retrying,
            Kind::Retrying,
            Kind::Dead,
            Kind::Expired,
            Kind::Delivered,
            Kind::Cancelled,
        ]);
        let numbers = (0..CALLBACKS, 0..2_u32, 0..3_u32, 1..4_u32);
        let record = (numbers, kind, 0..50_u64, 0..100_000_u64, any::<bool>()).prop_map(
            |((callback, generation, hold, attempt), kind, at, due, message)| Known {
                callback,
                generation,
                hold,
                attempt,
                kind,
                at: BEGINNING + at * 100_000,
                due: BEGINNING + due,
                message: message && kind != Kind::Cancelled,
                status_before: CallbackStatus::Queued,
            },
        );
        let number = move |mut records: Vec<Known>| {
            for (record, number) in records.iter_mut().zip(sequence..) {
                record.at += number + 1;
            }
            Transition::Store(records)
        };
        prop_oneof![
            6 => prop::collection::vec(record, 1..4).prop_map(number),
            1 => prop::collection::vec(any::<usize>(), 1..4).prop_map(Transition::Repeat),
            4 => (0..CALLBACKS).prop_map(Transition::RetryNow),
            1 => Just(Transition::Unfinished),
            1 => (0..CALLBACKS).prop_map(Transition::Confirm),
            1 => Just(Transition::Reopen),
            1 => (1..20_u32).prop_map(Transition::Advance),
        ]
        .boxed()
    }

    fn apply(mut state: Self, transition: &Transition) -> Self {
        match transition {
            Transition::Store(records) => state.known.extend(records),
            Transition::RetryNow(callback) => {
                if let RetryOutcome::Retry(retry) = state.retry_now(*callback) {
                    let winner = state.winner(*callback).unwrap();
                    state.known.push(Known {
                        hold: retry.hold,
                        attempt: retry.attempt,
                        kind: Kind::RetriedNow,
                        at: state.now,
                        due: state.now,
                        message: false,
                        status_before: winner.status(),
                        ..winner
                    });
                    let taken = Taken {
                        generation: retry.generation,
                        hold: retry.hold,
                        attempt: retry.attempt,
                    };
                    state.taken.insert(*callback, taken);
                }
            }
            Transition::Unfinished => {
                let left: BTreeSet<Uuid> = state
                    .unfinished()
                    .iter()
                    .map(|retry| retry.request_id)
                    .collect();
                state
                    .taken
                    .retain(|callback, _| left.contains(&id(*callback)));
            }
            Transition::Confirm(callback) => {
                state.taken.remove(callback);
            }
            Transition::Advance(seconds) => state.now += u64::from(*seconds) * 1_000,
            Transition::Repeat(_) | Transition::Reopen => {}
        }
        state
    }
}

/// The real journal, with the model of before the next transition.
struct Tested {
    runtime: Runtime,
    directory: PathBuf,
    journal: SqliteJournal,
    model: Model,
}

struct JournalAgainstModel;

impl StateMachineTest for JournalAgainstModel {
    type SystemUnderTest = Tested;
    type Reference = Model;

    fn init_test(model: &Model) -> Tested {
        static TESTS: AtomicUsize = AtomicUsize::new(0);
        let number = TESTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringback-journal-model-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        Tested {
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            journal: SqliteJournal::open(&directory, JournalClock::wall()).unwrap(),
            directory,
            model: model.clone(),
        }
    }

    fn apply(mut tested: Tested, after: &Model, transition: Transition) -> Tested {
        let Tested {
            runtime,
            directory,
            journal,
            model,
        } = &mut tested;
        let store = |records: Vec<Record>| runtime.block_on(journal.record(&records)).unwrap();
        match transition {
            Transition::Store(records) => store(records.iter().map(Known::record).collect()),
            Transition::Repeat(which) => {
                let known = model.known.iter().filter(|it| it.kind != Kind::RetriedNow);
                let known: Vec<&Known> = known.collect();
                if !known.is_empty() {
                    let chosen = which.into_iter().map(|it| known[it % known.len()].record());
                    store(chosen.collect());
                }
            }
            Transition::RetryNow(callback) => {
                let taken = runtime.block_on(journal.take_retry(id(callback), model.now));
                assert_eq!(taken.unwrap(), model.retry_now(callback));
            }
            Transition::Unfinished => {
                let found = journal.unfinished_retries(u64::MAX / 2, 100, model.now);
                let mut found = runtime.block_on(found).unwrap();
                found.sort_by_key(|retry| retry.request_id);
                assert_eq!(found, model.unfinished());
            }
            Transition::Confirm(callback) => {
                if let Some(taken) = model.taken.get(&callback) {
                    let published = [(id(callback), taken.generation, taken.hold)];
                    runtime
                        .block_on(journal.confirm_retries(&published))
                        .unwrap();
                }
            }
            Transition::Reopen => {
                runtime.block_on(journal.close());
                *journal = SqliteJournal::open(directory, JournalClock::wall()).unwrap();
            }
            Transition::Advance(_) => {}
        }
        tested.model = after.clone();
        tested
    }

    fn check_invariants(tested: &Tested, model: &Model) {
        let Tested {
            runtime, journal, ..
        } = tested;
        let mut unfinished = 0;
        for callback in 0..CALLBACKS {
            let found = runtime.block_on(journal.find(id(callback))).unwrap();
            let Some(winner) = model.winner(callback) else {
                assert_eq!(found, None);
                continue;
            };
            let found = found.expect("the callback is known");
            unfinished += u64::from(winner.waits());
            let state = (found.generation, found.status, found.hold, found.updated_at);
            let expected = (winner.generation, winner.status(), winner.hold, winner.at);
            assert_eq!(state, expected, "{winner:?}");
            let due = winner.waits().then_some(winner.due);
            assert_eq!(found.next_attempt_at, due, "{winner:?}");
            assert_eq!(found.has_message, model.has_message(&winner), "{winner:?}");
            let runs: BTreeSet<u64> = found.attempts.iter().map(|it| it.run).collect();
            let of = model.known.iter().filter(|it| it.callback == callback);
            let made: BTreeSet<u64> = of.filter(|it| it.attempted()).map(|it| it.at).collect();
            assert_eq!((runs, found.attempts.len()), (made.clone(), made.len()));
        }
        let counts = runtime.block_on(journal.unfinished(10)).unwrap();
        assert_eq!((counts.total, counts.waiting), (unfinished, unfinished));
    }

    fn teardown(tested: Tested, _: Model) {
        let Tested {
            runtime,
            directory,
            journal,
            ..
        } = tested;
        runtime.block_on(journal.close());
        let _ = std::fs::remove_dir_all(directory);
    }
}

/// Each step costs a sync: fewer cases than usual, unless more are asked for.
fn config() -> Config {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => Config::default(),
        None => Config::with_cases(48),
    }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn the_journal_does_what_its_model_does(sequential 1..50 => JournalAgainstModel);
}
