//! Times, as a page shows them: UTC, and how long ago.

use super::texts::Texts;

/// A moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct When {
    /// RFC 3339, for programs.
    pub(super) iso: String,
    /// To the second, UTC.
    pub(super) shown: String,
    /// For instance `3 min ago`.
    pub(super) distance: String,
}

impl When {
    /// The moment `at` as seen at `now`, both Unix ms.
    pub(super) fn of(at: u64, now: u64, t: &Texts) -> Self {
        let iso = contract::rfc3339(at);
        let to_seconds = iso.get(..19).unwrap_or(&iso);
        Self {
            shown: format!("{} UTC", to_seconds.replace('T', " ")),
            distance: distance(at, now, t),
            iso,
        }
    }
}

fn distance(at: u64, now: u64, t: &Texts) -> String {
    let seconds = at.abs_diff(now) / 1_000;
    if seconds == 0 {
        return t.now.to_owned();
    }
    let side = if at > now { t.from_now } else { t.ago };
    format!("{}{side}", span(seconds, t))
}

/// A span of time in its largest unit.
pub(super) fn span(seconds: u64, t: &Texts) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, t.seconds),
        120..7_200 => (seconds / 60, t.minutes),
        7_200..172_800 => (seconds / 3_600, t.hours),
        _ => (seconds / 86_400, t.days),
    };
    format!("{count}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::language::PageLanguage;

    #[test]
    fn a_moment_is_shown_in_utc_and_as_a_distance() {
        let now = 1_763_900_000_000;
        for (at, english, chinese) in [
            (now, "now", "刚刚"),
            (now - 61_000, "61 s ago", "61 秒前"),
            (now - 600_000, "10 min ago", "10 分钟前"),
            (now + 7_200_000, "2 h from now", "2 小时后"),
            (now - 864_000_000, "10 d ago", "10 天前"),
        ] {
            let when = When::of(at, now, Texts::of(PageLanguage::English));
            assert_eq!(when.distance, english);
            assert_eq!(
                When::of(at, now, Texts::of(PageLanguage::Chinese)).distance,
                chinese
            );
        }
        let when = When::of(now, now, Texts::of(PageLanguage::English));
        assert_eq!(when.shown, "2025-11-23 12:13:20 UTC");
        assert_eq!(when.iso, "2025-11-23T12:13:20.000Z");
    }
}
