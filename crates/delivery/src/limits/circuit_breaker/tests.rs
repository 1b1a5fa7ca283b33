//! When a circuit breaker opens, probes and closes.

use super::*;
use proptest::prelude::*;

const CAP: u32 = 8;

fn rules() -> BreakerRules {
    BreakerRules {
        failure_ratio: 0.5,
        min_calls: 4,
        window: Duration::from_secs(10),
        open_duration: Duration::from_secs(15),
        max_open_duration: Duration::from_secs(60),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn call(breaker: &mut CircuitBreaker, health: HealthSignal, now: Duration) -> bool {
    breaker.check(now).unwrap();
    let token = breaker.admit();
    breaker.record(token, health, CAP, &rules(), now)
}

/// A breaker that opened at `now`.
fn opened(now: Duration) -> CircuitBreaker {
    let mut breaker = CircuitBreaker::new();
    for _ in 0..3 {
        assert!(!call(&mut breaker, HealthSignal::Failure, now));
    }
    assert!(call(&mut breaker, HealthSignal::Failure, now));
    breaker
}

#[test]
fn it_opens_at_the_failure_ratio_and_not_before_the_minimum_of_calls() {
    let mut breaker = CircuitBreaker::new();
    let now = seconds(100);
    assert!(!call(&mut breaker, HealthSignal::Failure, now));
    assert!(!call(&mut breaker, HealthSignal::Failure, now));
    assert!(!call(&mut breaker, HealthSignal::Success, now));
    assert!(!call(&mut breaker, HealthSignal::Neutral, now));
    assert!(call(&mut breaker, HealthSignal::Success, now)); // 2 of 4
    assert_eq!(
        breaker.check(now),
        Err(BreakerOpen {
            remaining: seconds(15)
        })
    );
    assert_eq!(breaker.state(now), (BreakerState::Open, Some(seconds(15))));
}

#[test]
fn failures_before_the_window_do_not_count() {
    let mut breaker = CircuitBreaker::new();
    for _ in 0..3 {
        call(&mut breaker, HealthSignal::Failure, seconds(100));
    }
    assert!(!call(&mut breaker, HealthSignal::Failure, seconds(111)));
    assert_eq!(breaker.window.totals(), (1, 1));
}

#[test]
fn without_a_minimum_of_calls_it_never_opens() {
    let mut breaker = CircuitBreaker::new();
    let off = BreakerRules {
        min_calls: 0,
        ..rules()
    };
    for _ in 0..1_000 {
        let token = breaker.admit();
        assert!(!breaker.record(token, HealthSignal::Failure, CAP, &off, seconds(1)));
    }
}

#[test]
fn one_probe_is_admitted_and_successes_double_the_limit_until_it_closes() {
    let mut breaker = opened(seconds(100));
    let now = seconds(115);
    assert_eq!(breaker.check(now), Ok(()));
    let probe = breaker.admit();
    assert_eq!(
        breaker.check(now),
        Err(BreakerOpen {
            remaining: Duration::ZERO
        })
    );
    breaker.record(probe, HealthSignal::Success, CAP, &rules(), now);
    for allowed in [2, 4] {
        let tokens: Vec<_> = (0..allowed)
            .map(|_| {
                breaker.check(now).unwrap();
                breaker.admit()
            })
            .collect();
        assert!(breaker.check(now).is_err(), "{allowed}");
        assert_eq!(breaker.state(now).0, BreakerState::HalfOpen);
        let (last, others) = tokens.split_last().unwrap();
        for token in others {
            breaker.record(*token, HealthSignal::Neutral, CAP, &rules(), now);
        }
        breaker.record(*last, HealthSignal::Success, CAP, &rules(), now);
    }
    assert_eq!(breaker.state(now).0, BreakerState::Closed);
}

#[test]
fn a_failed_probe_doubles_the_open_duration_up_to_a_minute() {
    let mut breaker = opened(seconds(0));
    let mut now = seconds(15);
    for open in [30, 60, 60] {
        assert!(call(&mut breaker, HealthSignal::Failure, now));
        assert_eq!(breaker.state(now).1, Some(seconds(open)));
        now += seconds(open);
    }
}

#[test]
fn a_probe_can_be_admitted_before_its_time() {
    let mut breaker = opened(seconds(100));
    let now = seconds(101);
    assert!(breaker.check(now).is_err());
    assert!(breaker.probe_now());
    assert_eq!(breaker.check(now), Ok(()));
    let probe = breaker.admit();
    assert!(breaker.check(now).is_err(), "one probe");
    assert!(!breaker.probe_now(), "it is half open");
    assert!(breaker.check(now).is_err());
    breaker.record(probe, HealthSignal::Success, 2, &rules(), now);
    assert!(breaker.is_closed());
    assert!(!breaker.probe_now());
}

#[test]
fn calls_from_before_the_opening_neither_close_nor_open_it() {
    let now = seconds(100);
    let mut breaker = CircuitBreaker::new();
    let early: Vec<_> = (0..6).map(|_| breaker.admit()).collect();
    for token in &early[..4] {
        breaker.record(*token, HealthSignal::Failure, CAP, &rules(), now);
    }
    assert!(!breaker.record(early[4], HealthSignal::Success, CAP, &rules(), now));
    assert!(breaker.check(now).is_err());
    breaker.check(seconds(115)).unwrap();
    assert!(!breaker.record(early[5], HealthSignal::Failure, CAP, &rules(), seconds(115)));
    assert_eq!(breaker.state(seconds(115)).0, BreakerState::HalfOpen);
}

#[derive(Debug, Clone)]
enum BreakerStep {
    Begin,
    Finish(usize, u8),
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<BreakerStep>> {
    let step = prop_oneof![
        Just(BreakerStep::Begin),
        (any::<usize>(), 0_u8..3).prop_map(|(which, end)| BreakerStep::Finish(which, end)),
        (0_u64..30_000).prop_map(BreakerStep::Advance),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn no_call_is_admitted_while_it_is_open_and_only_the_ramp_while_half_open(steps in steps()) {
        let mut breaker = CircuitBreaker::new();
        let (mut now, mut in_flight_calls) = (Duration::ZERO, Vec::new());
        for step in steps {
            match step {
                BreakerStep::Advance(millis) => now += Duration::from_millis(millis),
                BreakerStep::Begin => {
                    let open = matches!(breaker.state(now), (BreakerState::Open, _));
                    let admitted = breaker.check(now).is_ok();
                    prop_assert!(!(open && admitted));
                    if admitted {
                        in_flight_calls.push(breaker.admit());
                    }
                    if let CircuitState::HalfOpen { allowed, in_flight } = breaker.state {
                        prop_assert!(in_flight <= allowed && allowed < CAP);
                        let of_this_epoch = in_flight_calls.iter().filter(|call| call.0 == breaker.epoch).count();
                        prop_assert_eq!(u32::try_from(of_this_epoch).unwrap(), in_flight);
                    }
                }
                BreakerStep::Finish(which, end) if !in_flight_calls.is_empty() => {
                    let token = in_flight_calls.swap_remove(which % in_flight_calls.len());
                    let health = [HealthSignal::Success, HealthSignal::Failure, HealthSignal::Neutral][usize::from(end)];
                    breaker.record(token, health, CAP, &rules(), now);
                }
                BreakerStep::Finish(..) => {}
            }
        }
        // Whatever its state, it probes after a quiet minute.
        prop_assert!(in_flight_calls.iter().any(|call| call.0 == breaker.epoch)
            || breaker.check(now + seconds(60)).is_ok());
    }
}
