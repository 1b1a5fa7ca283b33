//! The demo: three callbacks one after the other, one for each way to end, and a summary.
//!
//! The original contract's sample, its blank `message_type` filled in, sent to a target that accepts
//! it, one that accepts it at the third attempt, and one that never does.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use admin::cli::stdout::print_line;
use reqwest::Client;
use serde::Deserialize;

/// Short waits, so that all three have ended within half a minute.
pub(super) const SCHEDULE: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(4),
];

/// How often a callback is asked for its status.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// After this the demo no longer waits for a callback.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is printed, and the practice callee's path.
const STORIES: [(&str, &str); 3] = [
    ("a target that accepts it", "/ok"),
    ("a target that fails twice", "/flaky/2"),
    ("a target that always fails", "/status/503"),
];

/// The body of the original contract's sample, for a target and with an app of its own.
fn sample(target: &str) -> String {
    format!(
        r#"{{"callback_url":"{target}","callee_no":"b42652fe","caller_no":"b372be686fa6","app_id":"demo","message_type":"demo","request_message":{{"field1":"任意字段","field2":"任意字段"}}}}"#
    )
}

/// The answer to a callback or a query, as far as the demo reads it.
#[derive(Deserialize)]
struct DemoAnswer {
    request_id: Option<String>,
    status: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    attempts: Vec<serde::de::IgnoredAny>,
}

/// Sends the three callbacks, each when the one before has ended. The log shows their attempts.
pub(super) async fn run(ingress: SocketAddr, callee: SocketAddr) {
    let client = match Client::builder().no_proxy().build() {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "failed to build the HTTP client of the demo"),
    };
    // Without stdout the demo has no reader.
    let _ = tell(&client, ingress, callee).await;
}

async fn tell(client: &Client, ingress: SocketAddr, callee: SocketAddr) -> io::Result<()> {
    let mut summary = "\ndemo, what became of the three:".to_owned();
    for (number, (story, path)) in (1..).zip(STORIES) {
        print_line(&format!(
            "\ndemo {number} of {}: {story}, {path}",
            STORIES.len()
        ))?;
        let body = sample(&format!("http://{callee}{path}"));
        let answer = post(client, ingress, body).await;
        print_line(&format!("demo, the answer: {answer}"))?;
        let id = serde_json::from_str::<DemoAnswer>(&answer).ok();
        let id = id.and_then(|answer| answer.request_id);
        let end = match id {
            Some(id) => tokio::time::timeout(PATIENCE, end_of(client, ingress, &id))
                .await
                .ok(),
            None => None,
        };
        summary.push_str(&summary_line(story, end.as_ref()));
    }
    let end = "\nThe gateway goes on: send callbacks of your own. Ctrl-C stops.\n";
    print_line(&format!("{summary}{end}"))
}

async fn post(client: &Client, ingress: SocketAddr, body: String) -> String {
    let request = client
        .post(format!("http://{ingress}/api/callback"))
        .header("content-type", "application/json")
        .body(body);
    text_of(request.send().await).await
}

/// The body, or why there is none.
async fn text_of(response: reqwest::Result<reqwest::Response>) -> String {
    match response {
        Ok(response) => response
            .text()
            .await
            .unwrap_or_else(|error| error.to_string()),
        Err(error) => error.without_url().to_string(),
    }
}

/// The status of a callback once it is final.
async fn end_of(client: &Client, ingress: SocketAddr, id: &str) -> DemoAnswer {
    let url = format!("http://{ingress}/api/callback/{id}");
    loop {
        let text = text_of(client.get(&url).send().await).await;
        if let Ok(answer) = serde_json::from_str::<DemoAnswer>(&text)
            && matches!(
                answer.status.as_deref(),
                Some("delivered" | "dead" | "expired" | "cancelled")
            )
        {
            return answer;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// One line of the summary.
fn summary_line(story: &str, end: Option<&DemoAnswer>) -> String {
    let became = match end {
        None => "not ended yet".to_owned(),
        Some(end) => {
            let count = end.attempts.len();
            let attempts = if count == 1 { "attempt" } else { "attempts" };
            let after = format!("after {count} {attempts}");
            match end.status.as_deref() {
                Some("dead") => {
                    let reason = end.reason.as_deref().unwrap_or("unknown");
                    format!(
                        "dead-lettered {after} ({reason}); `dead-letters replay ID --reason \
                         WHY` tries it again"
                    )
                }
                Some(status) => format!("{status} {after}"),
                None => "not ended yet".to_owned(),
            }
        }
    };
    format!("\n  {story:<28}{became}")
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
    fn all_callbacks_have_ended_within_half_a_minute() {
        // Each wait may be a fifth longer by jitter, and a second by the broker's rounding.
        let longest = |waits: &[Duration]| -> Duration {
            let waits = waits.iter();
            waits
                .map(|wait| *wait * 6 / 5 + Duration::from_secs(1))
                .sum()
        };
        let twice = longest(&SCHEDULE[..2]);
        let all = twice + longest(&SCHEDULE) + 6 * POLL_INTERVAL;
        assert!(all < Duration::from_secs(28), "{all:?}");
    }

    #[test]
    fn the_summary_says_what_became_of_each() {
        let of = |json: &str| {
            let answer: DemoAnswer = serde_json::from_str(json).unwrap();
            summary_line("a target", Some(&answer)).trim().to_owned()
        };
        assert_eq!(
            of(r#"{"status":"delivered","attempts":[{}]}"#),
            "a target                    delivered after 1 attempt"
        );
        assert_eq!(
            of(r#"{"status":"dead","reason":"exhausted","attempts":[{},{}]}"#),
            "a target                    dead-lettered after 2 attempts (exhausted); `dead-letters \
             replay ID --reason WHY` tries it again"
        );
        assert!(summary_line("a target", None).ends_with("not ended yet"));
    }
}
