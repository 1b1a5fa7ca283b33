//! How the calls to one target ended: since it is known, and in the last five minutes.

use std::time::Duration;

/// The length of one step.
const STEP: Duration = Duration::from_secs(30);

/// Five minutes, and the step that has begun.
const STEPS: usize = 11;

/// One row for each outcome that the target has had; outcomes are a closed list.
#[derive(Debug, Clone, Default)]
pub(super) struct OutcomeCounts {
    rows: Vec<Row>,
    /// The number of the newest step since time zero.
    newest: u64,
}

#[derive(Debug, Clone)]
struct Row {
    outcome: &'static str,
    total: u64,
    steps: [u32; STEPS],
}

impl OutcomeCounts {
    /// A call ended like this, by [`Outcome::label`](crate::Outcome::label).
    pub(super) fn record(&mut self, outcome: &'static str, now: Duration) {
        // If the clock goes back, the newest step counts.
        let number = number_of(now).max(self.newest);
        let passed = number.saturating_sub(self.newest).min(STEPS as u64);
        for back in 0..passed {
            for row in &mut self.rows {
                row.steps[index(number - back)] = 0;
            }
        }
        self.newest = number;
        let known = self.rows.iter().position(|row| row.outcome == outcome);
        let at = known.unwrap_or_else(|| {
            self.rows.push(Row {
                outcome,
                total: 0,
                steps: [0; STEPS],
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[at];
        row.total = row.total.saturating_add(1);
        let step = &mut row.steps[index(number)];
        *step = step.saturating_add(1);
    }

    /// All calls, by outcome.
    pub(super) fn totals(&self) -> Vec<(&'static str, u64)> {
        let rows = self.rows.iter();
        rows.map(|row| (row.outcome, row.total)).collect()
    }

    /// The calls of the last five minutes, by outcome.
    pub(super) fn recent(&self, now: Duration) -> Vec<(&'static str, u64)> {
        let first = number_of(now).saturating_sub(STEPS as u64 - 1);
        let oldest = self.newest.saturating_sub(STEPS as u64 - 1).max(first);
        let rows = self.rows.iter().map(|row| {
            let steps = (oldest..=self.newest).map(|number| u64::from(row.steps[index(number)]));
            (row.outcome, steps.sum())
        });
        rows.filter(|(_, count)| *count > 0).collect()
    }
}

fn number_of(now: Duration) -> u64 {
    now.as_secs() / STEP.as_secs()
}

fn index(number: u64) -> usize {
    // Below STEPS: nothing is truncated.
    usize::try_from(number % STEPS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn calls_count_for_five_minutes_and_in_total_for_ever() {
        let mut counts = OutcomeCounts::default();
        assert_eq!(counts.recent(at(1_000)), []);
        counts.record("delivered", at(1_000));
        counts.record("timeout", at(1_010));
        counts.record("timeout", at(1_100));
        assert_eq!(counts.recent(at(1_100)), [("delivered", 1), ("timeout", 2)]);
        // At least five minutes, and at most one step more.
        assert_eq!(counts.recent(at(1_300)), [("delivered", 1), ("timeout", 2)]);
        assert_eq!(counts.recent(at(1_340)), [("timeout", 1)]);
        assert_eq!(counts.recent(at(1_450)), []);
        assert_eq!(counts.totals(), [("delivered", 1), ("timeout", 2)]);
        // A step is not counted again after a whole round.
        counts.record("delivered", at(5_000));
        assert_eq!(counts.recent(at(5_000)), [("delivered", 1)]);
    }

    #[test]
    fn a_clock_that_goes_back_counts_in_the_newest_step() {
        let mut counts = OutcomeCounts::default();
        counts.record("delivered", at(500));
        counts.record("delivered", at(100));
        assert_eq!(counts.recent(at(500)), [("delivered", 2)]);
        assert_eq!(counts.recent(at(100)), [("delivered", 2)]);
    }
}
