//! How are moments and lengths of time written down?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in Unix ms. A clock before 1970 or after the year 500 million is no clock.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A length of time in whole milliseconds.
pub(crate) fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
