//! Renders a callback's timeline.

use std::fmt::Write as _;

use contract::CallbackStatus;

use super::{local_time, table};
use crate::api::view::{AttemptView, CallbackView};
use runtime::text::one_line;

/// Renders the callback with its attempts, why it waits or has ended, and what happens next.
pub(super) fn render(callback: &CallbackView) -> String {
    render_with_end(callback, Some(callback.updated_at))
}

/// The same; the time of its end may not be known.
pub(super) fn render_with_end(callback: &CallbackView, ended_at: Option<u64>) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", one_line(&words).trim_end());
    };
    line(format!("callback {}", callback.request_id));
    line(format!("  status  {}", callback.status));
    line(format!("  app     {}{}", callback.app_id, caller(callback)));
    line(format!("  to      {}", destination(callback)));
    line(format!("  type    {}", callback.message_type));
    line(String::new());
    line(event(callback.created_at, "accepted"));
    let mut generation = 0;
    for attempt in in_order(&callback.attempts) {
        if attempt.generation != generation {
            generation = attempt.generation;
            line(replayed(generation));
        }
        line(event(attempt.started_at, &describe(attempt)));
    }
    if callback.generation > generation {
        line(replayed(callback.generation));
    }
    let end = match callback.status {
        CallbackStatus::Dead => Some("dead-lettered"),
        CallbackStatus::Expired => Some("expired"),
        CallbackStatus::Cancelled => Some("cancelled"),
        // The time of the last record would not be that of its end; the explanation has its own.
        CallbackStatus::Unaccounted => None,
        // The last attempt shows it.
        CallbackStatus::Delivered => None,
        CallbackStatus::Queued | CallbackStatus::Delivering | CallbackStatus::Retrying => None,
    };
    if let Some(end) = end {
        line(ended_at.map_or_else(|| timeless(end), |at| event(at, end)));
    }
    line(String::new());
    line(local_time::in_sentence(&callback.explanation).into_owned());
    text.trim_end().to_owned()
}

/// By the time at which they began: a repeated run of an attempt is stored beside its first one.
fn in_order(attempts: &[AttemptView]) -> Vec<&AttemptView> {
    let mut attempts: Vec<&AttemptView> = attempts.iter().collect();
    attempts.sort_by_key(|attempt| (attempt.generation, attempt.started_at, attempt.number));
    attempts
}

fn caller(callback: &CallbackView) -> String {
    let caller = callback.caller_no.as_ref();
    caller
        .map(|no| format!(" (caller {no})"))
        .unwrap_or_default()
}

fn destination(callback: &CallbackView) -> String {
    let url = callback.callback_url.as_ref().unwrap_or(&callback.target);
    match &callback.callee_no {
        Some(no) => {
            let callee = table::named(no, callback.callee_name.as_ref());
            format!("callee {callee}  {url}")
        }
        None => url.clone(),
    }
}

fn event(at: u64, words: &str) -> String {
    format!("{}  {words}", local_time::show(at))
}

/// The time of a replay is not recorded; the next line is later.
fn replayed(generation: u32) -> String {
    timeless(&format!("replayed (replay {generation})"))
}

fn timeless(words: &str) -> String {
    let width = local_time::show(0).len();
    format!("{:width$}  {words}", "")
}

