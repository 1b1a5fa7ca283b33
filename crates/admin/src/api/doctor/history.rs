//! The depths of the last ten minutes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker::Depths;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::doctor::Sample;

const INTERVAL: Duration = Duration::from_secs(30);
/// Ten minutes.
const MAX_SAMPLES: usize = 20;

/// Samples of the depths. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct DepthHistory(Arc<Mutex<VecDeque<(Instant, Depths)>>>);

impl DepthHistory {
    fn samples_mut(&self) -> MutexGuard<'_, VecDeque<(Instant, Depths)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes samples until `stop`.
    pub(in crate::api) async fn watch(self, depths: Receiver<Depths>, stop: CancellationToken) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(interval.tick()).await.is_some() {
            let seen = *depths.borrow();
            self.add(Instant::now(), seen);
        }
    }

    fn add(&self, now: Instant, depths: Depths) {
        let mut samples = self.samples_mut();
        samples.push_back((now, depths));
        if samples.len() > MAX_SAMPLES {
            samples.pop_front();
        }
    }

    /// The samples in which all that matters was known, the oldest first.
    pub(super) fn samples(&self, now: Instant) -> Vec<Sample> {
        let samples = self.samples_mut();
        let known = samples.iter().filter_map(|(at, depths)| {
            Some(Sample {
                age: now.duration_since(*at),
                backlog: depths.backlog().current()?,
                journal: depths.journal.current()?,
            })
        });
        known.collect()
    }
}

#[cfg(test)]
mod tests {
    use broker::Depth;

    use super::*;

    #[test]
    fn the_last_ten_minutes_are_kept_and_what_was_unknown_is_left_out() {
        let (history, start) = (DepthHistory::default(), Instant::now());
        history.add(start, Depths::default());
        for number in 1..=30 {
            let depths = Depths {
                first: Depth::fresh(number),
                retry: Depth::fresh(1),
                journal: Depth::fresh(0),
                ..Depths::default()
            };
            history.add(start + INTERVAL * number, depths);
            let samples = history.samples(start + INTERVAL * number);
            let expected = usize::try_from(number).unwrap().min(MAX_SAMPLES);
            assert_eq!(samples.len(), expected);
        }
        let samples = history.samples(start + INTERVAL * 30);
        let oldest = Sample {
            age: INTERVAL * 19,
            backlog: 12,
            journal: 0,
        };
        assert_eq!(samples.first(), Some(&oldest));
    }
}
