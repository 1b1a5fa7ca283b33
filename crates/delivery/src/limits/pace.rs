//! When does what is parked come back, so that not all of it comes at once?

use std::time::Duration;

/// What is parked is spread over so long at most; what is more shares the time.
const MOST: Duration = Duration::from_secs(60);

/// Turns to come back, one after the other.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    next: Duration,
}

impl Pace {
    /// How long the next one that is parked stays away for the others' sake: at most 60 s. So many
    /// `per_second` come back.
    pub(super) fn turn(&mut self, per_second: f64, now: Duration) -> Duration {
        if self.next.saturating_sub(now) > MOST {
            self.next = now;
        }
        let at = self.next.max(now);
        // At least one a minute, and a number.
        let interval = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(MOST);
        self.next = at.saturating_add(interval.min(MOST));
        at.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn what_is_parked_together_comes_back_one_after_the_other() {
        let mut pace = Pace::default();
        let turns = [NOW, NOW, NOW, NOW + Duration::from_secs(9)].map(|now| pace.turn(2.0, now));
        assert_eq!(turns.map(|turn| turn.as_millis()), [0, 500, 1_000, 0]);
    }

    proptest! {
        #[test]
        fn nobody_stays_away_for_more_than_a_minute_and_each_minute_has_its_share(
            per_second in 0.1_f64..10_000.0, count in 1_usize..5_000,
        ) {
            let mut pace = Pace::default();
            let turns: Vec<Duration> = (0..count).map(|_| pace.turn(per_second, NOW)).collect();
            prop_assert!(turns.iter().all(|turn| *turn <= MOST));
            let rounds = (count as f64 / (per_second * 60.0)).ceil();
            for second in 0..=60 {
                let span = Duration::from_secs(second)..Duration::from_secs(second + 1);
                let within = turns.iter().filter(|turn| span.contains(turn)).count();
                prop_assert!(within as f64 <= (per_second + 2.0) * rounds, "{within} in {second}");
            }
        }

        #[test]
        fn an_odd_rate_is_survived(per_second in any::<f64>()) {
            let mut pace = Pace::default();
            for _ in 0..3 {
                prop_assert!(pace.turn(per_second, NOW) <= MOST);
            }
        }
    }
}
