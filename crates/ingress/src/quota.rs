//! What an app has left of its limits: the headers `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers).

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use delivery::limits::{Gcra, Rate};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// The limits of an app, and what was left of them after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) rate: Option<RateQuota>,
    pub(crate) in_flight: Option<InFlightQuota>,
}

/// Requests in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateQuota {
    requests: u64,
    window_seconds: u64,
    left: u32,
    /// Until all of it is there again.
    whole_in_seconds: u64,
}

/// Requests at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InFlightQuota {
    pub(crate) max: u32,
    pub(crate) left: u32,
}

impl RateQuota {
    /// What a limiter has left. A window is as long as a burst takes to come back, in whole seconds:
    /// so its requests divided by its length are the rate, and a burst is never more than they are.
    pub(crate) fn of(limiter: Gcra, rate: Rate, now: Duration) -> Self {
        let window = (f64::from(rate.burst()) / rate.per_second())
            .ceil()
            .max(1.0);
        let requests = (window * rate.per_second()).floor().max(1.0);
        Self {
            requests: whole(requests),
            window_seconds: whole(window),
            left: limiter.available(rate, now),
            whole_in_seconds: limiter
                .until_full(now)
                .as_millis()
                .div_ceil(1_000)
                .try_into()
                .unwrap_or(u64::MAX),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole, positive and at most 10^11: a million a second, a day for each of a million"
)]
const fn whole(number: f64) -> u64 {
    number as u64
}

impl Quota {
    /// The policies, `"rate";q=100;w=1`.
    fn policy(self) -> String {
        let rate = self.rate.map(|rate| {
            let RateQuota {
                requests,
                window_seconds,
                ..
            } = rate;
            format!("\"rate\";q={requests};w={window_seconds}")
        });
        let in_flight = self.in_flight.map(|in_flight| {
            format!(
                "\"in_flight\";q={};qu=\"concurrent-requests\"",
                in_flight.max
            )
        });
        rate.into_iter()
            .chain(in_flight)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// What is left, `"rate";r=99;t=1`.
    fn state(self) -> String {
        let rate = self
            .rate
            .map(|rate| format!("\"rate\";r={};t={}", rate.left, rate.whole_in_seconds));
        let in_flight = self
            .in_flight
            .map(|in_flight| format!("\"in_flight\";r={}", in_flight.left));
        rate.into_iter()
            .chain(in_flight)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Adds the headers, if the app has limits.
pub(crate) fn set_quota(response: &mut HttpResponse, quota: Option<Quota>) {
    let Some(quota) = quota else {
        return;
    };
    for (name, value) in [(POLICY, quota.policy()), (STATE, quota.state())] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(per_second: f64, burst: u32, taken: u32) -> (String, String) {
        let rate = Rate::new(per_second, burst).unwrap();
        let (mut limiter, now) = (Gcra::default(), Duration::from_secs(100));
        for _ in 0..taken {
            limiter.take(rate, now);
        }
        let quota = Quota {
            rate: Some(RateQuota::of(limiter, rate, now)),
            in_flight: None,
        };
        (quota.policy(), quota.state())
    }

    #[test]
    fn a_rate_is_a_window_and_what_is_left_of_its_burst() {
        for (per_second, burst, taken, policy, state) in [
            (100.0, 100, 0, "\"rate\";q=100;w=1", "\"rate\";r=100;t=0"),
            (100.0, 100, 1, "\"rate\";q=100;w=1", "\"rate\";r=99;t=1"),
            (100.0, 100, 100, "\"rate\";q=100;w=1", "\"rate\";r=0;t=1"),
            (100.0, 10, 10, "\"rate\";q=100;w=1", "\"rate\";r=0;t=1"),
            (2.0, 10, 4, "\"rate\";q=10;w=5", "\"rate\";r=6;t=2"),
            (3.0, 10, 0, "\"rate\";q=12;w=4", "\"rate\";r=10;t=0"),
        ] {
            let found = quota(per_second, burst, taken);
            assert_eq!(
                found,
                (policy.to_owned(), state.to_owned()),
                "{per_second} {burst} {taken}"
            );
        }
    }

    #[test]
    fn requests_at_a_time_have_no_window() {
        let quota = Quota {
            rate: None,
            in_flight: Some(InFlightQuota { max: 5, left: 0 }),
        };
        assert_eq!(
            quota.policy(),
            "\"in_flight\";q=5;qu=\"concurrent-requests\""
        );
        assert_eq!(quota.state(), "\"in_flight\";r=0");
    }
}
