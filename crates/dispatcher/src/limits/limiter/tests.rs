//! Tests of the limiter: every permit and every place in a queue is released, however its holder ends.

use super::*;
use delivery::limits::Rate;
use delivery::{Outcome, TargetUrl};
use std::sync::atomic::{AtomicI64, Ordering};

fn key(host: &str) -> LimitKey {
    let url = TargetUrl::parse(&format!("https://{host}/")).unwrap();
    LimitKey::Target(url.target())
}

fn limits(in_flight: u32) -> TargetLimits {
    TargetLimits {
        in_flight: Some(in_flight),
        queue_timeout: Duration::from_secs(5),
        ..TargetLimits::default()
    }
}

/// Asks for a message of this app.
fn ask_for(
    limiter: &Arc<TargetLimiter>,
    app_id: &str,
    key: &LimitKey,
    queue: WorkQueue,
    limits: &TargetLimits,
) -> TryAcquire {
    limiter.try_acquire(PermitRequest {
        app_id,
        app_cap: None,
        key,
        queue,
        limits,
        paused: false,
    })
}

fn ask(
    limiter: &Arc<TargetLimiter>,
    key: &LimitKey,
    queue: WorkQueue,
    limits: &TargetLimits,
) -> TryAcquire {
    ask_for(limiter, "app", key, queue, limits)
}

fn permit(answer: TryAcquire) -> PermitGuard {
    match answer {
        TryAcquire::Done(Acquired::Permit(permit)) => permit,
        TryAcquire::Done(Acquired::Deferred { reason, .. }) => panic!("deferred: {reason:?}"),
        TryAcquire::Pending(_) => panic!("waits"),
    }
}

fn pending(answer: TryAcquire) -> PendingPermit {
    match answer {
        TryAcquire::Pending(pending) => pending,
        TryAcquire::Done(_) => panic!("does not wait"),
    }
}

fn deferred(acquired: &Acquired) -> DeferReason {
    match acquired {
        Acquired::Deferred { reason, .. } => *reason,
        Acquired::Permit(_) => panic!("not deferred"),
    }
}

/// Calls in flight and messages that wait.
fn counts(limiter: &TargetLimiter) -> (u32, u32) {
    let top = limiter.top(1);
    (top.targets[0].in_flight, top.targets[0].waiting)
}

fn success() -> CallSample {
    let outcome = Outcome::Answered {
        status: 200,
        retry_after: None,
    };
    CallSample::of(&outcome, Duration::from_millis(1))
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap()
}

fn limiter() -> (Arc<TargetLimiter>, LimitKey) {
    let limiter = TargetLimiter::new([256, 64], PauseRegistry::default());
    (limiter, key("a.example"))
}

#[tokio::test]
async fn waiters_get_permits_in_order_of_arrival() {
    let (limiter, key) = limiter();
    let ask = |queue| ask(&limiter, &key, queue, &limits(2));
    let (first, second) = (permit(ask(WorkQueue::First)), permit(ask(WorkQueue::Retry)));
    let (third, fourth) = (
        pending(ask(WorkQueue::First)),
        pending(ask(WorkQueue::Retry)),
    );
    assert_eq!(counts(&limiter), (2, 2));
    first.release(&success());
    let third = soon(third.acquired()).await;
    assert!(matches!(third, Acquired::Permit(_)));
    assert_eq!(counts(&limiter), (2, 1));
    // Dropped, as by a panic or an attempt that is cut off.
    drop(second);
    let fourth = soon(fourth.acquired()).await;
    assert!(matches!(fourth, Acquired::Permit(_)));
    drop((third, fourth));
    assert_eq!(counts(&limiter), (0, 0));
    assert!(limiter.state().waiters.is_empty());
}

#[tokio::test]
async fn a_dropped_waiter_blocks_no_other() {
    let (limiter, key) = limiter();
    let ask = || ask(&limiter, &key, WorkQueue::First, &limits(1));
    let first = permit(ask());
    let second = pending(ask());
    drop(second);
    let third = pending(ask());
    assert_eq!(counts(&limiter), (1, 1));
    // Granted, but dropped before it is received: the permit is released.
    first.release(&success());
    drop(third);
    assert_eq!(counts(&limiter), (0, 0));
    assert!(limiter.state().waiters.is_empty());
    drop(permit(ask()));
}

