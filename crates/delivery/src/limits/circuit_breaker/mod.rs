//! Circuit breaker of one target.
//!
//! Closed: calls are admitted, and failures are counted over a window. Open: no call is admitted
//! for a while. Half-open: one probe is admitted, and each success doubles how many calls may be in
//! flight, until that reaches the concurrency limit and the breaker closes.

use std::time::Duration;

use super::health_sample::HealthSignal;
use super::policy::BreakerRules;

/// The number of steps of the sliding window.
const STEPS: usize = 10;

/// The range of the failure ratio: a ratio above 1 would never be reached, one of 0 always.
const RATIO_RANGE: (f64, f64) = (0.01, 1.0);

/// The state of a circuit breaker, for people. The worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    /// Calls are admitted.
    Closed,
    /// Probes are admitted.
    HalfOpen,
    /// No call is admitted.
    Open,
}

impl BreakerState {
    /// A name for tables and answers: `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct CircuitBreaker {
    state: CircuitState,
    /// Counts changes of state: a call that began before the last change says nothing about now.
    epoch: u32,
    /// How often in a row it opened without closing.
    openings: u32,
    window: FailureWindow,
    /// Why it opened, until it closes.
    opened: Option<OpenReason>,
}

/// Why a circuit breaker opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenReason {
    /// So many of these calls failed within the window.
    Failures {
        /// How many failed.
        failures: u32,
        /// Of how many.
        calls: u32,
    },
    /// A probe failed.
    Probe,
}

#[derive(Debug, Clone, Copy)]
enum CircuitState {
    Closed,
    Open { until: Duration },
    HalfOpen { allowed: u32, in_flight: u32 },
}

/// Proof that the breaker admitted a call, with the epoch in which it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BreakerToken(u32);

/// The breaker admits no call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BreakerOpen {
    /// For how long at least; zero while a probe is in flight.
    pub(super) remaining: Duration,
}

impl CircuitBreaker {
    pub(super) fn new() -> Self {
        Self {
            state: CircuitState::Closed,
            epoch: 0,
            openings: 0,
            window: FailureWindow::default(),
            opened: None,
        }
    }

    /// Whether a call may be made. It is counted by [`CircuitBreaker::admit`].
    pub(super) fn check(&mut self, now: Duration) -> Result<(), BreakerOpen> {
        if let CircuitState::Open { until } = self.state {
            let remaining = until.saturating_sub(now);
            if remaining > Duration::ZERO {
                return Err(BreakerOpen { remaining });
            }
            self.transition(CircuitState::HalfOpen {
                allowed: 1,
                in_flight: 0,
            });
        }
        match self.state {
            CircuitState::HalfOpen { allowed, in_flight } if in_flight >= allowed => {
                Err(BreakerOpen {
                    remaining: Duration::ZERO,
                })
            }
            CircuitState::Closed | CircuitState::Open { .. } | CircuitState::HalfOpen { .. } => {
                Ok(())
            }
        }
    }

    pub(super) fn admit(&mut self) -> BreakerToken {
        if let CircuitState::HalfOpen { in_flight, .. } = &mut self.state {
            *in_flight = in_flight.saturating_add(1);
        }
        BreakerToken(self.epoch)
    }

    /// Records the end of a call. `cap` is the target's concurrency limit. True if the breaker
    /// opened because of it.
    pub(super) fn record(
        &mut self,
        token: BreakerToken,
        health: HealthSignal,
        cap: u32,
        rules: &BreakerRules,
        now: Duration,
    ) -> bool {
        if token.0 != self.epoch {
            return false;
        }
        match &mut self.state {
            // Nothing is admitted while it is open.
            CircuitState::Open { .. } => false,
            CircuitState::Closed => {
                self.window.record(health, rules.window, now);
                let opens = self.window.exceeds(rules);
                if opens {
                    let (calls, failures) = self.window.totals();
                    self.open(OpenReason::Failures { failures, calls }, rules, now);
                }
                opens
            }
            CircuitState::HalfOpen { allowed, in_flight } => {
                *in_flight = in_flight.saturating_sub(1);
                match health {
                    HealthSignal::Neutral => false,
                    HealthSignal::Success => {
                        *allowed = allowed.saturating_mul(2);
                        if *allowed >= cap {
                            self.close();
                        }
                        false
                    }
                    HealthSignal::Failure => {
                        self.open(OpenReason::Probe, rules, now);
                        true
                    }
                }
            }
        }
    }

