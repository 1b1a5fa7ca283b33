//! Parsing of the header `Retry-After`.

use std::time::{Duration, SystemTime};

/// The maximum length of a value.
const MAX_BYTES: usize = 64;

/// The longest wait that is returned (136 years), so that adding it to a time cannot overflow.
const MAX_SECONDS: u64 = u32::MAX as u64;

/// Parses a `Retry-After` value (RFC 9110, section 10.2.3): whole seconds, or an HTTP date in any
/// of its three forms.
///
/// A date in the past is zero. A number too large to count is 136 years. Anything else (a sign, a
/// fraction, a unit, over 64 bytes) is `None`, as if the header were absent. [`crate::decide`]
/// limits how much of it is honoured.
#[must_use]
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if value.len() > MAX_BYTES {
        return None;
    }
    let value = value.trim_matches([' ', '\t']);
    // Digits only: `parse` alone would accept "+5" as well.
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds.min(MAX_SECONDS)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let wait = date.duration_since(now).unwrap_or(Duration::ZERO);
    Some(wait.min(Duration::from_secs(MAX_SECONDS)))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the RFC's own example.
    const NOW: u64 = 784_111_777;

    #[test]
    fn seconds_and_dates_are_parsed_and_everything_else_is_ignored() {
        let nines = "9".repeat(64);
        let zeros = format!("{}5", "0".repeat(63));
        let too_long = "0".repeat(65);
        let table = [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 120\t", Some(120)),
            ("007", Some(7)),
            ("4294967295", Some(4_294_967_295)),
            ("4294967296", Some(4_294_967_295)),
            ("18446744073709551616", Some(4_294_967_295)),
            (&nines, Some(4_294_967_295)),
            (&zeros, Some(5)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120)),
            ("Sunday, 06-Nov-94 08:51:37 GMT", Some(120)),
            ("Sun Nov  6 08:51:37 1994", Some(120)),
            (" Sun, 06 Nov 1994 08:51:37 GMT ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(4_294_967_295)),
            (&too_long, None),
            ("", None),
            (" ", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("1e3", None),
            ("0x10", None),
            ("5 s", None),
            ("5, 10", None),
            ("5\u{a0}", None),
            ("１２", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:51:37 UTC", None),
            ("Sun, 06 Nov 1994 08:51:37 +0800", None),
            ("Mon, 06 Nov 1994 08:51:37 GMT", None),
            ("Thu, 30 Feb 1995 08:51:37 GMT", None),
            ("Sun, 06 Nov 1994 25:00:00 GMT", None),
            ("Sat, 01 Jan 10000 00:00:00 GMT", None),
            ("1994-11-06T08:51:37Z", None),
        ];
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        for (value, expected) in table {
            assert_eq!(
                retry_after(value, now),
                expected.map(Duration::from_secs),
                "{value:?}"
            );
        }
    }

    #[test]
    fn a_date_is_never_early_by_a_part_of_a_second() {
        let now = UNIX_EPOCH + Duration::from_millis(NOW * 1_000 + 250);
        let wait = retry_after("Sun, 06 Nov 1994 08:49:39 GMT", now);
        assert_eq!(wait, Some(Duration::from_millis(1_750)));
    }

    proptest! {
        #[test]
        fn both_forms_give_the_same_wait(now in any::<u32>(), seconds in any::<u64>()) {
            let now = UNIX_EPOCH + Duration::from_secs(now.into());
            let expected = Duration::from_secs(seconds.min(MAX_SECONDS));
            prop_assert_eq!(retry_after(&seconds.to_string(), now), Some(expected));
            // A date has a year of four digits.
            let asked = Duration::from_secs(seconds % (200 * 365 * 24 * 3_600));
            let date = httpdate::fmt_http_date(now + asked);
            let expected = asked.min(Duration::from_secs(MAX_SECONDS));
            prop_assert_eq!(retry_after(&date, now), Some(expected));
            prop_assert_eq!(retry_after(&date, now + asked), Some(Duration::ZERO));
        }

        #[test]
        fn no_value_causes_a_panic(value in ".{0,80}", now in any::<u32>()) {
            let now = UNIX_EPOCH + Duration::from_secs(now.into());
            let _ = retry_after(&value, now);
        }

        #[test]
        fn nothing_that_looks_like_a_date_causes_a_panic(
            value in "[A-Z][a-z]{2}, [0-9]{2} (Jan|Feb|Foo|Dec) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
        ) {
            if let Some(wait) = retry_after(&value, UNIX_EPOCH) {
                prop_assert!(wait <= Duration::from_secs(MAX_SECONDS));
            }
        }
    }
}
