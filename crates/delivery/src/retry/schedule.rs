//! The waits between attempts, and jitter.

use std::time::Duration;

use thiserror::Error;

/// The maximum number of waits: with the first attempt, 20 attempts.
pub const MAX_WAITS: usize = 19;

/// The shortest wait: the delay queues count in whole seconds.
const MIN_WAIT: Duration = Duration::from_secs(1);

/// The longest wait: what the delay queues hold in one pass (2^20 s is a little over 12 days).
const MAX_WAIT: Duration = Duration::from_secs(12 * 24 * 60 * 60);

/// The maximum jitter, as a fraction of the wait.
const JITTER: f64 = 0.2;

/// The waits between attempts. [`Schedule::new`] checks them, so that using them cannot fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    waits: Vec<Duration>,
}

/// Why a list of waits is not a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// There are no waits.
    #[error("a schedule needs at least one wait")]
    Empty,
    /// There are more waits than a message may have retries.
    #[error("a schedule has at most {MAX_WAITS} waits, not {count}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A wait is under a second.
    #[error("wait {position} of the schedule is {wait:?}, shorter than 1 s")]
    TooShort {
        /// Which wait, counted from 1.
        position: usize,
        /// The wait.
        wait: Duration,
    },
    /// A wait is over 12 days.
    #[error("wait {position} of the schedule is {wait:?}, longer than 12 days")]
    TooLong {
        /// Which wait, counted from 1.
        position: usize,
        /// The wait.
        wait: Duration,
    },
}

impl Schedule {
    /// A schedule of 1 to 19 waits, each 1 s to 12 days. The first wait follows attempt 1.
    ///
    /// # Errors
    /// [`ScheduleError`] names the first bad wait.
    pub fn new(waits: Vec<Duration>) -> Result<Self, ScheduleError> {
        if waits.is_empty() {
            return Err(ScheduleError::Empty);
        }
        if waits.len() > MAX_WAITS {
            return Err(ScheduleError::TooMany { count: waits.len() });
        }
        for (position, &wait) in (1..).zip(&waits) {
            if wait < MIN_WAIT {
                return Err(ScheduleError::TooShort { position, wait });
            }
            if wait > MAX_WAIT {
                return Err(ScheduleError::TooLong { position, wait });
            }
        }
        Ok(Self { waits })
    }

    /// The wait after the attempt of this number (from 1; 0 is taken as 1), or `None` after the
    /// last one.
    ///
    /// `max_attempts` replaces [`Schedule::attempts`]: fewer attempts cut the schedule short, more
    /// repeat its last wait.
    #[must_use]
    pub fn wait_after(&self, attempt: u32, max_attempts: Option<u32>) -> Option<Duration> {
        let attempt = attempt.max(1);
        if attempt >= max_attempts.unwrap_or_else(|| self.attempts()) {
            return None;
        }
        let position = usize::try_from(attempt - 1).unwrap_or(usize::MAX);
        self.waits.get(position).or(self.waits.last()).copied()
    }

    /// The number of attempts: one more than there are waits.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        // At most 19 waits: never saturates.
        u32::try_from(self.waits.len()).unwrap_or(u32::MAX - 1) + 1
    }

    /// The waits in order, without jitter.
    #[must_use]
    pub fn waits(&self) -> &[Duration] {
        &self.waits
    }
}

impl Default for Schedule {
    /// Nine attempts in about 18 hours: soon enough after a restart of the target, long enough for
    /// a night without an operator.
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let seconds = [
            5,
            30,
            2 * MINUTE,
            10 * MINUTE,
            30 * MINUTE,
            2 * HOUR,
            5 * HOUR,
            10 * HOUR,
        ];
        Self {
            waits: seconds.map(Duration::from_secs).to_vec(),
        }
    }
}

