//! The state of one target: calls in flight, circuits, rate, latency.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::circuit::{CircuitClosedTo, CircuitKey, Circuits};
use super::circuit_breaker::BreakerToken;
use super::health_sample::{CallSample, HealthSignal};
use super::latency::Latency;
use super::limit_key::LimitKey;
use super::outcome_counts::OutcomeCounts;
use super::policy::{BreakerRules, DeferReason, TargetLimits, WorkQueue};
use super::rate_limiter::{Gcra, Rate};
use super::release_pacer::ReleasePacer;
use super::stats::{LastError, Remainder, TargetStats};

/// Deferred messages are spread over at most this time.
const MAX_SPREAD: Duration = Duration::from_secs(60);

/// A message that will get a permit within this time may queue past the limit: deferring it would
/// take longer than waiting.
const SOON: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
pub(super) struct TargetState {
    pub(super) key: LimitKey,
    in_flight: [u32; 2],
    waiting: [u32; 2],
    /// Of `waiting`, by the index of the app; no zeros.
    waiting_by_app: HashMap<(u32, usize), u32>,
    /// Messages that could call it, but wait for a slot.
    pub(super) waiting_for_slot: u32,
    rate_limiter: Gcra,
    pub(super) circuits: Circuits,
    deferrals: u64,
    attempts: [u64; 3],
    outcomes: OutcomeCounts,
    last_error: Option<Failed>,
    latency: Latency,
    pacer: ReleasePacer,
    /// The rules and the cap of the last request, which apply to the end of a call.
    rules: BreakerRules,
    cap: u32,
    /// The rate of the last request.
    rate: Option<Rate>,
    /// When a call last ended, or the first one began.
    last_progress: Duration,
    pub(super) last_used: Duration,
}

/// The last call that did not deliver.
#[derive(Debug, Clone)]
struct Failed {
    outcome: &'static str,
    http_status: Option<u16>,
    cause: Option<Arc<str>>,
    at: Duration,
}

/// The label of an outcome that is no error.
const DELIVERED: &str = "delivered";

/// Whether a target can be called.
pub(super) enum Availability {
    /// It can: see [`TargetState::take`].
    Available,
    /// It is at a limit: the message may wait in memory, for its turn or until a call has ended.
    AtLimit {
        reason: DeferReason,
        turn: Option<Duration>,
    },
    /// It cannot, for this long at least.
    Unavailable {
        reason: DeferReason,
        remaining: Duration,
    },
}

impl TargetState {
    pub(super) fn new(key: LimitKey, now: Duration) -> Self {
        Self {
            key,
            in_flight: [0; 2],
            waiting: [0; 2],
            waiting_by_app: HashMap::new(),
            waiting_for_slot: 0,
            rate_limiter: Gcra::default(),
            circuits: Circuits::default(),
            deferrals: 0,
            attempts: [0; 3],
            outcomes: OutcomeCounts::default(),
            last_error: None,
            latency: Latency::new(),
            pacer: ReleasePacer::default(),
            rules: BreakerRules::default(),
            cap: 1,
            rate: None,
            last_progress: Duration::ZERO,
            last_used: now,
        }
    }

    /// Whether a call can be made. `has_token`: the message took its rate token when it began to
    /// wait. `has_waited`: it has waited for this target, and need not queue behind others again.
    pub(super) fn check(
        &mut self,
        circuit: &CircuitKey,
        queue: WorkQueue,
        (limits, queue_caps): (&TargetLimits, [u32; 2]),
        (has_token, has_waited): (bool, bool),
        now: Duration,
    ) -> Availability {
        self.last_used = self.last_used.max(now);
        self.rules = limits.breaker;
        self.cap = cap(limits, queue_caps);
        self.rate = limits.rate;
        match self.circuits.check(circuit, now) {
            Ok(()) => {}
            Err(CircuitClosedTo::Held(remaining)) => {
                return Availability::Unavailable {
                    reason: DeferReason::RetryAfter,
                    remaining,
                };
            }
            Err(CircuitClosedTo::Breaker(open)) => {
                return Availability::Unavailable {
                    reason: DeferReason::BreakerOpen,
                    remaining: open.remaining,
                };
            }
        }
        let at = queue.index();
        let full = match limits.in_flight {
            Some(_) => self.all_in_flight() >= self.cap,
            None => self.in_flight[at] >= queue_caps[at],
        };
        let behind_others = !has_waited && self.waiting[at] > 0;
        // Without a rate, later messages queue behind waiting ones. With a rate, tokens keep order.
        if full || (behind_others && limits.rate.is_none()) {
            return Availability::AtLimit {
                reason: DeferReason::InFlight,
                turn: None,
            };
        }
        if let (Some(rate), false) = (limits.rate, has_token) {
            let turn = self.rate_limiter.wait(rate, now);
            if turn > Duration::ZERO {
                return Availability::AtLimit {
                    reason: DeferReason::Rate,
                    turn: Some(turn),
                };
            }
        }
        Availability::Available
    }

