//! What does a caller hear who asks what became of a callback?

use std::fmt;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::json::to_json;
use crate::{Answer, Language, masked_url, rfc3339};

#[cfg(test)]
mod tests;

/// What became of a callback: the answer to `GET /api/callback/{request_id}`.
///
/// Moments are milliseconds since the Unix epoch here, and RFC 3339 in the answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    /// The callback.
    pub request_id: Uuid,
    /// `queued`, `delivering`, `retrying`, `delivered`, `dead`, `expired` or `cancelled`.
    pub status: String,
    /// Why it was given up, for a dead one.
    pub reason: Option<String>,
    /// When it was accepted.
    pub created_at: u64,
    /// When the next attempt is due, where there is one to come.
    pub next_attempt_at: Option<u64>,
    /// The caller's app.
    pub app_id: String,
    /// The number of the calling party.
    pub caller_no: Option<String>,
    /// The number of the called party.
    pub callee_no: Option<String>,
    /// The caller's URL; its query string is masked in the answer, if it was not before.
    pub callback_url: Option<String>,
    /// What kind of message it is, in the caller's own terms.
    pub message_type: String,
    /// The attempts that were made, oldest first.
    pub attempts: Vec<ReportAttempt>,
}

/// One call that was made, as a caller hears of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportAttempt {
    /// Its number, from 1. A number comes again after a replay, or when an attempt was cut off.
    pub number: u32,
    /// When it began, in milliseconds since the Unix epoch.
    #[serde(serialize_with = "moment")]
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
    /// The answer that the status stands for. Its HTTP status is not the report's, which is always
    /// 200: the callback is known.
    pub fn answer(&self) -> Answer {
        match self.status.as_str() {
            "delivered" => Answer::Accepted,
            "dead" | "expired" | "cancelled" => Answer::GivenUp,
            // A status that is not final; "still being tried" denies nothing.
            _ => Answer::Retrying,
        }
    }

    /// The whole body. What is `None` is left out; `attempts` is always there.
    pub fn body(&self, language: Language) -> Vec<u8> {
        let answer = self.answer();
        let msg = answer.msg(language);
        let envelope = Envelope {
            request_id: self.request_id,
            code: answer.code(),
            msg: &msg,
            status: &self.status,
            reason: self.reason.as_deref(),
            created_at: rfc3339(self.created_at),
            next_attempt_at: self.next_attempt_at.map(rfc3339),
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

/// Shows no URL: its query string may hold a secret.
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
    reason = "serde hands fields over by reference"
)]
fn moment<S: Serializer>(unix_ms: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*unix_ms))
}
