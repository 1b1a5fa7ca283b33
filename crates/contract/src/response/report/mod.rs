//! The report on a callback: the answer to `GET /api/callback/{request_id}`.

use std::fmt;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{Answer, CallbackStatus, Language, masked_url};
use crate::json::to_json;
use crate::times::rfc3339;

#[cfg(test)]
mod tests;

/// The state of a callback as its caller sees it.
///
/// Times are milliseconds since the Unix epoch here, and RFC 3339 in the answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    /// The callback.
    pub request_id: Uuid,
    /// Its status.
    pub status: CallbackStatus,
    /// Why it was dead-lettered.
    pub reason: Option<String>,
    /// When it was accepted.
    pub created_at: u64,
    /// When the next attempt is due, if there is one.
    pub next_attempt_at: Option<u64>,
    /// Its next attempt was due long ago, and nothing is known of it since.
    pub overdue: Option<Overdue>,
    /// The caller's app.
    pub app_id: String,
    /// The caller's number.
    pub caller_no: Option<String>,
    /// The callee's number.
    pub callee_no: Option<String>,
    /// The caller's URL; the answer masks its query string, if it is not masked already.
    pub callback_url: Option<String>,
    /// The type of message, in the caller's terms.
    pub message_type: String,
    /// The attempts so far, oldest first.
    pub attempts: Vec<ReportAttempt>,
}

/// A next attempt that should have been made long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// When it was due, in milliseconds since the Unix epoch.
    pub since: u64,
    /// How many seconds ago that was.
    pub seconds: u64,
}

impl Overdue {
    /// What the caller is told.
    pub fn note(self, language: Language) -> String {
        let (since, minutes) = (rfc3339(self.since), self.seconds / 60);
        match language {
            Language::Chinese => format!(
                "本应在{since}执行，已逾期{minutes}分钟：可能仍在排队，也可能已被人工移出队列，\
                 请联系管理员确认"
            ),
            Language::English => format!(
                "it was due at {since} and is {minutes} minutes overdue: it may still be queued, or \
                 may have been removed from the queue by hand; ask the administrator"
            ),
        }
    }
}

/// One attempt as the caller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportAttempt {
    /// Its number, from 1. Numbers repeat after a replay, or after an attempt that was interrupted.
    pub number: u32,
    /// When it began, in milliseconds since the Unix epoch.
    #[serde(serialize_with = "as_rfc3339")]
    pub started_at: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// How it ended, by the outcome's short name.
    pub outcome: String,
    /// The target's status; `None` without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// One sentence for people, if there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Report {
    /// The answer whose code and sentence belong to the status. A report's own HTTP status is
    /// always 200: the callback is known.
    pub fn answer(&self) -> Answer {
        match self.status {
            CallbackStatus::Delivered => Answer::Accepted,
            CallbackStatus::Dead | CallbackStatus::Expired | CallbackStatus::Cancelled => {
                Answer::Failed
            }
            CallbackStatus::Queued
            | CallbackStatus::Delivering
            | CallbackStatus::Retrying
            | CallbackStatus::Unaccounted => Answer::Retrying,
        }
    }

    /// The whole body. `None` values are left out; `attempts` is always present.
    pub fn body(&self, language: Language) -> Vec<u8> {
        let answer = self.answer();
        let msg = match (language, self.status) {
            // The Chinese sentence is the original contract's, whatever the status.
            (Language::English, CallbackStatus::Cancelled) => "the callback was cancelled".into(),
            (Language::English, CallbackStatus::Expired) => {
                "the callback expired before it could be delivered".into()
            }
            _ => answer.msg(language),
        };
        let envelope = Envelope {
            request_id: self.request_id,
            code: answer.code(),
            msg: &msg,
            status: self.status.as_str(),
            reason: self.reason.as_deref(),
            created_at: rfc3339(self.created_at),
            next_attempt_at: self.next_attempt_at.map(rfc3339),
            note: self.overdue.map(|overdue| overdue.note(language)),
            app_id: &self.app_id,
            caller_no: self.caller_no.as_deref(),
            callee_no: self.callee_no.as_deref(),
            callback_url: self.callback_url.as_deref().map(masked_url),
            message_type: &self.message_type,
            attempts: &self.attempts,
        };
        to_json(&envelope, 512 + 160 * self.attempts.len())
    }
}

/// Shows no URL: a query string may hold a secret.
impl fmt::Debug for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Report")
            .field("request_id", &self.request_id)
            .field("status", &self.status)
            .field("reason", &self.reason)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// The contract's keys, in its order.
#[derive(Serialize)]
struct Envelope<'a> {
    request_id: Uuid,
    code: &'static str,
    msg: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    app_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callee_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_url: Option<String>,
    message_type: &'a str,
    attempts: &'a [ReportAttempt],
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn as_rfc3339<S: Serializer>(unix_ms: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*unix_ms))
}