/// Lengthens a wait by 0 to 20 %, so that callbacks that failed together are not retried together.
///
/// `chance` is a random number from 0 to 1; lower values and NaN are taken as 0, higher ones as 1.
/// The result is never shorter than `wait`.
#[must_use]
pub fn jittered(wait: Duration, chance: f64) -> Duration {
    let jitter = wait.as_secs_f64() * JITTER * chance.clamp(0.0, 1.0);
    let jitter = Duration::try_from_secs_f64(jitter)
        // NaN.
        .unwrap_or(Duration::ZERO)
        // Rounding must not exceed a fifth.
        .min(wait / 5);
    wait.saturating_add(jitter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn three_waits() -> Schedule {
        Schedule::new(vec![seconds(1), seconds(2), seconds(4)]).unwrap()
    }

    #[test]
    fn the_default_schedule_makes_nine_attempts_in_about_eighteen_hours() {
        let schedule = Schedule::default();
        assert_eq!(schedule.attempts(), 9);
        assert_eq!(
            schedule.waits(),
            [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000].map(seconds)
        );
        assert_eq!(Schedule::new(schedule.waits().to_vec()), Ok(schedule));
    }

    #[test]
    fn a_schedule_is_checked_at_its_bounds() {
        let days = 24 * 60 * 60;
        let short = seconds(1) - Duration::from_nanos(1);
        let long = seconds(12 * days) + Duration::from_nanos(1);
        let table = [
            (vec![], Some(ScheduleError::Empty)),
            (vec![seconds(1)], None),
            (vec![seconds(12 * days)], None),
            (vec![seconds(1); 19], None),
            (
                vec![seconds(1); 20],
                Some(ScheduleError::TooMany { count: 20 }),
            ),
            (
                vec![seconds(1), short],
                Some(ScheduleError::TooShort {
                    position: 2,
                    wait: short,
                }),
            ),
            (
                vec![Duration::ZERO],
                Some(ScheduleError::TooShort {
                    position: 1,
                    wait: seconds(0),
                }),
            ),
            (
                vec![long, short],
                Some(ScheduleError::TooLong {
                    position: 1,
                    wait: long,
                }),
            ),
        ];
        for (waits, error) in table {
            assert_eq!(Schedule::new(waits.clone()).err(), error, "{waits:?}");
        }
    }

    #[test]
    fn an_error_is_one_sentence() {
        let error = Schedule::new(vec![seconds(9), Duration::from_millis(500)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "wait 2 of the schedule is 500ms, shorter than 1 s"
        );
    }

    #[test]
    fn the_waits_follow_in_order_until_the_schedule_ends() {
        let waits = (0..=5).map(|attempt| three_waits().wait_after(attempt, None));
        let expected = [Some(1), Some(1), Some(2), Some(4), None, None];
        assert!(waits.eq(expected.map(|wait| wait.map(seconds))));
    }

    #[test]
    fn fewer_attempts_cut_the_schedule_and_more_repeat_its_last_wait() {
        let table = [
            (1, Some(0), None),
            (1, Some(1), None),
            (1, Some(2), Some(1)),
            (2, Some(2), None),
            (3, Some(4), Some(4)),
            (4, Some(4), None),
            (4, Some(6), Some(4)),
            (5, Some(6), Some(4)),
            (6, Some(6), None),
            (u32::MAX - 1, Some(u32::MAX), Some(4)),
            (u32::MAX, Some(u32::MAX), None),
        ];
        for (attempt, most, wait) in table {
            let found = three_waits().wait_after(attempt, most);
            assert_eq!(found, wait.map(seconds), "attempt {attempt} of {most:?}");
        }
    }

    #[test]
    fn jitter_adds_what_chance_says_and_odd_chances_are_clamped() {
        let table = [
            (0.0, 100),
            (0.5, 110),
            (1.0, 120),
            (-3.0, 100),
            (7.0, 120),
            (f64::NAN, 100),
            (f64::INFINITY, 120),
            (f64::NEG_INFINITY, 100),
        ];
        for (chance, expected) in table {
            assert_eq!(
                jittered(seconds(100), chance),
                seconds(expected),
                "{chance}"
            );
        }
        assert_eq!(jittered(Duration::MAX, 1.0), Duration::MAX);
        assert_eq!(jittered(Duration::ZERO, 1.0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_jittered_wait_is_never_early_and_at_most_a_fifth_late(
            nanos in any::<u64>(),
            seconds in 0_u64..1 << 40,
            chance in any::<f64>(),
        ) {
            let wait = Duration::from_secs(seconds) + Duration::from_nanos(nanos);
            let found = jittered(wait, chance);
            prop_assert!(found >= wait);
            prop_assert!(found <= wait + wait / 5);
        }

        #[test]
        fn more_chance_is_never_a_shorter_wait(
            millis in 1_000_u64..1_000_000_000,
            low in 0.0..1.0_f64,
            high in 0.0..1.0_f64,
        ) {
            let wait = Duration::from_millis(millis);
            prop_assert!(jittered(wait, low.min(high)) <= jittered(wait, low.max(high)));
        }
    }
}
