//! When does a breaker open, probe and close?

use super::*;
use proptest::prelude::*;

const CAP: u32 = 8;

fn rules() -> BreakerRules {
    BreakerRules {
        share: 0.5,
        calls: 4,
        window: Duration::from_secs(10),
        open: Duration::from_secs(15),
        open_most: Duration::from_secs(60),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn call(breaker: &mut Breaker, end: End, now: Duration) -> bool {
    breaker.admits(now).unwrap();
    let through = breaker.go();
    breaker.ended(through, end, CAP, &rules(), now)
}

/// A breaker that opened at `now`.
fn opened(now: Duration) -> Breaker {
    let mut breaker = Breaker::new();
    for _ in 0..3 {
        assert!(!call(&mut breaker, End::Failure, now));
    }
    assert!(call(&mut breaker, End::Failure, now));
    breaker
}

#[test]
fn it_opens_at_the_share_of_failures_and_not_before_enough_calls() {
    let mut breaker = Breaker::new();
    let now = seconds(100);
    assert!(!call(&mut breaker, End::Failure, now));
    assert!(!call(&mut breaker, End::Failure, now));
    assert!(!call(&mut breaker, End::Success, now));
    assert!(!call(&mut breaker, End::Neutral, now));
    assert!(call(&mut breaker, End::Success, now)); // 2 of 4
    assert_eq!(breaker.admits(now), Err(Shut { until: seconds(15) }));
    assert_eq!(breaker.seen(now), (BreakerState::Open, Some(seconds(15))));
}

#[test]
fn failures_beyond_the_window_are_forgotten() {
    let mut breaker = Breaker::new();
    for _ in 0..3 {
        call(&mut breaker, End::Failure, seconds(100));
    }
    assert!(!call(&mut breaker, End::Failure, seconds(111)));
    assert_eq!(breaker.window(), (1, 1));
}

#[test]
fn without_a_least_number_of_calls_it_never_opens() {
    let mut breaker = Breaker::new();
    let off = BreakerRules {
        calls: 0,
        ..rules()
    };
    for _ in 0..1_000 {
        let through = breaker.go();
        assert!(!breaker.ended(through, End::Failure, CAP, &off, seconds(1)));
    }
}

#[test]
fn one_probe_goes_and_successes_double_what_may_go_until_it_closes() {
    let mut breaker = opened(seconds(100));
    let now = seconds(115);
    assert_eq!(breaker.admits(now), Ok(()));
    let probe = breaker.go();
    assert_eq!(
        breaker.admits(now),
        Err(Shut {
            until: Duration::ZERO
        })
    );
    breaker.ended(probe, End::Success, CAP, &rules(), now);
    for allowed in [2, 4] {
        let passes: Vec<_> = (0..allowed)
            .map(|_| {
                breaker.admits(now).unwrap();
                breaker.go()
            })
            .collect();
        assert!(breaker.admits(now).is_err(), "{allowed}");
        assert_eq!(breaker.seen(now).0, BreakerState::HalfOpen);
        let (last, others) = passes.split_last().unwrap();
        for pass in others {
            breaker.ended(*pass, End::Neutral, CAP, &rules(), now);
        }
        breaker.ended(*last, End::Success, CAP, &rules(), now);
    }
    assert_eq!(breaker.seen(now).0, BreakerState::Closed);
}

#[test]
fn a_probe_that_fails_doubles_the_time_and_a_minute_is_the_most() {
    let mut breaker = opened(seconds(0));
    let mut now = seconds(15);
    for open in [30, 60, 60] {
        assert!(call(&mut breaker, End::Failure, now));
        assert_eq!(breaker.seen(now).1, Some(seconds(open)));
        now += seconds(open);
    }
}

#[test]
fn what_began_before_the_opening_neither_closes_nor_opens_it() {
    let now = seconds(100);
    let mut breaker = Breaker::new();
    let early: Vec<_> = (0..6).map(|_| breaker.go()).collect();
    for pass in &early[..4] {
        breaker.ended(*pass, End::Failure, CAP, &rules(), now);
    }
    assert!(!breaker.ended(early[4], End::Success, CAP, &rules(), now));
    assert!(breaker.admits(now).is_err());
    breaker.admits(seconds(115)).unwrap();
    assert!(!breaker.ended(early[5], End::Failure, CAP, &rules(), seconds(115)));
    assert_eq!(breaker.seen(seconds(115)).0, BreakerState::HalfOpen);
}

#[derive(Debug, Clone)]
enum Step {
    Begin,
    End(usize, u8),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        Just(Step::Begin),
        (any::<usize>(), 0_u8..3).prop_map(|(which, end)| Step::End(which, end)),
        (0_u64..30_000).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn nothing_goes_while_it_is_open_and_no_more_than_the_ramp_while_half_open(steps in steps()) {
        let mut breaker = Breaker::new();
        let (mut now, mut flying) = (Duration::ZERO, Vec::new());
        for step in steps {
            match step {
                Step::Pass(millis) => now += Duration::from_millis(millis),
                Step::Begin => {
                    let open = matches!(breaker.seen(now), (BreakerState::Open, _));
                    let admitted = breaker.admits(now).is_ok();
                    prop_assert!(!(open && admitted));
                    if admitted {
                        flying.push(breaker.go());
                    }
                    if let State::HalfOpen { allowed, probing } = breaker.state {
                        prop_assert!(probing <= allowed && allowed < CAP);
                        let of_now = flying.iter().filter(|it| it.0 == breaker.epoch).count();
                        prop_assert_eq!(u32::try_from(of_now).unwrap(), probing);
                    }
                }
                Step::End(which, end) if !flying.is_empty() => {
                    let pass = flying.swap_remove(which % flying.len());
                    let end = [End::Success, End::Failure, End::Neutral][usize::from(end)];
                    breaker.ended(pass, end, CAP, &rules(), now);
                }
                Step::End(..) => {}
            }
        }
        // However it stands, a minute of quiet and it probes.
        prop_assert!(flying.iter().any(|it| it.0 == breaker.epoch)
            || breaker.admits(now + seconds(60)).is_ok());
    }
}
