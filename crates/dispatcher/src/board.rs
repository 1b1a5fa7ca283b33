//! Which targets are shown in the metrics, and what is counted of them?
//!
//! The busiest have series of their own, all others one together. A target is counted under its name
//! from the moment on that it has one, so no series ever goes down, but by ending.

use crate::pauses::Pauses;
use boot::metrics::TargetFigures;
use delivery::limits::{BreakerState, Busiest, End, Key};
use std::collections::HashMap;

/// What was counted since a name is shown.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    parked: u64,
    /// Signs of life, failures, neither.
    attempts: [u64; 3],
}

#[derive(Debug, Default)]
pub(crate) struct Board {
    named: HashMap<Key, Counts>,
    others: Counts,
}

impl Board {
    /// So many have series of their own.
    pub(crate) const MOST: usize = 20;

    /// A message was parked.
    pub(crate) fn parked(&mut self, key: &Key) {
        self.of(key).parked += 1;
    }

    /// A call ended.
    pub(crate) fn ended(&mut self, key: &Key, end: End) {
        let at = match end {
            End::Success => 0,
            End::Failure => 1,
            End::Neutral => 2,
        };
        self.of(key).attempts[at] += 1;
    }

    fn of(&mut self, key: &Key) -> &mut Counts {
        if self.named.contains_key(key) || self.named.len() < Self::MOST {
            return self.named.entry(key.clone()).or_default();
        }
        &mut self.others
    }

    /// Gives the names to the busiest, and tells what is to be shown.
    pub(crate) fn figures(&mut self, busiest: &Busiest, pauses: &Pauses) -> Vec<TargetFigures> {
        let before = std::mem::take(&mut self.named);
        let mut shown = Vec::with_capacity(busiest.keys.len() + 1);
        for seen in &busiest.keys {
            let counts = before.get(&seen.key).copied().unwrap_or_default();
            self.named.insert(seen.key.clone(), counts);
            let breaker = match seen.breaker {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            };
            let name = seen.key.to_string();
            let mut figures = counts.figures(name, seen.in_flight, Some(breaker));
            figures.paused = Some(pauses.holds(&seen.key));
            shown.push(figures);
        }
        let others = "other".to_owned();
        shown.push(self.others.figures(others, busiest.others.in_flight, None));
        shown
    }
}

impl Counts {
    fn figures(&self, target: String, in_flight: u32, breaker: Option<u8>) -> TargetFigures {
        let [success, failure, neutral] = self.attempts;
        TargetFigures {
            target,
            in_flight,
            parked: self.parked,
            breaker,
            paused: None,
            attempts: [
                ("success", success),
                ("failure", failure),
                ("neutral", neutral),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delivery::limits::{self, Entry, Lane, Limits};
    use std::time::Duration;

    fn key(number: usize) -> Key {
        Key::Callee(number.to_string().into())
    }

    fn total(figures: &[TargetFigures]) -> u64 {
        figures
            .iter()
            .flat_map(|it| it.attempts)
            .map(|(_, count)| count)
            .sum()
    }

    #[test]
    fn the_busiest_have_names_and_nothing_is_counted_twice_or_forgotten_meanwhile() {
        let mut gates = limits::Gates::new([1_000, 1_000], 1_000);
        let mut board = Board::default();
        let mut ended = 0;
        let mut call = |board: &mut Board, gates: &mut limits::Gates, number| {
            let key = key(number);
            let entry = gates.enter(&key, Lane::First, &Limits::default(), false, Duration::ZERO);
            let Entry::Go(pass) = entry else {
                panic!("{entry:?}")
            };
            board.ended(&key, End::Failure);
            gates.leave(pass, &limits::Ended::unsaid(), Duration::ZERO);
            ended += 1;
        };
        for number in 0..100 {
            call(&mut board, &mut gates, number);
        }
        let busiest = gates.seen(Board::MOST, Duration::ZERO);
        let figures = board.figures(&busiest, &Pauses::default());
        assert_eq!(figures.len(), Board::MOST + 1);
        let before = figures.last().unwrap().clone();
        assert_eq!((&*before.target, before.breaker), ("other", None));
        // One of the others becomes the busiest.
        for _ in 0..10 {
            call(&mut board, &mut gates, 99);
        }
        let busiest = gates.seen(Board::MOST, Duration::ZERO);
        let figures = board.figures(&busiest, &Pauses::default());
        assert_eq!((&*figures[0].target, total(&figures[..1])), ("99", 0));
        call(&mut board, &mut gates, 99);
        let figures = board.figures(&gates.seen(Board::MOST, Duration::ZERO), &Pauses::default());
        assert_eq!(total(&figures[..1]), 1, "from its naming on");
        let after = figures.last().unwrap();
        assert!(
            total(std::slice::from_ref(after)) >= total(&[before]),
            "{after:?}"
        );
    }
}
