//! Is this target well enough to be called?
//!
//! Closed: calls go, and failures are counted over a window. Open: nothing goes for a while. Half
//! open: a probe goes, and each success doubles how many may go at once, until that is the cap.

use std::time::Duration;

use super::seen::BreakerState;
use super::{BreakerRules, End};

/// In how many steps the window moves on.
const STEPS: usize = 10;

/// A share of more than all would never be reached, one of nothing always.
const SHARES: (f64, f64) = (0.01, 1.0);

#[derive(Debug, Clone)]
pub(super) struct Breaker {
    state: State,
    /// Counts changes of state: what began before the last one says nothing about now.
    epoch: u32,
    /// How often in a row it opened without having closed.
    openings: u32,
    window: Window,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Duration },
    HalfOpen { allowed: u32, probing: u32 },
}

/// A call that the breaker let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Through(u32);

/// The breaker lets nothing through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shut {
    /// How long at least; nothing where a probe is on its way.
    pub(super) until: Duration,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            state: State::Closed,
            epoch: 0,
            openings: 0,
            window: Window::default(),
        }
    }

    /// Whether a call may go; it is not counted before [`Breaker::go`].
    pub(super) fn admits(&mut self, now: Duration) -> Result<(), Shut> {
        if let State::Open { until } = self.state {
            let left = until.saturating_sub(now);
            if left > Duration::ZERO {
                return Err(Shut { until: left });
            }
            self.change(State::HalfOpen {
                allowed: 1,
                probing: 0,
            });
        }
        match self.state {
            State::HalfOpen { allowed, probing } if probing >= allowed => Err(Shut {
                until: Duration::ZERO,
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn go(&mut self) -> Through {
        if let State::HalfOpen { probing, .. } = &mut self.state {
            *probing = probing.saturating_add(1);
        }
        Through(self.epoch)
    }

    /// A call has ended. `cap` is how many may be in flight in all. True when the breaker opened
    /// by it.
    pub(super) fn ended(
        &mut self,
        through: Through,
        end: End,
        cap: u32,
        rules: &BreakerRules,
        now: Duration,
    ) -> bool {
        if through.0 != self.epoch {
            return false;
        }
        match &mut self.state {
            // Nothing goes through an open breaker.
            State::Open { .. } => false,
            State::Closed => {
                self.window.count(end, rules.window, now);
                let opens = self.window.fails(rules);
                if opens {
                    self.open(rules, now);
                }
                opens
            }
            State::HalfOpen { allowed, probing } => {
                *probing = probing.saturating_sub(1);
                match end {
                    End::Neutral => false,
                    End::Success => {
                        *allowed = allowed.saturating_mul(2);
                        if *allowed >= cap {
                            self.close();
                        }
                        false
                    }
                    End::Failure => {
                        self.open(rules, now);
                        true
                    }
                }
            }
        }
    }

    fn open(&mut self, rules: &BreakerRules, now: Duration) {
        let factor = 2_u32.checked_pow(self.openings).unwrap_or(u32::MAX);
        let wait = rules.open.saturating_mul(factor).min(rules.open_most);
        self.openings = self.openings.saturating_add(1);
        self.change(State::Open {
            until: now.saturating_add(wait),
        });
    }

    fn close(&mut self) {
        self.openings = 0;
        self.change(State::Closed);
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.epoch = self.epoch.wrapping_add(1);
        self.window = Window::default();
    }

    /// Whether forgetting it would lose nothing that matters.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// The state for people; with it how long an open one stays so.
    pub(super) fn seen(&self, now: Duration) -> (BreakerState, Option<Duration>) {
        match self.state {
            State::Closed => (BreakerState::Closed, None),
            State::HalfOpen { .. } => (BreakerState::HalfOpen, None),
            State::Open { until } => match until.saturating_sub(now) {
                Duration::ZERO => (BreakerState::HalfOpen, None),
                left => (BreakerState::Open, Some(left)),
            },
        }
    }

    /// Calls and failures within the window.
    pub(super) fn window(&self) -> (u32, u32) {
        self.window.sums()
    }
}

/// What ended lately, in steps of a tenth of the window.
#[derive(Debug, Clone, Default)]
struct Window {
    steps: [(u32, u32); STEPS],
    /// The number of the newest step since the beginning of time.
    newest: u64,
}

impl Window {
    fn count(&mut self, end: End, window: Duration, now: Duration) {
        let failed = match end {
            End::Neutral => return,
            End::Success => 0,
            End::Failure => 1,
        };
        let step = (window.as_nanos() / STEPS as u128).max(1);
        let number = u64::try_from(now.as_nanos() / step).unwrap_or(u64::MAX);
        // A clock that stands still or goes back counts into the newest step.
        let passed = number.saturating_sub(self.newest).min(STEPS as u64);
        for back in 0..passed {
            self.steps[index(number - back)] = (0, 0);
        }
        self.newest = self.newest.max(number);
        let (calls, failures) = &mut self.steps[index(self.newest)];
        *calls = calls.saturating_add(1);
        *failures = failures.saturating_add(failed);
    }

    fn fails(&self, rules: &BreakerRules) -> bool {
        let (calls, failures) = self.sums();
        let share = rules.share.clamp(SHARES.0, SHARES.1); // NaN stays NaN: never reached.
        rules.calls > 0 && calls >= rules.calls && f64::from(failures) >= f64::from(calls) * share
    }

    fn sums(&self) -> (u32, u32) {
        let sum = |a: u32, b: u32| a.saturating_add(b);
        self.steps
            .iter()
            .fold((0, 0), |all, step| (sum(all.0, step.0), sum(all.1, step.1)))
    }
}

fn index(number: u64) -> usize {
    // Below STEPS: nothing is cut.
    usize::try_from(number % STEPS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests;
