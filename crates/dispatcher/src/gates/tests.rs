//! Is every pass and every place given back, whatever happens to its holder?

use super::*;
use delivery::limits::Rate;
use delivery::{Outcome, TargetUrl};
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};

fn key(host: &str) -> Key {
    let url = TargetUrl::parse(&format!("https://{host}/")).unwrap();
    Key::Target(url.target())
}

fn limits(in_flight: u32) -> Limits {
    Limits {
        in_flight: Some(in_flight),
        waiting: Duration::from_secs(5),
        ..Limits::default()
    }
}

fn held(asked: Asked) -> Held {
    match asked {
        Asked::Now(Entered::Go(held)) => held,
        Asked::Now(Entered::Park { why, .. }) => panic!("parked: {why:?}"),
        Asked::Wait(_) => panic!("waits"),
    }
}

fn waiting(asked: Asked) -> Waiting {
    match asked {
        Asked::Wait(waiting) => waiting,
        Asked::Now(_) => panic!("does not wait"),
    }
}

fn why(entered: &Entered) -> Parked {
    match entered {
        Entered::Park { why, .. } => *why,
        Entered::Go(_) => panic!("goes"),
    }
}

fn in_flight(gates: &Gates) -> (u32, u32) {
    let seen = gates.seen(1);
    (seen.keys[0].in_flight, seen.keys[0].waiting)
}

fn ok() -> Ended {
    let outcome = Outcome::Answered {
        status: 200,
        retry_after: None,
    };
    Ended::of(&outcome, Duration::from_millis(1))
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .unwrap()
}

fn gates() -> (Arc<Gates>, Key) {
    (Gates::new([256, 64], Pauses::default()), key("a.example"))
}

#[tokio::test]
async fn who_waits_is_called_in_turn_when_a_place_frees() {
    let (gates, key) = gates();
    let ask = |lane| gates.ask(&key, lane, &limits(2), false);
    let (first, second) = (held(ask(Lane::First)), held(ask(Lane::Retry)));
    let (third, fourth) = (waiting(ask(Lane::First)), waiting(ask(Lane::Retry)));
    assert_eq!(in_flight(&gates), (2, 2));
    first.leave(&ok());
    let third = soon(third.called()).await;
    assert!(matches!(third, Entered::Go(_)));
    assert_eq!(in_flight(&gates), (2, 1));
    // Dropped, as by a panic or a cut off attempt.
    drop(second);
    let fourth = soon(fourth.called()).await;
    assert!(matches!(fourth, Entered::Go(_)));
    drop((third, fourth));
    assert_eq!(in_flight(&gates), (0, 0));
    assert!(gates.state().rooms.is_empty());
}

#[tokio::test]
async fn a_wait_that_is_given_up_leaves_its_place_to_others() {
    let (gates, key) = gates();
    let ask = || gates.ask(&key, Lane::First, &limits(1), false);
    let first = held(ask());
    let second = waiting(ask());
    drop(second);
    let third = waiting(ask());
    assert_eq!(in_flight(&gates), (1, 1));
    // Called, but gone before it hears of it: the place goes on to the next one.
    first.leave(&ok());
    drop(third);
    assert_eq!(in_flight(&gates), (0, 0));
    assert!(gates.state().rooms.is_empty());
    drop(held(ask()));
}

#[tokio::test]
async fn a_wait_that_is_over_ends_parked() {
    let (gates, key) = gates();
    let limits = Limits {
        waiting: Duration::from_millis(30),
        ..limits(1)
    };
    let ask = || gates.ask(&key, Lane::First, &limits, false);
    let _first = held(ask());
    let second = waiting(ask());
    assert_eq!(why(&soon(second.called()).await), Parked::InFlight);
    assert_eq!(in_flight(&gates), (1, 0));
    assert_eq!(gates.seen(1).keys[0].parked, 1);
}

#[tokio::test]
async fn who_waits_for_a_token_goes_in_its_turn_without_being_called() {
    let (gates, key) = gates();
    let limits = Limits {
        rate: Rate::new(1.0, 1),
        ..limits(50)
    };
    let ask = || gates.ask(&key, Lane::First, &limits, false);
    let begun = Instant::now();
    let first = held(ask());
    let (second, third) = (waiting(ask()), waiting(ask()));
    // A place that frees is no token.
    first.leave(&ok());
    let _third = soon(third.called()).await;
    assert!(begun.elapsed() >= Duration::from_millis(1_900));
    assert!(matches!(soon(second.called()).await, Entered::Go(_)));
}

#[tokio::test]
async fn who_waits_is_parked_at_once_when_the_target_asks_to_be_left_alone() {
    let (gates, key) = gates();
    let ask = || gates.ask(&key, Lane::First, &limits(1), false);
    let first = held(ask());
    let second = waiting(ask());
    let outcome = Outcome::Answered {
        status: 429,
        retry_after: Some(Duration::from_secs(7)),
    };
    first.leave(&Ended::of(&outcome, Duration::ZERO));
    let Entered::Park { why, until } = soon(second.called()).await else {
        panic!("goes")
    };
    assert_eq!(why, Parked::AskedToWait);
    assert!(until > Duration::from_secs(6), "{until:?}");
}

#[tokio::test]
async fn a_panic_gives_the_pass_back() {
    let (gates, key) = gates();
    let held = held(gates.ask(&key, Lane::First, &limits(1), false));
    let attempt = tokio::spawn(async move {
        let _held = held;
        panic!("an attempt panics");
    });
    assert!(attempt.await.is_err());
    assert_eq!(in_flight(&gates), (0, 0));
}

/// Counts a call until it ends or is cut off, which is before its pass is given back.
struct Calling(Arc<AtomicI64>);

impl Drop for Calling {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_is_cut_off_nothing_is_left_behind_and_the_cap_is_kept() {
    let (gates, key) = gates();
    let (now, most) = (Arc::<AtomicI64>::default(), Arc::<AtomicI64>::default());
    let order = Ordering::SeqCst;
    let tasks = (0..2_000).map(|number: u64| {
        let (gates, key, now, most) = (gates.clone(), key.clone(), now.clone(), most.clone());
        let lane = if number.is_multiple_of(3) {
            Lane::Retry
        } else {
            Lane::First
        };
        let attempt = async move {
            let entered = match gates.ask(&key, lane, &limits(20), false) {
                Asked::Now(entered) => entered,
                Asked::Wait(waiting) => waiting.called().await,
            };
            if let Entered::Go(held) = entered {
                most.fetch_max(now.fetch_add(1, order) + 1, order);
                let calling = Calling(now);
                tokio::time::sleep(Duration::from_micros(number % 700)).await;
                drop(calling);
                held.leave(&ok());
            }
        };
        // Some are cut off, wherever they are then.
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
    let most = most.load(order);
    assert!((1..=20).contains(&most), "{most}");
    assert_eq!(in_flight(&gates), (0, 0));
    assert!(gates.state().rooms.is_empty());
}
