//! The header `Prefer: wait=N`: how long a caller waits for an outcome.

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use tokio::time::Instant;

const PREFER: &str = "prefer";

/// What the operator allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitPolicy {
    /// For requests without the header.
    pub(crate) default: Duration,
    pub(crate) max: Duration,
}

/// How long the caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitPreference {
    /// Zero: it does not wait.
    duration: Duration,
    /// Whether the request asked for it. Otherwise it is the default.
    requested: bool,
    received_at: Instant,
}

impl WaitPreference {
    pub(crate) fn read(headers: &HeaderMap, policy: WaitPolicy, now: Instant) -> Self {
        let values = headers.get_all(PREFER);
        let values = values.filter_map(|value| value.to_str().ok());
        let preferences = values.collect::<Vec<_>>().join(",");
        let requested = contract::prefer_wait(&preferences);
        let duration = requested.map(|seconds| Duration::from_secs(seconds.into()));
        Self {
            duration: duration.unwrap_or(policy.default).min(policy.max),
            requested: requested.is_some(),
            received_at: now,
        }
    }

    /// The latest time for the answer, if the caller waits.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (!self.duration.is_zero()).then(|| self.received_at + self.duration)
    }

    /// The value of `Preference-Applied`, for requests that asked (RFC 7240, 3).
    pub(crate) fn applied(&self) -> Option<String> {
        self.requested
            .then(|| format!("wait={}", self.duration.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(PREFER), value);
        }
        headers
    }

    #[test]
    fn a_requested_wait_overrides_the_default_and_neither_exceeds_the_maximum() {
        let now = Instant::now();
        let (max, zero) = (Duration::from_secs(30), Duration::ZERO);
        let default = Duration::from_millis(2_500);
        for (values, default, duration, applied) in [
            (&[][..], zero, 0, None),
            (&[], default, 2_500, None),
            (&[&b"respond-async"[..]], default, 2_500, None),
            (&[b"wait=5"], default, 5_000, Some("wait=5")),
            (&[b"wait=5"], zero, 5_000, Some("wait=5")),
            (&[b"wait=0"], default, 0, Some("wait=0")),
            (&[b"wait=86400"], zero, 30_000, Some("wait=30")),
            (&[b"return=minimal", b"wait=5"], zero, 5_000, Some("wait=5")),
            (&[b"wait=soon"], default, 2_500, None),
            (&[b"wait=5\xFF"], default, 2_500, None),
        ] {
            let policy = WaitPolicy { default, max };
            let wait = WaitPreference::read(&headers(values), policy, now);
            assert_eq!(wait.applied().as_deref(), applied, "{values:?}");
            let deadline = (duration > 0).then(|| now + Duration::from_millis(duration));
            assert_eq!(wait.deadline(), deadline, "{values:?}");
        }
    }
}
