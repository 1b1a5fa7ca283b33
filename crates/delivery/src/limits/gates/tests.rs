//! Are caps, rates, the waiting room and the memory kept within their bounds?

mod steps;

use super::super::{BreakerRules, BreakerState, End, Rate};
use super::*;
use crate::target::TargetUrl;
use std::sync::Arc;

const SLOTS: [u32; 2] = [80, 20];
const NOW: Duration = Duration::from_secs(1_000);

fn gates() -> Gates {
    Gates::new(SLOTS, 100)
}

fn callee(no: &str) -> Key {
    Key::Callee(Arc::from(no))
}

fn limits() -> Limits {
    Limits::default()
}

fn enter(gates: &mut Gates, key: &Key, lane: Lane) -> Entry {
    gates.enter(key, lane, &limits(), false, NOW)
}

fn go(entry: Entry) -> Pass {
    match entry {
        Entry::Go(pass) => pass,
        other => panic!("{other:?}"),
    }
}

fn place(entry: Entry) -> Place {
    match entry {
        Entry::Wait(place) => place,
        other => panic!("{other:?}"),
    }
}

fn parked(entry: Entry) -> (Parked, Duration) {
    match entry {
        Entry::Park { why, until } => (why, until),
        other => panic!("{other:?}"),
    }
}

fn end(end: End) -> Ended {
    Ended {
        end,
        hold: None,
        took: Some(Duration::from_secs(5)),
    }
}

/// An end soon after the beginning.
fn fast() -> Ended {
    Ended {
        took: Some(Duration::from_millis(5)),
        ..end(End::Success)
    }
}

#[test]
fn a_key_has_a_tenth_of_each_lane_then_waits_and_then_is_parked() {
    let (mut gates, key) = (gates(), callee("EO001"));
    for (lane, cap, room) in [(Lane::First, 8, 8), (Lane::Retry, 2, 2)] {
        let passes: Vec<_> = (0..cap)
            .map(|_| go(enter(&mut gates, &key, lane)))
            .collect();
        let places: Vec<_> = (0..room)
            .map(|_| place(enter(&mut gates, &key, lane)))
            .collect();
        let (why, _) = parked(enter(&mut gates, &key, lane));
        assert_eq!(why, Parked::InFlight);
        // Another key is not touched.
        let other = go(enter(&mut gates, &callee("EO002"), lane));
        gates.leave(other, &end(End::Success), NOW);
        for place in places {
            assert_eq!(gates.give_up(place), Parked::InFlight);
        }
        for pass in passes {
            gates.leave(pass, &end(End::Success), NOW);
        }
    }
    let seen = &gates.seen(10, NOW).keys[0];
    assert_eq!((seen.in_flight, seen.waiting, seen.parked), (0, 0, 12));
    assert_eq!(seen.attempts, [10, 0, 0]);
}

#[test]
fn a_configured_cap_counts_both_lanes() {
    let (mut gates, key) = (gates(), callee("EO001"));
    let limits = Limits {
        in_flight: Some(2),
        ..limits()
    };
    let first = go(gates.enter(&key, Lane::First, &limits, false, NOW));
    let retry = go(gates.enter(&key, Lane::Retry, &limits, false, NOW));
    let waits = place(gates.enter(&key, Lane::First, &limits, false, NOW));
    gates.leave(retry, &end(End::Success), NOW);
    let pass = go(gates.again(waits, &limits, false, NOW));
    gates.leave(pass, &end(End::Success), NOW);
    gates.leave(first, &end(End::Success), NOW);
    assert_eq!(gates.seen(1, NOW).keys[0].in_flight, 0);
}

#[test]
fn who_comes_later_does_not_go_before_those_who_wait() {
    let (mut gates, key) = (gates(), callee("EO001"));
    let mut passes: Vec<_> = (0..8)
        .map(|_| go(enter(&mut gates, &key, Lane::First)))
        .collect();
    let waits = place(enter(&mut gates, &key, Lane::First));
    gates.leave(passes.remove(0), &end(End::Success), NOW);
    let later = place(enter(&mut gates, &key, Lane::First));
    let pass = go(gates.again(waits, &limits(), false, NOW));
    gates.leave(pass, &end(End::Success), NOW);
    let pass = go(gates.again(later, &limits(), false, NOW));
    gates.leave(pass, &end(End::Success), NOW);
    for pass in passes {
        gates.leave(pass, &end(End::Success), NOW);
    }
}

