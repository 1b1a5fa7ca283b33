//! Shares of apps: nobody's slots are idle, and no app keeps another waiting.

use super::tests::{
    NOW, admit_for, admitted, callee, deferred, fast, limits, queued, sample, terms, url,
};
use super::*;
use crate::limits::{BreakerRules, BreakerState, HealthSignal};

const C: u32 = 24;
/// So many that the cap of a target is never reached.
const TARGETS: u32 = 100;

fn limiter() -> Limiter {
    Limiter::new([C, C], 1_000)
}

/// Asks for calls of this app to many targets, until none is admitted.
fn take_all(limiter: &mut Limiter, app: &str, queue: WorkQueue, now: Duration) -> Vec<Permit> {
    let mut permits = Vec::new();
    for number in 0..TARGETS {
        match admit_for(limiter, app, (&url(number), queue), &limits(), now) {
            LimitDecision::Admit(permit) => permits.push(permit),
            LimitDecision::Wait(ticket) => limiter.cancel(ticket),
            LimitDecision::Defer { reason, .. } => assert_eq!(reason, DeferReason::AppInFlight),
        }
    }
    permits
}

/// Limits that no target reaches.
fn wide() -> TargetLimits {
    TargetLimits {
        in_flight: Some(1_000),
        ..limits()
    }
}

fn ask(limiter: &mut Limiter, app: &str, now: Duration) -> LimitDecision {
    let target = url(TARGETS + 1);
    admit_for(limiter, app, (&target, WorkQueue::First), &wide(), now)
}

#[test]
fn an_app_alone_has_the_whole_concurrency_of_each_queue_and_a_newcomer_finds_a_slot() {
    let mut limiter = limiter();
    for queue in [WorkQueue::First, WorkQueue::Retry] {
        let evil = take_all(&mut limiter, "evil", queue, NOW);
        assert_eq!(evil.len(), 24);
        // A third of it is left for others, of which the next greedy one takes its part.
        let other = take_all(&mut limiter, "other", queue, NOW);
        assert_eq!(other.len(), 6);
        let victim = admit_for(
            &mut limiter,
            "victim",
            (&url(TARGETS), queue),
            &limits(),
            NOW,
        );
        limiter.complete(admitted(victim), &fast(), NOW);
        for permit in evil.into_iter().chain(other) {
            limiter.complete(permit, &fast(), NOW);
        }
    }
}

#[test]
fn greedy_apps_end_at_equal_shares_and_leave_a_slot() {
    let mut limiter = limiter();
    let mut held = take_all(&mut limiter, "app0", WorkQueue::First, NOW);
    // Calls end one by one, and all apps want more than there is.
    for step in 0..1_000 {
        let ended = held.remove(step * 7 % held.len());
        limiter.complete(ended, &fast(), NOW);
        for app in 0..5 {
            let app = format!("app{}", (step + app) % 5);
            match ask(&mut limiter, &app, NOW) {
                LimitDecision::Admit(permit) => held.push(permit),
                LimitDecision::Wait(ticket) => limiter.cancel(ticket),
                LimitDecision::Defer { .. } => {}
            }
        }
    }
    let shares: Vec<u32> = limiter
        .apps
        .iter()
        .map(|app| app.held(WorkQueue::First))
        .collect();
    assert!(
        shares.iter().all(|held| (4..=8).contains(held)),
        "{shares:?}"
    );
    admitted(ask(&mut limiter, "newcomer", NOW)).forget();
}

impl Permit {
    /// The call goes on beyond the test.
    fn forget(self) {
        drop(self);
    }
}

#[test]
fn with_more_apps_than_slots_each_has_one_message_in_the_line() {
    let mut limiter = limiter();
    let mut held = Vec::new();
    for app in 0..C + C / 3 {
        held.push(admitted(ask(&mut limiter, &format!("app{app}"), NOW)));
        limiter.complete(held.pop().unwrap(), &fast(), NOW);
        let target = url(app);
        let asked = (&target, WorkQueue::First);
        held.push(admitted(admit_for(
            &mut limiter,
            &format!("app{app}"),
            asked,
            &limits(),
            NOW,
        )));
    }
    let waits = queued(ask(&mut limiter, "late", NOW));
    assert!(matches!(waits.place(), Place::Slot { .. }));
    let (reason, _) = deferred(ask(&mut limiter, "late", NOW));
    assert_eq!(reason, DeferReason::AppInFlight);
    // A slot comes free: it is for the one that waits, not for one that holds another.
    limiter.complete(held.pop().unwrap(), &fast(), NOW);
    let greedy = ask(&mut limiter, "app0", NOW);
    assert!(!matches!(greedy, LimitDecision::Admit(_)), "{greedy:?}");
    admitted(limiter.retry_admission(waits, &terms(&limits()), NOW)).forget();
}

