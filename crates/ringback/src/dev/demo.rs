//! What do the three fates of a callback look like?
//!
//! The original contract's sample, its blank `message_type` filled in, sent to a target that takes
//! it, one that takes it at the third attempt, and one that never does.

use std::net::SocketAddr;
use std::time::Duration;

use crate::say::say;

/// Short waits, so that the last fate is known within half a minute.
pub(super) const SCHEDULE: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(4),
];

/// What is shown: a word for people, and the practice callee's path.
const FATES: [(&str, &str); 3] = [
    ("a target that takes it", "/ok"),
    ("a target that fails twice", "/flaky/2"),
    ("a target that always fails", "/status/503"),
];

/// The body of the original contract's sample, for a target.
fn sample(target: &str) -> String {
    format!(
        r#"{{"callback_url":"{target}","callee_no":"b42652fe","caller_no":"b372be686fa6","app_id":"5SV4BVSY0OXQ3ZSA","message_type":"demo","request_message":{{"field1":"任意字段","field2":"任意字段"}}}}"#
    )
}

/// Sends the three callbacks. Their attempts are told by the log.
pub(super) async fn run(ingress: SocketAddr, callee: SocketAddr) {
    let client = match reqwest::Client::builder().no_proxy().build() {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "the demo has no HTTP client"),
    };
    for (fate, path) in FATES {
        let answer = client
            .post(format!("http://{ingress}/api/callback"))
            .header("content-type", "application/json")
            .body(sample(&format!("http://{callee}{path}")))
            .send()
            .await;
        let told = match answer {
            Ok(answer) => answer
                .text()
                .await
                .unwrap_or_else(|error| error.to_string()),
            Err(error) => error.without_url().to_string(),
        };
        if say(&format!("demo, {fate}: {told}")).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_a_request_of_the_contract() {
        let body = sample("http://127.0.0.1:5107/ok");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        for field in [
            "callback_url",
            "callee_no",
            "caller_no",
            "app_id",
            "message_type",
        ] {
            assert!(
                body[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field}"
            );
        }
        assert!(body["request_message"].is_object());
    }

    #[test]
    fn the_last_fate_is_known_within_half_a_minute() {
        // Each wait may be a fifth longer by jitter, and a second by the broker's rounding.
        let longest: Duration = SCHEDULE
            .iter()
            .map(|wait| *wait * 6 / 5 + Duration::from_secs(1))
            .sum();
        assert!(longest < Duration::from_secs(25), "{longest:?}");
    }
}
