//! The settings section `retry`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::durations;
use super::schedule::{Schedule, ScheduleError};

/// When failed attempts are retried.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// The waits before the second attempt, the third, and so on; after the last one, the callback
    /// is dead-lettered.
    #[serde(with = "durations")]
    pub schedule: Vec<Duration>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            schedule: Schedule::default().waits().to_vec(),
        }
    }
}

impl RetryConfig {
    /// The schedule.
    ///
    /// # Errors
    /// [`ScheduleError`], as [`Schedule::new`].
    pub fn schedule(&self) -> Result<Schedule, ScheduleError> {
        Schedule::new(self.schedule.clone())
    }

    /// Reports each bad value by its key and the reason.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        match self.schedule() {
            Ok(_) => {}
            Err(ScheduleError::Empty) => {
                let reason = "it needs at least one wait (write 5s,30s,2min)";
                report("schedule", reason.to_owned());
            }
            Err(error) => report("schedule", error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_written_as_they_are_read() {
        let json = r#"{"schedule":["5s","2m","1h 30m"]}"#;
        let config: RetryConfig = serde_json::from_str(json).unwrap();
        assert_eq!(config.schedule, [5, 120, 5_400].map(Duration::from_secs));
        assert_eq!(serde_json::to_string(&config).unwrap(), json);
        let default: RetryConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(default.schedule().unwrap(), Schedule::default());
        for bad in [r#"{"schedule":["5"]}"#, r#"{"waits":[]}"#] {
            assert!(serde_json::from_str::<RetryConfig>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_schedule_is_reported_by_its_key() {
        let reported = |schedule: Vec<u64>| {
            let schedule = schedule.into_iter().map(Duration::from_secs).collect();
            let mut found = Vec::new();
            let mut report = |key: &str, reason| found.push(format!("{key}: {reason}"));
            RetryConfig { schedule }.validate(&mut report);
            found
        };
        assert_eq!(reported(vec![1]), [""; 0]);
        assert_eq!(
            reported(vec![]),
            ["schedule: it needs at least one wait (write 5s,30s,2min)"]
        );
        assert_eq!(
            reported(vec![1, 0]),
            ["schedule: wait 2 of the schedule is 0ns, shorter than 1 s"]
        );
    }
}
