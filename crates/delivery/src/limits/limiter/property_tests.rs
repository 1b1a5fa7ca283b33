//! The bounds hold for all sequences of steps.

use proptest::prelude::*;

use super::tests::{NOW, callee, fast, limits, sample};
use super::*;
use crate::limits::{HealthSignal, Rate};

#[derive(Debug, Clone)]
enum LimiterStep {
    Admit(u8, bool),
    Complete(usize, u8),
    Retry(usize),
    Expire(usize),
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<LimiterStep>> {
    let step = prop_oneof![
        4 => (0_u8..5, any::<bool>()).prop_map(|(key, retry)| LimiterStep::Admit(key, retry)),
        2 => (any::<usize>(), 0_u8..3).prop_map(|(which, end)| LimiterStep::Complete(which, end)),
        1 => any::<usize>().prop_map(LimiterStep::Retry),
        1 => any::<usize>().prop_map(LimiterStep::Expire),
        1 => (0_u64..5_000).prop_map(LimiterStep::Advance),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #[test]
    fn limits_hold_and_everything_is_returned(
        steps in steps(),
        cap in prop::option::of(1_u32..5),
    ) {
        let mut limiter = Limiter::new([30, 10], 3);
        let limits = TargetLimits { in_flight: cap, rate: Rate::new(5.0, 3), ..limits() };
        let (mut now, mut permits, mut tickets) = (NOW, Vec::new(), Vec::new());
        let keep = |decision, permits: &mut Vec<Permit>, tickets: &mut Vec<Ticket>| match decision {
            LimitDecision::Admit(permit) => permits.push(permit),
            LimitDecision::Wait(ticket) => tickets.push(ticket),
            LimitDecision::Defer { .. } => {}
        };
        for step in steps {
            match step {
                LimiterStep::Advance(millis) => now += Duration::from_millis(millis),
                LimiterStep::Admit(key, retry) => {
                    let queue = if retry { WorkQueue::Retry } else { WorkQueue::First };
                    let key = callee(&key.to_string());
                    let decision = limiter.admit(&key, queue, &limits, false, now);
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
                    let decision = limiter.retry_admission(ticket, &limits, false, now);
                    keep(decision, &mut permits, &mut tickets);
                }
                LimiterStep::Expire(which) if !tickets.is_empty() => {
                    limiter.expire(tickets.swap_remove(which % tickets.len()));
                }
                _ => {}
            }
            prop_assert!(limiter.waiting[0] <= 7 && limiter.waiting[1] <= 2);
            let waiting: usize = limiter.waiting.iter().map(|count| *count as usize).sum();
            let within_limit = tickets.iter().filter(|ticket| !ticket.overflow);
            prop_assert_eq!(waiting, within_limit.count());
            // A call of 5 ms, rounded up, fits at most nine times into 50 ms.
            let overflow = tickets.iter().filter(|ticket| ticket.overflow).count();
            prop_assert!(overflow <= 3 * 2 * 9 * 5, "{overflow}");
            for stats in limiter.top(100, now).targets {
                let max = cap.unwrap_or(3 + 1);
                prop_assert!(stats.in_flight <= max, "{}", stats.in_flight);
            }
        }
        for ticket in tickets {
            limiter.cancel(ticket);
        }
        for permit in permits {
            limiter.complete(permit, &CallSample::unknown(), now);
        }
        prop_assert_eq!(limiter.waiting, [0, 0]);
        prop_assert!(limiter.targets.iter().flatten().all(TargetState::is_idle));
    }
}
