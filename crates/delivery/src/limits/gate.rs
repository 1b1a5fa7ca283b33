//! What is known of one target, and may it be called?

use std::time::Duration;

use super::breaker::{Breaker, Through};
use super::bucket::Bucket;
use super::ended::{End, Ended};
use super::latency::Latency;
use super::pace::Pace;
use super::seen::Seen;
use super::{BreakerRules, Key, Lane, Limits, Parked, Rate};

#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) key: Key,
    in_flight: [u32; 2],
    waiting: [u32; 2],
    bucket: Bucket,
    breaker: Breaker,
    held_until: Duration,
    parked: u64,
    attempts: [u64; 3],
    latency: Latency,
    pace: Pace,
    /// As they were when it was last asked: a call's end is judged by them.
    rules: BreakerRules,
    cap: u32,
    /// When a call last ended, or the first one began.
    moved: Duration,
    pub(super) last_asked: Duration,
}

/// What is to be let in within such a moment may wait in memory beyond the waiting room: it is gone
/// sooner than it could be parked, and whoever stands behind it is held up for no longer.
const MOMENT: Duration = Duration::from_millis(50);

/// What a gate says to a message.
pub(super) enum Answer {
    Go(Through),
    /// It may wait in memory: until a place is free, or for so long.
    Over {
        why: Parked,
        turn: Option<Duration>,
    },
    Shut {
        why: Parked,
        until: Duration,
    },
}

impl Gate {
    pub(super) fn new(key: Key) -> Self {
        Self {
            key,
            in_flight: [0; 2],
            waiting: [0; 2],
            bucket: Bucket::default(),
            breaker: Breaker::new(),
            held_until: Duration::ZERO,
            parked: 0,
            attempts: [0; 3],
            latency: Latency::new(),
            pace: Pace::default(),
            rules: BreakerRules::default(),
            cap: 1,
            moved: Duration::ZERO,
            last_asked: Duration::ZERO,
        }
    }

    /// Decides on a message; where it goes, it is counted as in flight. `has_token`: it took its
    /// token when it began to wait. `first_come`: those who wait do not go before it.
    pub(super) fn ask(
        &mut self,
        lane: Lane,
        limits: &Limits,
        lane_caps: [u32; 2],
        has_token: bool,
        first_come: bool,
        now: Duration,
    ) -> Answer {
        self.last_asked = self.last_asked.max(now);
        self.rules = limits.breaker;
        self.cap = cap(limits, lane_caps);
        let held = self.held_until.saturating_sub(now);
        if held > Duration::ZERO {
            return Answer::Shut {
                why: Parked::AskedToWait,
                until: held,
            };
        }
        if let Err(shut) = self.breaker.admits(now) {
            return Answer::Shut {
                why: Parked::BreakerOpen,
                until: shut.until,
            };
        }
        let at = lane.index();
        let full = match limits.in_flight {
            Some(_) => self.in_flight[0].saturating_add(self.in_flight[1]) >= self.cap,
            None => self.in_flight[at] >= lane_caps[at],
        };
        let behind = !first_come && self.waiting[at] > 0;
        // A place in the waiting room is no token: whoever waits for a place asks for it later.
        if full || (behind && limits.rate.is_none()) {
            return Answer::Over {
                why: Parked::InFlight,
                turn: None,
            };
        }
        if let (Some(rate), false) = (limits.rate, has_token) {
            let turn = self.bucket.wait(rate, now);
            if turn > Duration::ZERO {
                return Answer::Over {
                    why: Parked::Rate,
                    turn: Some(turn),
                };
            }
            self.bucket.take(rate, now);
        }
        if self.in_flight == [0; 2] {
            self.moved = now;
        }
        self.in_flight[at] += 1;
        Answer::Go(self.breaker.go())
    }

    /// Takes the token of a later moment.
    pub(super) fn reserve(&mut self, limits: &Limits, now: Duration) {
        if let Some(rate) = limits.rate {
            self.bucket.take(rate, now);
        }
    }

    pub(super) fn begin_waiting(&mut self, lane: Lane) {
        self.waiting[lane.index()] += 1;
    }

    pub(super) fn end_waiting(&mut self, lane: Lane) {
        let waiting = &mut self.waiting[lane.index()];
        *waiting = waiting.saturating_sub(1);
    }

