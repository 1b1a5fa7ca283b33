//! Range checks for settings, and how durations are written for people.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Says why a value is out of its range.
///
/// # Errors
/// The sentence, without the key.
pub fn in_range<T: PartialOrd + Display + Copy>(
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    let (min, max) = (range.start(), range.end());
    Err(format!("{value} is not between {min} and {max}"))
}

/// Says why a duration is out of its range.
///
/// # Errors
/// The sentence, without the key.
pub fn duration_in_range(value: Duration, range: RangeInclusive<Duration>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    let [value, min, max] = [value, *range.start(), *range.end()].map(duration_text);
    Err(format!("{value} is not between {min} and {max}"))
}

/// Writes a duration in the largest unit that leaves no remainder.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match duration.subsec_nanos() {
        0 if seconds == 0 => "0s".to_owned(),
        0 if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        0 if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        0 => format!("{seconds}s"),
        nanos if nanos.is_multiple_of(1_000_000) => format!("{}ms", duration.as_millis()),
        _ => humantime::format_duration(duration).to_string(),
    }
}
