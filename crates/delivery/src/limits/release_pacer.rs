//! Spreads out the release of deferred messages, so that they do not all return at once.

use std::time::Duration;

/// Hands out release slots, one after the other.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReleasePacer {
    next: Duration,
}

impl ReleasePacer {
    /// The time until the next free slot, at most `max_spread`; beyond it, further messages share the
    /// slots. There are `per_second` slots a second.
    pub(super) fn next_slot(
        &mut self,
        per_second: f64,
        max_spread: Duration,
        now: Duration,
    ) -> Duration {
        if self.next.saturating_sub(now) > max_spread {
            self.next = now;
        }
        let at = self.next.max(now);
        // At least one slot within the spread; this also covers NaN.
        let interval = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(max_spread);
        self.next = at.saturating_add(interval.min(max_spread));
        at.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::from_secs(1_000);
    const MAX_SPREAD: Duration = Duration::from_secs(60);

    #[test]
    fn messages_deferred_together_are_released_one_after_the_other() {
        let mut pacer = ReleasePacer::default();
        let slots = [NOW, NOW, NOW, NOW + Duration::from_secs(9)]
            .map(|now| pacer.next_slot(2.0, MAX_SPREAD, now));
        assert_eq!(slots.map(|slot| slot.as_millis()), [0, 500, 1_000, 0]);
    }

    proptest! {
        #[test]
        fn no_message_waits_longer_than_a_minute_and_each_second_has_its_share(
            per_second in 0.1_f64..10_000.0, count in 1_usize..5_000,
        ) {
            let mut pacer = ReleasePacer::default();
            let slots: Vec<Duration> = (0..count).map(|_| pacer.next_slot(per_second, MAX_SPREAD, NOW)).collect();
            prop_assert!(slots.iter().all(|slot| *slot <= MAX_SPREAD));
            let rounds = (count as f64 / (per_second * 60.0)).ceil();
            for second in 0..=60 {
                let span = Duration::from_secs(second)..Duration::from_secs(second + 1);
                let within = slots.iter().filter(|slot| span.contains(slot)).count();
                prop_assert!(within as f64 <= (per_second + 2.0) * rounds, "{within} in {second}");
            }
        }

        #[test]
        fn an_invalid_rate_does_not_exceed_the_spread(per_second in any::<f64>()) {
            let mut pacer = ReleasePacer::default();
            for _ in 0..3 {
                prop_assert!(pacer.next_slot(per_second, MAX_SPREAD, NOW) <= MAX_SPREAD);
            }
        }
    }
}