    pub(super) fn waiting(&self, lane: Lane) -> u32 {
        self.waiting[lane.index()]
    }

    /// How many of a lane would be let in within a [`MOMENT`], by what its calls took lately. None of
    /// a target that has just stopped to answer, however fast it was.
    pub(super) fn let_in_soon(&self, lane_cap: u32, now: Duration) -> u32 {
        if now.saturating_sub(self.moved) > MOMENT {
            return 0;
        }
        let Some(took) = self.latency.quantile(0.5) else {
            return 0;
        };
        let rounds = MOMENT.as_micros() / took.as_micros().max(1);
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        rounds.saturating_mul(lane_cap)
    }

    /// Counts a message as parked.
    pub(super) fn park(&mut self) {
        self.parked = self.parked.saturating_add(1);
    }

    /// Parks a message for `until` and its turn among all that is parked: as many a second come
    /// back as could be let in, or eight times the cap where nothing is known of that.
    pub(super) fn park_in_turn(
        &mut self,
        why: Parked,
        until: Duration,
        limits: &Limits,
        lane_caps: [u32; 2],
        now: Duration,
    ) -> Duration {
        self.park();
        let cap = f64::from(cap(limits, lane_caps));
        let usual = cap * 8.0;
        let per_second = match why {
            Parked::BreakerOpen | Parked::AskedToWait | Parked::Paused => usual,
            Parked::InFlight | Parked::Rate => {
                let took = self.latency.quantile(0.5);
                let let_in = took.map_or(0.0, |took| 2.0 * cap / took.as_secs_f64());
                let rate = limits.rate.map_or(f64::INFINITY, Rate::per_second);
                usual.max(let_in).min(rate)
            }
        };
        until.saturating_add(self.pace.turn(per_second, now))
    }

    /// A call has ended; true when the breaker opened by it.
    pub(super) fn leave(
        &mut self,
        lane: Lane,
        through: Through,
        ended: &Ended,
        now: Duration,
    ) -> bool {
        let in_flight = &mut self.in_flight[lane.index()];
        *in_flight = in_flight.saturating_sub(1);
        self.moved = now;
        if let Some(hold) = ended.hold {
            self.held_until = self.held_until.max(now.saturating_add(hold));
        }
        if let Some(took) = ended.took {
            self.latency.count(took, now);
        }
        let kind = match ended.end {
            End::Success => 0,
            End::Failure => 1,
            End::Neutral => 2,
        };
        self.attempts[kind] = self.attempts[kind].saturating_add(1);
        self.breaker
            .ended(through, ended.end, self.cap, &self.rules, now)
    }

    /// Whether anybody holds a pass or a place of it.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == [0; 2] && self.waiting == [0; 2]
    }

    /// Whether forgetting it would change nothing for its target.
    pub(super) fn is_quiet(&self, now: Duration) -> bool {
        self.breaker.is_quiet() && self.held_until <= now && self.bucket.is_full(now)
    }

    pub(super) fn seen(&self, now: Duration) -> Seen {
        let (breaker, probe_in) = self.breaker.seen(now);
        let held = self.held_until.saturating_sub(now);
        Seen {
            key: self.key.clone(),
            in_flight: self.in_flight[0].saturating_add(self.in_flight[1]),
            waiting: self.waiting[0].saturating_add(self.waiting[1]),
            parked: self.parked,
            breaker,
            probe_in,
            held_for: (held > Duration::ZERO).then_some(held),
            attempts: self.attempts,
            window: self.breaker.window(),
            p50: self.latency.quantile(0.5),
            p99: self.latency.quantile(0.99),
        }
    }

    /// How much it was used, and what is left of it when it is forgotten.
    pub(super) fn totals(&self) -> (u32, u64, [u64; 3]) {
        let in_flight = self.in_flight[0].saturating_add(self.in_flight[1]);
        (in_flight, self.parked, self.attempts)
    }
}

/// How many calls may be in flight, both lanes together.
fn cap(limits: &Limits, lane_caps: [u32; 2]) -> u32 {
    let both = lane_caps[0].saturating_add(lane_caps[1]);
    limits.in_flight.unwrap_or(both).max(1)
}
