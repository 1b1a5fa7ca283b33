//! The life of a callback against a model, under simulated time: attempts and deferrals, and crashes before
//! and after the follow-up message is durable. Verdicts, settlements and messages are the real ones; the
//! queue is a list.

use super::call::CompletedAttempt;
use super::settlement::{defer, defer_after_error, settlement_for, to_broker_message};
use broker::Settlement;
use bytes::Bytes;
use contract::{Message, Options, UnknownFields};
use delivery::{DecisionInput, Outcome, Schedule, decide};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use std::time::Duration;
use uuid::Uuid;

const BEGINNING: u64 = 1_700_000_000_000;
const WAITS: [u64; 4] = [5_000, 30_000, 120_000, 600_000];
const TOOK: u64 = 12;
/// What a careless gateway would change.
const PAYLOAD: &[u8] = b"{ \"a\" : 1e400, \"a\":\"\\u4e2d\" }";
/// Crashes beyond so many copies of a callback teach nothing new.
const MAX_COPIES: usize = 6;

/// How a delivery of the message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Taken,
    Failed,
    Rejected,
    /// The resolver is down: not the callback's fault.
    Internal,
    /// The target is at its limit: no attempt.
    Limited,
    /// An attempt panicked.
    Panicked,
}

/// What becomes of the process then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    GoesOn,
    /// It ends before the settlement.
    EndsBefore,
    /// It ends when the follow-up is durable, and the original is not acked.
    EndsBetween,
}

#[derive(Clone, Debug)]
enum Transition {
    /// One of the messages that are due is received.
    Receive(usize, End, Process),
    Advance(u64),
}

/// A message in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due: u64,
    attempt: u32,
    deferrals: u32,
}

#[derive(Clone, Debug)]
struct Model {
    now: u64,
    copies: Vec<Waiting>,
    taken: u32,
    dead: u32,
    crashes: u32,
}

impl Model {
    /// Which message is received, if any is due.
    fn chosen(&self, which: usize) -> Option<usize> {
        let due = self.copies.iter().enumerate();
        let due: Vec<usize> = due
            .filter(|(_, copy)| copy.due <= self.now)
            .map(|(place, _)| place)
            .collect();
        (!due.is_empty()).then(|| due[which % due.len()])
    }

    fn process(&self, process: Process) -> Process {
        match self.copies.len() < MAX_COPIES {
            true => process,
            false => Process::GoesOn,
        }
    }

    /// The message that follows, by the rules of the documentation.
    fn follow_up(&self, copy: Waiting, end: End) -> Option<Waiting> {
        let Waiting {
            attempt, deferrals, ..
        } = copy;
        let index = usize::try_from(attempt - 1).unwrap();
        match end {
            End::Taken | End::Rejected => None,
            End::Failed => WAITS.get(index).map(|wait| Waiting {
                due: self.now + TOOK + wait,
                attempt: attempt + 1,
                deferrals: 0,
            }),
            End::Internal => Some(Waiting {
                due: self.now + TOOK + (1_000 << deferrals.min(9)).min(300_000),
                attempt,
                deferrals: deferrals + 1,
            }),
            End::Limited => Some(Waiting {
                due: self.now + 1_000,
                attempt,
                deferrals: (deferrals + 1).min(9).max(deferrals),
            }),
            End::Panicked => Some(Waiting {
                due: self.now + 1_000,
                attempt,
                deferrals: deferrals + 1,
            }),
        }
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        let first = Waiting {
            due: BEGINNING,
            attempt: 1,
            deferrals: 0,
        };
        Just(Self {
            now: BEGINNING,
            copies: vec![first],
            taken: 0,
            dead: 0,
            crashes: 0,
        })
        .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Transition> {
        let end = prop_oneof![
            1 => Just(End::Taken),
            6 => Just(End::Failed),
            1 => Just(End::Rejected),
            2 => Just(End::Internal),
            2 => Just(End::Limited),
            1 => Just(End::Panicked),
        ];
        let process = prop_oneof![
            6 => Just(Process::GoesOn),
            1 => Just(Process::EndsBefore),
            1 => Just(Process::EndsBetween),
        ];
        prop_oneof![
            4 => (any::<usize>(), end, process)
                .prop_map(|(which, end, process)| Transition::Receive(which, end, process)),
            3 => (0_u64..400_000).prop_map(Transition::Advance),
        ]
        .boxed()
    }

    fn apply(mut state: Self, transition: &Transition) -> Self {
        match transition {
            Transition::Advance(ms) => state.now += ms,
            Transition::Receive(which, end, process) => {
                let Some(place) = state.chosen(*which) else {
                    return state;
                };
                let process = state.process(*process);
                let copy = state.copies[place];
                state.taken += u32::from(*end == End::Taken);
                state.crashes += u32::from(process != Process::GoesOn);
                if process == Process::EndsBefore {
                    return state;
                }
                match state.follow_up(copy, *end) {
                    Some(next) => state.copies.push(next),
                    None => state.dead += u32::from(*end != End::Taken),
                }
                if process == Process::GoesOn {
                    state.copies.remove(place);
                }
            }
        }
        state
    }
}

/// The queue, with real messages, and when each is due.
struct Queue {
    model: Model,
    schedule: Schedule,
    messages: Vec<(u64, Bytes)>,
    dead: Vec<Bytes>,
}

fn message() -> Message {
    Message {
        request_id: Uuid::from_u128(7),
        app_id: "app".to_owned(),
        caller_no: None,
        callee_no: Some("EO001".to_owned()),
        message_type: "type".to_owned(),
        callback_url: None,
        options: Options::default(),
        accepted_at: BEGINNING,
        generation: 0,
        attempt: 1,
        deferrals: 0,
        hold: 0,
        not_before: None,
        scheduled_at: None,
        traceparent: None,
        tracestate: None,
        reply_to: None,
        history: Vec::new(),
        unknown: UnknownFields::default(),
        request_message: Bytes::from_static(PAYLOAD),
    }
}

fn outcome(end: End) -> Outcome {
    let answered = |status| Outcome::Answered {
        status,
        retry_after: None,
    };
    match end {
        End::Taken => answered(200),
        End::Rejected => answered(400),
        End::Internal => Outcome::ResolverDown,
        End::Failed | End::Limited | End::Panicked => answered(503),
    }
}

impl Queue {
    fn settlement(&self, message: &Message, end: End) -> Settlement {
        let now = self.model.now;
        let soon = Duration::from_secs(1);
        match end {
            End::Limited => return defer(message, now, soon),
            End::Panicked => return defer_after_error(message, now, soon),
            End::Taken | End::Failed | End::Rejected | End::Internal => {}
        }
        let attempt = CompletedAttempt {
            outcome: outcome(end),
            cause: None,
            answer: None,
            started_at: now,
            duration: Duration::from_millis(TOOK),
        };
        let input = DecisionInput {
            attempt: message.attempt,
            schedule: &self.schedule,
            max_attempts: message.options.max_attempts,
            expires_at_ms: None,
            now_ms: attempt.ended_at(),
            chance: 0.0,
            deferrals: message.deferrals,
        };
        let verdict = decide(&attempt.outcome, &input);
        settlement_for(message, &attempt, verdict)
    }