#[tokio::test]
async fn a_waiter_is_deferred_after_the_queue_timeout() {
    let (limiter, key) = limiter();
    let limits = TargetLimits {
        queue_timeout: Duration::from_millis(30),
        ..limits(1)
    };
    let ask = || ask(&limiter, &key, WorkQueue::First, &limits);
    let _first = permit(ask());
    let second = pending(ask());
    assert_eq!(
        deferred(&soon(second.acquired()).await),
        DeferReason::InFlight
    );
    assert_eq!(counts(&limiter), (1, 0));
    assert_eq!(limiter.top(1).targets[0].deferrals, 1);
}

#[tokio::test]
async fn a_waiter_for_the_rate_gets_its_permit_without_being_woken() {
    let (limiter, key) = limiter();
    let limits = TargetLimits {
        rate: Rate::new(1.0, 1),
        ..limits(50)
    };
    let ask = || ask(&limiter, &key, WorkQueue::First, &limits);
    let begun = Instant::now();
    let first = permit(ask());
    let (second, third) = (pending(ask()), pending(ask()));
    // A free slot does not lift the rate limit.
    first.release(&success());
    let _third = soon(third.acquired()).await;
    assert!(begun.elapsed() >= Duration::from_millis(1_900));
    assert!(matches!(soon(second.acquired()).await, Acquired::Permit(_)));
}

#[tokio::test]
async fn waiters_are_deferred_at_once_on_retry_after() {
    let (limiter, key) = limiter();
    let ask = || ask(&limiter, &key, WorkQueue::First, &limits(1));
    let first = permit(ask());
    let second = pending(ask());
    let outcome = Outcome::Answered {
        status: 429,
        retry_after: Some(Duration::from_secs(7)),
    };
    first.release(&CallSample::of(&outcome, Duration::ZERO));
    let Acquired::Deferred { reason, after } = soon(second.acquired()).await else {
        panic!("not deferred")
    };
    assert_eq!(reason, DeferReason::RetryAfter);
    assert!(after > Duration::from_secs(6), "{after:?}");
}

#[tokio::test]
async fn apps_take_turns_at_a_target() {
    let (limiter, key) = limiter();
    let limits = limits(1);
    let ask = |app| ask_for(&limiter, app, &key, WorkQueue::First, &limits);
    let call = permit(ask("evil"));
    let mut evil = pending(ask("evil"));
    let mut victim = pending(ask("victim"));
    call.release(&success());
    let first = evil.result.try_recv().ok();
    assert!(victim.result.try_recv().is_err(), "one call at a time");
    // `evil` comes again, and later than the victim.
    let mut again = pending(ask("evil"));
    drop(first);
    let second = victim.result.try_recv().unwrap();
    assert!(again.result.try_recv().is_err());
    drop(second);
    assert!(matches!(soon(again.acquired()).await, Acquired::Permit(_)));
    assert!(limiter.state().waiters.is_empty());
}

#[tokio::test]
async fn a_slot_that_comes_free_goes_to_the_app_that_holds_none() {
    // Two slots: one app alone holds one of them.
    let limiter = TargetLimiter::new([1, 1], PauseRegistry::default());
    let limits = limits(10);
    let keys = ["a", "b", "c", "d"].map(|host| key(&format!("{host}.example")));
    let ask = |app: &str, at: usize| ask_for(&limiter, app, &keys[at], WorkQueue::First, &limits);
    let evil = permit(ask("evil", 0));
    // Alone, it waits for its slot.
    let waits = pending(ask("evil", 1));
    let other = permit(ask("other", 2));
    let victim = pending(ask("victim", 3));
    other.release(&success());
    let Acquired::Permit(victim) = soon(victim.acquired()).await else {
        panic!("deferred")
    };
    evil.release(&success());
    let Acquired::Permit(waits) = soon(waits.acquired()).await else {
        panic!("deferred")
    };
    drop((victim, waits));
    assert!(limiter.state().waiters.is_empty());
    assert_eq!(counts(&limiter), (0, 0));
}

