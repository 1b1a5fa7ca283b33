//! The preference `wait` of the header `Prefer` (RFC 7240).

/// Parses the preference `wait` of a `Prefer` header: the requested seconds.
///
/// If it is given twice, the first one counts, even if it is malformed (RFC 7240, section 2). A
/// number too large for a `u32` is `u32::MAX`. A malformed `wait`, or one without a number, is
/// `None`: a preference that is not understood is ignored. Several `Prefer` headers mean the same
/// as one with their values joined by commas.
pub fn prefer_wait(header: &str) -> Option<u32> {
    parts(header, b',').find_map(|preference| {
        // Parameters follow a semicolon; `wait` has none.
        let token = parts(preference, b';').next().unwrap_or_default();
        let (name, value) = token.split_once('=').unwrap_or((token, ""));
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait.then(|| seconds(value.trim()))
    })?
}

/// A number of seconds, with or without quotes: `30`, `"30"`.
fn seconds(value: &str) -> Option<u32> {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let digits = inner.unwrap_or(value).trim();
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Only an overflow can fail here.
    number.then(|| digits.parse().unwrap_or(u32::MAX))
}

/// Splits a list at separators outside quotes. Outside quotes, a backslash has no meaning.
fn parts(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character: char| {
        let inside = quoted;
        if escaped {
            escaped = false;
        } else if quoted && character == '\\' {
            escaped = true;
        } else if character == '"' {
            quoted = !quoted;
        }
        !inside && character == char::from(separator)
    })
}

#[cfg(test)]
mod tests {
    use super::prefer_wait;

    #[test]
    fn the_seconds_are_found_in_every_spelling() {
        for (header, seconds) in [
            ("wait=10", Some(10)),
            ("wait=0", Some(0)),
            ("wait=007", Some(7)),
            ("WAIT=10", Some(10)),
            (" wait = 10 ", Some(10)),
            ("wait=\"10\"", Some(10)),
            ("respond-async, wait=10", Some(10)),
            ("wait=10, respond-async", Some(10)),
            ("wait=10; foo=bar", Some(10)),
            ("wait=10;foo=\"a,b;c\", respond-async", Some(10)),
            ("handling=lenient; wait=5", None),
            ("handling=lenient; wait=5, wait=6", Some(6)),
            ("foo=\"a, wait=5\", wait=6", Some(6)),
            ("foo=\"a\\\", wait=5\", wait=6", Some(6)),
            ("foo=\"wait=5", None),
            ("foo=\\\"wait=1, wait=2", None),
            ("wait=3, wait=4", Some(3)),
            ("wait=x, wait=4", None),
            ("wait=4294967295", Some(u32::MAX)),
            ("wait=99999999999999999999", Some(u32::MAX)),
            (",,;=, wait=1,", Some(1)),
            ("", None),
            ("wait", None),
            ("wait=", None),
            ("wait=\"\"", None),
            ("wait=\"", None),
            ("wait=-1", None),
            ("wait=+1", None),
            ("wait=1.5", None),
            ("wait=1s", None),
            ("wait=１", None),
            ("waiting=1", None),
            ("x-wait=1", None),
            ("return=minimal", None),
        ] {
            assert_eq!(prefer_wait(header), seconds, "{header}");
        }
    }
}
