//! Renders the message of a callback, and what targets answered.

use std::fmt::Write as _;

use contract::CallbackStatus;
use runtime::text::{self, one_line};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::view::{CallbackView, PayloadView};

/// Renders the message's body as the caller sent it, then each answer that was kept.
pub(super) fn render(callback: &CallbackView, payload: &PayloadView) -> String {
    #[derive(Deserialize)]
    struct QueueMessage {
        request_message: Box<RawValue>,
    }

    let message = payload.message.as_ref();
    let message = message.and_then(|text| serde_json::from_str(text.get()).ok());
    let mut shown = match message {
        Some(QueueMessage { request_message }) => {
            format!("message: {}", text::json(request_message.get()))
        }
        None => format!("no message: {}", why_none(callback)),
    };
    for answer in &payload.answers {
        let status = answer.http_status.map(|status| format!(" {status}"));
        let content_type = answer.content_type.as_deref().unwrap_or("no content type");
        let replay = match answer.generation {
            0 => String::new(),
            generation => format!(" of replay {generation}"),
        };
        // Writing to a String cannot fail.
        let _ = write!(
            shown,
            "\nanswer to attempt {}{replay} ({}): {}",
            answer.number,
            one_line(&format!("{content_type}{}", status.unwrap_or_default())),
            text::lines(&answer.answer),
        );
    }
    if payload.answers.is_empty() {
        shown.push_str("\nno answer of a target is kept");
    }
    shown
}

/// Why the journal has no message.
fn why_none(callback: &CallbackView) -> &'static str {
    match callback.status {
        _ if callback.discarded_by_retention => "it is past its retention, and cannot be replayed",
        CallbackStatus::Delivered => "it is kept only for journal.keep_delivered",
        CallbackStatus::Cancelled => "it is erased when a callback is cancelled",
        CallbackStatus::Dead | CallbackStatus::Expired => {
            "the journal has none, and the dead letter cannot be replayed"
        }
        CallbackStatus::Queued
        | CallbackStatus::Delivering
        | CallbackStatus::Retrying
        | CallbackStatus::Unaccounted => {
            "it is kept from the first failure, delay or deferral on (journal.keep_waiting)"
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::timeline::tests::callback;

    fn payload(message: &serde_json::Value, answers: &serde_json::Value) -> PayloadView {
        let id = uuid::Uuid::nil();
        let view = json!({"request_id": id, "message": message, "answers": answers});
        serde_json::from_str(&view.to_string()).unwrap()
    }

    #[test]
    fn a_message_and_answers_are_shown_without_control_characters() {
        let dead = callback(CallbackStatus::Dead);
        let answers = json!([
            {"generation": 0, "number": 1, "started_at": "2026-11-23T22:00:00Z", "http_status": 400,
             "content_type": "application/json", "answer": "{\"msg\":\"字段缺失\"}"},
            {"generation": 1, "number": 2, "started_at": "2026-11-23T23:00:00Z", "answer": "\u{1b}[2J"},
        ]);
        let text = render(
            &dead,
            &payload(&json!({"request_message": {"n": 1}}), &answers),
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                r#"message: {"n":1}"#,
                r#"answer to attempt 1 (application/json 400): {"msg":"字段缺失"}"#,
                r"answer to attempt 2 of replay 1 (no content type): \u{1b}[2J",
            ]
        );
    }

    #[test]
    fn what_is_not_there_is_said_with_its_reason() {
        let mut discarded = callback(CallbackStatus::Dead);
        discarded.discarded_by_retention = true;
        for (callback, words) in [
            (callback(CallbackStatus::Queued), "first failure"),
            (callback(CallbackStatus::Delivered), "keep_delivered"),
            (callback(CallbackStatus::Cancelled), "cancelled"),
            (discarded, "past its retention"),
        ] {
            let text = render(&callback, &payload(&json!(null), &json!([])));
            assert!(
                text.starts_with("no message: ") && text.contains(words),
                "{text}"
            );
            assert!(text.ends_with("no answer of a target is kept"), "{text}");
        }
    }
}