#[tokio::test]
async fn the_wait_for_a_slot_ends() {
    let limiter = TargetLimiter::new([1, 1], PauseRegistry::default());
    let limits = limits(10);
    let keys = [key("a.example"), key("b.example")];
    let _call = permit(ask_for(
        &limiter,
        "evil",
        &keys[0],
        WorkQueue::First,
        &limits,
    ));
    let waits = pending(ask_for(
        &limiter,
        "evil",
        &keys[1],
        WorkQueue::First,
        &limits,
    ));
    assert_eq!(
        deferred(&soon(waits.acquired()).await),
        DeferReason::AppInFlight
    );
    assert!(limiter.state().waiters.is_empty());
}

/// While a thousand wait for the rate, one that gives up asks for itself alone: the cost of all
/// their ends does not grow with the square of their number.
#[tokio::test]
async fn a_waiter_whose_time_is_over_does_not_ask_for_the_others() {
    let limiter = TargetLimiter::new([8_000, 64], PauseRegistry::default());
    let key = key("a.example");
    let limits = TargetLimits {
        rate: Rate::new(1_000.0, 1),
        queue_timeout: Duration::from_secs(60),
        ..limits(2_000)
    };
    let _call = permit(ask(&limiter, &key, WorkQueue::First, &limits));
    let mut waiting: Vec<PendingPermit> = (0..1_000)
        .map(|_| pending(ask(&limiter, &key, WorkQueue::First, &limits)))
        .collect();
    let mut last = waiting.pop().unwrap();
    last.deadline = Duration::ZERO;
    // The turn of some of the others has come meanwhile; they ask by themselves.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let _answered = last.ask_again().unwrap();
    let received = waiting
        .iter_mut()
        .filter_map(|it| it.result.try_recv().ok());
    assert_eq!(received.count(), 0);
}

#[tokio::test]
async fn a_panic_releases_the_permit() {
    let (limiter, key) = limiter();
    let permit = permit(ask(&limiter, &key, WorkQueue::First, &limits(1)));
    let attempt = tokio::spawn(async move {
        let _permit = permit;
        panic!("an attempt panics");
    });
    assert!(attempt.await.is_err());
    assert_eq!(counts(&limiter), (0, 0));
}

/// Counts a call until it ends or is cut off, which is before its permit is released.
struct Calling(Arc<AtomicI64>);

impl Drop for Calling {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelled_attempts_leave_nothing_behind_and_the_cap_holds() {
    let (limiter, key) = limiter();
    let (current, highest) = (Arc::<AtomicI64>::default(), Arc::<AtomicI64>::default());
    let order = Ordering::SeqCst;
    let tasks = (0..2_000).map(|number: u64| {
        let (limiter, key) = (limiter.clone(), key.clone());
        let (current, highest) = (current.clone(), highest.clone());
        let queue = if number.is_multiple_of(3) {
            WorkQueue::Retry
        } else {
            WorkQueue::First
        };
        let attempt = async move {
            let acquired = match ask(&limiter, &key, queue, &limits(20)) {
                TryAcquire::Done(acquired) => acquired,
                TryAcquire::Pending(pending) => pending.acquired().await,
            };
            if let Acquired::Permit(permit) = acquired {
                highest.fetch_max(current.fetch_add(1, order) + 1, order);
                let calling = Calling(current);
                tokio::time::sleep(Duration::from_micros(number % 700)).await;
                drop(calling);
                permit.release(&success());
            }
        };
        // Some are cut off at any point.
        let patience = Duration::from_micros(if number.is_multiple_of(7) {
            900
        } else {
            9_000_000
        });
        tokio::spawn(tokio::time::timeout(patience, attempt))
    });
    for task in tasks.collect::<Vec<_>>() {
        let _ = task.await.unwrap();
    }
    let highest = highest.load(order);
    assert!((1..=20).contains(&highest), "{highest}");
    assert_eq!(counts(&limiter), (0, 0));
    assert!(limiter.state().waiters.is_empty());
}
