//! The circuit breaker and the `Retry-After` of one target, kept apart for each app.
//!
//! A path that fails for one app says nothing about the paths that others call on the same host. A
//! registered callee is one owner's system, and its apps share one circuit.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::circuit_breaker::{BreakerOpen, BreakerState, BreakerToken, CircuitBreaker, OpenReason};
use super::health_sample::CallSample;
use super::policy::BreakerRules;

/// Whose circuit it is: an app's, or that of all apps.
pub(super) type CircuitKey = Option<Arc<str>>;

#[derive(Debug, Clone)]
struct Circuit {
    breaker: CircuitBreaker,
    held_until: Duration,
    /// Calls in flight: it is not evicted before they end.
    in_flight: u32,
    last_used: Duration,
}

/// The circuits of one target.
#[derive(Debug, Clone, Default)]
pub(super) struct Circuits(HashMap<CircuitKey, Circuit>);

/// How many apps whose breakers are not closed are named.
const MAX_NAMED: usize = 10;

/// The circuits of a target together, for people.
#[derive(Debug, Clone)]
pub(super) struct CircuitSummary {
    /// The worst state.
    pub(super) breaker: BreakerState,
    /// How many breakers are open or half open.
    pub(super) not_closed: u32,
    /// Whose they are, the worst first: those of apps, at most ten.
    pub(super) not_closed_apps: Vec<Arc<str>>,
    /// How long until the first open one admits a probe.
    pub(super) probe_in: Option<Duration>,
    /// How long the longest `Retry-After` is still in force.
    pub(super) held_for: Option<Duration>,
    /// Why the one in the worst state opened.
    pub(super) opened: Option<OpenReason>,
}

/// No call may be made on a circuit.
pub(super) enum CircuitClosedTo {
    /// A `Retry-After` is in force, for this long.
    Held(Duration),
    /// Its breaker admits no call.
    Breaker(BreakerOpen),
}

impl Circuits {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a call may be made. A circuit that is not kept admits calls.
    pub(super) fn check(&mut self, key: &CircuitKey, now: Duration) -> Result<(), CircuitClosedTo> {
        let Some(circuit) = self.0.get_mut(key) else {
            return Ok(());
        };
        let held = circuit.held_until.saturating_sub(now);
        if held > Duration::ZERO {
            return Err(CircuitClosedTo::Held(held));
        }
        circuit.breaker.check(now).map_err(CircuitClosedTo::Breaker)
    }

    /// Whether the circuit is kept.
    pub(super) fn contains(&self, key: &CircuitKey) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn admit(&mut self, key: &CircuitKey, now: Duration) -> BreakerToken {
        let new = || Circuit {
            breaker: CircuitBreaker::new(),
            held_until: Duration::ZERO,
            in_flight: 0,
            last_used: now,
        };
        let circuit = self.0.entry(key.clone()).or_insert_with(new);
        circuit.in_flight = circuit.in_flight.saturating_add(1);
        circuit.last_used = circuit.last_used.max(now);
        circuit.breaker.admit()
    }

    /// Records the end of a call; true if the breaker opened because of it.
    pub(super) fn record(
        &mut self,
        key: &CircuitKey,
        token: BreakerToken,
        sample: &CallSample,
        (cap, rules): (u32, &BreakerRules),
        now: Duration,
    ) -> bool {
        let Some(circuit) = self.0.get_mut(key) else {
            return false; // Unreachable: a circuit with calls in flight is not evicted.
        };
        circuit.in_flight = circuit.in_flight.saturating_sub(1);
        circuit.last_used = circuit.last_used.max(now);
        if let Some(hold) = sample.hold {
            circuit.held_until = circuit.held_until.max(now.saturating_add(hold));
        }
        circuit
            .breaker
            .record(token, sample.health, cap, rules, now)
    }

    /// Ends every `Retry-After`, and lets each open breaker admit a probe at the next call. Returns how
    /// many circuits admit calls because of it.
    pub(super) fn probe_now(&mut self, now: Duration) -> usize {
        let changed = self.0.values_mut().filter_map(|circuit| {
            let held = circuit.held_until > now;
            circuit.held_until = circuit.held_until.min(now);
            (circuit.breaker.probe_now() || held).then_some(())
        });
        changed.count()
    }

    /// Whether evicting all of them would change nothing.
    pub(super) fn are_default(&self, now: Duration) -> bool {
        self.0.values().all(|circuit| circuit.is_default(now))
    }

    /// Those without a call in flight, with a rank: the lowest are evicted first.
    pub(super) fn idle(
        &self,
        now: Duration,
    ) -> impl Iterator<Item = ((bool, Duration), &CircuitKey)> {
        let idle = self.0.iter().filter(|(_, circuit)| circuit.in_flight == 0);
        idle.map(move |(key, circuit)| ((!circuit.is_default(now), circuit.last_used), key))
    }

    pub(super) fn remove(&mut self, key: &CircuitKey) {
        self.0.remove(key);
    }

    pub(super) fn summary(&self, now: Duration) -> CircuitSummary {
        let mut summary = CircuitSummary {
            breaker: BreakerState::Closed,
            not_closed: 0,
            not_closed_apps: Vec::new(),
            probe_in: None,
            held_for: None,
            opened: None,
        };
        let mut apps = Vec::new();
        for (key, circuit) in &self.0 {
            let (state, probe_in) = circuit.breaker.state(now);
            if state > summary.breaker || summary.opened.is_none() {
                summary.opened = circuit.breaker.opened();
            }
            summary.breaker = summary.breaker.max(state);
            if state != BreakerState::Closed {
                summary.not_closed += 1;
                apps.extend(key.as_ref().map(|app| (Reverse(state), app)));
            }
            let first = [summary.probe_in, probe_in].into_iter().flatten().min();
            summary.probe_in = first;
            let held = circuit.held_until.saturating_sub(now);
            let held = (held > Duration::ZERO).then_some(held);
            summary.held_for = summary.held_for.max(held);
        }
        apps.sort();
        let named = apps.into_iter().take(MAX_NAMED);
        summary.not_closed_apps = named.map(|(_, app)| Arc::clone(app)).collect();
        summary
    }
}

impl Circuit {
    /// Whether evicting it would change nothing.
    fn is_default(&self, now: Duration) -> bool {
        self.breaker.is_closed() && self.held_until <= now
    }
}
