//! Caps, rates, waiting messages and memory stay within their bounds.

use super::*;
use crate::limits::{BreakerRules, BreakerState, HealthSignal, OpenReason, Rate};
use crate::target_url::TargetUrl;
use std::sync::Arc;

const CONCURRENCY: [u32; 2] = [80, 20];
pub(super) const NOW: Duration = Duration::from_secs(1_000);

fn limiter() -> Limiter {
    Limiter::new(CONCURRENCY, 100)
}

pub(super) fn callee(no: &str) -> LimitKey {
    LimitKey::Callee(Arc::from(no))
}

/// The target of a caller's URL.
pub(super) fn url(number: u32) -> LimitKey {
    let url = TargetUrl::parse(&format!("http://host{number}.example/")).unwrap();
    LimitKey::Target(url.target())
}

pub(super) fn limits() -> TargetLimits {
    TargetLimits::default()
}

pub(super) fn terms(limits: &TargetLimits) -> Terms<'_> {
    Terms {
        limits,
        app_cap: None,
        paused: false,
    }
}

/// Asks for a message of this app.
pub(super) fn admit_for(
    limiter: &mut Limiter,
    app_id: &str,
    (key, queue): (&LimitKey, WorkQueue),
    limits: &TargetLimits,
    now: Duration,
) -> LimitDecision {
    let request = AdmissionRequest {
        app_id,
        key,
        queue,
        terms: terms(limits),
    };
    limiter.admit(&request, now)
}

fn admit(limiter: &mut Limiter, key: &LimitKey, queue: WorkQueue) -> LimitDecision {
    admit_for(limiter, "app", (key, queue), &limits(), NOW)
}

fn admit_paused(limiter: &mut Limiter, key: &LimitKey, now: Duration) -> LimitDecision {
    let limits = limits();
    let request = AdmissionRequest {
        app_id: "app",
        key,
        queue: WorkQueue::First,
        terms: Terms {
            paused: true,
            ..terms(&limits)
        },
    };
    limiter.admit(&request, now)
}

pub(super) fn admitted(decision: LimitDecision) -> Permit {
    match decision {
        LimitDecision::Admit(permit) => permit,
        other => panic!("{other:?}"),
    }
}