    /// Lets an open breaker admit a probe at the next call. Whether it was open.
    pub(super) fn probe_now(&mut self) -> bool {
        let is_open = matches!(self.state, CircuitState::Open { .. });
        if is_open {
            self.transition(CircuitState::HalfOpen {
                allowed: 1,
                in_flight: 0,
            });
        }
        is_open
    }

    fn open(&mut self, reason: OpenReason, rules: &BreakerRules, now: Duration) {
        let factor = 2_u32.checked_pow(self.openings).unwrap_or(u32::MAX);
        let wait = rules.open_duration.saturating_mul(factor);
        let wait = wait.min(rules.max_open_duration);
        self.openings = self.openings.saturating_add(1);
        self.opened = Some(reason);
        self.transition(CircuitState::Open {
            until: now.saturating_add(wait),
        });
    }

    fn close(&mut self) {
        self.openings = 0;
        self.opened = None;
        self.transition(CircuitState::Closed);
    }

    fn transition(&mut self, state: CircuitState) {
        self.state = state;
        self.epoch = self.epoch.wrapping_add(1);
        self.window = FailureWindow::default();
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, CircuitState::Closed)
    }

    /// The state for people, and how long an open breaker stays open.
    pub(super) fn state(&self, now: Duration) -> (BreakerState, Option<Duration>) {
        match self.state {
            CircuitState::Closed => (BreakerState::Closed, None),
            CircuitState::HalfOpen { .. } => (BreakerState::HalfOpen, None),
            CircuitState::Open { until } => match until.saturating_sub(now) {
                Duration::ZERO => (BreakerState::HalfOpen, None),
                remaining => (BreakerState::Open, Some(remaining)),
            },
        }
    }

    /// Why it opened, until it is closed.
    pub(super) fn opened(&self) -> Option<OpenReason> {
        self.opened
    }
}

/// Calls and failures of a sliding window, in steps of a tenth.
#[derive(Debug, Clone, Default)]
struct FailureWindow {
    steps: [(u32, u32); STEPS],
    /// The number of the newest step since time zero.
    newest: u64,
}

impl FailureWindow {
    fn record(&mut self, health: HealthSignal, window: Duration, now: Duration) {
        let failed = match health {
            HealthSignal::Neutral => return,
            HealthSignal::Success => 0,
            HealthSignal::Failure => 1,
        };
        let step = (window.as_nanos() / STEPS as u128).max(1);
        let number = u64::try_from(now.as_nanos() / step).unwrap_or(u64::MAX);
        // If the clock does not advance or goes back, the newest step counts.
        let passed = number.saturating_sub(self.newest).min(STEPS as u64);
        for back in 0..passed {
            self.steps[index(number - back)] = (0, 0);
        }
        self.newest = self.newest.max(number);
        let (calls, failures) = &mut self.steps[index(self.newest)];
        *calls = calls.saturating_add(1);
        *failures = failures.saturating_add(failed);
    }

    fn exceeds(&self, rules: &BreakerRules) -> bool {
        let (calls, failures) = self.totals();
        // NaN stays NaN and is never reached.
        let ratio = rules.failure_ratio.clamp(RATIO_RANGE.0, RATIO_RANGE.1);
        rules.min_calls > 0
            && calls >= rules.min_calls
            && f64::from(failures) >= f64::from(calls) * ratio
    }

    fn totals(&self) -> (u32, u32) {
        let add = |a: u32, b: u32| a.saturating_add(b);
        self.steps.iter().fold((0, 0), |total, step| {
            (add(total.0, step.0), add(total.1, step.1))
        })
    }
}

fn index(number: u64) -> usize {
    // Below STEPS: nothing is truncated.
    usize::try_from(number % STEPS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests;
