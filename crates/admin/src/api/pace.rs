//! How fast targets take calls, judged by the last five minutes, and how long work takes at that pace.
//! All of it is an estimate.

use std::time::Duration;

use crate::doctor::said::{Said, say};

/// What the figures of targets cover.
const OBSERVED: Duration = Duration::from_secs(5 * 60);

/// What is known of a target, or of all together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PaceFigures {
    /// Calls of the last five minutes, however they ended.
    pub(crate) calls: u64,
    /// How many may be in flight, in all processes.
    pub(crate) slots: Option<u32>,
    /// How long a call usually takes.
    pub(crate) usual: Option<Duration>,
    /// The rate limits of all processes.
    pub(crate) max_per_second: Option<f64>,
}

/// Calls per second that it takes when there is enough work. It was called too little for its pace to
/// show if not all its slots were in use: then they, and how long a call takes, say it. `None`: not
/// known, because it was not called.
pub(crate) fn per_second(figures: PaceFigures) -> Option<f64> {
    if figures.calls == 0 {
        return None;
    }
    let observed = as_float(figures.calls) / OBSERVED.as_secs_f64();
    let usual = figures.usual.map(|usual| usual.as_secs_f64());
    let by_slots = match (figures.slots, usual.filter(|seconds| *seconds > 0.0)) {
        (Some(slots), Some(seconds)) => f64::from(slots) / seconds,
        _ => 0.0,
    };
    let limit = figures.max_per_second.unwrap_or(f64::INFINITY);
    Some(observed.max(by_slots).min(limit))
}

/// How long so many take. `None`: never, at this pace.
pub(crate) fn time_for(count: u64, per_second: f64) -> Option<Duration> {
    let seconds = (as_float(count) / per_second).ceil();
    Duration::try_from_secs_f64(seconds).ok()
}

/// `40 per second`, `2.5 per second`, `6 per minute`
pub(crate) fn words(per_second: f64) -> Said {
    match per_second {
        fast if fast >= 10.0 => say!("{fast:.0} per second", "每秒 {fast:.0} 次"),
        slow if slow >= 1.0 => say!("{slow:.1} per second", "每秒 {slow:.1} 次"),
        slower => {
            let text = format!("{:.1}", slower * 60.0);
            let text = text.trim_end_matches(".0");
            say!("{text} per minute", "每分钟 {text} 次")
        }
    }
}

fn as_float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(calls: u64, slots: Option<u32>, usual_ms: Option<u64>) -> PaceFigures {
        PaceFigures {
            calls,
            slots,
            usual: usual_ms.map(Duration::from_millis),
            max_per_second: None,
        }
    }

    #[test]
    fn the_pace_is_what_was_seen_or_what_the_slots_allow_within_the_rate_limit() {
        for (figures, expected) in [
            (figures(0, Some(10), Some(100)), None),
            (figures(300, None, None), Some(1.0)),
            (figures(300, Some(10), None), Some(1.0)),
            // It was called once a second, and has slots for a hundred.
            (figures(300, Some(10), Some(100)), Some(100.0)),
            // All slots were in use all the time.
            (figures(60_000, Some(10), Some(100)), Some(200.0)),
            (figures(300, Some(10), Some(0)), Some(1.0)),
        ] {
            assert_eq!(per_second(figures), expected, "{figures:?}");
        }
        let mut limited = figures(300, Some(10), Some(100));
        limited.max_per_second = Some(5.0);
        assert_eq!(per_second(limited), Some(5.0));
    }

    #[test]
    fn times_are_rounded_up_and_paces_are_words() {
        assert_eq!(time_for(101, 100.0), Some(Duration::from_secs(2)));
        assert_eq!(time_for(0, 100.0), Some(Duration::ZERO));
        assert_eq!(time_for(1, 0.0), None);
        for (pace, expected) in [
            (123.4, "123 per second"),
            (2.51, "2.5 per second"),
            (0.1, "6 per minute"),
            (0.01, "0.6 per minute"),
        ] {
            assert_eq!(words(pace).to_string(), expected);
        }
    }
}
