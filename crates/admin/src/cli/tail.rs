//! `ringback tail`: attempts as they end, in all processes.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::args::TailArgs;
use super::client::{AdminClient, Parameter, parse};
use super::error::CliError;
use super::local_time;
use super::stdout::{Readers, print_json_to, print_line_to, print_notice};
use crate::api::process_view::{AttemptEndView, AttemptsView};
use crate::api::watched_attempts::WatchedAttempts;
use crate::config::AdminConfig;

/// How often the processes are asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How far back each time, in seconds: an answer that is late or lost is made up for by the next.
const LOOK_BACK: u64 = 5;

/// Prints attempts until it is stopped, nobody reads, or there are as many as were asked for.
pub(super) async fn run(args: TailArgs, config: &AdminConfig) -> Result<(), CliError> {
    let parameters = parameters(&args);
    let client = AdminClient::new(args.api.admin, config)?;
    let mut remaining = args.limit.unwrap_or(u64::MAX);
    let mut seen = WatchedAttempts::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let body = client.get("/admin/v1/attempts", &parameters).await?;
        let view: AttemptsView = parse(&body)?;
        for notice in seen.notices(&view) {
            print_notice(&notice);
        }
        for attempt in seen.new_ones(view.seen.page.items) {
            let readers = match args.api.json {
                true => print_json_to(&attempt)?,
                false => print_line_to(&line(&attempt))?,
            };
            remaining -= 1;
            if remaining == 0 || readers == Readers::Gone {
                return Ok(());
            }
        }
    }
}

fn parameters(args: &TailArgs) -> Vec<Parameter> {
    let all = [
        ("seconds", Some(LOOK_BACK.to_string())),
        ("app_id", args.app.clone()),
        ("callee_no", args.callee.clone()),
        ("target", args.target.clone()),
        ("message_type", args.message_type.clone()),
        ("outcome", args.outcome.clone()),
        ("failed", args.failed.then(|| "true".to_owned())),
    ];
    let given = all.into_iter();
    given
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

/// One attempt in one line.
fn line(attempt: &AttemptEndView) -> String {
    let AttemptEndView {
        request_id,
        app_id,
        message_type,
        outcome,
        duration_ms,
        ..
    } = attempt;
    let to = match &attempt.callee_no {
        Some(no) => format!("{no} {}", attempt.target),
        None => attempt.target.clone(),
    };
    let http = attempt.http_status.map(|status| format!(" {status}"));
    let cause = attempt.cause.as_ref().map(|cause| format!(" ({cause})"));
    let next = match (&*attempt.verdict, attempt.next_attempt_at) {
        ("dead_lettered", _) => ", dead-lettered".to_owned(),
        ("deferred", Some(at)) => format!(", deferred until {}", local_time::show(at)),
        (_, Some(at)) => format!(", next at {}", local_time::show(at)),
        (_, None) => String::new(),
    };
    let text = format!(
        "{}  {request_id}  attempt {}: {outcome}{} in {duration_ms} ms{}{next}  {app_id} -> {to} \
         ({message_type})",
        local_time::show(attempt.ended_at),
        attempt.attempt,
        http.unwrap_or_default(),
        cause.unwrap_or_default(),
    );
    runtime::text::one_line(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ENDED: u64 = 1_763_900_000_000;

    fn attempt(sequence: u64) -> AttemptEndView {
        AttemptEndView {
            ended_at: ENDED,
            request_id: Uuid::nil(),
            app_id: "crm".to_owned(),
            callee_no: None,
            target: "https://h.example:443".to_owned(),
            message_type: "order".to_owned(),
            attempt: 2,
            outcome: "answered_5xx".to_owned(),
            http_status: Some(503),
            cause: None,
            duration_ms: 12,
            verdict: "retry".to_owned(),
            next_attempt_at: Some(ENDED + 5_000),
            process: "dispatcher h:7".to_owned(),
            instance: Uuid::from_u128(1),
            sequence,
        }
    }

    #[test]
    fn an_attempt_is_one_line() {
        assert_eq!(
            line(&attempt(1)),
            "2025-11-23T12:13:20.000Z  00000000-0000-0000-0000-000000000000  attempt 2: answered_5xx 503 \
             in 12 ms, next at 2025-11-23T12:13:25.000Z  crm -> https://h.example:443 (order)"
        );
        let dead = AttemptEndView {
            callee_no: Some("EO001".to_owned()),
            outcome: "tls".to_owned(),
            http_status: None,
            cause: Some("certificate\nexpired".to_owned()),
            verdict: "dead_lettered".to_owned(),
            next_attempt_at: None,
            ..attempt(1)
        };
        let shown = line(&dead);
        let end = "attempt 2: tls in 12 ms (certificate expired), dead-lettered  crm -> EO001 \
                   https://h.example:443 (order)";
        assert!(shown.ends_with(end), "{shown}");
    }
}
