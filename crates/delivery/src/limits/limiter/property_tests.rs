//! The bounds hold after every step of every sequence, under simulated time.

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::tests::{NOW, admit_for, callee, fast, limits, sample, terms, url};
use super::*;
use crate::limits::{HealthSignal, Rate};

const CONCURRENCY: [u32; 2] = [30, 10];

#[derive(Debug, Clone)]
enum LimiterStep {
    Admit(u8, u8, bool),
    Complete(usize, u8),
    Retry(usize),
    Expire(usize),
    Advance(u64),
}

/// How a limiter is configured. The rest of the model is what the steps have left in the hands of the
/// test: permits and tickets.
#[derive(Debug, Clone)]
struct Configured {
    cap: Option<u32>,
    has_rate: bool,
}

impl ReferenceStateMachine for Configured {
    type State = Self;
    type Transition = LimiterStep;

    fn init_state() -> BoxedStrategy<Self> {
        (prop::option::of(1_u32..5), any::<bool>())
            .prop_map(|(cap, has_rate)| Self { cap, has_rate })
            .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<LimiterStep> {
        prop_oneof![
            4 => (0_u8..6, 0_u8..4, any::<bool>())
                .prop_map(|(key, app, retry)| LimiterStep::Admit(key, app, retry)),
            2 => (any::<usize>(), 0_u8..3)
                .prop_map(|(which, end)| LimiterStep::Complete(which, end)),
            1 => any::<usize>().prop_map(LimiterStep::Retry),
            1 => any::<usize>().prop_map(LimiterStep::Expire),
            1 => (0_u64..5_000).prop_map(LimiterStep::Advance),
        ]
        .boxed()
    }

    fn apply(state: Self, _: &LimiterStep) -> Self {
        state
    }
}

/// A limiter, and all that it has given out.
struct Limited {
    limiter: Limiter,
    limits: TargetLimits,
    now: Duration,
    permits: Vec<Permit>,
    tickets: Vec<Ticket>,
    most_permits: usize,
}

impl Limited {
    fn keep(&mut self, decision: LimitDecision) {
        match decision {
            LimitDecision::Admit(permit) => self.permits.push(permit),
            LimitDecision::Wait(ticket) => self.tickets.push(ticket),
            LimitDecision::Defer { .. } => {}
        }
        self.most_permits = self.most_permits.max(self.permits.len());
    }

    fn waiting_at(&self, place: Option<bool>) -> usize {
        let places = self.tickets.iter().map(waits_for_target);
        places.filter(|it| *it == place).count()
    }
}

fn waits_for_target(ticket: &Ticket) -> Option<bool> {
    match ticket.place() {
        Place::Target { overflow, .. } => Some(overflow),
        Place::Slot { .. } => None,
    }
}

struct LimiterTest;

impl StateMachineTest for LimiterTest {
    type SystemUnderTest = Limited;
    type Reference = Configured;

    fn init_test(configured: &Configured) -> Limited {
        let rate = Rate::new(5.0, 3).filter(|_| configured.has_rate);
        Limited {
            limiter: Limiter::new(CONCURRENCY, 3),
            limits: TargetLimits {
                in_flight: configured.cap,
                rate,
                ..limits()
            },
            now: NOW,
            permits: Vec::new(),
            tickets: Vec::new(),
            most_permits: 0,
        }
    }

    fn apply(mut it: Limited, _: &Configured, step: LimiterStep) -> Limited {
        let now = it.now;
        match step {
            LimiterStep::Advance(millis) => it.now += Duration::from_millis(millis),
            LimiterStep::Admit(key, app, retry) => {
                let queue = if retry {
                    WorkQueue::Retry
                } else {
                    WorkQueue::First
                };
                let key = match key < 3 {
                    true => callee(&key.to_string()),
                    false => url(key.into()),
                };
                let app = format!("app{app}");
                let decision = admit_for(&mut it.limiter, &app, (&key, queue), &it.limits, now);
                it.keep(decision);
            }
            LimiterStep::Complete(which, health) if !it.permits.is_empty() => {
                let health = [
                    HealthSignal::Success,
                    HealthSignal::Failure,
                    HealthSignal::Neutral,
                ][usize::from(health)];
                let sample = if which % 2 == 0 {
                    fast()
                } else {
                    sample(health)
                };
                let permit = it.permits.swap_remove(which % it.permits.len());
                it.limiter.complete(permit, &sample, now);
            }
            LimiterStep::Retry(which) if !it.tickets.is_empty() => {
                let ticket = it.tickets.swap_remove(which % it.tickets.len());
                let decision = it.limiter.retry_admission(ticket, &terms(&it.limits), now);
                it.keep(decision);
            }
            LimiterStep::Expire(which) if !it.tickets.is_empty() => {
                let ticket = it.tickets.swap_remove(which % it.tickets.len());
                it.limiter.expire(ticket, None, now);
            }
            _ => {}
        }
        it
    }

    fn check_invariants(it: &Limited, configured: &Configured) {
        let limiter = &it.limiter;
        for (pool, alone) in limiter.slots.iter().zip(CONCURRENCY) {
            assert!(pool.used() <= alone + alone.div_ceil(3));
        }
        let used: u32 = limiter.slots.iter().map(|pool| pool.used()).sum();
        assert_eq!(used as usize, it.permits.len());
        for app in limiter.apps.iter() {
            for (queue, alone) in [(WorkQueue::First, 30), (WorkQueue::Retry, 10)] {
                assert!(app.held(queue) <= alone);
            }
        }
        assert!(limiter.waiting[0].used() <= 7 + 3 && limiter.waiting[1].used() <= 2 + 1);
        let waiting: u32 = limiter.waiting.iter().map(|pool| pool.used()).sum();
        assert_eq!(waiting as usize, it.waiting_at(Some(false)));
        let for_slots: u32 = limiter.waiting_for_slot.iter().sum();
        assert_eq!(for_slots as usize, it.waiting_at(None));
        // A call of 5 ms, rounded up, fits at most nine times into 50 ms.
        let overflow = it.waiting_at(Some(true));
        assert!(overflow <= 6 * 2 * 9 * 5, "{overflow}");
        for stats in limiter.top(100, it.now).targets {
            let max = configured.cap.unwrap_or(3 + 1);
            assert!(stats.in_flight <= max, "{}", stats.in_flight);
        }
        let circuits: usize = limiter.targets.iter().map(|it| it.circuits.len()).sum();
        assert_eq!(limiter.circuits, circuits);
        assert!(circuits <= 3 + it.most_permits, "{circuits}");
    }

    fn teardown(it: Limited, _: Configured) {
        let Limited {
            mut limiter,
            now,
            permits,
            tickets,
            ..
        } = it;
        for ticket in tickets {
            limiter.cancel(ticket);
        }
        for permit in permits {
            limiter.complete(permit, &CallSample::unknown(), now);
        }
        assert_eq!(limiter.waiting.map(SharedPool::used), [0, 0]);
        assert_eq!(limiter.slots.map(SharedPool::used), [0, 0]);
        assert_eq!(limiter.waiting_for_slot, [0, 0]);
        assert!(limiter.targets.iter().all(TargetState::is_idle));
        assert!(limiter.apps.iter().all(AppUsage::is_idle));
    }
}

prop_state_machine! {
    #[test]
    fn limits_hold_and_everything_is_returned(sequential 1..400 => LimiterTest);
}
