//! Shows a callback as its caller may see it: the answer of callers' API, rendered as `callback show` does.

use contract::CallbackStatus;
use runtime::clock::now_ms;
use serde::Deserialize;
use uuid::Uuid;

use super::client::parse;
use super::error::CliError;
use super::timeline;
use crate::api::timestamp;
use crate::api::view::{AttemptView, CallbackView};

/// The report, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Report {
    request_id: Uuid,
    status: String,
    reason: Option<String>,
    created_at: String,
    next_attempt_at: Option<String>,
    note: Option<String>,
    app_id: String,
    caller_no: Option<String>,
    callee_no: Option<String>,
    callback_url: Option<String>,
    message_type: String,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    number: u32,
    started_at: String,
    duration_ms: u64,
    outcome: String,
    http_status: Option<u16>,
    detail: Option<String>,
}

/// The timeline of the callback in this answer to a caller's query.
///
/// # Errors
/// It is not such an answer.
pub fn render_report(body: &[u8]) -> Result<String, CliError> {
    let report: Report = parse(body)?;
    let time =
        |text: &str| timestamp::parse(text).map_err(|reason| CliError::Failed(reason.to_string()));
    let status: Result<CallbackStatus, _> = report.status.parse();
    let status = status.map_err(|error| CliError::Failed(error.to_string()))?;
    let created_at = time(&report.created_at)?;
    let mut attempts = Vec::new();
    for attempt in report.attempts {
        let started_at = time(&attempt.started_at)?;
        attempts.push(AttemptView {
            // Callers are not told of replays.
            generation: 0,
            number: attempt.number,
            started_at,
            duration_ms: attempt.duration_ms,
            outcome: attempt.outcome,
            http_status: attempt.http_status,
            detail: attempt.detail,
            cause: None,
        });
    }
    let next = report.next_attempt_at.as_deref().map(time).transpose()?;
    let explanation = explain(
        status,
        report.reason.as_deref(),
        next,
        report.note.as_deref(),
        now_ms(),
    );
    let view = CallbackView {
        request_id: report.request_id,
        status,
        reason: report.reason,
        explanation,
        explanation_zh: None,
        deferred_reason: None,
        next_attempt_at: next,
        due_since: None,
        created_at,
        updated_at: created_at,
        app_id: report.app_id,
        caller_no: report.caller_no,
        callee_no: report.callee_no,
        callee_name: None,
        callback_url: report.callback_url,
        target: String::new(),
        message_type: report.message_type,
        generation: 0,
        hold: 0,
        has_message: false,
        cancel_requested: false,
        discarded: false,
        discarded_by_retention: false,
        last_cause: None,
        attempts,
    };
    // Callers are told when attempts were made, but not when the callback ended.
    Ok(timeline::render_with_end(&view, None))
}

/// What is so, in our own words: those of the answer are the contract's, and tell a caller less.
fn explain(
    status: CallbackStatus,
    reason: Option<&str>,
    next_attempt_at: Option<u64>,
    note: Option<&str>,
    now: u64,
) -> String {
    let mut text = match (status, reason) {
        (CallbackStatus::Delivered, _) => "The target accepted it.".to_owned(),
        (CallbackStatus::Dead, Some(reason)) => format!("It was dead-lettered ({reason})."),
        (CallbackStatus::Dead, None) => "It was dead-lettered.".to_owned(),
        (CallbackStatus::Expired, _) => "It expired before it could be delivered.".to_owned(),
        (CallbackStatus::Cancelled, _) => "It was cancelled before it was delivered.".to_owned(),
        (CallbackStatus::Delivering, _) => "An attempt is being made.".to_owned(),
        (CallbackStatus::Queued | CallbackStatus::Retrying | CallbackStatus::Unaccounted, _) => {
            "It has not ended.".to_owned()
        }
    };
    if let Some(at) = next_attempt_at {
        let shown = contract::rfc3339(at);
        text.push_str(&match at <= now {
            true => format!(" An attempt has been due since {shown}."),
            false => format!(" The next attempt is at {shown}."),
        });
    }
    if let Some(note) = note {
        text.push(' ');
        text.push_str(note);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_report_is_shown_as_a_timeline() {
        let body = br#"{"request_id":"01996d2c-4f00-7a3b-8c1d-2e3f4a5b6c7d","code":"500500",
            "msg":"the callback could not be delivered","status":"dead","reason":"exhausted",
            "created_at":"2025-11-23T12:13:10.000Z","app_id":"demo","callback_url":"https://h.example/x?***",
            "message_type":"hello","attempts":[{"number":1,"started_at":"2025-11-23T12:13:14.000Z",
            "duration_ms":12,"outcome":"answered_5xx","http_status":503}]}"#;
        let expected = "\
callback 01996d2c-4f00-7a3b-8c1d-2e3f4a5b6c7d
  status  dead
  app     demo
  to      https://h.example/x?***
  type    hello

2025-11-23T12:13:10.000Z  accepted
2025-11-23T12:13:14.000Z  attempt 1: answered_5xx 503 in 12 ms
                          dead-lettered

It was dead-lettered (exhausted).";
        assert_eq!(render_report(body).unwrap(), expected);
        assert!(render_report(b"{}").is_err());
        let next = |now| {
            explain(
                CallbackStatus::Retrying,
                None,
                Some(1_000),
                Some("it is overdue"),
                now,
            )
        };
        assert_eq!(
            next(999),
            "It has not ended. The next attempt is at 1970-01-01T00:00:01.000Z. it is overdue"
        );
        assert_eq!(
            next(1_000),
            "It has not ended. An attempt has been due since 1970-01-01T00:00:01.000Z. it is overdue"
        );
    }
}