#[test]
fn one_keys_wait_leaves_room_for_others_and_all_together_have_a_quarter() {
    let mut gates = gates();
    let mut held = Vec::new();
    for no in ["a", "b", "c"] {
        for _ in 0..8 {
            held.push(go(enter(&mut gates, &callee(no), Lane::First)));
        }
    }
    let mut places = Vec::new();
    for (no, room) in [("a", 8), ("b", 8), ("c", 4)] {
        for _ in 0..room {
            places.push(place(enter(&mut gates, &callee(no), Lane::First)));
        }
        parked(enter(&mut gates, &callee(no), Lane::First));
    }
    assert_eq!(places.len(), 20);
}

#[test]
fn a_fast_target_may_have_as_many_waiting_as_it_takes_within_a_moment_until_it_stops() {
    let (mut gates, key) = (gates(), callee("EO001"));
    let ask = |gates: &mut Gates, now| gates.enter(&key, Lane::First, &limits(), false, now);
    let known = go(ask(&mut gates, NOW));
    gates.leave(known, &fast(), NOW);
    let _calls: Vec<Pass> = (0..8).map(|_| go(ask(&mut gates, NOW))).collect();
    let asked: Vec<Entry> = (0..200).map(|_| ask(&mut gates, NOW)).collect();
    let mut waiting: Vec<Place> = Vec::new();
    for entry in asked {
        match entry {
            Entry::Wait(place) => waiting.push(place),
            other => assert_eq!(parked(other).0, Parked::InFlight),
        }
    }
    // 5 ms, rounded up by at most 42 %: 7 to 10 rounds of 8 in 50 ms.
    assert!((56..=80).contains(&waiting.len()), "{}", waiting.len());
    // The room is not taken by them: its 8 for this key are, others have theirs.
    assert_eq!(gates.waiting, [8, 0]);
    let patience = |place: &Place| place.patience(&limits());
    assert_eq!(patience(&waiting[0]), Duration::from_secs(2));
    assert_eq!(patience(&waiting[8]), Duration::from_millis(200));
    // It has not answered for a moment, fast as it was.
    let later = NOW + Duration::from_millis(51);
    let why = |entry| parked(entry).0;
    assert_eq!(why(ask(&mut gates, later)), Parked::InFlight);
    for place in waiting {
        gates.withdraw(place);
    }
    assert_eq!(gates.waiting, [0, 0]);
    let none: Limits = Limits {
        waiting: Duration::ZERO,
        ..limits()
    };
    let entry = gates.enter(&key, Lane::First, &none, false, NOW);
    assert_eq!(why(entry), Parked::InFlight, "nobody is to wait");
}

#[test]
fn a_rate_lets_its_burst_go_and_gives_turns_then_parks() {
    let (mut gates, key) = (gates(), callee("EO001"));
    let rate = Rate::new(2.0, 1);
    let limits = Limits { rate, ..limits() };
    let mut enter = |now| gates.enter(&key, Lane::First, &limits, false, now);
    let first = go(enter(NOW));
    let turns: Vec<_> = (0..4).map(|_| place(enter(NOW))).collect();
    let told: Vec<_> = turns
        .iter()
        .map(|it| it.turn().unwrap().as_millis())
        .collect();
    assert_eq!(told, [500, 1_000, 1_500, 2_000]);
    let (why, until) = parked(enter(NOW));
    assert_eq!((why, until.as_millis()), (Parked::Rate, 2_500));
    gates.leave(first, &end(End::Success), NOW);
    for (turn, at) in turns.into_iter().zip(told) {
        let now = NOW + Duration::from_millis(u64::try_from(at).unwrap());
        let pass = go(gates.again(turn, &limits, false, now));
        gates.leave(pass, &end(End::Success), now);
    }
}

