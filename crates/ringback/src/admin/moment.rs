//! How is a moment read from people and scripts?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix times in seconds lie below this number until the year 5138; in milliseconds they passed it
/// in 1973.
const LEAST_MS: u64 = 100_000_000_000;

/// Reads a moment as Unix milliseconds: `1763900000000`, or RFC 3339 such as
/// `2026-11-23T22:00:00Z`, `2026-11-24T06:00:00+08:00` or the day alone (its beginning in UTC).
///
/// # Errors
/// A sentence that says how to write it.
pub(crate) fn read(text: &str) -> Result<u64, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(ms) if ms >= LEAST_MS => Ok(ms),
            Ok(_) => Err(format!("{text} is a time in seconds; write milliseconds")),
            Err(_) => Err(format!("{text} is too far in the future")),
        };
    }
    rfc3339(text).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        format!("{shown:?} is no time (write 2026-11-23T22:00:00Z, or Unix milliseconds)")
    })
}

fn rfc3339(text: &str) -> Option<u64> {
    if text.len() == "2026-11-23".len() {
        return utc(&format!("{text}T00:00:00Z"));
    }
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return utc(&format!("{local}Z"));
    }
    // `+` in a query string is a space, unless it was escaped.
    let place = text.len().checked_sub("+08:00".len())?;
    let (local, offset) = text.split_at_checked(place)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let [hours, minutes] = [hours, minutes].map(|part| part.parse::<u64>().ok());
    let offset_ms = (hours.filter(|it| *it < 24)? * 60 + minutes.filter(|it| *it < 60)?) * 60_000;
    let local = utc(&format!("{local}Z"))?;
    match offset.get(..1)? {
        "+" | " " => local.checked_sub(offset_ms),
        "-" => local.checked_add(offset_ms),
        _ => None,
    }
}

fn utc(text: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    ms(time.duration_since(UNIX_EPOCH).ok()?)
}

fn ms(since: Duration) -> Option<u64> {
    u64::try_from(since.as_millis()).ok()
}

/// Now, Unix ms.
pub(crate) fn now() -> u64 {
    // A clock before 1970 is no clock.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    ms(since.unwrap_or_default()).unwrap_or(u64::MAX)
}

/// For serde: a moment in Unix ms, written as RFC 3339.
pub(crate) mod as_text {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(ms: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&contract::rfc3339(*ms))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        super::read(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// The same for a moment that may be absent; with `default` and `skip_serializing_if`.
pub(crate) mod as_optional_text {
    use serde::{Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(ms: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        match ms {
            Some(ms) => super::as_text::serialize(ms, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        super::as_text::deserialize(from).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_however_it_is_written() {
        for text in [
            "1763900000000",
            "2025-11-23T12:13:20Z",
            "2025-11-23T12:13:20.000z",
            "2025-11-23 12:13:20Z",
            "2025-11-23T20:13:20+08:00",
            "2025-11-23T20:13:20 08:00",
            "2025-11-23T06:43:20.000-05:30",
        ] {
            assert_eq!(read(text), Ok(1_763_900_000_000), "{text}");
        }
        assert_eq!(read("2025-11-23"), Ok(1_763_856_000_000));
    }

    #[test]
    fn what_is_no_moment_is_told_with_an_example() {
        for text in [
            "",
            "yesterday",
            "2025-13-01",
            "2025-11-23T12:13:20",
            "2025-11-23T12:13:20+24:00",
            "2025-11-23T12:13:20*08:00",
            "乐乐乐乐乐乐乐",
        ] {
            assert!(read(text).unwrap_err().contains("2026-11-23T22"), "{text}");
        }
        assert!(read("1763900000").unwrap_err().contains("milliseconds"));
        assert!(read("99999999999999999999").is_err());
    }
}
