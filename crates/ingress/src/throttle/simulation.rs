//! The controller in a closed loop with a simulated queue, in steps of a millisecond.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::controller::{Controller, Decision, MIN_RATE};
use super::flights::{INTERVAL, ProbeFlights};

const STEP: Duration = Duration::from_millis(1);

/// A gateway with one ingress.
struct Gateway {
    controller: Controller,
    flights: ProbeFlights,
    decision: Decision,
    now: Duration,
    /// When each message was published, and the probe that it is.
    first: VecDeque<(Duration, Option<Uuid>)>,
    published: u64,
    delivered: u64,
    /// The parts of a callback that are left of a step.
    rests: [f64; 3],
    /// Turns that nobody has taken.
    turns: u64,
    /// How many callers wait for their turn.
    waiting: u64,
    max_waiting: u64,
    /// How late the last callback was received.
    delay: Duration,
    held_back: bool,
}

/// What happened in some time.
#[derive(Debug, Default)]
struct Period {
    published: u64,
    delivered: u64,
    /// How late the latest callback was received.
    max_delay: Duration,
    /// For how many steps there was a limit.
    limited: u64,
    min_limit: Option<f64>,
    /// Callers that had no turn in time.
    refused: u64,
}

fn whole(rest: &mut f64, per_second: f64) -> u64 {
    *rest += per_second * STEP.as_secs_f64();
    let mut count = 0;
    while *rest >= 1.0 {
        *rest -= 1.0;
        count += 1;
    }
    count
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

impl Gateway {
    fn new(target_delay: Duration) -> Self {
        Self {
            controller: Controller::new(target_delay),
            flights: ProbeFlights::default(),
            decision: Decision::Open,
            now: Duration::ZERO,
            first: VecDeque::new(),
            published: 0,
            delivered: 0,
            rests: [0.0; 3],
            turns: 0,
            waiting: 0,
            max_waiting: 1_000,
            delay: Duration::ZERO,
            held_back: false,
        }
    }

    /// Callers send `offered` a second, and dispatchers receive up to `capacity` a second.
    fn run(&mut self, seconds: u64, offered: f64, capacity: f64) -> Period {
        let mut period = Period::default();
        for _ in 0..seconds * 1_000 {
            self.step(offered, capacity, &mut period);
        }
        period
    }

    fn step(&mut self, offered: f64, capacity: f64, period: &mut Period) {
        self.now += STEP;
        let offered = whole(&mut self.rests[0], offered);
        let wanted = self.waiting + offered;
        let admitted = match self.decision {
            Decision::Open => wanted,
            Decision::Limited(rate) => {
                self.turns += whole(&mut self.rests[1], rate);
                let taken = self.turns.min(wanted);
                // Some are kept.
                self.turns = (self.turns - taken).min(5);
                taken
            }
        };
        let left = wanted - admitted;
        self.waiting = left.min(self.max_waiting);
        period.refused += left - self.waiting;
        self.held_back |= self.waiting > 0;
        self.published += admitted;
        period.published += admitted;
        for _ in 0..admitted {
            self.first.push_back((self.now, None));
        }
        let mut free = whole(&mut self.rests[2], capacity);
        while let Some((published, probe)) = self.first.front().copied() {
            if free == 0 && (probe.is_none() || capacity == 0.0) {
                break;
            }
            self.first.pop_front();
            let Some(id) = probe else {
                free -= 1;
                self.delivered += 1;
                period.delivered += 1;
                self.delay = self.now - published;
                period.max_delay = period.max_delay.max(self.delay);
                continue;
            };
            let sample = self.flights.answered(id, self.now);
            self.decision = self.controller.decide(self.now, sample, self.held_back);
        }
        if self.now.as_millis().is_multiple_of(INTERVAL.as_millis()) {
            let limited = self.decision != Decision::Open;
            if self.flights.may_send(self.now, self.published, limited) {
                let id = Uuid::from_u128(self.now.as_millis());
                self.flights.sent(id, self.now, self.published);
                self.first.push_back((self.now, Some(id)));
            }
            self.decision = self.controller.decide(self.now, None, self.held_back);
            self.held_back = false;
        }
        if let Decision::Limited(rate) = self.decision {
            period.limited += 1;
            period.min_limit = Some(period.min_limit.map_or(rate, |min| min.min(rate)));
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(48)
    })]

    #[test]
    fn however_much_is_sent_all_capacity_is_used_and_nothing_is_later_than_wanted(
        capacity in 100.0..10_000.0_f64,
        factor in 1.3..8.0_f64,
        target_ms in 500..5_000_u64,
    ) {
        let target = Duration::from_millis(target_ms);
        let mut gateway = Gateway::new(target);
        gateway.run(20 + target_ms / 100, capacity * factor, capacity);
        let period = gateway.run(20, capacity * factor, capacity);
        prop_assert!(period.max_delay <= target, "{period:?}");
        prop_assert!(float(period.delivered) >= 0.97 * 20.0 * capacity, "{period:?}");
        let published = float(period.published);
        prop_assert!(published <= float(period.delivered) + capacity * target.as_secs_f64());
    }

    #[test]
    fn many_times_what_is_delivered_is_limited_as_well(
        capacity in 100.0..1_000.0_f64,
        factor in 8.0..15.0_f64,
    ) {
        let mut gateway = Gateway::new(SECOND);
        gateway.max_waiting = 100;
        gateway.run(60, capacity * factor, capacity);
        prop_assert_ne!(gateway.decision, Decision::Open);
        let backlog = gateway.published - gateway.delivered;
        gateway.run(20, capacity * factor, capacity);
        // It shrinks, or is what settles: a part of a second.
        let left = gateway.published - gateway.delivered;
        prop_assert!(float(left) <= float(backlog).max(capacity), "{left} of {backlog}");
    }

    #[test]
    fn a_load_below_the_capacity_is_never_slowed_down(
        capacity in 50.0..10_000.0_f64,
        part in 0.01..0.95_f64,
    ) {
        let mut gateway = Gateway::new(SECOND);
        let period = gateway.run(30, capacity * part, capacity);
        prop_assert!(period.limited == 0, "{period:?}");
    }

    #[test]
    fn after_the_overload_the_limit_is_gone_in_seconds(
        capacity in 100.0..10_000.0_f64,
        factor in 1.3..8.0_f64,
    ) {
        let mut gateway = Gateway::new(SECOND);
        gateway.run(30, capacity * factor, capacity);
        gateway.waiting = 0;
        gateway.run(6, capacity / 2.0, capacity);
        let period = gateway.run(5, capacity / 2.0, capacity);
        prop_assert!(period.limited + period.refused == 0, "{period:?}");
    }

    #[test]
    fn more_capacity_is_used_within_seconds(
        capacity in 100.0..2_000.0_f64,
        factor in 1.5..5.0_f64,
    ) {
        let mut gateway = Gateway::new(SECOND);
        gateway.max_waiting = 100_000;
        gateway.run(20, capacity * 10.0, capacity);
        gateway.run(8, capacity * 10.0, capacity * factor);
        let period = gateway.run(5, capacity * 10.0, capacity * factor);
        prop_assert!(float(period.delivered) >= 0.95 * 5.0 * capacity * factor, "{period:?}");
    }

    #[test]
    fn a_limit_is_never_below_its_floor(
        capacities in prop::collection::vec(0.0..200.0_f64, 1..10),
        offered in 1.0..5_000.0_f64,
    ) {
        let mut gateway = Gateway::new(SECOND);
        for capacity in capacities {
            let period = gateway.run(4, offered, capacity);
            prop_assert!(period.min_limit.is_none_or(|limit| limit >= MIN_RATE), "{period:?}");
        }
    }
}