#[test]
fn over_its_share_a_message_is_deferred_at_once_unless_its_slot_comes_soon() {
    let mut limiter = limiter();
    // Another app was here: `evil` is not alone.
    let seen = admitted(ask(&mut limiter, "victim", NOW));
    limiter.complete(seen, &fast(), NOW);
    let mut evil = take_all(&mut limiter, "evil", WorkQueue::First, NOW);
    let later = NOW + Duration::from_secs(1);
    let (reason, _) = deferred(ask(&mut limiter, "evil", later));
    assert_eq!(reason, DeferReason::AppInFlight);
    // Its calls end at a rate of 1,000 a second: 50 of them within 50 ms, of which a quarter of the
    // concurrency may wait.
    let mut now = later;
    for _ in 0..2_000 {
        now += Duration::from_millis(1);
        limiter.complete(evil.remove(0), &fast(), now);
        evil.push(admitted(ask(&mut limiter, "evil", now)));
    }
    let waiting: Vec<Ticket> = (0..6)
        .map(|_| queued(ask(&mut limiter, "evil", now)))
        .collect();
    deferred(ask(&mut limiter, "evil", now));
    assert_eq!(waiting[0].max_wait(&limits()), Duration::from_millis(200));
    // One that comes later does not overtake those that wait.
    limiter.complete(evil.remove(0), &fast(), now);
    deferred(ask(&mut limiter, "evil", now));
    for ticket in waiting {
        limiter.cancel(ticket);
    }
    evil.push(admitted(ask(&mut limiter, "evil", now)));
    // They end no longer.
    let later = now + Duration::from_millis(51);
    deferred(ask(&mut limiter, "evil", later));
}

#[test]
fn an_app_that_is_alone_waits_while_its_calls_end_and_not_once_they_hang() {
    let mut limiter = limiter();
    let evil = take_all(&mut limiter, "evil", WorkQueue::First, NOW);
    let waiting: Vec<Ticket> = (0..500)
        .map(|_| queued(ask(&mut limiter, "evil", NOW)))
        .collect();
    let hangs = NOW + Duration::from_millis(2_001);
    deferred(ask(&mut limiter, "evil", hangs));
    for ticket in waiting {
        let (reason, _) = limiter.expire(ticket, None, hangs);
        assert_eq!(reason, DeferReason::AppInFlight);
    }
    // A newcomer is admitted, and for a minute after it nobody is alone.
    let victim = admitted(ask(&mut limiter, "victim", hangs));
    limiter.complete(victim, &fast(), hangs);
    let mut evil = evil.into_iter();
    limiter.complete(evil.next().unwrap(), &fast(), hangs);
    let _again = admitted(ask(&mut limiter, "evil", hangs));
    deferred(ask(&mut limiter, "evil", hangs));
    let later = hangs + Duration::from_secs(61);
    limiter.complete(evil.next().unwrap(), &fast(), later);
    let _again = admitted(ask(&mut limiter, "evil", later));
    let waits = queued(ask(&mut limiter, "evil", later));
    limiter.cancel(waits);
}

#[test]
fn deferred_messages_return_at_the_rate_of_the_apps_calls() {
    let mut limiter = limiter();
    let seen = admitted(ask(&mut limiter, "victim", NOW));
    limiter.complete(seen, &fast(), NOW);
    let mut evil = take_all(&mut limiter, "evil", WorkQueue::First, NOW);
    // Nothing is known yet: as if a call took a second.
    let delays: Vec<Duration> = (0..48)
        .map(|_| deferred(ask(&mut limiter, "evil", NOW)).1)
        .collect();
    assert!((1.0..=3.0).contains(&(delays[47].as_secs_f64() - delays[0].as_secs_f64())));
    // 10 calls a second end, for 20 s.
    let mut now = NOW;
    for _ in 0..200 {
        now += Duration::from_millis(100);
        limiter.complete(evil.remove(0), &fast(), now);
        evil.push(admitted(ask(&mut limiter, "evil", now)));
    }
    let later = now + Duration::from_millis(60);
    let delays: Vec<Duration> = (0..150)
        .map(|_| deferred(ask(&mut limiter, "evil", later)).1)
        .collect();
    let spread = delays[149].as_secs_f64() - delays[0].as_secs_f64();
    assert!(
        (8.0..=13.0).contains(&spread),
        "150 at 15 a second: {spread}"
    );
}

