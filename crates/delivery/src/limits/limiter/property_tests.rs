//! The bounds hold for all sequences of steps.

use proptest::prelude::*;

use super::tests::{NOW, admit_for, callee, fast, limits, sample, terms, url};
use super::*;
use crate::limits::{HealthSignal, Rate};

#[derive(Debug, Clone)]
enum LimiterStep {
    Admit(u8, u8, bool),
    Complete(usize, u8),
    Retry(usize),
    Expire(usize),
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<LimiterStep>> {
    let step = prop_oneof![
        4 => (0_u8..6, 0_u8..4, any::<bool>())
            .prop_map(|(key, app, retry)| LimiterStep::Admit(key, app, retry)),
        2 => (any::<usize>(), 0_u8..3).prop_map(|(which, end)| LimiterStep::Complete(which, end)),
        1 => any::<usize>().prop_map(LimiterStep::Retry),
        1 => any::<usize>().prop_map(LimiterStep::Expire),
        1 => (0_u64..5_000).prop_map(LimiterStep::Advance),
    ];
    prop::collection::vec(step, 0..400)
}

fn waits_for_target(ticket: &Ticket) -> Option<bool> {
    match ticket.place() {
        Place::Target { overflow, .. } => Some(overflow),
        Place::Slot { .. } => None,
    }
}

proptest! {
    #[test]
    fn limits_hold_and_everything_is_returned(
        steps in steps(),
        cap in prop::option::of(1_u32..5),
        has_rate in any::<bool>(),
    ) {
        let concurrency = [30, 10];
        let mut limiter = Limiter::new(concurrency, 3);
        let rate = Rate::new(5.0, 3).filter(|_| has_rate);
        let limits = TargetLimits { in_flight: cap, rate, ..limits() };
        let (mut now, mut permits, mut tickets) = (NOW, Vec::new(), Vec::new());
        let mut most_permits = 0;
        let keep = |decision, permits: &mut Vec<Permit>, tickets: &mut Vec<Ticket>| match decision {
            LimitDecision::Admit(permit) => permits.push(permit),
            LimitDecision::Wait(ticket) => tickets.push(ticket),
            LimitDecision::Defer { .. } => {}
        };
        for step in steps {
            match step {
                LimiterStep::Advance(millis) => now += Duration::from_millis(millis),
                LimiterStep::Admit(key, app, retry) => {
                    let queue = if retry { WorkQueue::Retry } else { WorkQueue::First };
                    let key = match key < 3 {
                        true => callee(&key.to_string()),
                        false => url(key.into()),
                    };
                    let app = format!("app{app}");
                    let decision = admit_for(&mut limiter, &app, (&key, queue), &limits, now);
                    keep(decision, &mut permits, &mut tickets);
                }
                LimiterStep::Complete(which, health) if !permits.is_empty() => {
                    let health = [
                        HealthSignal::Success,
                        HealthSignal::Failure,
                        HealthSignal::Neutral,
                    ][usize::from(health)];
                    let sample = if which % 2 == 0 { fast() } else { sample(health) };
                    let permit = permits.swap_remove(which % permits.len());
                    limiter.complete(permit, &sample, now);
                }
                LimiterStep::Retry(which) if !tickets.is_empty() => {
                    let ticket = tickets.swap_remove(which % tickets.len());
                    let decision = limiter.retry_admission(ticket, &terms(&limits), now);
                    keep(decision, &mut permits, &mut tickets);
                }
                LimiterStep::Expire(which) if !tickets.is_empty() => {
                    limiter.expire(tickets.swap_remove(which % tickets.len()), None, now);
                }
                _ => {}
            }
            for (pool, alone) in limiter.slots.iter().zip(concurrency) {
                prop_assert!(pool.used() <= alone + alone.div_ceil(3));
            }
            let used: u32 = limiter.slots.iter().map(|pool| pool.used()).sum();
            prop_assert_eq!(used as usize, permits.len());
            for app in limiter.apps.iter() {
                for (queue, alone) in [(WorkQueue::First, 30), (WorkQueue::Retry, 10)] {
                    prop_assert!(app.held(queue) <= alone);
                }
            }
            prop_assert!(limiter.waiting[0].used() <= 7 + 3 && limiter.waiting[1].used() <= 2 + 1);
            let waiting: u32 = limiter.waiting.iter().map(|pool| pool.used()).sum();
            let places: Vec<Option<bool>> = tickets.iter().map(waits_for_target).collect();
            let count = |place| places.iter().filter(|it| **it == place).count();
            prop_assert_eq!(waiting as usize, count(Some(false)));
            let for_slots: u32 = limiter.waiting_for_slot.iter().sum();
            prop_assert_eq!(for_slots as usize, count(None));
            // A call of 5 ms, rounded up, fits at most nine times into 50 ms.
            let overflow = count(Some(true));
            prop_assert!(overflow <= 6 * 2 * 9 * 5, "{overflow}");
            for stats in limiter.top(100, now).targets {
                let max = cap.unwrap_or(3 + 1);
                prop_assert!(stats.in_flight <= max, "{}", stats.in_flight);
            }
            most_permits = most_permits.max(permits.len());
            let circuits: usize = limiter.targets.iter().map(|it| it.circuits.len()).sum();
            prop_assert_eq!(limiter.circuits, circuits);
            prop_assert!(circuits <= 3 + most_permits, "{circuits}");
        }
        for ticket in tickets {
            limiter.cancel(ticket);
        }
        for permit in permits {
            limiter.complete(permit, &CallSample::unknown(), now);
        }
        prop_assert_eq!(limiter.waiting.map(SharedPool::used), [0, 0]);
        prop_assert_eq!(limiter.slots.map(SharedPool::used), [0, 0]);
        prop_assert_eq!(limiter.waiting_for_slot, [0, 0]);
        prop_assert!(limiter.targets.iter().all(TargetState::is_idle));
        prop_assert!(limiter.apps.iter().all(AppUsage::is_idle));
    }
}