    /// Begins a call, after [`TargetState::check`] has found the target available.
    pub(super) fn take(
        &mut self,
        circuit: &CircuitKey,
        queue: WorkQueue,
        limits: &TargetLimits,
        has_token: bool,
        now: Duration,
    ) -> BreakerToken {
        if !has_token {
            self.reserve_token(limits, now);
        }
        if self.in_flight == [0; 2] {
            self.last_progress = now;
        }
        self.in_flight[queue.index()] += 1;
        self.circuits.admit(circuit, now)
    }

    /// Calls in flight, both queues together.
    fn all_in_flight(&self) -> u32 {
        self.in_flight[0].saturating_add(self.in_flight[1])
    }

    /// Takes a rate token, even if it is only available later.
    pub(super) fn reserve_token(&mut self, limits: &TargetLimits, now: Duration) {
        if let Some(rate) = limits.rate {
            self.rate_limiter.take(rate, now);
        }
    }

    pub(super) fn begin_waiting(&mut self, app: u32, queue: WorkQueue) {
        let at = queue.index();
        self.waiting[at] += 1;
        *self.waiting_by_app.entry((app, at)).or_default() += 1;
    }

    pub(super) fn end_waiting(&mut self, app: u32, queue: WorkQueue) {
        let at = queue.index();
        self.waiting[at] = self.waiting[at].saturating_sub(1);
        if let Some(waiting) = self.waiting_by_app.get_mut(&(app, at)) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                self.waiting_by_app.remove(&(app, at));
            }
        }
    }

    /// Whether another message of this app may wait here: as many as the cap do, and as many again
    /// of apps that have none here yet, so that one app's messages do not keep others from their
    /// turn.
    pub(super) fn may_queue(&self, app: u32, queue: WorkQueue, queue_cap: u32) -> bool {
        let waiting = self.waiting(queue);
        let is_new = !self.waiting_by_app.contains_key(&(app, queue.index()));
        waiting < queue_cap || (is_new && waiting < queue_cap.saturating_mul(2))
    }

    /// Whether a message of this app may take a rate token ahead of time. One app takes at most half of
    /// those within the longest wait, so that another app's message finds one.
    pub(super) fn may_reserve(&self, app: u32, limits: &TargetLimits) -> bool {
        let within = limits.rate.map_or(f64::INFINITY, |rate| {
            rate.per_second() * limits.queue_timeout.as_secs_f64()
        });
        let own = [0, 1].map(|at| self.waiting_by_app.get(&(app, at)).copied());
        let own: u32 = own.into_iter().flatten().sum();
        own == 0 || f64::from(own) < within / 2.0
    }

    pub(super) fn waiting(&self, queue: WorkQueue) -> u32 {
        self.waiting[queue.index()]
    }

    /// How many messages of a queue would get a permit [`SOON`], by the duration of recent calls.
    /// Zero if no call has ended within that time, however fast the target was before.
    pub(super) fn admissible_soon(&self, queue_cap: u32, now: Duration) -> u32 {
        if now.saturating_sub(self.last_progress) > SOON {
            return 0;
        }
        let Some(median) = self.latency.quantile(0.5) else {
            return 0;
        };
        let rounds = SOON.as_micros() / median.as_micros().max(1);
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        rounds.saturating_mul(queue_cap)
    }

    pub(super) fn count_deferral(&mut self) {
        self.deferrals = self.deferrals.saturating_add(1);
    }

    /// Defers a message for `remaining` and until its release slot. Messages are released as fast
    /// as the target could take them, or at eight times the cap per second if that is unknown.
    pub(super) fn defer(
        &mut self,
        reason: DeferReason,
        remaining: Duration,
        limits: &TargetLimits,
        queue_caps: [u32; 2],
        now: Duration,
    ) -> Duration {
        self.count_deferral();
        let cap = f64::from(cap(limits, queue_caps));
        let default_rate = cap * 8.0;
        let per_second = match reason {
            DeferReason::BreakerOpen | DeferReason::RetryAfter | DeferReason::Paused => {
                default_rate
            }
            // The limiter never defers by the app's share here.
            DeferReason::InFlight | DeferReason::Rate | DeferReason::AppInFlight => {
                let median = self.latency.quantile(0.5);
                let throughput = median.map_or(0.0, |median| 2.0 * cap / median.as_secs_f64());
                let rate = limits.rate.map_or(f64::INFINITY, Rate::per_second);
                default_rate.max(throughput).min(rate)
            }
        };
        remaining.saturating_add(self.pacer.next_slot(per_second, MAX_SPREAD, now))
    }

    /// Records the end of a call; true if the breaker opened because of it.
    pub(super) fn complete(
        &mut self,
        queue: WorkQueue,
        (circuit, token): (&CircuitKey, BreakerToken),
        sample: &CallSample,
        now: Duration,
    ) -> bool {
        let in_flight = &mut self.in_flight[queue.index()];
        *in_flight = in_flight.saturating_sub(1);
        self.last_progress = now;
        if let Some(duration) = sample.duration {
            self.latency.record(duration, now);
        }
        if let Some(outcome) = sample.outcome {
            self.outcomes.record(outcome, now);
            if outcome != DELIVERED {
                self.last_error = Some(Failed {
                    outcome,
                    http_status: sample.http_status,
                    cause: sample.cause.clone(),
                    at: now,
                });
            }
        }
        let kind = match sample.health {
            HealthSignal::Success => 0,
            HealthSignal::Failure => 1,
            HealthSignal::Neutral => 2,
        };
        self.attempts[kind] = self.attempts[kind].saturating_add(1);
        self.circuits
            .record(circuit, token, sample, (self.cap, &self.rules), now)
    }

    /// Whether no permit and no ticket of it is held.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == [0; 2] && self.waiting == [0; 2] && self.waiting_for_slot == 0
    }

    /// Whether evicting it would change nothing for the target.
    pub(super) fn is_default(&self, now: Duration) -> bool {
        self.circuits.are_default(now) && self.rate_limiter.is_full(now)
    }

    /// As [`Circuits::probe_now`].
    pub(super) fn probe_now(&mut self, now: Duration) -> usize {
        self.circuits.probe_now(now)
    }

    pub(super) fn stats(&self, now: Duration) -> TargetStats {
        let circuits = self.circuits.summary(now);
        TargetStats {
            key: self.key.clone(),
            in_flight: self.all_in_flight(),
            waiting: self.waiting[0].saturating_add(self.waiting[1]),
            slots: self.cap,
            max_per_second: self.rate.map(Rate::per_second),
            deferrals: self.deferrals,
            breaker: circuits.breaker,
            breakers_not_closed: circuits.not_closed,
            apps_not_closed: circuits.not_closed_apps,
            probe_in: circuits.probe_in,
            opened: circuits.opened,
            held_for: circuits.held_for,
            attempts: self.attempts,
            totals: self.outcomes.totals(),
            recent: self.outcomes.recent(now),
            last_error: self.last_error.as_ref().map(|failed| LastError {
                outcome: failed.outcome,
                http_status: failed.http_status,
                cause: failed.cause.clone(),
                ago: now.saturating_sub(failed.at),
            }),
            durations: self.latency.counts(),
        }
    }

    /// How much it was used: its rank in the statistics.
    pub(super) fn traffic(&self) -> u64 {
        u64::from(self.all_in_flight()) + self.deferrals + self.attempts.iter().sum::<u64>()
    }

    /// Adds its figures to those of all targets that are not listed.
    pub(super) fn add_to(&self, remainder: &mut Remainder) {
        remainder.in_flight = remainder.in_flight.saturating_add(self.all_in_flight());
        remainder.deferrals = remainder.deferrals.saturating_add(self.deferrals);
        for (total, own) in remainder.attempts.iter_mut().zip(self.attempts) {
            *total = total.saturating_add(own);
        }
    }
}

/// The concurrency limit, both queues together.
fn cap(limits: &TargetLimits, queue_caps: [u32; 2]) -> u32 {
    let both = queue_caps[0].saturating_add(queue_caps[1]);
    limits.in_flight.unwrap_or(both).max(1)
}