#[test]
fn an_explicit_cap_counts_both_queues() {
    let mut limiter = limiter();
    let limits = limits();
    let ask = |limiter: &mut Limiter, number, queue| {
        let request = AdmissionRequest {
            app_id: "app",
            key: &url(number),
            queue,
            terms: Terms {
                app_cap: Some(2),
                ..terms(&limits)
            },
        };
        limiter.admit(&request, NOW)
    };
    let first = admitted(ask(&mut limiter, 1, WorkQueue::First));
    admitted(ask(&mut limiter, 2, WorkQueue::Retry)).forget();
    let waits = queued(ask(&mut limiter, 3, WorkQueue::First));
    let terms = Terms {
        app_cap: Some(2),
        ..terms(&limits)
    };
    let waits = queued(limiter.retry_admission(waits, &terms, NOW));
    limiter.complete(first, &fast(), NOW);
    admitted(limiter.retry_admission(waits, &terms, NOW)).forget();
}

#[test]
fn a_breaker_and_a_hold_are_those_of_one_app_but_of_all_apps_at_a_callee() {
    let breaker = BreakerRules {
        min_calls: 2,
        ..BreakerRules::default()
    };
    let limits = TargetLimits {
        breaker,
        ..limits()
    };
    let hold = CallSample {
        hold: Some(Duration::from_secs(60)),
        ..sample(HealthSignal::Success)
    };
    for (key, is_shared) in [(url(1), false), (callee("EO001"), true)] {
        let mut limiter = limiter();
        let ask = |limiter: &mut Limiter, app: &str| {
            admit_for(limiter, app, (&key, WorkQueue::First), &limits, NOW)
        };
        for _ in 0..2 {
            let permit = admitted(ask(&mut limiter, "evil"));
            assert_eq!(permit.circuit_of().is_none(), is_shared);
            limiter.complete(permit, &sample(HealthSignal::Failure), NOW);
        }
        let (reason, _) = deferred(ask(&mut limiter, "evil"));
        assert_eq!(reason, DeferReason::BreakerOpen);
        let victim = ask(&mut limiter, "victim");
        if is_shared {
            assert_eq!(deferred(victim).0, DeferReason::BreakerOpen);
            continue;
        }
        limiter.complete(admitted(victim), &hold, NOW);
        assert_eq!(
            deferred(ask(&mut limiter, "victim")).0,
            DeferReason::RetryAfter
        );
        let third = admitted(ask(&mut limiter, "third"));
        let stats = &limiter.top(1, NOW).targets[0];
        assert_eq!(
            (stats.breaker, stats.breakers_not_closed),
            (BreakerState::Open, 1)
        );
        assert_eq!(stats.apps_not_closed, ["evil".into()]);
        assert_eq!(stats.probe_in, Some(breaker.open_duration));
        assert_eq!(stats.held_for, Some(Duration::from_secs(60)));
        limiter.complete(third, &fast(), NOW);
    }
}

#[test]
fn a_message_of_another_app_may_wait_at_a_target_whose_places_one_app_has_taken() {
    let (mut limiter, key) = (limiter(), callee("EO001"));
    let limits = TargetLimits {
        in_flight: Some(1),
        ..limits()
    };
    let ask = |limiter: &mut Limiter, app: &str| {
        admit_for(limiter, app, (&key, WorkQueue::First), &limits, NOW)
    };
    let _calls = admitted(ask(&mut limiter, "evil"));
    let _evil = queued(ask(&mut limiter, "evil"));
    assert_eq!(deferred(ask(&mut limiter, "evil")).0, DeferReason::InFlight);
    let victim = queued(ask(&mut limiter, "victim"));
    assert!(matches!(victim.place(), Place::Target { .. }));
    deferred(ask(&mut limiter, "third"));
}

#[test]
fn apps_and_circuits_are_bounded_and_an_open_breaker_is_kept_longest() {
    let mut limiter = Limiter::new([C, C], 1_000);
    let breaker = BreakerRules {
        min_calls: 1,
        ..BreakerRules::default()
    };
    let limits = TargetLimits {
        breaker,
        ..limits()
    };
    for number in 0..20_000_u32 {
        let now = NOW + Duration::from_micros(number.into());
        // One host, and an app id of each caller's own.
        let app = format!("app{number}");
        let permit = admitted(admit_for(
            &mut limiter,
            &app,
            (&url(1), WorkQueue::First),
            &limits,
            now,
        ));
        let health = match number {
            0 => HealthSignal::Failure,
            _ => HealthSignal::Success,
        };
        limiter.complete(permit, &sample(health), now);
        assert!(limiter.apps.len() <= 1_000 && limiter.circuits <= 1_000);
    }
    let (reason, _) = deferred(admit_for(
        &mut limiter,
        "app0",
        (&url(1), WorkQueue::First),
        &limits,
        NOW + Duration::from_secs(1),
    ));
    assert_eq!(reason, DeferReason::BreakerOpen);
}