fn describe(attempt: &AttemptView) -> String {
    let AttemptView {
        number,
        duration_ms,
        outcome,
        ..
    } = attempt;
    let http = attempt.http_status.map(|status| format!(" {status}"));
    let http = http.unwrap_or_default();
    let detail = attempt.detail.as_ref().map(|detail| format!(": {detail}"));
    let detail = detail.unwrap_or_default();
    let cause = attempt.cause.as_ref().map(|cause| format!(" ({cause})"));
    let cause = cause.unwrap_or_default();
    format!("attempt {number}: {outcome}{http} in {duration_ms} ms{detail}{cause}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const NOW: u64 = 1_763_900_000_000;

    pub(in crate::cli) fn callback(status: CallbackStatus) -> CallbackView {
        CallbackView {
            request_id: uuid::Uuid::nil(),
            status,
            reason: None,
            explanation: "Why it waits.".to_owned(),
            explanation_zh: None,
            deferred_reason: None,
            next_attempt_at: None,
            due_since: None,
            created_at: NOW - 10_000,
            updated_at: NOW - 5_000,
            app_id: "demo".to_owned(),
            caller_no: None,
            callee_no: None,
            callee_name: None,
            callback_url: Some("https://h.example/x?***".to_owned()),
            target: "https://h.example:443".to_owned(),
            message_type: "hello".to_owned(),
            generation: 0,
            hold: 0,
            has_message: false,
            cancel_requested: false,
            discarded: false,
            discarded_by_retention: false,
            last_cause: None,
            attempts: Vec::new(),
        }
    }

    #[test]
    fn an_attempt_is_shown_with_its_cause() {
        let refused = AttemptView {
            outcome: "connection_refused".to_owned(),
            http_status: None,
            cause: Some("Connection refused (os error 111)".to_owned()),
            ..attempt(1)
        };
        assert_eq!(
            describe(&refused),
            "attempt 1: connection_refused in 12 ms (Connection refused (os error 111))"
        );
    }

    fn attempt(number: u32) -> AttemptView {
        AttemptView {
            generation: 0,
            number,
            started_at: NOW - 6_000,
            duration_ms: 12,
            outcome: "answered_5xx".to_owned(),
            http_status: Some(503),
            detail: None,
            cause: None,
        }
    }

    #[test]
    fn a_waiting_callback_shows_its_attempts_and_what_comes_next() {
        let mut retrying = callback(CallbackStatus::Retrying);
        retrying.callee_no = Some("EO001".to_owned());
        retrying.callee_name = Some("乐居新房".to_owned());
        retrying.caller_no = Some("C1".to_owned());
        retrying.attempts = vec![attempt(1), attempt(2)];
        assert_eq!(
            render(&retrying),
            "\
callback 00000000-0000-0000-0000-000000000000
  status  retrying
  app     demo (caller C1)
  to      callee EO001 乐居新房  https://h.example/x?***
  type    hello

2025-11-23T12:13:10.000Z  accepted
2025-11-23T12:13:14.000Z  attempt 1: answered_5xx 503 in 12 ms
2025-11-23T12:13:14.000Z  attempt 2: answered_5xx 503 in 12 ms

Why it waits."
        );
    }

    #[test]
    fn the_lines_are_in_the_order_of_time() {
        let mut dead = callback(CallbackStatus::Dead);
        let (mut first, mut again, mut last) = (attempt(1), attempt(1), attempt(2));
        first.started_at = NOW - 9_000;
        last.started_at = NOW - 8_000;
        // The first attempt was made again by another dispatcher.
        again.started_at = NOW - 7_000;
        dead.attempts = vec![first, again, last];
        let text = render(&dead);
        let times: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("2025"))
            .map(|line| line.split("  ").next().unwrap())
            .collect();
        assert_eq!(times.len(), 5, "{text}");
        assert!(times.is_sorted(), "{text}");
    }

    #[test]
    fn replays_separate_the_generations() {
        let mut dead = callback(CallbackStatus::Dead);
        let mut second = attempt(1);
        second.generation = 1;
        second.detail = Some("bad\u{7}\n\u{202e}day".to_owned());
        second.http_status = None;
        dead.attempts = vec![attempt(1), second];
        dead.generation = 1;
        let text = render(&dead);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines[8], "replayed (replay 1)", "{text}");
        assert!(
            lines[9].ends_with("attempt 1: answered_5xx in 12 ms: bad\\u{7} \\u{202e}day"),
            "{text}"
        );
        assert!(lines[10].ends_with("dead-lettered"), "{text}");
        for (status, end) in [
            (CallbackStatus::Expired, "expired"),
            (CallbackStatus::Cancelled, "cancelled"),
        ] {
            let text = render(&callback(status));
            let line = format!("2025-11-23T12:13:15.000Z  {end}\n");
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn a_replay_is_shown_before_its_first_attempt() {
        let mut queued = callback(CallbackStatus::Queued);
        queued.attempts = vec![attempt(1)];
        queued.generation = 1;
        let text = render(&queued);
        assert!(
            text.contains("replayed (replay 1)\n\nWhy it waits."),
            "{text}"
        );
    }
}
