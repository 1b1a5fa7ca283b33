//! Timestamps as people and scripts write them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::doctor::said::{Said, say};

/// Distinguishes milliseconds from seconds: Unix times in seconds are below this number until the year
/// 5138; in milliseconds they have been above it since 1973.
const MIN_UNIX_MS: u64 = 100_000_000_000;

/// Reads a timestamp as Unix milliseconds: `1763900000000`, or RFC 3339 such as
/// `2026-11-23T22:00:00Z`, `2026-11-24T06:00:00+08:00` or the date alone (midnight UTC).
///
/// # Errors
/// A sentence that says how to write it.
pub(crate) fn parse(text: &str) -> Result<u64, Said> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(ms) if ms >= MIN_UNIX_MS => Ok(ms),
            Ok(_) => Err(say!(
                "{text} is a time in seconds; write milliseconds",
                "{text} 是以秒为单位的时间，请改用毫秒"
            )),
            Err(_) => Err(say!("{text} is too far in the future", "{text} 太过遥远")),
        };
    }
    parse_rfc3339(text).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        say!(
            "{shown:?} is not a timestamp (write 2026-11-23T22:00:00Z, or Unix milliseconds)",
            "{shown:?} 不是时间，请写成 2026-11-23T22:00:00Z 或以毫秒计的时间戳"
        )
    })
}

fn parse_rfc3339(text: &str) -> Option<u64> {
    let text = match text.len() == "2026-11-23".len() {
        true => format!("{text}T00:00:00Z"),
        // An unescaped `+` in a query string arrives as a space.
        false => match text.rsplit_once(' ') {
            Some((local, offset)) if local.contains('T') => format!("{local}+{offset}"),
            _ => text.to_owned(),
        },
    };
    let parsed = OffsetDateTime::parse(&text, &Rfc3339).ok()?;
    u64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_notation_is_read() {
        for text in [
            "1763900000000",
            "2025-11-23T12:13:20Z",
            "2025-11-23T12:13:20.000z",
            "2025-11-23 12:13:20Z",
            "2025-11-23T20:13:20+08:00",
            "2025-11-23T20:13:20 08:00",
            "2025-11-23T06:43:20.000-05:30",
        ] {
            assert_eq!(parse(text), Ok(1_763_900_000_000), "{text}");
        }
        assert_eq!(parse("2025-11-23"), Ok(1_763_856_000_000));
    }

    #[test]
    fn an_invalid_timestamp_is_rejected_with_an_example() {
        for text in [
            "",
            "yesterday",
            "2025-13-01",
            "2025-11-23T12:13:20",
            "2025-11-23T12:13:20+24:00",
            "2025-11-23T12:13:20*08:00",
            "乐乐乐乐乐乐乐",
        ] {
            assert!(
                parse(text)
                    .unwrap_err()
                    .to_string()
                    .contains("2026-11-23T22"),
                "{text}"
            );
        }
        assert!(
            parse("1763900000")
                .unwrap_err()
                .to_string()
                .contains("milliseconds")
        );
        assert!(parse("99999999999999999999").is_err());
    }
}
