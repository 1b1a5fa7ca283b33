//! The demo: three callbacks, one for each way to end.
//!
//! The original contract's sample, its blank `message_type` filled in, sent to a target that accepts
//! it, one that accepts it at the third attempt, and one that never does.

use std::net::SocketAddr;
use std::time::Duration;

use admin::cli::stdout::print_line;

/// Short waits, so that the last callback ends within half a minute.
pub(super) const SCHEDULE: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(4),
];

/// What is printed, and the practice callee's path.
const TARGETS: [(&str, &str); 3] = [
    ("a target that accepts it", "/ok"),
    ("a target that fails twice", "/flaky/2"),
    ("a target that always fails", "/status/503"),
];

/// The body of the original contract's sample, for a target.
fn sample(target: &str) -> String {
    format!(
        r#"{{"callback_url":"{target}","callee_no":"b42652fe","caller_no":"b372be686fa6","app_id":"5SV4BVSY0OXQ3ZSA","message_type":"demo","request_message":{{"field1":"任意字段","field2":"任意字段"}}}}"#
    )
}

/// Sends the three callbacks. The log shows their attempts.
pub(super) async fn run(ingress: SocketAddr, callee: SocketAddr) {
    let client = match reqwest::Client::builder().no_proxy().build() {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "failed to build the HTTP client of the demo"),
    };
    for (target, path) in TARGETS {
        let response = client
            .post(format!("http://{ingress}/api/callback"))
            .header("content-type", "application/json")
            .body(sample(&format!("http://{callee}{path}")))
            .send()
            .await;
        let answer = match response {
            Ok(response) => response
                .text()
                .await
                .unwrap_or_else(|error| error.to_string()),
            Err(error) => error.without_url().to_string(),
        };
        if print_line(&format!("demo, {target}: {answer}")).is_err() {
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
    fn the_last_callback_ends_within_half_a_minute() {
        // Each wait may be a fifth longer by jitter, and a second by the broker's rounding.
        let longest: Duration = SCHEDULE
            .iter()
            .map(|wait| *wait * 6 / 5 + Duration::from_secs(1))
            .sum();
        assert!(longest < Duration::from_secs(25), "{longest:?}");
    }
}