#[test]
fn a_short_burst_is_taken_whole() {
    let mut gateway = Gateway::new(SECOND);
    gateway.run(5, 500.0, 5_000.0);
    // It is received within 0.3 s.
    let mut burst = Period::default();
    for _ in 0..10 {
        gateway.step(150_000.0, 5_000.0, &mut burst);
    }
    let period = gateway.run(5, 500.0, 5_000.0);
    assert_eq!((burst.limited, period.limited), (0, 0), "{period:?}");
}

#[test]
fn what_was_stopped_holds_nobody_back_and_a_light_load_not_even_while_the_backlog_goes() {
    let mut gateway = Gateway::new(SECOND);
    gateway.max_waiting = 0;
    gateway.run(5, 1_000.0, 5_000.0);
    let stopped = gateway.run(60, 1_000.0, 0.0);
    assert_eq!((stopped.limited, stopped.refused), (0, 0), "{stopped:?}");
    let resumed = gateway.run(30, 1_000.0, 5_000.0);
    assert_eq!(resumed.refused, 0, "{resumed:?}");
    assert!(resumed.delivered > 80_000, "{resumed:?}");
}

#[test]
fn a_dispatcher_that_is_gone_in_an_overload_opens_the_intake() {
    let mut gateway = Gateway::new(SECOND);
    gateway.run(10, 5_000.0, 1_000.0);
    assert_ne!(gateway.decision, Decision::Open);
    gateway.run(5, 5_000.0, 0.0);
    assert_eq!(gateway.decision, Decision::Open);
}
