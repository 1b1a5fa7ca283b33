//! What does a caller wish beside the callback itself?

use actix_web::http::header::HeaderMap;
use contract::{Flaw, Invalid, Param};
use std::time::Duration;
use tokio::time::Instant;

pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
const PREFER: &str = "prefer";
/// The longest idempotency key, in bytes.
const MOST_KEY_BYTES: usize = 255;

/// For how long the answer is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Nought: not at all.
    length: Duration,
    /// Whether this request asked for it, and not the operator for all.
    asked: bool,
    began: Instant,
}

impl Wait {
    /// Reads `Prefer: wait=N`; without it the default holds. Neither is longer than `most`.
    pub(crate) fn read(
        headers: &HeaderMap,
        default: Duration,
        most: Duration,
        now: Instant,
    ) -> Self {
        let lines = headers.get_all(PREFER).filter_map(|it| it.to_str().ok());
        let preferences = lines.collect::<Vec<_>>().join(",");
        let asked = contract::prefer_wait(&preferences);
        let length = asked.map_or(default, |seconds| Duration::from_secs(seconds.into()));
        Self {
            length: length.min(most),
            asked: asked.is_some(),
            began: now,
        }
    }

    /// The moment at which the answer is given in any case, if it is held back at all.
    pub(crate) fn until(&self) -> Option<Instant> {
        (!self.length.is_zero()).then(|| self.began + self.length)
    }

    /// What the answer says of it: only who asked is told (RFC 7240, 3).
    pub(crate) fn applied(&self) -> Option<String> {
        self.asked
            .then(|| format!("wait={}", self.length.as_secs()))
    }
}

/// The request's idempotency key, if it bears one: 1 to 255 characters of visible ASCII.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Invalid> {
    let malformed = |flaw| Invalid::Malformed(Param::IdempotencyKey, flaw);
    let mut lines = headers.get_all(IDEMPOTENCY_KEY);
    let Some(key) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(malformed(Flaw::Duplicate));
    }
    let key = key.as_bytes();
    if key.is_empty() {
        return Err(Invalid::Missing(Param::IdempotencyKey));
    }
    if key.len() > MOST_KEY_BYTES {
        return Err(malformed(Flaw::TooLong {
            max: MOST_KEY_BYTES,
        }));
    }
    match str::from_utf8(key) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(text.to_owned())),
        _ => Err(malformed(Flaw::NotVisibleAscii)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn headers(name: &'static str, values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    #[test]
    fn who_asks_waits_as_asked_and_the_others_as_the_operator_says() {
        let now = Instant::now();
        let (most, nought) = (Duration::from_secs(30), Duration::ZERO);
        let default = Duration::from_millis(2_500);
        for (values, default, length, applied) in [
            (&[][..], nought, 0, None),
            (&[], default, 2_500, None),
            (&[&b"respond-async"[..]], default, 2_500, None),
            (&[b"wait=5"], default, 5_000, Some("wait=5")),
            (&[b"wait=5"], nought, 5_000, Some("wait=5")),
            (&[b"wait=0"], default, 0, Some("wait=0")),
            (&[b"wait=86400"], nought, 30_000, Some("wait=30")),
            (
                &[b"return=minimal", b"wait=5"],
                nought,
                5_000,
                Some("wait=5"),
            ),
            (&[b"wait=soon"], default, 2_500, None),
            (&[b"wait=5\xFF"], default, 2_500, None),
        ] {
            let wait = Wait::read(&headers(PREFER, values), default, most, now);
            assert_eq!(wait.applied().as_deref(), applied, "{values:?}");
            let until = (length > 0).then(|| now + Duration::from_millis(length));
            assert_eq!(wait.until(), until, "{values:?}");
        }
    }

    #[test]
    fn a_key_is_visible_ascii_of_bounded_length() {
        let longest = [b'k'; MOST_KEY_BYTES];
        for good in [&b"k"[..], b"!~", b"a,b;c=\"d\"", &longest] {
            let key = idempotency_key(&headers(IDEMPOTENCY_KEY, &[good])).unwrap();
            assert_eq!(key.unwrap().as_bytes(), good);
        }
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));

        let malformed = |flaw| Err(Invalid::Malformed(Param::IdempotencyKey, flaw));
        let too_long = [b'k'; MOST_KEY_BYTES + 1];
        for (bad, expected) in [
            (
                &[&b""[..]][..],
                Err(Invalid::Missing(Param::IdempotencyKey)),
            ),
            (&[b"a b"], malformed(Flaw::NotVisibleAscii)),
            (&[b"a\tb"], malformed(Flaw::NotVisibleAscii)),
            (&["键".as_bytes()], malformed(Flaw::NotVisibleAscii)),
            (&[b"\xFF"], malformed(Flaw::NotVisibleAscii)),
            (&[b"a", b"a"], malformed(Flaw::Duplicate)),
            (
                &[&too_long],
                malformed(Flaw::TooLong {
                    max: MOST_KEY_BYTES,
                }),
            ),
        ] {
            assert_eq!(idempotency_key(&headers(IDEMPOTENCY_KEY, bad)), expected);
        }
    }
}
