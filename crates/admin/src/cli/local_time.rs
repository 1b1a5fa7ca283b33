//! Times for people, in the operator's time zone. JSON is always UTC.
//!
//! The zone is that of the whole process, as `TZ` is: it is set once, before a command runs.

use std::borrow::Cow;
use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::error::CliError;
use crate::api::timestamp;

/// Unset: UTC.
static ZONE: OnceLock<TimeZone> = OnceLock::new();

/// The length of `2025-11-23T12:13:20.000Z`.
const UTC_LENGTH: usize = 24;

/// Shows times in this zone from now on; without one, in that of `TZ` or of this machine.
///
/// # Errors
/// When there is no such zone, in a sentence that says how to write one.
pub fn set_time_zone(name: Option<&str>) -> Result<(), CliError> {
    let zone = match name {
        Some(name) => parse(name).map_err(CliError::Failed)?,
        None => TimeZone::try_system().unwrap_or(TimeZone::UTC),
    };
    // A second call changes nothing: the process has one zone.
    let _ = ZONE.set(zone);
    Ok(())
}

/// A name (`Asia/Shanghai`), or a distance from UTC (`+08:00`).
fn parse(name: &str) -> Result<TimeZone, String> {
    let zone = match offset(name) {
        Some(offset) => Ok(offset.to_time_zone()),
        None => TimeZone::get(name).map_err(drop),
    };
    zone.map_err(|()| {
        let shown: String = name.chars().take(50).collect();
        format!(
            "{shown:?} is not a time zone that this machine knows (write Asia/Shanghai, +08:00 or \
             UTC; a name needs /usr/share/zoneinfo)"
        )
    })
}

fn offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let number = |text: &str| text.parse::<u8>().ok().map(i32::from);
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()
}

/// A time in Unix ms for people: `2025-11-23T20:13:20.000+08:00`, or with `Z` where that is UTC.
pub(super) fn show(unix_ms: u64) -> String {
    match ZONE.get() {
        Some(zone) => show_in(zone, unix_ms),
        None => contract::rfc3339(unix_ms),
    }
}

fn show_in(zone: &TimeZone, unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok();
    let time = time.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let seconds = time.map_or(0, |time| zone.to_offset(time).seconds());
    if seconds == 0 {
        return contract::rfc3339(unix_ms);
    }
    let local = unix_ms.saturating_add_signed(i64::from(seconds) * 1_000);
    let local = contract::rfc3339(local);
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    format!(
        "{}{sign}{hours:02}:{minutes:02}",
        local.trim_end_matches('Z')
    )
}

/// The text of the server with its times (always UTC) as [`show`] writes them. Only for sentences of
/// ours: what a target or caller has sent is shown as it is.
pub(super) fn in_sentence(text: &str) -> Cow<'_, str> {
    match ZONE.get() {
        Some(zone) => replace(zone, text),
        None => Cow::Borrowed(text),
    }
}

fn replace<'a>(zone: &TimeZone, text: &'a str) -> Cow<'a, str> {
    let (mut replaced, mut rest) = (String::new(), text);
    while let Some(end) = rest.find('Z') {
        let (before, after) = rest.split_at(end + 1);
        let start = before.len().checked_sub(UTC_LENGTH);
        let time = start.and_then(|start| {
            let (words, time) = before.split_at_checked(start)?;
            let is_utc = time.get(19..20) == Some(".") && time.get(10..11) == Some("T");
            let ms = timestamp::parse(time).ok().filter(|_| is_utc)?;
            Some((words, ms))
        });
        match time {
            Some((words, ms)) => {
                replaced.push_str(words);
                replaced.push_str(&show_in(zone, ms));
            }
            None => replaced.push_str(before),
        }
        rest = after;
    }
    match replaced.is_empty() {
        true => Cow::Borrowed(text),
        false => Cow::Owned(replaced + rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_763_900_000_000;

    #[test]
    fn a_time_is_shown_with_its_distance_from_utc() {
        for (zone, shown) in [
            ("UTC", "2025-11-23T12:13:20.000Z"),
            ("+0", "2025-11-23T12:13:20.000Z"),
            ("+08:00", "2025-11-23T20:13:20.000+08:00"),
            ("-03:30", "2025-11-23T08:43:20.000-03:30"),
        ] {
            let zone = parse(zone).unwrap();
            let found = show_in(&zone, NOW);
            assert_eq!(found, shown);
            // What is shown can be given back, for instance to --since.
            assert_eq!(timestamp::parse(&found), Ok(NOW));
        }
    }

    #[test]
    fn a_zone_that_is_not_known_is_refused_with_examples() {
        for name in ["", "Asia/Nowhere", "+25", "8", "+08:99", "乐"] {
            let refused = parse(name).unwrap_err();
            assert!(refused.contains("write Asia/Shanghai, +08:00"), "{refused}");
        }
    }

    #[test]
    fn the_times_of_a_sentence_are_shown_in_the_zone() {
        let zone = parse("+08:00").unwrap();
        for (text, shown) in [
            (
                "The next one is at 2025-11-23T12:15:23.400Z (in 2m 3s). It was due at \
                 2025-11-23T12:11:16.600Z, for 乐Z.",
                "The next one is at 2025-11-23T20:15:23.400+08:00 (in 2m 3s). It was due at \
                 2025-11-23T20:11:16.600+08:00, for 乐Z.",
            ),
            ("Zero Z 2025-11-23T12:15:23Z", "Zero Z 2025-11-23T12:15:23Z"),
            ("", ""),
        ] {
            assert_eq!(replace(&zone, text), shown);
        }
    }
}
