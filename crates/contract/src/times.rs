//! Time conversions: system time, milliseconds, RFC 3339.
//!
//! Messages, records and answers hold milliseconds since the Unix epoch. Nothing here reads the
//! clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// A duration in whole milliseconds.
pub fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A time in milliseconds since the Unix epoch; 0 if it is earlier.
pub fn unix_ms(time: SystemTime) -> u64 {
    duration_ms(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A time in seconds since the Unix epoch; 0 if it is earlier.
pub fn unix_seconds(time: SystemTime) -> u64 {
    unix_ms(time) / 1_000
}

/// A time, in milliseconds since the Unix epoch, as RFC 3339 in UTC: `2025-09-22T00:13:20.000Z`.
///
/// RFC 3339 ends with the year 9999: later times are shown as its last millisecond.
pub fn rfc3339(unix_ms: u64) -> String {
    let since_epoch = time::Duration::milliseconds(i64::try_from(unix_ms).unwrap_or(i64::MAX));
    let time = OffsetDateTime::UNIX_EPOCH.saturating_add(since_epoch);
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second, ms) = time.to_hms_milli();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_are_written_as_their_calendar_date() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1, "1970-01-01T00:00:00.001Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_758_500_000_000, "2025-09-22T00:13:20.000Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(unix_ms), text);
        }
    }

    #[test]
    fn every_day_follows_the_one_before_it() {
        let mut days = 0;
        for year in 1970..2500_u64 {
            let leap =
                year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            let february = if leap { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for day in 1..=length {
                    let expected = format!("{year:04}-{month:02}-{day:02}T00:00:00.000Z");
                    assert_eq!(rfc3339(days * 86_400_000), expected);
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn times_are_rounded_down_and_never_wrap() {
        let time = UNIX_EPOCH + Duration::from_micros(1_700_000_000_999_999);
        assert_eq!(
            (unix_ms(time), unix_seconds(time)),
            (1_700_000_000_999, 1_700_000_000)
        );
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!((unix_ms(before), unix_seconds(before)), (0, 0));
        assert_eq!(duration_ms(Duration::from_micros(1_999)), 1);
        assert_eq!(duration_ms(Duration::MAX), u64::MAX);
    }
}