pub(super) fn queued(decision: LimitDecision) -> Ticket {
    match decision {
        LimitDecision::Wait(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

pub(super) fn deferred(decision: LimitDecision) -> (DeferReason, Duration) {
    match decision {
        LimitDecision::Defer { reason, after } => (reason, after),
        other => panic!("{other:?}"),
    }
}

pub(super) fn sample(health: HealthSignal) -> CallSample {
    CallSample {
        health,
        hold: None,
        duration: Some(Duration::from_secs(5)),
        ..CallSample::unknown()
    }
}

fn turn(ticket: &Ticket) -> Duration {
    match ticket.place() {
        Place::Target {
            turn: Some(turn), ..
        } => turn,
        other => panic!("{other:?}"),
    }
}

/// The sample of a short call.
pub(super) fn fast() -> CallSample {
    CallSample {
        duration: Some(Duration::from_millis(5)),
        ..sample(HealthSignal::Success)
    }
}

#[test]
fn a_target_has_a_tenth_of_each_queue_then_messages_wait_and_then_are_deferred() {
    let (mut limiter, key) = (limiter(), callee("EO001"));
    for (queue, cap, max_waiting) in [(WorkQueue::First, 8, 8), (WorkQueue::Retry, 2, 2)] {
        let permits: Vec<_> = (0..cap)
            .map(|_| admitted(admit(&mut limiter, &key, queue)))
            .collect();
        let tickets: Vec<_> = (0..max_waiting)
            .map(|_| queued(admit(&mut limiter, &key, queue)))
            .collect();
        let (reason, _) = deferred(admit(&mut limiter, &key, queue));
        assert_eq!(reason, DeferReason::InFlight);
        // Another target is not affected.
        let other = admitted(admit(&mut limiter, &callee("EO002"), queue));
        limiter.complete(other, &sample(HealthSignal::Success), NOW);
        for ticket in tickets {
            let (reason, _) = limiter.expire(ticket, None, NOW);
            assert_eq!(reason, DeferReason::InFlight);
        }
        for permit in permits {
            limiter.complete(permit, &sample(HealthSignal::Success), NOW);
        }
    }
    let stats = &limiter.top(10, NOW).targets[0];
    assert_eq!(
        (stats.in_flight, stats.waiting, stats.deferrals),
        (0, 0, 12)
    );
    assert_eq!(stats.attempts, [10, 0, 0]);
}

#[test]
fn a_configured_cap_counts_both_queues() {
    let (mut limiter, key) = (limiter(), callee("EO001"));
    let limits = TargetLimits {
        in_flight: Some(2),
        ..limits()
    };
    let first = admitted(admit_for(
        &mut limiter,
        "app",
        (&key, WorkQueue::First),
        &limits,
        NOW,
    ));
    let retry = admitted(admit_for(
        &mut limiter,
        "app",
        (&key, WorkQueue::Retry),
        &limits,
        NOW,
    ));
    let waits = queued(admit_for(
        &mut limiter,
        "app",
        (&key, WorkQueue::First),
        &limits,
        NOW,
    ));
    limiter.complete(retry, &sample(HealthSignal::Success), NOW);
    let permit = admitted(limiter.retry_admission(waits, &terms(&limits), NOW));
    limiter.complete(permit, &sample(HealthSignal::Success), NOW);
    limiter.complete(first, &sample(HealthSignal::Success), NOW);
    assert_eq!(limiter.top(1, NOW).targets[0].in_flight, 0);
}

#[test]
fn a_later_message_does_not_overtake_those_that_wait() {
    let (mut limiter, key) = (limiter(), callee("EO001"));
    let mut permits: Vec<_> = (0..8)
        .map(|_| admitted(admit(&mut limiter, &key, WorkQueue::First)))
        .collect();
    let waits = queued(admit(&mut limiter, &key, WorkQueue::First));
    limiter.complete(permits.remove(0), &sample(HealthSignal::Success), NOW);
    let later = queued(admit(&mut limiter, &key, WorkQueue::First));
    let permit = admitted(limiter.retry_admission(waits, &terms(&limits()), NOW));
    limiter.complete(permit, &sample(HealthSignal::Success), NOW);
    let permit = admitted(limiter.retry_admission(later, &terms(&limits()), NOW));
    limiter.complete(permit, &sample(HealthSignal::Success), NOW);
    for permit in permits {
        limiter.complete(permit, &sample(HealthSignal::Success), NOW);
    }
}

#[test]
fn one_targets_messages_leave_room_for_others_and_all_together_have_a_quarter() {
    let mut limiter = limiter();
    let mut held = Vec::new();
    for no in ["a", "b", "c"] {
        for _ in 0..8 {
            held.push(admitted(admit(&mut limiter, &callee(no), WorkQueue::First)));
        }
    }
    let mut tickets = Vec::new();
    for (no, max_waiting) in [("a", 8), ("b", 8), ("c", 4)] {
        for _ in 0..max_waiting {
            tickets.push(queued(admit(&mut limiter, &callee(no), WorkQueue::First)));
        }
        deferred(admit(&mut limiter, &callee(no), WorkQueue::First));
    }
    assert_eq!(tickets.len(), 20);
}

#[test]
fn a_fast_target_may_have_as_many_messages_waiting_as_it_takes_in_50_ms_until_it_stops() {
    let (mut limiter, key) = (limiter(), callee("EO001"));
    let ask = |limiter: &mut Limiter, now| {
        admit_for(limiter, "app", (&key, WorkQueue::First), &limits(), now)
    };
    let known = admitted(ask(&mut limiter, NOW));
    limiter.complete(known, &fast(), NOW);
    let _calls: Vec<Permit> = (0..8).map(|_| admitted(ask(&mut limiter, NOW))).collect();
    let decisions: Vec<LimitDecision> = (0..200).map(|_| ask(&mut limiter, NOW)).collect();
    let mut waiting: Vec<Ticket> = Vec::new();
    for decision in decisions {
        match decision {
            LimitDecision::Wait(ticket) => waiting.push(ticket),
            other => assert_eq!(deferred(other).0, DeferReason::InFlight),
        }
    }
    // 5 ms, rounded up by at most 42 %: 7 to 10 rounds of 8 in 50 ms.
    assert!((56..=80).contains(&waiting.len()), "{}", waiting.len());
    // Only the 8 of this target count as waiting; other targets keep their share.
    assert_eq!(limiter.waiting.map(SharedPool::used), [8, 0]);
    let max_wait = |ticket: &Ticket| ticket.max_wait(&limits());
    assert_eq!(max_wait(&waiting[0]), Duration::from_secs(2));
    assert_eq!(max_wait(&waiting[8]), Duration::from_millis(200));
    // It was fast, but has not answered for 51 ms.
    let later = NOW + Duration::from_millis(51);
    let reason = |decision| deferred(decision).0;
    assert_eq!(reason(ask(&mut limiter, later)), DeferReason::InFlight);
    for ticket in waiting {
        limiter.cancel(ticket);
    }
    assert_eq!(limiter.waiting.map(SharedPool::used), [0, 0]);
    let none: TargetLimits = TargetLimits {
        queue_timeout: Duration::ZERO,
        ..limits()
    };
    let decision = admit_for(&mut limiter, "app", (&key, WorkQueue::First), &none, NOW);
    let reason = reason(decision);
    assert_eq!(reason, DeferReason::InFlight, "no message may wait");
}

#[test]
fn a_rate_admits_its_burst_then_gives_turns_to_each_app_then_defers() {
    let (mut limiter, key) = (limiter(), callee("EO001"));
    let rate = Rate::new(2.0, 1);
    let limits = TargetLimits { rate, ..limits() };
    let mut enter = |app| admit_for(&mut limiter, app, (&key, WorkQueue::First), &limits, NOW);
    let first = admitted(enter("app"));
    let mut turns: Vec<_> = (0..2).map(|_| queued(enter("app"))).collect();
    // One app takes at most half of the turns within the longest wait.
    let (reason, after) = deferred(enter("app"));
    assert_eq!((reason, after.as_millis()), (DeferReason::Rate, 1_500));
    turns.extend((0..2).map(|_| queued(enter("other"))));
    let due_ms: Vec<_> = turns
        .iter()
        .map(|ticket| turn(ticket).as_millis())
        .collect();
    assert_eq!(due_ms, [500, 1_000, 1_500, 2_000]);
    let (reason, _) = deferred(enter("third"));
    assert_eq!(reason, DeferReason::Rate);
    limiter.complete(first, &sample(HealthSignal::Success), NOW);
    for (turn, at) in turns.into_iter().zip(due_ms) {
        let now = NOW + Duration::from_millis(u64::try_from(at).unwrap());
        let permit = admitted(limiter.retry_admission(turn, &terms(&limits), now));
        limiter.complete(permit, &sample(HealthSignal::Success), now);
    }
}

#[test]
fn an_open_breaker_defers_until_its_probe() {
    let (mut limiter, key) = (limiter(), callee("EO001"));
    let breaker = BreakerRules {
        min_calls: 2,
        ..BreakerRules::default()
    };
    let limits = TargetLimits {
        breaker,
        ..limits()
    };
    for opens in [false, true] {
        let permit = admitted(admit_for(
            &mut limiter,
            "app",
            (&key, WorkQueue::First),
            &limits,
            NOW,
        ));
        assert_eq!(
            limiter.complete(permit, &sample(HealthSignal::Failure), NOW),
            opens
        );
    }
    let (reason, after) = deferred(admit_for(
        &mut limiter,
        "app",
        (&key, WorkQueue::Retry),
        &limits,
        NOW,
    ));
    assert_eq!(
        (reason, after),
        (DeferReason::BreakerOpen, breaker.open_duration)
    );
    let stats = limiter.top(1, NOW).targets.remove(0);
    assert_eq!(stats.breaker, BreakerState::Open);
    let later = NOW + breaker.open_duration;
    let probe = admitted(admit_for(
        &mut limiter,
        "app",
        (&key, WorkQueue::Retry),
        &limits,
        later,
    ));
    deferred(admit_for(
        &mut limiter,
        "app",
        (&key, WorkQueue::First),
        &limits,
        later,
    ));
    limiter.complete(probe, &CallSample::unknown(), later);
    let probe = admitted(admit_for(
        &mut limiter,
        "app",
        (&key, WorkQueue::First),
        &limits,
        later,
    ));
    limiter.complete(probe, &sample(HealthSignal::Success), later);
}

#[test]
fn retry_after_holds_the_target_and_a_pause_holds_it_in_any_state() {
    let (mut limiter, key) = (limiter(), callee("EO001"));
    let permit = admitted(admit(&mut limiter, &key, WorkQueue::First));
    let hold = Some(Duration::from_secs(7));
    limiter.complete(
        permit,
        &CallSample {
            hold,
            ..sample(HealthSignal::Success)
        },
        NOW,
    );
    let held = deferred(admit(&mut limiter, &key, WorkQueue::First));
    assert_eq!(held, (DeferReason::RetryAfter, Duration::from_secs(7)));
    let later = NOW + Duration::from_secs(7);
    let paused = deferred(admit_paused(&mut limiter, &key, later));
    assert_eq!(paused, (DeferReason::Paused, Duration::ZERO));
    let permit = admitted(admit_for(
        &mut limiter,
        "app",
        (&key, WorkQueue::First),
        &limits(),
        later,
    ));
    limiter.complete(permit, &sample(HealthSignal::Success), later);
}

#[test]
fn idle_targets_of_a_hundred_thousand_are_evicted_but_none_in_use_or_held() {
    let mut limiter = Limiter::new(CONCURRENCY, 1_000);
    let busy = admitted(admit_for(
        &mut limiter,
        "app",
        (&url(0), WorkQueue::First),
        &limits(),
        NOW,
    ));
    let held = admitted(admit_for(
        &mut limiter,
        "app",
        (&url(1), WorkQueue::First),
        &limits(),
        NOW,
    ));
    let hold = Some(Duration::from_secs(60));
    limiter.complete(
        held,
        &CallSample {
            hold,
            ..sample(HealthSignal::Success)
        },
        NOW,
    );
    for number in 2..100_000 {
        let now = NOW + Duration::from_micros(number.into());
        let permit = admitted(admit_for(
            &mut limiter,
            "app",
            (&url(number), WorkQueue::First),
            &limits(),
            now,
        ));
        limiter.complete(permit, &sample(HealthSignal::Success), now);
        assert!(limiter.targets.len() <= 1_000);
    }
    assert!(limiter.targets.len() <= 1_000);
    let (reason, _) = deferred(admit_for(
        &mut limiter,
        "app",
        (&url(1), WorkQueue::First),
        &limits(),
        NOW,
    ));
    assert_eq!(reason, DeferReason::RetryAfter);
    assert_eq!(limiter.key(busy.target()), Some(&url(0)));
    limiter.complete(busy, &sample(HealthSignal::Success), NOW);
    let top = limiter.top(20, NOW);
    assert_eq!(top.targets.len(), 20);
    let listed: u64 = top.targets.iter().map(|target| target.attempts[0]).sum();
    assert_eq!(listed + top.remainder.attempts[0], 100_000);
}

#[test]
fn messages_deferred_together_return_spread_out() {
    let (mut limiter, key) = (limiter(), callee("EO001"));
    // 8 and 2 are the caps of the queues: 80 a second return if nothing else is known.
    let delays: Vec<Duration> = (0..1_000)
        .map(|_| {
            let decision = admit_paused(&mut limiter, &key, NOW);
            deferred(decision).1
        })
        .collect();
    assert_eq!(delays[0], Duration::ZERO);
    for (second, within) in delays.chunks(80).enumerate() {
        let span = second as u128 * 1_000..=(second as u128 + 1) * 1_000;
        assert!(
            within.iter().all(|wait| span.contains(&wait.as_millis())),
            "{within:?}"
        );
    }
}

#[test]
fn an_answer_of_400_is_no_delivery_and_figures_outlive_the_opening_of_the_breaker() {
    use crate::Outcome;
    let (mut limiter, key) = (limiter(), callee("EO001"));
    let answered = |status| Outcome::Answered {
        status,
        retry_after: None,
    };
    let mut call = |outcome: &Outcome, now: Duration| {
        let permit = admitted(admit(&mut limiter, &key, WorkQueue::First));
        let sample = CallSample::of(outcome, Duration::from_millis(5));
        limiter.complete(permit, &sample.with_cause(Some("in words")), now);
        limiter.top(1, now).targets.remove(0)
    };
    for _ in 0..25 {
        call(&answered(400), NOW);
    }
    let stats = call(&answered(200), NOW);
    assert_eq!(stats.recent, [("answered_4xx", 25), ("delivered", 1)]);
    assert_eq!(stats.breaker, BreakerState::Closed);
    let error = stats.last_error.unwrap();
    assert_eq!(
        (error.outcome, error.http_status),
        ("answered_4xx", Some(400))
    );
    assert_eq!(error.cause.as_deref(), Some("in words"));
    let mut stats = stats_after(&mut call, &Outcome::ConnectionRefused);
    assert_eq!(stats.breaker, BreakerState::Open);
    let Some(OpenReason::Failures { failures, calls }) = stats.opened else {
        panic!("{:?}", stats.opened);
    };
    assert!(
        failures * 2 >= calls && calls >= 20,
        "{failures} of {calls}"
    );
    let refused = stats.recent.pop().unwrap();
    assert_eq!(refused, ("connection_refused", u64::from(failures)));
    assert_eq!(stats.last_error.unwrap().outcome, "connection_refused");
}

/// The figures once the breaker has opened.
fn stats_after(
    call: &mut impl FnMut(&crate::Outcome, Duration) -> TargetStats,
    outcome: &crate::Outcome,
) -> TargetStats {
    loop {
        let stats = call(outcome, NOW);
        if stats.breaker == BreakerState::Open {
            return stats;
        }
    }
}
