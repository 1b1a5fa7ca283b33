//! What happened to a callback, in plain words and in order?

use std::fmt::Write as _;

use crate::admin::view::{AttemptView, CallbackView};
use crate::admin::why::{one_line, why};

/// The callback's time line as it stands at `now`, Unix ms: who asked for what, each attempt, why
/// it waits or has ended, and what happens next.
pub(crate) fn render(callback: &CallbackView, now: u64) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", one_line(&words).trim_end());
    };
    line(format!("callback {}", callback.request_id));
    line(format!("  status  {}", callback.status));
    line(format!("  app     {}{}", callback.app_id, by(callback)));
    line(format!("  to      {}", to(callback)));
    line(format!("  type    {}", callback.message_type));
    line(String::new());
    line(moment(callback.created_at, "accepted"));
    let mut generation = 0;
    for attempt in &callback.attempts {
        if attempt.generation != generation {
            generation = attempt.generation;
            line(replayed(generation));
        }
        line(moment(attempt.started_at, &tried(attempt)));
    }
    if callback.generation > generation {
        line(replayed(callback.generation));
    }
    if matches!(callback.status.as_str(), "dead" | "expired" | "cancelled") {
        let end = match callback.status.as_str() {
            "cancelled" => "withdrawn",
            _ => "given up",
        };
        line(moment(callback.updated_at, end));
    }
    line(String::new());
    line(why(callback, now));
    text.trim_end().to_owned()
}

fn by(callback: &CallbackView) -> String {
    let caller = callback.caller_no.as_ref();
    caller
        .map(|no| format!(" (caller {no})"))
        .unwrap_or_default()
}

fn to(callback: &CallbackView) -> String {
    let url = callback.callback_url.as_ref().unwrap_or(&callback.target);
    match &callback.callee_no {
        Some(no) => format!("callee {no}  {url}"),
        None => url.clone(),
    }
}

fn moment(at: u64, words: &str) -> String {
    format!("{}  {words}", contract::rfc3339(at))
}

/// When that was, nobody has recorded: the next line tells.
fn replayed(generation: u32) -> String {
    format!("{:24}  replayed (replay {generation})", "")
}

fn tried(attempt: &AttemptView) -> String {
    let AttemptView {
        number,
        duration_ms,
        outcome,
        ..
    } = attempt;
    let http = attempt.http_status.map(|it| format!(" {it}"));
    let http = http.unwrap_or_default();
    let detail = attempt.detail.as_ref().map(|it| format!(": {it}"));
    let detail = detail.unwrap_or_default();
    format!("attempt {number}: {outcome}{http} in {duration_ms} ms{detail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::why::tests::{NOW, attempt, callback};

    #[test]
    fn a_waiting_callback_tells_its_way_and_what_comes() {
        let mut retrying = callback("retrying");
        retrying.callee_no = Some("EO001".to_owned());
        retrying.caller_no = Some("C1".to_owned());
        retrying.attempts = vec![attempt(1), attempt(2)];
        retrying.next_attempt_at = Some(NOW + 28_000);
        assert_eq!(
            render(&retrying, NOW),
            "\
callback 00000000-0000-0000-0000-000000000000
  status  retrying
  app     demo (caller C1)
  to      callee EO001  https://h.example/x?***
  type    hello

2025-11-23T12:13:10.000Z  accepted
2025-11-23T12:13:14.000Z  attempt 1: answered_5xx 503 in 12 ms
2025-11-23T12:13:14.000Z  attempt 2: answered_5xx 503 in 12 ms

Attempt 2 failed (answered_5xx 503). The next one is at 2025-11-23T12:13:48.000Z (in 28s)."
        );
    }

    #[test]
    fn replays_part_the_lives() {
        let mut dead = callback("dead");
        dead.reason = Some("exhausted".to_owned());
        let mut second = attempt(1);
        second.generation = 1;
        second.detail = Some("bad\u{7}day".to_owned());
        second.http_status = None;
        dead.attempts = vec![attempt(1), second];
        dead.generation = 1;
        let text = render(&dead, NOW);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines[8], "replayed (replay 1)", "{text}");
        assert!(
            lines[9].ends_with("attempt 1: answered_5xx in 12 ms: bad day"),
            "{text}"
        );
        assert!(lines[10].ends_with("given up"), "{text}");
        assert!(
            text.contains("every attempt that it had is spent"),
            "{text}"
        );
    }

    #[test]
    fn a_replay_that_waits_is_told_before_its_first_attempt() {
        let mut queued = callback("queued");
        queued.attempts = vec![attempt(1)];
        queued.generation = 1;
        let text = render(&queued, NOW);
        assert!(
            text.contains("replayed (replay 1)\n\nIt was replayed, and waits"),
            "{text}"
        );
    }
}
