//! Numbers and durations for people.

use std::time::Duration;

use crate::doctor::said::Said;
use crate::doctor::span::spoken;

const MIB: u64 = 1024 * 1024;

/// `1,234 MiB`, or `123 KiB` below 1 MiB.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        small if small < MIB => format!("{} KiB", small / 1024),
        large => format!("{} MiB", number(large / MIB)),
    }
}

/// `1,234,567`
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// In whole seconds, or minutes from an hour on: `2h 3m`.
pub(super) fn duration(duration: Duration) -> Said {
    let seconds = duration.as_secs();
    let rounded = if seconds >= 3_600 {
        seconds - seconds % 60
    } else {
        seconds
    };
    spoken(Duration::from_secs(rounded))
}

/// The share of `part` in `whole`, in percent.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100) / whole.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::said::Spoken as _;

    #[test]
    fn numbers_are_grouped_and_durations_are_short() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(bytes(2_048), "2 KiB");
        assert_eq!(bytes(3 * 1024 * MIB), "3,072 MiB");
        assert_eq!(duration(Duration::from_millis(90_500)).english(), "1m 30s");
        assert_eq!(
            duration(Duration::from_secs(7_325)).chinese(),
            "2 小时 2 分"
        );
        assert_eq!(percent(9, 10), 90);
        assert_eq!(percent(1, 0), 100);
    }
}