#[test]
fn an_open_breaker_parks_until_its_probe() {
    let (mut gates, key) = (gates(), callee("EO001"));
    let breaker = BreakerRules {
        calls: 2,
        ..BreakerRules::default()
    };
    let limits = Limits {
        breaker,
        ..limits()
    };
    for opens in [false, true] {
        let pass = go(gates.enter(&key, Lane::First, &limits, false, NOW));
        assert_eq!(gates.leave(pass, &end(End::Failure), NOW), opens);
    }
    let (why, until) = parked(gates.enter(&key, Lane::Retry, &limits, false, NOW));
    assert_eq!((why, until), (Parked::BreakerOpen, breaker.open));
    let seen = gates.seen(1, NOW).keys.remove(0);
    assert_eq!(seen.breaker, BreakerState::Open);
    let later = NOW + breaker.open;
    let probe = go(gates.enter(&key, Lane::Retry, &limits, false, later));
    parked(gates.enter(&key, Lane::First, &limits, false, later));
    gates.leave(probe, &Ended::unsaid(), later);
    let probe = go(gates.enter(&key, Lane::First, &limits, false, later));
    gates.leave(probe, &end(End::Success), later);
}

#[test]
fn retry_after_holds_the_key_and_a_pause_holds_it_whatever_it_says() {
    let (mut gates, key) = (gates(), callee("EO001"));
    let pass = go(enter(&mut gates, &key, Lane::First));
    let hold = Some(Duration::from_secs(7));
    gates.leave(
        pass,
        &Ended {
            hold,
            ..end(End::Success)
        },
        NOW,
    );
    let held = parked(enter(&mut gates, &key, Lane::First));
    assert_eq!(held, (Parked::AskedToWait, Duration::from_secs(7)));
    let later = NOW + Duration::from_secs(7);
    let paused = parked(gates.enter(&key, Lane::First, &limits(), true, later));
    assert_eq!(paused, (Parked::Paused, Duration::ZERO));
    let pass = go(gates.enter(&key, Lane::First, &limits(), false, later));
    gates.leave(pass, &end(End::Success), later);
}

#[test]
fn a_hundred_thousand_hosts_are_forgotten_but_not_those_that_are_called_or_left_alone() {
    let mut gates = Gates::new(SLOTS, 1_000);
    let host = |number: u32| {
        let url = TargetUrl::parse(&format!("http://host{number}.example/")).unwrap();
        Key::Target(url.target())
    };
    let busy = go(gates.enter(&host(0), Lane::First, &limits(), false, NOW));
    let held = go(gates.enter(&host(1), Lane::First, &limits(), false, NOW));
    let hold = Some(Duration::from_secs(60));
    gates.leave(
        held,
        &Ended {
            hold,
            ..end(End::Success)
        },
        NOW,
    );
    for number in 2..100_000 {
        let now = NOW + Duration::from_micros(number.into());
        let pass = go(gates.enter(&host(number), Lane::First, &limits(), false, now));
        gates.leave(pass, &end(End::Success), now);
        assert!(gates.places.len() <= 1_000);
    }
    assert!(gates.gates.len() <= 1_000);
    let (why, _) = parked(gates.enter(&host(1), Lane::First, &limits(), false, NOW));
    assert_eq!(why, Parked::AskedToWait);
    assert_eq!(gates.key(busy.gate()), Some(&host(0)));
    gates.leave(busy, &end(End::Success), NOW);
    let seen = gates.seen(20, NOW);
    assert_eq!(seen.keys.len(), 20);
    let shown: u64 = seen.keys.iter().map(|it| it.attempts[0]).sum();
    assert_eq!(shown + seen.others.attempts[0], 100_000);
}

#[test]
fn what_is_parked_together_comes_back_spread_out() {
    let (mut gates, key) = (gates(), callee("EO001"));
    // 8 and 2 are the caps of the lanes: 80 a second come back where nothing else is known.
    let until: Vec<Duration> = (0..1_000)
        .map(|_| {
            let entry = gates.enter(&key, Lane::First, &limits(), true, NOW);
            parked(entry).1
        })
        .collect();
    assert_eq!(until[0], Duration::ZERO);
    for (second, within) in until.chunks(80).enumerate() {
        let span = second as u128 * 1_000..=(second as u128 + 1) * 1_000;
        assert!(
            within.iter().all(|it| span.contains(&it.as_millis())),
            "{within:?}"
        );
    }
}
