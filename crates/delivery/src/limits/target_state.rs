//! The state of one target: calls in flight, breaker, rate, latency.

use std::time::Duration;

use super::circuit_breaker::{BreakerToken, CircuitBreaker};
use super::health_sample::{CallSample, HealthSignal};
use super::latency::Latency;
use super::limit_key::LimitKey;
use super::policy::{BreakerRules, DeferReason, TargetLimits, WorkQueue};
use super::rate_limiter::{Gcra, Rate};
use super::release_pacer::ReleasePacer;
use super::stats::{Remainder, TargetStats};

/// A message that will get a permit within this time may queue past the limit: deferring it would
/// take longer than waiting.
const SOON: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
pub(super) struct TargetState {
    pub(super) key: LimitKey,
    in_flight: [u32; 2],
    waiting: [u32; 2],
    rate_limiter: Gcra,
    breaker: CircuitBreaker,
    held_until: Duration,
    deferrals: u64,
    attempts: [u64; 3],
    latency: Latency,
    pacer: ReleasePacer,
    /// The rules and the cap of the last request, which apply to the end of a call.
    rules: BreakerRules,
    cap: u32,
    /// When a call last ended, or the first one began.
    last_progress: Duration,
    pub(super) last_used: Duration,
}

/// Whether a target can be called.
pub(super) enum Availability {
    /// It can; the call is counted as in flight.
    Available(BreakerToken),
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
            rate_limiter: Gcra::default(),
            breaker: CircuitBreaker::new(),
            held_until: Duration::ZERO,
            deferrals: 0,
            attempts: [0; 3],
            latency: Latency::new(),
            pacer: ReleasePacer::default(),
            rules: BreakerRules::default(),
            cap: 1,
            last_progress: Duration::ZERO,
            last_used: now,
        }
    }

    /// Requests a call. `has_token`: the message took its rate token when it began to wait.
    /// `has_waited`: the message has waited, and need not queue behind waiting messages again.
    pub(super) fn request(
        &mut self,
        queue: WorkQueue,
        limits: &TargetLimits,
        queue_caps: [u32; 2],
        has_token: bool,
        has_waited: bool,
        now: Duration,
    ) -> Availability {
        self.last_used = self.last_used.max(now);
        self.rules = limits.breaker;
        self.cap = cap(limits, queue_caps);
        let held = self.held_until.saturating_sub(now);
        if held > Duration::ZERO {
            return Availability::Unavailable {
                reason: DeferReason::RetryAfter,
                remaining: held,
            };
        }
        if let Err(open) = self.breaker.check(now) {
            return Availability::Unavailable {
                reason: DeferReason::BreakerOpen,
                remaining: open.remaining,
            };
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
            self.rate_limiter.take(rate, now);
        }
        if self.in_flight == [0; 2] {
            self.last_progress = now;
        }
        self.in_flight[at] += 1;
        Availability::Available(self.breaker.admit())
    }

    /// Calls in flight, both queues together.
    fn all_in_flight(&self) -> u32 {
        self.in_flight[0].saturating_add(self.in_flight[1])
    }

    /// Takes a rate token that is only available later.
    pub(super) fn reserve_token(&mut self, limits: &TargetLimits, now: Duration) {
        if let Some(rate) = limits.rate {
            self.rate_limiter.take(rate, now);
        }
    }

    pub(super) fn begin_waiting(&mut self, queue: WorkQueue) {
        self.waiting[queue.index()] += 1;
    }

    pub(super) fn end_waiting(&mut self, queue: WorkQueue) {
        let waiting = &mut self.waiting[queue.index()];
        *waiting = waiting.saturating_sub(1);
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
            DeferReason::InFlight | DeferReason::Rate => {
                let median = self.latency.quantile(0.5);
                let throughput = median.map_or(0.0, |median| 2.0 * cap / median.as_secs_f64());
                let rate = limits.rate.map_or(f64::INFINITY, Rate::per_second);
                default_rate.max(throughput).min(rate)
            }
        };
        remaining.saturating_add(self.pacer.next_slot(per_second, now))
    }

    /// Records the end of a call; true if the breaker opened because of it.
    pub(super) fn complete(
        &mut self,
        queue: WorkQueue,
        token: BreakerToken,
        sample: &CallSample,
        now: Duration,
    ) -> bool {
        let in_flight = &mut self.in_flight[queue.index()];
        *in_flight = in_flight.saturating_sub(1);
        self.last_progress = now;
        if let Some(hold) = sample.hold {
            self.held_until = self.held_until.max(now.saturating_add(hold));
        }
        if let Some(duration) = sample.duration {
            self.latency.record(duration, now);
        }
        let kind = match sample.health {
            HealthSignal::Success => 0,
            HealthSignal::Failure => 1,
            HealthSignal::Neutral => 2,
        };
        self.attempts[kind] = self.attempts[kind].saturating_add(1);
        self.breaker
            .record(token, sample.health, self.cap, &self.rules, now)
    }

    /// Whether no permit and no ticket of it is held.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == [0; 2] && self.waiting == [0; 2]
    }

    /// Whether evicting it would change nothing for the target.
    pub(super) fn is_default(&self, now: Duration) -> bool {
        self.breaker.is_closed() && self.held_until <= now && self.rate_limiter.is_full(now)
    }

    pub(super) fn stats(&self, now: Duration) -> TargetStats {
        let (breaker, probe_in) = self.breaker.state(now);
        let held = self.held_until.saturating_sub(now);
        TargetStats {
            key: self.key.clone(),
            in_flight: self.all_in_flight(),
            waiting: self.waiting[0].saturating_add(self.waiting[1]),
            deferrals: self.deferrals,
            breaker,
            probe_in,
            held_for: (held > Duration::ZERO).then_some(held),
            attempts: self.attempts,
            window: self.breaker.window(),
            p50: self.latency.quantile(0.5),
            p99: self.latency.quantile(0.99),
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