    fn receive(&mut self, place: usize, end: End, process: Process) {
        let message = Message::decode(&self.messages[place].1).unwrap();
        let settlement = self.settlement(&message, end);
        if process == Process::EndsBefore {
            return;
        }
        // The instant of the settlement: the end of the attempt, if there was one.
        let attempted = !matches!(end, End::Limited | End::Panicked);
        let at = self.model.now + if attempted { TOOK } else { 0 };
        match settlement {
            Settlement::Complete => {}
            Settlement::Reschedule { delay, message } => {
                let due = at + u64::try_from(delay.as_millis()).unwrap();
                self.messages.push((due, message.body));
            }
            Settlement::DeadLetter { message, .. } => self.dead.push(message.body),
            Settlement::Quarantine { reason, .. } => panic!("quarantined: {reason}"),
        }
        if process == Process::GoesOn {
            self.messages.remove(place);
        }
    }
}

struct CallbackAgainstModel;

impl StateMachineTest for CallbackAgainstModel {
    type SystemUnderTest = Queue;
    type Reference = Model;

    fn init_test(model: &Model) -> Queue {
        let waits = WAITS.map(Duration::from_millis).to_vec();
        Queue {
            model: model.clone(),
            schedule: Schedule::new(waits).unwrap(),
            messages: vec![(BEGINNING, to_broker_message(&message()).body)],
            dead: Vec::new(),
        }
    }

    fn apply(mut queue: Queue, after: &Model, transition: Transition) -> Queue {
        if let Transition::Receive(which, end, process) = transition
            && let Some(place) = queue.model.chosen(which)
        {
            let process = queue.model.process(process);
            queue.receive(place, end, process);
        }
        queue.model = after.clone();
        queue
    }

    fn check_invariants(queue: &Queue, model: &Model) {
        let mut copies = Vec::new();
        for (due, body) in &queue.messages {
            let message = Message::decode(body).unwrap();
            assert_eq!(message.request_message, PAYLOAD);
            let made = usize::try_from(message.attempt - 1).unwrap();
            assert_eq!(
                message.history.len(),
                made,
                "each attempt is in the history once"
            );
            // No copy is due before it says so itself.
            assert!(message.not_before.is_none_or(|at| at <= *due));
            copies.push(Waiting {
                due: *due,
                attempt: message.attempt,
                deferrals: message.deferrals,
            });
        }
        assert_eq!(copies, model.copies);
        for body in &queue.dead {
            assert_eq!(Message::decode(body).unwrap().request_message, PAYLOAD);
        }
        assert_eq!(queue.dead.len(), usize::try_from(model.dead).unwrap());
        let ends = model.taken + model.dead;
        // Never lost, and without a crash exactly one copy or one end.
        assert!(!copies.is_empty() || ends > 0);
        if model.crashes == 0 {
            assert_eq!(copies.len() + usize::try_from(ends).unwrap(), 1);
        }
    }
}

prop_state_machine! {
    #[test]
    fn a_callback_lives_as_its_model_does(sequential 1..120 => CallbackAgainstModel);
}
