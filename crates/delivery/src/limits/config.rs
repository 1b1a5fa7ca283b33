//! The settings section `limits`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use humantime::format_duration;
use serde::{Deserialize, Serialize};

use super::policy::{BreakerRules, TargetLimits};
use super::rate_limiter::Rate;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The limits of every callee and target, in each dispatcher.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// The maximum number of calls in flight. None: a tenth of each queue's concurrency.
    pub in_flight: Option<u32>,
    /// The maximum number of calls of one app in flight. None: its share of the slots alone.
    pub app_in_flight: Option<u32>,
    /// The maximum number of calls per second. None: no limit.
    pub rate: Option<f64>,
    /// How many calls may be made at once after an idle time, if there is a rate.
    pub burst: u32,
    /// How long a callback may wait in memory for a permit.
    #[serde(with = "humantime_serde")]
    pub queue_timeout: Duration,
    /// The breaker opens at this ratio of failures, 0 to 1.
    pub breaker_failure_ratio: f64,
    /// The minimum number of calls before the breaker may open. 0: it never opens.
    pub breaker_min_calls: u32,
    /// How far back calls count.
    #[serde(with = "humantime_serde")]
    pub breaker_window: Duration,
    /// How long the breaker stays open at first.
    #[serde(with = "humantime_serde")]
    pub breaker_open_duration: Duration,
    /// The maximum time that the breaker stays open.
    #[serde(with = "humantime_serde")]
    pub breaker_max_open_duration: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let TargetLimits {
            in_flight,
            rate: _,
            breaker,
            queue_timeout,
        } = TargetLimits::default();
        Self {
            in_flight,
            app_in_flight: None,
            rate: None,
            burst: 1,
            queue_timeout,
            breaker_failure_ratio: breaker.failure_ratio,
            breaker_min_calls: breaker.min_calls,
            breaker_window: breaker.window,
            breaker_open_duration: breaker.open_duration,
            breaker_max_open_duration: breaker.max_open_duration,
        }
    }
}

impl LimitsConfig {
    /// The limits. A rate that [`LimitsConfig::validate`] reports is ignored.
    #[must_use]
    pub fn limits(&self) -> TargetLimits {
        TargetLimits {
            in_flight: self.in_flight,
            rate: self.rate.and_then(|rate| Rate::new(rate, self.burst)),
            breaker: BreakerRules {
                failure_ratio: self.breaker_failure_ratio,
                min_calls: self.breaker_min_calls,
                window: self.breaker_window,
                open_duration: self.breaker_open_duration,
                max_open_duration: self.breaker_max_open_duration,
            },
            queue_timeout: self.queue_timeout,
        }
    }

    /// Reports each bad value by its key and the reason.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        let in_flight = self.in_flight.and_then(|max| number(max, 1..=65_535));
        let app_in_flight = self.app_in_flight.and_then(|max| number(max, 1..=65_535));
        // From one call a day on.
        let rate = self.rate;
        let rate = rate.and_then(|rate| number(rate, 0.000_012..=1_000_000.0));
        let burst = number(self.burst, 1..=1_000_000);
        let timeout = duration(self.queue_timeout, Duration::ZERO..=MINUTE);
        let ratio = number(self.breaker_failure_ratio, 0.01..=1.0);
        let min_calls = number(self.breaker_min_calls, 0..=1_000_000);
        let window = duration(self.breaker_window, Duration::from_secs(1)..=HOUR);
        let open = self.breaker_open_duration;
        let max_open = duration(self.breaker_max_open_duration, open..=HOUR);
        let open = duration(open, Duration::from_millis(10)..=HOUR);
        for (key, reason) in [
            ("in_flight", in_flight),
            ("app_in_flight", app_in_flight),
            ("rate", rate),
            ("burst", burst),
            ("queue_timeout", timeout),
            ("breaker_failure_ratio", ratio),
            ("breaker_min_calls", min_calls),
            ("breaker_window", window),
            ("breaker_open_duration", open),
            ("breaker_max_open_duration", max_open),
        ] {
            if let Some(reason) = reason {
                report(key, reason);
            }
        }
    }
}

/// Why a number is out of its range, if it is.
fn number<T: PartialOrd + Display + Copy>(value: T, range: RangeInclusive<T>) -> Option<String> {
    let (min, max) = (range.start(), range.end());
    (!range.contains(&value)).then(|| format!("{value} is not between {min} and {max}"))
}

/// Why a duration is out of its range, if it is.
fn duration(value: Duration, range: RangeInclusive<Duration>) -> Option<String> {
    let outside = !range.contains(&value);
    let [value, min, max] = [value, *range.start(), *range.end()].map(format_duration);
    outside.then(|| format!("{value} is not between {min} and {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(json: &str) -> Vec<String> {
        let config: LimitsConfig = serde_json::from_str(json).unwrap();
        let mut found = Vec::new();
        config.validate(&mut |key, reason| found.push(format!("{key}: {reason}")));
        found
    }

    #[test]
    fn the_defaults_are_those_of_the_limits() {
        assert_eq!(LimitsConfig::default().limits(), TargetLimits::default());
        assert_eq!(reported("{}"), [""; 0]);
    }

    #[test]
    fn every_key_is_read() {
        let json = r#"{"in_flight":4,"rate":2.5,"burst":3,"queue_timeout":"1s",
            "breaker_failure_ratio":0.25,"breaker_min_calls":7,"breaker_window":"1m",
            "breaker_open_duration":"2s","breaker_max_open_duration":"5m"}"#;
        let config: LimitsConfig = serde_json::from_str(json).unwrap();
        let expected = TargetLimits {
            in_flight: Some(4),
            rate: Rate::new(2.5, 3),
            breaker: BreakerRules {
                failure_ratio: 0.25,
                min_calls: 7,
                window: Duration::from_secs(60),
                open_duration: Duration::from_secs(2),
                max_open_duration: Duration::from_secs(300),
            },
            queue_timeout: Duration::from_secs(1),
        };
        assert_eq!(config.limits(), expected);
        assert!(serde_json::from_str::<LimitsConfig>(r#"{"waiting":"1s"}"#).is_err());
    }

    #[test]
    fn every_value_outside_its_range_is_reported() {
        let json = r#"{"in_flight":0,"app_in_flight":0,"rate":0.0,"burst":0,"queue_timeout":"61s",
            "breaker_failure_ratio":1.5,"breaker_min_calls":1000001,"breaker_window":"0s",
            "breaker_open_duration":"10s","breaker_max_open_duration":"9s"}"#;
        assert_eq!(
            reported(json),
            [
                "in_flight: 0 is not between 1 and 65535",
                "app_in_flight: 0 is not between 1 and 65535",
                "rate: 0 is not between 0.000012 and 1000000",
                "burst: 0 is not between 1 and 1000000",
                "queue_timeout: 1m 1s is not between 0s and 1m",
                "breaker_failure_ratio: 1.5 is not between 0.01 and 1",
                "breaker_min_calls: 1000001 is not between 0 and 1000000",
                "breaker_window: 0s is not between 1s and 1h",
                "breaker_max_open_duration: 9s is not between 10s and 1h",
            ]
        );
        assert_eq!(
            reported(r#"{"breaker_open_duration":"1ms"}"#),
            ["breaker_open_duration: 1ms is not between 10ms and 1h"]
        );
    }
}
